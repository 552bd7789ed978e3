"""What the TIFF reader refuses because it would be read wrongly, before anything is allocated."""

import math
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tifffile import TiffFile, TiffPage, TiffPageSeries

from patching.errors import UnreadableSlideError
from patching.readers.tiff.layout import JPEG, segment_bytes

_LARGEST_SEGMENT = 2**30
_SLACK = 2**20
_LARGEST_OPENSLIDE_TILE = 2**26
_MOST_DIRECTORIES = 100_000
_APERIO_YCBCR = 33003  # JPEG 2000, whatever the photometric tag says
_INVERTED, _PALETTE, _YCBCR = 0, 3, 6


def check_directory(path: Path, tiff: TiffFile) -> None:
    """Every tag of the first page can be read, and the directories have an end.

    tifffile skips a tag whose value lies behind the end of the file, and so loses the OME-XML, the names
    of the channels and the pixel size of a truncated file without an error.
    """
    check_chain(path, tiff)
    page = tiff.pages.first
    tiff.filehandle.seek(page.offset)
    (listed,) = struct.unpack(tiff.tiff.tagnoformat, tiff.filehandle.read(tiff.tiff.tagnosize))
    if len(page.tags) < listed:
        raise _refusal(
            path,
            f"only {len(page.tags)} of {listed} tags can be read: it is truncated or damaged",
            "a whole file",
            "copy it again from its source",
        )


def check_chain(path: Path, tiff: TiffFile) -> None:
    """No directory comes twice: who follows them would never be done."""
    layout, handle = tiff.tiff, tiff.filehandle
    order: Literal["little", "big"] = "little" if layout.byteorder == "<" else "big"
    place, seen = tiff.pages.first.offset, set[int]()
    while place and place not in seen and len(seen) < _MOST_DIRECTORIES:
        seen.add(place)
        handle.seek(place)
        count = int.from_bytes(handle.read(layout.tagnosize), order)
        handle.seek(place + layout.tagnosize + count * layout.tagsize)
        place = int.from_bytes(handle.read(layout.offsetsize), order)
    if place:
        raise _refusal(
            path,
            f"directories in a circle, or more than {_MOST_DIRECTORIES} of them",
            "a whole file",
            "copy it again from its source",
        )


def checked(path: Path, series: TiffPageSeries) -> TiffPageSeries:
    """The level itself, if its pixels and segments are what the reader can handle.

    Raises:
        UnreadableSlideError: tiles with depth, a palette, inverted or mixed-up colors.
    """
    page = series.keyframe
    if page.imagedepth > 1:
        raise _refusal(
            path,
            f"axes {series.axes} of {'x'.join(map(str, series.shape))}, with tiles of several planes",
            "tiles of one plane",
            "export one plane per page",
        )
    if page.photometric == _PALETTE:
        raise _refusal(path, "a color palette", "intensities or RGB", "export it as RGB")
    if page.photometric == _INVERTED:
        raise _refusal(
            path, "inverted intensities (0 is white)", "0 as black", "invert it and export it anew"
        )
    if misread_ycbcr(page):
        raise _refusal(path, "YCbCr outside JPEG: colors would be wrong", "RGB or JPEG", "export it as RGB")
    if np.dtype(series.dtype).kind not in "uif":
        raise _refusal(path, f"pixels of type {series.dtype}", "integer or real pixels", "convert the file")
    return series


def checked_pages(path: Path, tiff: TiffFile, pages: Sequence[Any]) -> list[Any]:
    """The pages that are read, if they and all their segments lie in the file.

    Raises:
        UnreadableSlideError: a page in another file or missing, a segment behind the file's end or
            too large.
    """
    for page in pages:
        if page is None or page.parent is not tiff:
            raise _refusal(
                path, "channels or planes in other files or beyond its directories", "a self-contained file",
                "export one file with all channels, or list one file per modality",
            )  # fmt: skip
        check_segments(path, page)
    if (size := max(segment_bytes(page.keyframe) for page in pages)) > _LARGEST_SEGMENT:
        raise _refusal(path, f"a strip or tile of {size / 2**30:.1f} GiB", "at most 1 GiB", "save it tiled")
    return list(pages)


def misread_ycbcr(page: TiffPage) -> bool:
    """Whether decoding gives luma and chroma instead of RGB: only JPEG's decoder converts them."""
    compression = int(page.compression)
    return compression == _APERIO_YCBCR or (page.photometric == _YCBCR and compression not in JPEG)


def check_tiles(path: Path, tiff: TiffFile) -> None:
    """Every tiled directory lists all its tiles, of at most 64 million pixels each: OpenSlide's demands.

    Where it cannot allocate a tile it ends the whole process, and it draws for hours what is not listed.
    """
    check_chain(path, tiff)
    for page in (top.aspage() for top in tiff.pages):
        if not page.is_tiled:
            continue
        if page.tilewidth * page.tilelength > _LARGEST_OPENSLIDE_TILE:
            raise _refusal(
                path,
                f"tiles of {page.tilewidth} x {page.tilelength} pixels",
                f"at most {_LARGEST_OPENSLIDE_TILE} pixels in a tile",
                "copy it again from its source, or save it with smaller tiles",
            )
        check_segments(path, page)


def check_segments(path: Path, page: Any) -> None:
    """Every segment is listed and lies inside the file."""
    expected = math.prod(page.keyframe.chunked)
    ends = np.asarray(page.dataoffsets, np.int64) + np.asarray(page.databytecounts, np.int64)
    length = page.parent.filehandle.size
    if len(ends) < expected or ends.max(initial=0) > length:
        raise _refusal(
            path,
            f"{len(ends)} of {expected} segments listed, the last ending at byte {ends.max(initial=0)} "
            f"of {length}: it is truncated or damaged",
            "a whole file",
            "copy it again from its source",
        )
    # What is read is allocated: no codec makes a tile larger than twice its pixels.
    largest = int(np.asarray(page.databytecounts, np.int64).max(initial=0))
    if largest > 2 * segment_bytes(page.keyframe) + _SLACK:
        raise _refusal(
            path,
            f"a tile or strip of {largest} stored bytes for {segment_bytes(page.keyframe)} bytes of pixels",
            "a whole file",
            "copy it again from its source",
        )


def _refusal(path: Path, has: str, needs: str, do: str) -> UnreadableSlideError:
    return UnreadableSlideError(has=f"{path}: {has}", needs=needs, do=do)
