"""Slides of which a part was never stored."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from patching import Location
from patching.readers.base import AbstractSlide

TILE = (48, 64)
"""Height and width."""
Hole = tuple[int, int]
"""Row and column of a tile."""


def holed(shape: tuple[int, int], holes: Collection[Hole], tile: tuple[int, int] = TILE) -> NDArray[np.bool_]:
    """Coverage of a plane without some of its tiles."""
    covered_HW = np.ones(shape, np.bool_)
    for row, column in holes:
        covered_HW[row * tile[0] : (row + 1) * tile[0], column * tile[1] : (column + 1) * tile[1]] = False
    return covered_HW


def write_sparse(
    path: Path, levels: Sequence[NDArray[Any]], holes: Sequence[Collection[Hole]], **options: Any
) -> Path:
    """A tiled TIFF of levels [H, W, S] as sub-IFDs, each without some of its tiles in every sample.

    With `planarconfig="separate"` every sample has tiles of its own.
    """
    apart = options.get("planarconfig") == "separate"
    with tifffile.TiffWriter(path) as tiff:
        for number, level_HWS in enumerate(levels):
            data = np.moveaxis(level_HWS, -1, 0) if apart else level_HWS
            further: dict[str, Any] = {"subfiletype": 1} if number else {"subifds": len(levels) - 1}
            tiff.write(data.squeeze(), tile=TILE, metadata=None, **further, **options)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        for page, level_HWS, lacking in zip(tiff.series[0].levels, levels, holes, strict=True):
            height, width, samples = level_HWS.shape
            rows, columns = -(-height // TILE[0]), -(-width // TILE[1])
            planes = range(samples if apart else 1)
            forget(page.pages[0], [(p * rows + row) * columns + at for p in planes for row, at in lacking])
    return path


def forget(page: tifffile.TiffPage, segments: Collection[int]) -> None:
    """Take tiles or strips out of the directory of a page: place and length become 0."""
    for name in ("TileOffsets", "TileByteCounts") if page.is_tiled else ("StripOffsets", "StripByteCounts"):
        tag = page.aspage().tags[name]
        values = tag.value if isinstance(tag.value, tuple) else (tag.value,)
        tag.overwrite(tuple(0 if place in segments else value for place, value in enumerate(values)))


def whole(slide: AbstractSlide, level: int = 0) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Pixels and coverage of a level."""
    size = slide.levels[level].size
    covered_HW = np.empty((size.height, size.width), np.bool_)
    return slide.read_region(Location(0, 0), level, size, covered=covered_HW), covered_HW
