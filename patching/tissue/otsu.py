"""Otsu's threshold: the default."""

from typing import final

import numpy as np
from numpy.typing import NDArray

from patching.tissue.threshold import AbstractThresholdDetector
from patching.tissue.thresholds import otsu_threshold


@final
class OtsuDetector(AbstractThresholdDetector):
    """Otsu's method (1979): two classes of about equal spread."""

    def _threshold(self, values: NDArray[np.floating]) -> float:
        return otsu_threshold(values)
