"""Edges of the cover slip: long, thin, straight, and alone."""

import cv2
import numpy as np
from numpy.typing import NDArray

from patching.tissue.parts.morphology import disc, morphed

_SMALLEST = 200  # mask pixels: smaller images are cut-outs, on which no line is long
_SEARCHED = 768  # pixels of the longer side at which lines are searched
_WIDEST = 9  # mask pixels
_LENGTH = 0.5  # share of the shorter side
_SHORTEST = 12  # searched pixels: in a longer and narrower strip a line is not told from a speck
_SUPPORT, _COMPANY = 0.8, 0.3  # least share of tissue on the line, greatest share on either side


def straight_lines(mask_HW: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of a mask that belong to such lines.

    Thin parts of the mask are searched by the probabilistic Hough transform (Matas 2000); a line counts
    where it is nearly unbroken and has nothing on either side, which fibers in tissue have.
    """
    nothing_HW = np.zeros(mask_HW.shape, np.bool_)
    if min(mask_HW.shape) < _SMALLEST:
        return nothing_HW
    thin_HW = mask_HW & ~morphed(mask_HW, cv2.MORPH_OPEN, disc(_WIDEST, _WIDEST))
    factor = -(-max(mask_HW.shape) // _SEARCHED)
    small_HW, everything_HW = _pooled(thin_HW, factor), _pooled(mask_HW, factor)
    length = int(_LENGTH * min(small_HW.shape))
    if length < _SHORTEST:
        return nothing_HW
    found = cv2.HoughLinesP(
        _long(small_HW, length // 3), 1, np.pi / 360, length // 3, minLineLength=length, maxLineGap=6
    )
    if found is None:
        return nothing_HW
    drawn_HW = nothing_HW.view(np.uint8)
    for ends in found.reshape(-1, 2, 2):
        if _alone(ends, small_HW, everything_HW, -(-_WIDEST // factor)):
            first, last = (tuple(int(v) for v in (end + 0.5) * factor) for end in ends)
            cv2.line(drawn_HW, first, last, 1, _WIDEST + 2 * factor)
    return drawn_HW.view(np.bool_) & thin_HW


def _pooled(mask_HW: NDArray[np.bool_], factor: int) -> NDArray[np.bool_]:
    """Blocks with anything in them."""
    height, width = mask_HW.shape
    padded = np.pad(mask_HW, ((0, -height % factor), (0, -width % factor))).view(np.uint8)
    size = (padded.shape[1] // factor, padded.shape[0] // factor)
    share_HW = cv2.resize(padded.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    pooled_HW: NDArray[np.bool_] = share_HW > 0
    return pooled_HW


def _long(mask_HW: NDArray[np.bool_], length: int) -> NDArray[np.uint8]:
    """Parts with a bounding box of at least this length: what is short is left out, to save time."""
    _, label_HW, stats_N5, _ = cv2.connectedComponentsWithStats(mask_HW.view(np.uint8))
    long_N = stats_N5[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(axis=1) >= length
    long_N[0] = False
    kept: NDArray[np.uint8] = np.take(long_N, label_HW, mode="clip").view(np.uint8)
    return kept


def _alone(
    ends_22: NDArray[np.int32], thin_HW: NDArray[np.bool_], mask_HW: NDArray[np.bool_], width: int
) -> bool:
    """Whether a line from one (x, y) to another is nearly unbroken and has nothing on either side."""
    start, way = ends_22[0].astype(np.float64), (ends_22[1] - ends_22[0]).astype(np.float64)
    length = float(np.hypot(*way))
    across = np.array([-way[1], way[0]]) / length
    points_N2 = start + np.linspace(0, 1, int(length) + 1)[:, None] * way
    near = [_at(thin_HW, points_N2 + k * across) for k in (-1, 0, 1)]
    support = np.logical_or.reduce(near).mean()
    beside = [_at(mask_HW, points_N2 + side * (width + 3) * across).mean() for side in (-1, 1)]
    return bool(support >= _SUPPORT and max(beside) <= _COMPANY)


def _at(mask_HW: NDArray[np.bool_], points_N2: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The mask at each (x, y); outside there is nothing."""
    x, y = np.rint(points_N2).astype(np.int64).T
    height, width = mask_HW.shape
    inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
    found_N: NDArray[np.bool_] = inside & mask_HW[y.clip(0, height - 1), x.clip(0, width - 1)]
    return found_N
