"""The tiles of a CZI image: by level and by page, and where they lie."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from patching.damage import damaged
from patching.geometry import Size
from patching.readers.header import Window
from patching.readers.microscopes.czi_file import Tile

_ORDER = "VHIRBTZC"
_RASTER = 1024
_MOST_PAGES = 2**20


@dataclass(frozen=True, slots=True)
class Scene:
    """The tiles of an image by level and page, lowest first, and where the image begins."""

    left: int
    top: int
    factors: tuple[int, ...]
    tiles: dict[tuple[int, int], tuple[Tile, ...]]
    boxes_N4: dict[tuple[int, int], NDArray[np.int64]]
    """Of these tiles: left, top, right and bottom, in the frame of level 0."""

    def under(self, level: int, page: int, window: Window, factor: int) -> Iterator[Tile]:
        """The tiles that may cover a window of a level."""
        if (level, page) not in self.tiles:
            return
        left, top = self.left + window.left * factor, self.top + window.top * factor
        right, bottom = left + window.width * factor, top + window.height * factor
        # A pixel of a coarser level is rounded to its place.
        boxes_N4 = self.boxes_N4[level, page]
        first_N2, last_N2 = boxes_N4[:, :2] - factor, boxes_N4[:, 2:] + factor
        under_N = (first_N2 < (right, bottom)).all(axis=1) & (last_N2 > (left, top)).all(axis=1)
        for number in np.flatnonzero(under_N).tolist():
            yield self.tiles[level, page][number]


def scene_of(
    left: int, top: int, size: Size, tiles: Sequence[Tile], stacked: dict[str, tuple[int, int]]
) -> Scene:
    """Sort the tiles of an image by level and page.

    Args:
        left: where the image begins, in the frame of the file.
        top: the same, downwards.
        size: of level 0.
        tiles: of all levels.
        stacked: first and last place along every other axis.
    """
    by_factor: defaultdict[int, defaultdict[int, list[Tile]]] = defaultdict(lambda: defaultdict(list))
    for tile in tiles:
        by_factor[tile.factor][_page(tile, stacked)].append(tile)
    full = by_factor[1]
    factors = [1]
    for factor, pages in sorted(by_factor.items()):
        if factor > 1 and set(pages) == set(full) and min(size.width, size.height) >= factor:
            whole = all(
                _raster(pages[page], left, top, size)[_raster(full[page], left, top, size)].all()
                for page in full
            )
            factors += [factor] if whole else []
    ordered = {
        (level, page): tuple(sorted(found, key=lambda tile: tile.place.get("M", 0)))
        for level, factor in enumerate(factors)
        for page, found in by_factor[factor].items()
    }
    boxes = {
        key: np.array([(t.x, t.y, t.x + t.width, t.y + t.height) for t in found], np.int64)
        for key, found in ordered.items()
    }
    return Scene(left, top, tuple(factors), ordered, boxes)


def stacked_axes(path: Path, tiles: Sequence[Tile]) -> dict[str, tuple[int, int]]:
    """First and last place along every axis beside X, Y, scene and mosaic."""
    names = {name for tile in tiles for name in tile.place} - {"S", "M"}
    if unknown := names - set(_ORDER):
        raise damaged(path, f"axes {', '.join(sorted(unknown))} that CZI does not have")
    found = {
        name: (min(tile.place.get(name, 0) for tile in tiles), max(tile.place.get(name, 0) for tile in tiles))
        for name in _ORDER
        if name in names
    }
    if math.prod(last - first + 1 for first, last in found.values()) > _MOST_PAGES:
        raise damaged(path, f"axes of {found}")
    return found


def _page(tile: Tile, stacked: dict[str, tuple[int, int]]) -> int:
    page = 0
    for name, (first, last) in stacked.items():
        page = page * (last - first + 1) + tile.place.get(name, 0) - first
    return page


def _raster(tiles: Sequence[Tile], left: int, top: int, size: Size) -> NDArray[np.bool_]:
    """Where tiles lie, on a coarse grid of points."""
    step = max(1, max(size.width, size.height) // _RASTER)
    points_HW = np.zeros((-(-size.height // step), -(-size.width // step)), np.bool_)
    for tile in tiles:
        rows, columns = (
            slice(max(0, -(-start // step)), max(0, -(-(start + length) // step)))
            for start, length in ((tile.y - top, tile.height), (tile.x - left, tile.width))
        )
        points_HW[rows, columns] = True
    return points_HW


def overlap(
    tile: Tile, scene: Scene, factor: int, window: Window, stored: tuple[int, int]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The part of a window that a tile covers, and the part of the tile; both empty where there is none."""
    target, source = [], []
    for start, first, length, count in (
        (tile.y - scene.top, window.top, window.height, stored[0]),
        (tile.x - scene.left, window.left, window.width, stored[1]),
    ):
        place = round(start / factor) - first
        begin, end = min(max(place, 0), length), min(max(place + count, 0), length)
        end = max(begin, end)
        target.append(slice(begin, end))
        source.append(slice(begin - place, end - place))
    return (target[0], target[1]), (source[0], source[1])
