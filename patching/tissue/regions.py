"""Small repairs of a mask."""

import cv2
import numpy as np
from numpy.typing import NDArray


def without_specks(mask_HW: NDArray[np.bool_], minimum: int) -> NDArray[np.bool_]:
    """Remove 8-connected specks, then holes, of fewer than `minimum` pixels."""
    kept_HW = _without_small(mask_HW, minimum)
    return ~_without_small(~kept_HW, minimum)


def _without_small(mask_HW: NDArray[np.bool_], minimum: int) -> NDArray[np.bool_]:
    _, part_HW, stats, _ = cv2.connectedComponentsWithStats(mask_HW.astype(np.uint8), connectivity=8)
    large = stats[:, cv2.CC_STAT_AREA] >= minimum
    large[0] = False
    kept_HW: NDArray[np.bool_] = large[part_HW]
    return kept_HW
