"""The triangle threshold: for a background that makes one tall peak, beside little or faint tissue."""

from typing import final

import numpy as np
from numpy.typing import NDArray

from patching.tissue.parts.histogram import triangle_threshold
from patching.tissue.parts.two_class import AbstractThresholdDetector


@final
class TriangleDetector(AbstractThresholdDetector):
    """The triangle method (Zack 1977): where the flank of the tallest peak ends."""

    def _threshold(self, values: NDArray[np.floating]) -> float:
        return triangle_threshold(values)
