"""Exact area fractions of patches from a mask, by a summed-area table."""

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from patching.geometry import Size

_COUNTED = 2**31  # pixels that an int32 can count


class AreaTable:
    """Summed-area table of a mask or coverage image, whose pixels are squares of constant value.

    Args:
        coverage_HW: bool, or 0..1; pixel (i, j) covers [j, j+1) x [i, i+1) of the mask's plane.
        bounds: the part of the plane that counts, (width, height) in mask pixels, where the slide ends
            inside the last pixels; None is the whole mask. Outside there is nothing.
    """

    def __init__(self, coverage_HW: ArrayLike, bounds: tuple[float, float] | None = None) -> None:
        coverage = np.asarray(coverage_HW)
        height, width = coverage.shape
        whole = coverage.dtype == np.bool_ and coverage.size < _COUNTED
        self._table = _counts(coverage) if whole else _sums(coverage)
        right, bottom = (width, height) if bounds is None else bounds
        self._bounds = min(float(width), right), min(float(height), bottom)

    @classmethod
    def of_slide(cls, coverage_HW: ArrayLike, size: Size, downsample: float) -> "AreaTable":
        """Table of a mask with `downsample` level-0 pixels per mask pixel on a slide of `size`."""
        return cls(coverage_HW, (size.width / downsample, size.height / downsample))

    def fractions(
        self,
        locations_N2: NDArray[np.int64] | NDArray[np.float64],
        extent: float,
        downsample: float | tuple[float, float],
    ) -> NDArray[np.float64]:
        """Covered share of each patch's area, float64 [N] in 0..1.

        Args:
            locations_N2: level-0 (x, y) of the patches' corners.
            extent: side of the patches in level-0 pixels.
            downsample: level-0 pixels per mask pixel, of both directions or (x, y); need not be whole.
        """
        scale_2 = np.broadcast_to(np.asarray(downsample, np.float64), 2)
        x0, y0 = (locations_N2 / scale_2).T
        x1, y1 = ((locations_N2 + extent) / scale_2).T
        area = self._sum(x1, y1) - self._sum(x0, y1) - self._sum(x1, y0) + self._sum(x0, y0)
        # Differences of large sums leave noise of 1e-12: an empty patch must be exactly empty, and no -0.0.
        fraction_N: NDArray[np.float64] = np.round(area * scale_2.prod() / extent**2, 9)
        return fraction_N.clip(0.0, 1.0) + 0.0

    def _sum(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Covered area of [0, x) x [0, y): bilinear between the table's corners, hence exact."""
        x, y = np.clip(x, 0, self._bounds[0]), np.clip(y, 0, self._bounds[1])
        j = np.minimum(x.astype(np.int64), self._table.shape[1] - 2)
        i = np.minimum(y.astype(np.int64), self._table.shape[0] - 2)
        u, v, table = x - j, y - i, self._table
        upper = table[i, j] * (1 - u) + table[i, j + 1] * u
        lower = table[i + 1, j] * (1 - u) + table[i + 1, j + 1] * u
        total: NDArray[np.float64] = upper * (1 - v) + lower * v
        return total


def _counts(mask_HW: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Tissue pixels above and left of each corner, int32 [H + 1, W + 1]: half the memory of `_sums`."""
    table: NDArray[np.int32] = cv2.integral(np.ascontiguousarray(mask_HW).view(np.uint8), sdepth=cv2.CV_32S)
    return table


def _sums(coverage_HW: NDArray[np.generic]) -> NDArray[np.float64]:
    """Covered area above and left of each corner, float64 [H + 1, W + 1]."""
    height, width = coverage_HW.shape
    table = np.zeros((height + 1, width + 1))
    coverage_HW.astype(np.float64).cumsum(0).cumsum(1, out=table[1:, 1:])
    return table
