"""The maximum entropy threshold: for tissue of very varied brightness."""

from typing import final

import numpy as np
from numpy.typing import NDArray

from patching.tissue.parts.histogram import entropy_threshold
from patching.tissue.parts.two_class import AbstractThresholdDetector


@final
class EntropyDetector(AbstractThresholdDetector):
    """Maximum entropy (Kapur 1985): both classes as spread out over their bins as can be."""

    def _threshold(self, values: NDArray[np.floating]) -> float:
        return entropy_threshold(values)
