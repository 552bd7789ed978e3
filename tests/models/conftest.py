"""Fixtures of the models' tests."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.algorithms.base import AbstractAlgorithm
from models.algorithms.parts.first_model import FirstModel
from models.algorithms.registry import ALGORITHMS
from models.data.dataset import MemoryPatches, PatchData
from models.data.normalization import Normalization
from models.groups import TrainGroups, TrainLabels
from models.networks.classifier import Classifier
from models.training.making import first_stage, make_algorithm
from models.training.settings import TrainSettings
from models.training.setup import new_classifier
from tests.models.newcomers import NEWCOMERS

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


ONE_CHANNEL = Normalization("none", (0.0,), (1.0,), (1.0,))


def first_model(
    label_N: NDArray[np.int64], n_classes: int, seed: int = 4, classifier: Classifier | None = None
) -> FirstModel:
    """A first model of a two-stage method that was never trained, and is wrong about one sample in five."""
    rng = np.random.default_rng(seed)
    wrong_N = rng.random(len(label_N)) < 0.2
    said_N = np.where(wrong_N, (label_N + 1) % n_classes, label_N)
    logits_NK = 2.0 * np.eye(n_classes)[said_N] + 0.5 * rng.standard_normal((len(label_N), n_classes))
    classifier = classifier or new_classifier(ONE_CHANNEL, TrainSettings(), 1, n_classes, seed)
    return FirstModel(classifier, logits_NK.astype(np.float32), rng.random(len(label_N)) < 0.5)


def bound(
    name: str,
    settings: Mapping[str, Any],
    known: TrainGroups | TrainLabels,
    normalization: Normalization = ONE_CHANNEL,
    training: TrainSettings | None = None,
) -> AbstractAlgorithm[Any, Any]:
    """An algorithm of the registry; where it asks for a first model, one that fits and is untrained."""
    wanted = first_stage(name, settings)
    if wanted is None:
        return make_algorithm(name, settings, known)
    assembly, channels = ALGORITHMS[wanted.algorithm].assembly, len(normalization.mean_C)
    fitting = new_classifier(
        normalization, training or TrainSettings(), channels, known.n_classes, seed=9, assembly=assembly
    )
    return make_algorithm(
        name, settings, known, first_model(known.label_N, known.n_classes, classifier=fitting)
    )


@pytest.fixture
def newcomers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts methods of tests/models/newcomers.py into the table."""
    for name, kind in NEWCOMERS.items():
        monkeypatch.setitem(ALGORITHMS, name, kind)


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
