"""Announced regions of a TIFF: what lies under them is worked out for all at once."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patching.geometry import Size
from patching.readers.base import AbstractSlide, Window
from patching.readers.regions import Regions
from patching.readers.tiff.interleave import interleave
from patching.readers.tiff.layout import SegmentGrid
from patching.readers.tiff.segment_cache import Key, SegmentCache
from patching.readers.tiff.segments import TiffSegments

Ints = NDArray[np.int64]


class TiffRegions(Regions):
    """Regions that are just one tile, which no other needs, are decoded to where they are wanted.

    Args:
        slide: the open slide.
        stored: its segments.
        cache: is told which segments will be used, and how often.
        fill: the slide's own way to read what lies inside it.
        level, locations_N2, size: as in the base class.
    """

    def __init__(
        self,
        slide: AbstractSlide,
        stored: TiffSegments,
        cache: SegmentCache,
        fill: Callable[[NDArray[Any], int, Window, None], None],
        level: int,
        locations_N2: Ints,
        size: Size,
    ) -> None:
        super().__init__(slide.read_region, level, locations_N2, size)
        grids = stored.grids[level]
        self._stored, self._cache, self._fill = stored, cache, fill
        self._pages = range(len(grids))
        plane = slide.levels[level]
        corner_N2 = np.floor(locations_N2 / plane.downsample + 0.5).astype(np.int64)
        extent_2 = np.array([size.width, size.height])
        first_N2 = np.maximum(corner_N2, 0)
        last_N2 = np.minimum(corner_N2 + extent_2, [plane.size.width, plane.size.height]) - 1
        seen_N = (last_N2 >= first_N2).all(axis=1)
        whole_N = seen_N & (last_N2 - first_N2 + 1 == extent_2).all(axis=1)
        uses: dict[Key, int] = {}
        for number, grid in enumerate(grids):
            side_2 = np.array([grid.width, grid.height])
            uses_RC = segment_uses(grid, first_N2[seen_N] // side_2, last_N2[seen_N] // side_2)
            uses |= _keys(level, number, grid, uses_RC)
        cache.expect(uses)
        tile_N = np.full(len(locations_N2), -1)
        whole_numbers = slide.dtype.kind in "iu"
        if whole_numbers and self._direct(grids, size):
            # One beside another's is not used once.
            side_2 = np.array([grids[0].width, grids[0].height])
            on_tile_N = whole_N & (first_N2 % side_2 == 0).all(axis=1)
            column_N, row_N = (first_N2[on_tile_N] // side_2).T
            alone_N = uses_RC[row_N, column_N] == 1
            tile_N[on_tile_N] = np.where(alone_N, row_N * grids[0].columns + column_N, -1)
        self._tiles = tile_N.tolist()
        # Clipped regions have a background, and floats are looked at: the slide does both.
        self._plain = (whole_N & whole_numbers).tolist()
        self._corners = corner_N2.tolist()

    def read(self, number: int, out_HWC: NDArray[Any]) -> None:
        """See the base class."""
        tile = self._tiles[number]
        if tile >= 0 and self._decoded(tile, out_HWC):
            return
        if self._plain[number]:
            left, top = self._corners[number]
            self._fill(out_HWC, self._level, Window(left, top, self._size.width, self._size.height), None)
        else:
            super().read(number, out_HWC)

    def _direct(self, grids: list[SegmentGrid], size: Size) -> bool:
        """Whether a region may be a tile, decoded without a look at its pixels."""
        alike = all(grid == grids[0] for grid in grids) and grids[0].planes == 1
        return (
            alike
            and size == Size(grids[0].width, grids[0].height)
            and (grids[0].samples == 1 or len(grids) == 1)
            and all(self._stored.direct((self._level, page, 0)) for page in self._pages)
        )

    def _decoded(self, tile: int, out_HWC: NDArray[Any]) -> bool:
        """Whether a whole tile was decoded to where it is wanted."""
        keys = [(self._level, page, tile) for page in self._pages]
        if not self._cache.expects_one(keys):
            return False
        if len(keys) == 1:
            return out_HWC.flags.c_contiguous and self._stored.decode_into(keys[0], out_HWC)
        planes_CHW = np.empty((len(keys), *out_HWC.shape[:2]), out_HWC.dtype)
        if not all(map(self._stored.decode_into, keys, planes_CHW)):
            return False
        interleave(planes_CHW, out_HWC)
        return True


def segment_uses(grid: SegmentGrid, first_N2: Ints, last_N2: Ints) -> Ints:
    """How many regions touch each segment [rows, columns]; from their first and last (column, row)."""
    change_RC = np.zeros((grid.rows + 1, grid.columns + 1), np.int64)
    (left_N, top_N), (right_N, bottom_N) = first_N2.T, last_N2.T + 1
    for row_N, column_N, sign in (
        (top_N, left_N, 1),
        (top_N, right_N, -1),
        (bottom_N, left_N, -1),
        (bottom_N, right_N, 1),
    ):
        np.add.at(change_RC, (row_N, column_N), sign)
    uses_RC: Ints = change_RC.cumsum(axis=0).cumsum(axis=1)[:-1, :-1]
    return uses_RC


def _keys(level: int, page: int, grid: SegmentGrid, uses_RC: Ints) -> dict[Key, int]:
    used_T = np.flatnonzero(uses_RC)
    pairs = list(zip(used_T.tolist(), uses_RC.ravel()[used_T].tolist(), strict=True))
    tiles = grid.rows * grid.columns
    return {(level, page, plane * tiles + tile): uses for plane in range(grid.planes) for tile, uses in pairs}
