"""Probabilities of patches as an image on a grid that lies on the slide to the pixel.

A heatmap's pixel is a square of `cell` level-0 pixels, the first one with its corner in the slide's. The
cell is the largest square that every patch consists of (the greatest common divisor of places and extent),
so that no pixel is cut by a patch's border: side by side, a pixel is a patch; with half an overlap, a
quarter of one.

Value 0 is "not predicted"; value v from 1 to 65535 is the probability (v - 1) / 65534. Where patches
overlap, it is their mean.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from patching.geometry import Size

MOST_PIXELS = 2**24
"""Of a heatmap. A slide whose exact cell would need more (the shifted last column of a slide of odd width)
gets the finest cell that fits: one that divides extent and stride where there is such a one, so that only
shifted patches are cut by pixels. A pixel that is cut is the mean of what covers it, weighted by area."""
TOP = 65534
"""Steps from probability 0 to 1."""
_BAND = 2**20


@dataclass(frozen=True)
class HeatGrid:
    """Pixels of a heatmap: squares of `cell` level-0 pixels, from the slide's first pixel on."""

    cell: int
    rows: int
    columns: int
    exact: bool
    """Whether no pixel is cut by a patch's border."""

    @classmethod
    def of(
        cls, size: Size, locations_N2: NDArray[np.int64], extent: int, stride: int, most: int = MOST_PIXELS
    ) -> "HeatGrid":
        """The coarsest exact grid; the finest of at most `most` pixels where the exact one has more."""
        exact = int(np.gcd.reduce(np.append(locations_N2.ravel(), extent)))
        for cell in (exact, *_finer_first(int(np.gcd(extent, stride))), *_finer_first(extent)):
            grid = cls._covering(size, cell, exact)
            if cell >= exact and grid.rows * grid.columns <= most:
                return grid
        while grid.rows * grid.columns > most:
            cell += 1
            grid = cls._covering(size, cell, exact)
        return grid

    @classmethod
    def _covering(cls, size: Size, cell: int, exact: int) -> "HeatGrid":
        return cls(cell, -(-size.height // cell), -(-size.width // cell), exact % cell == 0)


def painted(
    grid: HeatGrid, locations_N2: NDArray[np.int64], extent: int, value_N: NDArray[np.float64]
) -> NDArray[np.uint16]:
    """Mean value of the patches that cover each pixel, as the module says, uint16 [rows, columns].

    Args:
        grid: the pixels.
        locations_N2: level-0 (x, y) of the patches' corners.
        extent: side of the patches in level-0 pixels; what sticks out of the slide is not shown.
        value_N: of every patch, 0 to 1.
    """
    step_N = 1 + np.rint(value_N * TOP).astype(np.int64)
    limit_2 = np.array([grid.columns, grid.rows]) * grid.cell
    low_N2, high_N2 = np.clip(locations_N2, 0, limit_2), np.clip(locations_N2 + extent, 0, limit_2)
    return (_uncut if grid.exact else _cut)(grid, low_N2, high_N2, step_N)


def _uncut(
    grid: HeatGrid, low_N2: NDArray[np.int64], high_N2: NDArray[np.int64], step_N: NDArray[np.int64]
) -> NDArray[np.uint16]:
    """The mean between one border of patches and the next, which all pixels there share.

    There are far fewer borders than pixels where a shifted last column makes the pixels small.
    """
    borders = [np.unique(np.concatenate([[0], low_N2[:, k], high_N2[:, k]])) for k in (0, 1)]
    low_N2, high_N2 = (
        np.stack([np.searchsorted(border, place_N2[:, k]) for k, border in enumerate(borders)], axis=1)
        for place_N2 in (low_N2, high_N2)
    )
    mean_HW = _means(len(borders[1]), len(borders[0]), 1, low_N2, high_N2, step_N)
    column_W, row_H = (
        np.searchsorted(border, np.arange(length) * grid.cell, side="right") - 1
        for border, length in zip(borders, (grid.columns, grid.rows), strict=True)
    )
    return mean_HW[row_H].take(column_W, axis=1)


def _cut(
    grid: HeatGrid, low_N2: NDArray[np.int64], high_N2: NDArray[np.int64], step_N: NDArray[np.int64]
) -> NDArray[np.uint16]:
    """The mean of what covers every pixel by area, band by band: the sums take eight times the image's
    memory."""
    image_HW = np.zeros((grid.rows, grid.columns), np.uint16)
    for first, last in _bands(grid):
        top, bottom = first * grid.cell, last * grid.cell
        touched_N = (low_N2[:, 1] < bottom) & (high_N2[:, 1] > top)
        low_n2, high_n2 = (
            np.stack([place_N2[touched_N, 0], place_N2[touched_N, 1].clip(top, bottom) - top], axis=1)
            for place_N2 in (low_N2, high_N2)
        )
        image_HW[first:last] = _means(
            last - first, grid.columns, grid.cell, low_n2, high_n2, step_N[touched_N]
        )
    return image_HW


def coarser(image_HW: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Half the size: the mean of the predicted ones among four pixels; 0 where there is none."""
    rows, columns = image_HW.shape
    even_HW = np.pad(image_HW, ((0, rows % 2), (0, columns % 2)))
    parts = [even_HW[y::2, x::2] for y in (0, 1) for x in (0, 1)]
    count_HW = np.sum([part > 0 for part in parts], axis=0, dtype=np.uint32)
    sum_HW = np.sum(parts, axis=0, dtype=np.uint32)
    half_HW = count_HW // 2
    mean_HW: NDArray[np.uint16] = ((sum_HW + half_HW) // np.maximum(count_HW, 1)).astype(np.uint16)
    return mean_HW


def _finer_first(length: int) -> Iterator[int]:
    """Divisors of a length, ascending."""
    return (cell for cell in range(1, length + 1) if length % cell == 0)


def _bands(grid: HeatGrid) -> Iterator[tuple[int, int]]:
    """First row and the one after the last, of bands of some million pixels."""
    height = max(1, _BAND // grid.columns)
    return pairwise([*range(0, grid.rows, height), grid.rows])


def _means(
    rows: int,
    columns: int,
    cell: int,
    low_N2: NDArray[np.int64],
    high_N2: NDArray[np.int64],
    step_N: NDArray[np.int64],
) -> NDArray[np.uint16]:
    """Mean step of the patches from `low` to `high` on pixels of side `cell`, weighted by area, [rows,
    columns].

    A patch is the difference of four quadrants that begin at its corners. Each quadrant is put down as its
    change from pixel to pixel, two numbers an axis where a pixel is cut, and running sums make the image of
    them. All numbers are whole, so that the order of patches does not show.
    """
    weight_HW, sum_HW = (np.zeros((rows + 2, columns + 2), np.int64) for _ in range(2))
    for sign_x, x_N in ((1, low_N2[:, 0]), (-1, high_N2[:, 0])):
        for sign_y, y_N in ((1, low_N2[:, 1]), (-1, high_N2[:, 1])):
            for column_N, share_x_N in _changes(x_N, cell):
                for row_N, share_y_N in _changes(y_N, cell):
                    share_N = sign_x * sign_y * share_x_N * share_y_N
                    np.add.at(weight_HW, (row_N, column_N), share_N)
                    np.add.at(sum_HW, (row_N, column_N), share_N * step_N)
    for image_HW in (weight_HW, sum_HW):
        image_HW.cumsum(axis=0, out=image_HW).cumsum(axis=1, out=image_HW)
    covered_HW = np.maximum(weight_HW, 1)
    mean_HW: NDArray[np.int64] = (sum_HW + weight_HW // 2) // covered_HW
    return mean_HW[:rows, :columns].astype(np.uint16)


def _changes(place_N: NDArray[np.int64], cell: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pixels at which the area beyond a level-0 place grows, and by how many level-0 pixels a row of them."""
    pixel_N, cut_N = np.divmod(place_N, cell)
    yield pixel_N, cell - cut_N
    if cut_N.any():
        yield pixel_N + 1, cut_N
