"""Segments that are not compressed: their length follows from their pixels; strips are read in part."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tifffile import TiffPage

from patching.damage import damaged
from patching.readers.tiff.layout import SegmentGrid, StoredPage

_STRIP_BYTES = 2**20
_UNCOMPRESSED, _WHOLE_BYTES = 1, (8, 16, 32, 64)


def lengths_told(
    path: Path, key: TiffPage, offsets: NDArray[np.int64], counts: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The stored lengths of segments; where none is told though a place is, that of its pixels.

    Some writers leave all lengths out, or 0. One among others is a tile that is not stored, unless there is
    room for its pixels.

    Raises:
        UnreadableSlideError: no length is told of any segment, and they are compressed or overlap.
    """
    untold = (counts == 0) & (offsets > 0)
    if not untold.any():
        return counts
    grid = SegmentGrid.of(key)
    if key.compression == _UNCOMPRESSED and len(offsets) == grid.rows * grid.columns * grid.planes:
        counts = np.where(untold, _pixel_bytes(key, grid), counts)
        order = np.argsort(offsets, kind="stable")
        close = offsets[order][:-1] + counts[order][:-1] > offsets[order][1:]
        overlapping = np.zeros(len(offsets), bool)
        overlapping[order[:-1]] |= close
        overlapping[order[1:]] |= close
        counts = np.where(untold & overlapping, 0, counts)
    if not counts[offsets > 0].any():
        raise damaged(path, f"{untold.sum()} tiles or strips, and not the length of any")
    return counts


def _pixel_bytes(key: TiffPage, grid: SegmentGrid) -> NDArray[np.int64]:
    """Of each segment, without compression; rows fill whole bytes, and the last strips are lower."""
    bits = key.bitspersample if isinstance(key.bitspersample, int) else sum(key.bitspersample) // grid.samples
    tops = np.arange(grid.rows) * grid.height
    rows = (
        np.full(grid.rows, grid.height) if key.is_tiled else np.minimum(grid.height, key.imagelength - tops)
    )
    row_bytes = -(-grid.width * grid.samples * bits // 8)
    return np.tile(np.repeat(rows, grid.columns), grid.planes).astype(np.int64) * row_bytes


def thinned(pages: Sequence[StoredPage]) -> list[StoredPage]:
    """The pages of a level with strips of about 1 MiB, where theirs are larger and not compressed.

    ImageJ writes an image as one strip: without this, each read would load all of it.
    """
    key, grid = pages[0].keyframe, pages[0].grid
    if not _plain(key) or pages[0].segment_bytes <= _STRIP_BYTES:
        return list(pages)
    pixel = np.dtype(key.dtype).newbyteorder("<" if key.parent.byteorder == "<" else ">")
    row_bytes = grid.width * grid.samples * pixel.itemsize
    plane_bytes = row_bytes * key.imagelength
    if not all(_alike(page, pages[0]) and _in_one_piece(page, grid.planes * plane_bytes) for page in pages):
        return list(pages)
    rows = max(1, _STRIP_BYTES // row_bytes)
    starts = np.arange(0, key.imagelength, rows) * row_bytes
    offsets = (np.arange(grid.planes)[:, None] * plane_bytes + starts).ravel()
    counts = np.tile(np.minimum(rows * row_bytes, plane_bytes - starts), grid.planes)
    thin = replace(grid, height=rows, rows=len(starts))
    return [
        replace(page, offsets=page.offsets[0] + offsets, counts=counts, grid=thin, plain=pixel)
        for page in pages
    ]


def _plain(key: TiffPage) -> bool:
    """Whether the bytes of the strips are the pixels, but for their order."""
    stored = key.compression == _UNCOMPRESSED and key.predictor == 1 and key.fillorder == 1
    whole = key.dtype is not None and key.bitspersample == 8 * np.dtype(key.dtype).itemsize
    return not key.is_tiled and stored and whole and key.bitspersample in _WHOLE_BYTES


def _alike(page: StoredPage, first: StoredPage) -> bool:
    key, same = page.keyframe, first.keyframe
    return page.grid == first.grid and key.dtype == same.dtype and _plain(key)


def _in_one_piece(page: StoredPage, length: int) -> bool:
    """Whether the strips follow one another without gaps, as many bytes as the pixels need."""
    offsets, counts = page.offsets, page.counts
    gapless = np.array_equal(offsets[:-1] + counts[:-1], offsets[1:])
    return bool(len(offsets) > 0 and offsets[0] > 0 and gapless and counts.sum() == length)


def held_bytes(levels: Sequence[Sequence[StoredPage]]) -> int:
    """Decoded segments that one place needs at the same time, on the level where that is most."""
    return max(sum(page.segment_bytes * page.grid.planes for page in pages) for pages in levels)
