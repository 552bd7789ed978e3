"""Fixtures of the models' tests."""

from collections.abc import Callable

import numpy as np
import pytest

from models.dataset import MemoryPatches, PatchData
from models.train_settings import TrainSettings

MakeData = Callable[..., PatchData]


@pytest.fixture
def shortcut_data() -> MakeData:
    """Makes patches whose label is a fine stripe pattern, and whose attribute is plain brightness.

    The share `tie` of every class has the attribute equal to the label, so that brightness predicts it.
    """

    def make(
        n: int = 120, tie: float = 0.9, seed: int = 0, side: int = 32, dtype: str = "uint16"
    ) -> PatchData:
        rng = np.random.default_rng(seed)
        label_N = np.arange(n) % 2
        attribute_N = np.where(np.arange(n) // 2 < round(tie * n / 2), label_N, 1 - label_N)
        images_NHWC = rng.normal(300, 60, (n, side, side, 3))
        stripes_N = np.where(label_N == 1, 90.0, 0.0)[:, None, None, None]
        images_NHWC[:, ::2, :, :1] += stripes_N
        images_NHWC[:, 1::2, :, :1] -= stripes_N
        images_NHWC += 400.0 * attribute_N[:, None, None, None]
        return PatchData(
            MemoryPatches(images_NHWC.clip(0).astype(dtype)),
            label_N.astype(np.int64),
            attribute_N.astype(np.int64),
            np.where(attribute_N == 1, 0.9, 0.2),
        )

    return make


@pytest.fixture
def quick() -> TrainSettings:
    """A training of seconds."""
    return TrainSettings(
        epochs=2,
        device="cpu",
        augmentation="symmetries",
        minimum_validation_patches=1,
        learning_rate=0.02,
        backbone="densenet_slim",
    )
