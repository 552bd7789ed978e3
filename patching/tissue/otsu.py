"""Otsu's threshold: the default."""

from typing import final

import numpy as np
from numpy.typing import NDArray

from patching.tissue.parts.histogram import otsu_threshold
from patching.tissue.parts.two_class import AbstractThresholdDetector


@final
class OtsuDetector(AbstractThresholdDetector):
    """Otsu's method (1979): two classes of about equal spread."""

    def _threshold(self, values: NDArray[np.floating]) -> float:
        return otsu_threshold(values)
