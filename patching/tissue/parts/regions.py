"""Small repairs of a mask, in place: a large slide's mask should not exist twice."""

import cv2
import numpy as np
from numpy.typing import NDArray

_ROWS = 64  # rows that are relabelled at once: the labels are the only array of four bytes a pixel


def drop_specks(mask_HW: NDArray[np.bool_], minimum: float) -> None:
    """Remove 8-connected specks, then holes, of fewer than `minimum` pixels."""
    drop_regions(mask_HW, minimum)
    fill_holes(mask_HW, minimum)


def fill_holes(mask_HW: NDArray[np.bool_], minimum: float) -> None:
    """Fill 8-connected holes, and gaps at the border, of fewer than `minimum` pixels."""
    np.logical_not(mask_HW, out=mask_HW)
    drop_regions(mask_HW, minimum)
    np.logical_not(mask_HW, out=mask_HW)


def drop_regions(mask_HW: NDArray[np.bool_], minimum: float) -> None:
    """Remove 8-connected regions of fewer than `minimum` pixels."""
    count, label_HW = cv2.connectedComponents(np.ascontiguousarray(mask_HW).view(np.uint8), connectivity=8)
    tops = range(0, len(label_HW), _ROWS)
    area_N = np.zeros(count, np.int64)
    for top in tops:
        area_N += _areas(label_HW[top : top + _ROWS].ravel(), count)
    large_N = area_N >= minimum
    if large_N[1:].all():
        return
    large_N[0] = False
    for top in tops:
        # "clip" changes no index; it writes without a buffer.
        np.take(large_N, label_HW[top : top + _ROWS], out=mask_HW[top : top + _ROWS], mode="clip")


def _areas(label_N: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """Pixels of each label; runs of one label are counted, which are few."""
    start_R = np.concatenate([[0], np.flatnonzero(label_N[1:] != label_N[:-1]) + 1])
    length_R = np.diff(start_R, append=label_N.size)
    return np.bincount(label_N[start_R], length_R, count).astype(np.int64)
