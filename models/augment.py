"""Augmentation that cannot change the attribute: everything here preserves the tissue area.

Crops, resizing, cutout and mixing change how much tissue a patch shows, and are not offered.
"""

import os
import random
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Augmentation = Literal["none", "symmetries", "default"]

# Names of models.area_preserving.TRANSFORMS, in the order of application.
PRESETS: dict[Augmentation, tuple[str, ...]] = {
    "none": (),
    "symmetries": ("symmetry",),
    "default": ("symmetry", "blur", "intensity", "noise"),
}


class Augmenter:
    """A preset of albumentations transforms, drawn anew for every patch.

    Args:
        preset: a key of PRESETS.
        std_C: standard deviation of every channel in raw units, the unit of intensity changes.
    """

    def __init__(self, preset: Augmentation, std_C: Sequence[float]) -> None:
        self._compose = _compose(PRESETS[preset], std_C) if PRESETS[preset] else None

    def __call__(self, images_NHWC: NDArray[Any], seed: int) -> NDArray[np.float32]:
        """Augment raw patches [N, H, W, C] of any dtype and channel count; float32, the same shape and units.

        The same seed gives the same result, whatever was drawn before.
        """
        result_NHWC = np.empty(images_NHWC.shape, np.float32)
        if self._compose is None:
            result_NHWC[:] = images_NHWC
            return result_NHWC
        self._compose.set_random_state(np.random.default_rng(seed), random.Random(seed))
        for n, image_HWC in enumerate(images_NHWC):
            result_NHWC[n] = self._compose(image=image_HWC)["image"]
        return result_NHWC


def _compose(names: Sequence[str], std_C: Sequence[float]) -> Any:
    # albumentations asks its server for updates while it is imported.
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    from models.area_preserving import compose

    return compose(names, std_C)
