"""One label for a whole slide."""

from typing import final

import numpy as np
from numpy.typing import NDArray

from patching.annotations.base import AbstractAnnotation, Locations, Measured


@final
class SlideLabel(AbstractAnnotation):
    """Everything is tumor (1), or nothing is (0)."""

    def __init__(self, label: int) -> None:
        self._label = label

    def fractions(
        self, locations_N2: Locations, extent: float, kind: Measured = "tumor"
    ) -> NDArray[np.float64]:
        """See the base class: 1 or 0 for every patch, whatever its extent."""
        value = float(self._label) if kind == "tumor" and extent > 0 else 0.0
        return np.full(len(locations_N2), value)

    def outlines(self, kind: Measured = "tumor") -> tuple[NDArray[np.float64], ...]:
        """Nothing to draw."""
        return ()
