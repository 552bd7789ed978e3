"""Uncompressed strips can be read in part: thin ones instead of the huge ones that some programs write."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from tifffile import TiffFrame, TiffPage

from patching.readers.tiff.layout import SEPARATE, segment_bytes

_STRIP_BYTES = 2**20
_UNCOMPRESSED, _WHOLE_BYTES = 1, (8, 16, 32, 64)


def thinned(pages: Sequence[Any]) -> list[Any]:
    """The pages of a level with strips of about 1 MiB, where theirs are larger and not compressed.

    ImageJ writes an image as one strip: without this, each read would load all of it.
    """
    if any(page is None for page in pages):
        return list(pages)
    key: TiffPage = pages[0].keyframe
    plain = key.compression == _UNCOMPRESSED and key.predictor == 1 and key.fillorder == 1
    if (
        key.is_tiled
        or not plain
        or key.bitspersample not in _WHOLE_BYTES
        or segment_bytes(key) <= _STRIP_BYTES
    ):
        return list(pages)
    if not all(_in_one_piece(page, key.nbytes) for page in pages):
        return list(pages)
    planes = key.samplesperpixel if key.planarconfig == SEPARATE else 1
    plane_bytes = key.nbytes // planes
    row_bytes = plane_bytes // key.imagelength
    rows = max(1, _STRIP_BYTES // row_bytes)
    starts = np.arange(0, key.imagelength, rows) * row_bytes
    offsets = (np.arange(planes)[:, None] * plane_bytes + starts).ravel()
    sizes = np.tile(np.minimum(rows * row_bytes, plane_bytes - starts), planes)
    # tifffile derives what follows from the height of a strip only when it is first asked for.
    key.rowsperstrip = rows
    for derived in ("chunks", "chunked", "decode"):
        key.__dict__.pop(derived, None)
    return [_split(page, key, offsets.tolist(), sizes.tolist()) for page in pages]


def _in_one_piece(page: Any, length: int) -> bool:
    """Whether the strips follow one another without gaps, as many bytes as the pixels need."""
    offsets, sizes = np.asarray(page.dataoffsets, np.int64), np.asarray(page.databytecounts, np.int64)
    gapless = np.array_equal(offsets[:-1] + sizes[:-1], offsets[1:])
    return bool(len(offsets) > 0 and offsets[0] > 0 and gapless and sizes.sum() == length)


def _split(page: Any, key: TiffPage, offsets: list[int], sizes: list[int]) -> TiffFrame:
    first = int(page.dataoffsets[0])
    return TiffFrame(
        page.parent,
        page.index,
        keyframe=key,
        dataoffsets=tuple(first + offset for offset in offsets),
        databytecounts=tuple(sizes),
    )


def held_bytes(levels: Sequence[Sequence[Any]]) -> int:
    """Decoded segments that one place needs at the same time, on the level where that is most."""
    return max(sum(_bytes_at_a_place(page.keyframe) for page in pages) for pages in levels)


def _bytes_at_a_place(key: TiffPage) -> int:
    return segment_bytes(key) * (key.samplesperpixel if key.planarconfig == SEPARATE else 1)
