"""Augmentation that cannot change the attribute: everything here preserves the tissue area.

Crops, resizing, cutout and mixing change how much tissue a patch shows, and are not offered.
"""

import os
import random
import threading
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Augmentation = Literal["none", "symmetries", "default"]

# Names of models.data.area_preserving.TRANSFORMS, in the order of application.
PRESETS: dict[Augmentation, tuple[str, ...]] = {
    "none": (),
    "symmetries": ("symmetry",),
    "default": ("symmetry", "blur", "intensity", "noise"),
}


class Augmenter:
    """A preset of albumentations transforms, drawn anew for every patch; threads may share it.

    Args:
        preset: a key of PRESETS.
        std_C: standard deviation of every channel in raw units, the unit of intensity changes.
    """

    def __init__(self, preset: Augmentation, std_C: Sequence[float]) -> None:
        self._names, self._std_C = PRESETS[preset], std_C
        self._own = threading.local()

    def __call__(
        self, images_NHWC: NDArray[Any], seed: int, positions_N: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """Augment raw patches [N, H, W, C] of any dtype and channel count; float32, the same shape and units.

        Args:
            images_NHWC: the patches.
            seed: of the step.
            positions_N: place of every patch in the step; by default 0..N-1. Seed and place decide what
                happens to a patch, whichever other patches are augmented with it, before it or elsewhere.
        """
        result_NHWC = np.empty(images_NHWC.shape, np.float32)
        if not self._names:
            result_NHWC[:] = images_NHWC
            return result_NHWC
        compose = self._transforms(seed)
        places = range(len(images_NHWC)) if positions_N is None else positions_N.tolist()
        for n, place in enumerate(places):
            self._own.numbers.go_to(place)
            result_NHWC[n] = compose(image=images_NHWC[n])["image"]
        return result_NHWC

    def _transforms(self, seed: int) -> Any:
        """This thread's transforms, drawing from numbers of this seed."""
        if not hasattr(self._own, "compose"):
            self._own.compose = _compose(self._names, self._std_C)
        self._own.numbers = _PlacedNumbers(seed)
        self._own.compose.set_random_state(self._own.numbers.generator, self._own.numbers.python)
        return self._own.compose


class _PlacedNumbers:
    """Random numbers of a seed, of which every place has its own.

    Philox is a function of a key and a counter: going to a place costs a microsecond, against tens for a
    new generator.
    """

    def __init__(self, seed: int) -> None:
        self._bits = np.random.Philox(key=seed)
        self._start = self._bits.state
        self.generator = np.random.Generator(self._bits)
        self.python = random.Random(seed)

    def go_to(self, place: int) -> None:
        """Make both generators draw what belongs to the place."""
        # Draws count up the lowest word; the highest is the place's.
        self._start["state"]["counter"][:] = (0, 0, 0, place)
        self._bits.state = self._start
        self.python.seed(self._bits.random_raw())


def _compose(names: Sequence[str], std_C: Sequence[float]) -> Any:
    # albumentations asks its server for updates while it is imported.
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    from models.data.area_preserving import compose

    return compose(names, std_C)
