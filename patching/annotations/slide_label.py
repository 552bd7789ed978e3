"""One label for a whole slide."""

from typing import Literal, final

import numpy as np
from numpy.typing import NDArray

from patching.annotations.base import AbstractAnnotation, mask_shape
from patching.geometry import Size


@final
class SlideLabel(AbstractAnnotation):
    """Everything is tumor (1), or nothing is (0)."""

    def __init__(self, label: int) -> None:
        self._label = label

    def fractions(
        self, locations_N2: NDArray[np.int64], extent: int, kind: Literal["tumor", "ignore"] = "tumor"
    ) -> NDArray[np.float64]:
        """See the base class: 1 or 0 for every patch, whatever its extent."""
        value = float(self._label) if kind == "tumor" and extent > 0 else 0.0
        return np.full(len(locations_N2), value)

    def coverage(self, size: Size, downsample: float) -> NDArray[np.float32]:
        """See the base class: the label everywhere."""
        return np.full(mask_shape(size, downsample), self._label, np.float32)

    def outlines(self) -> tuple[NDArray[np.float64], ...]:
        """Nothing to draw."""
        return ()
