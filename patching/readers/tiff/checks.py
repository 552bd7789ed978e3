"""What the TIFF reader refuses because it would be read wrongly, before anything is allocated."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from tifffile import TIFF, TiffFile, TiffFrame, TiffPage, TiffPageSeries

from patching.damage import damaged, decoded
from patching.errors import UnreadableSlideError
from patching.readers.base import RGB
from patching.readers.tiff.layout import JPEG, SEPARATE, SegmentGrid, StoredPage, segment_bytes
from patching.readers.tiff.strips import lengths_told, thinned

_LARGEST_SEGMENT = 2**30
_SLACK = 2**20
_LARGEST_OPENSLIDE_TILE = 2**26
_MOST_DIRECTORIES = 100_000
APERIO_YCBCR = 33003  # JPEG 2000, whatever the photometric tag says
_YCBCR = 6
_PRIVATE = 32768  # tags from here on are a writer's own
_LENGTH_TAGS = (325, 279, 514)
_LENGTHS, _TILE = ("imagewidth", "imagelength", "imagedepth", "samplesperpixel"), ("tilewidth", "tilelength")
_STRIP, _CODES = "rowsperstrip", ("compression", "photometric", "planarconfig", "predictor", "fillorder")
_LISTS = {"bitspersample": int | tuple, "extrasamples": tuple, "subsampling": tuple | None}
_SHOWN, _ORIENTATION = 40, 274
_TOGETHER = 1


def series_of(path: Path, tiff: TiffFile) -> list[TiffPageSeries]:
    """The images of a file, each with its levels.

    Raises:
        UnreadableSlideError: the directories contradict each other.
    """
    found = decoded(path, lambda: list(tiff.series))
    if not found:
        raise damaged(path, "no image")
    for level in (level for series in found for level in series.levels):
        if not all(isinstance(length, int | np.integer) for length in level.shape):
            raise damaged(path, f"axes {level.axes} of {level.shape}")
    return found


def check_directory(path: Path, tiff: TiffFile) -> TiffPage:
    """The first page, if what its tags tell can be read, and the directories have an end.

    tifffile skips a tag whose value lies behind the end of the file, and so loses the OME-XML, the names
    of the channels and the pixel size of a truncated file without an error.
    """
    page = check_chain(path, tiff)
    check_tags(path, tiff, page)
    return page


def check_tags(path: Path, tiff: TiffFile, page: TiffPage) -> None:
    """Every tag of a page can be read, but for those that TIFF 6 lets readers skip.

    They are values of an unknown type, and unknown tags of a writer's own.

    Raises:
        UnreadableSlideError: another one cannot be: the file is truncated or damaged.
    """
    layout = tiff.tiff
    listed = _number(path, tiff, page.offset, layout.tagnosize)
    if len(page.tags) >= listed:
        return
    first, read = page.offset + layout.tagnosize, {tag.offset for tag in page.tags}
    lost = [at for at in range(first, first + listed * layout.tagsize, layout.tagsize) if at not in read]
    entries = [(_number(path, tiff, at, 2), _number(path, tiff, at + 2, 2)) for at in lost]
    if any(kind in TIFF.DATA_FORMATS and (code < _PRIVATE or code in TIFF.TAGS) for code, kind in entries):
        raise damaged(path, f"only {len(page.tags)} of {listed} tags can be read: it is truncated or damaged")


def check_chain(path: Path, tiff: TiffFile) -> TiffPage:
    """The first page, if no directory comes twice: who follows them would never be done."""
    first, layout = decoded(path, lambda: tiff.pages.first), tiff.tiff
    place, seen = first.offset, set[int]()
    while place and place not in seen and len(seen) < _MOST_DIRECTORIES:
        seen.add(place)
        count = _number(path, tiff, place, layout.tagnosize)
        place = _number(path, tiff, place + layout.tagnosize + count * layout.tagsize, layout.offsetsize)
    if place:
        raise damaged(path, f"directories in a circle, or more than {_MOST_DIRECTORIES} of them")
    return first


def _number(path: Path, tiff: TiffFile, place: int, size: int) -> int:
    """A whole number in the file; 0 where it ends before."""
    order: Literal["little", "big"] = "little" if tiff.tiff.byteorder == "<" else "big"
    decoded(path, tiff.filehandle.seek, place)
    return int.from_bytes(decoded(path, tiff.filehandle.read, size), order)


def check_numbers(path: Path, page: TiffPage) -> None:
    """What is worked with are whole numbers, and lengths are positive: a damaged tag may hold anything.

    Raises:
        UnreadableSlideError: it does.
    """
    kinds = dict.fromkeys((*_LENGTHS, *_CODES, *_TILE, _STRIP), int) | _LISTS
    values = {name: getattr(page, name) for name in kinds}
    wrong = [name for name, kind in kinds.items() if not isinstance(values[name], kind)]
    if not wrong:
        lengths = (*_LENGTHS, *(_TILE if page.is_tiled else [_STRIP]))
        wrong = [name for name in lengths if values[name] < 1]
        if page.samplesperpixel > 1 and page.planarconfig not in (_TOGETHER, SEPARATE):
            wrong.append("planarconfig")
    if wrong:
        raise damaged(path, ", ".join(f"{name} {str(values[name])[:_SHOWN]}" for name in wrong))


def checked(path: Path, series: TiffPageSeries) -> TiffPageSeries:
    """The level itself, if its pixels and segments are what the reader can handle.

    Raises:
        UnreadableSlideError: tiles with depth, impossible numbers.
    """
    page = series.keyframe
    check_numbers(path, page)
    if page.imagedepth > 1:
        raise refusal(
            path,
            f"axes {series.axes} of {'x'.join(map(str, series.shape))}, with tiles of several planes",
            "tiles of one plane",
            "export one plane per page",
        )
    return series


def checked_pages(path: Path, tiff: TiffFile, pages: Sequence[Any]) -> list[StoredPage]:
    """The pages that are read, if they and all their segments lie in the file.

    Raises:
        UnreadableSlideError: a page in another file or missing, a segment behind the file's end or
            too large.
    """
    stored = []
    for page in pages:
        if page is None or page.parent is not tiff:
            raise refusal(
                path, "channels or planes in other files or beyond its directories", "a self-contained file",
                "export one file with all channels, or list one file per modality",
            )  # fmt: skip
        check_alike(path, page)
        offsets, counts = check_segments(path, page)
        tables = page.jpegtables if isinstance(page.jpegtables, bytes) else None
        stored.append(StoredPage(page.keyframe, offsets, counts, SegmentGrid.of(page.keyframe), tables))
    thin = thinned(stored)
    if (size := max(page.segment_bytes for page in thin)) > _LARGEST_SEGMENT:
        raise refusal(path, f"a strip or tile of {size / 2**30:.1f} GiB", "at most 1 GiB", "save it tiled")
    return thin


def check_alike(path: Path, page: TiffPage | TiffFrame) -> None:
    """A page is stored as the first of its image, whose directory is taken for those of all.

    Raises:
        UnreadableSlideError: its own directory tells otherwise.
    """
    key = page.keyframe
    if page.is_virtual or key is None or page is key:
        return
    own, first = _storage(decoded(path, page.aspage)), _storage(key)
    if different := [name for name, value in own.items() if value != first[name]]:
        told = ", ".join(f"{name} {own[name]!s} and {first[name]!s}"[:_SHOWN] for name in different)
        raise refusal(
            path,
            f"pages of one image that are stored in different ways: {told}",
            "pages that are stored alike",
            "save them anew in one program, or list one file per modality",
        )


def _storage(page: TiffPage) -> dict[str, object]:
    names = ("imagewidth", "imagelength", "samplesperpixel", "bitspersample", "sampleformat", "compression")
    values = {name: getattr(page, name) for name in (*names, "predictor", "fillorder", "planarconfig")}
    values["tile"] = (page.tilewidth, page.tilelength)
    values["strip"] = 0 if page.is_tiled else min(page.rowsperstrip, page.imagelength)
    values["white"] = 0 if int(page.photometric) == 0 else 1
    values["orientation"] = page.tags.valueof(_ORIENTATION, default=1)
    return values


def misread_ycbcr(page: TiffPage) -> bool:
    """Whether decoding gives luma and chroma instead of RGB: only JPEG's decoder converts them."""
    if page.samplesperpixel != len(RGB):
        return False
    aperio = page.compression == APERIO_YCBCR and "Aperio" in page.description
    return aperio or (page.photometric == _YCBCR and page.compression not in JPEG)


def check_tiles(path: Path, tiff: TiffFile) -> list[TiffPage]:
    """The pages, if every tiled one lists all its tiles, of at most 64 million pixels each.

    Where OpenSlide cannot allocate a tile it ends the whole process, and it draws for hours what is not
    listed.
    """
    check_chain(path, tiff)
    pages = decoded(path, lambda: [page.aspage() for page in tiff.pages])
    for page in pages:
        check_numbers(path, page)
    for page in [page for page in pages if page.is_tiled]:
        if page.tilewidth * page.tilelength > _LARGEST_OPENSLIDE_TILE:
            raise refusal(
                path,
                f"tiles of {page.tilewidth} x {page.tilelength} pixels",
                f"at most {_LARGEST_OPENSLIDE_TILE} pixels in a tile",
                "copy it again from its source, or save it with smaller tiles",
            )
        check_segments(path, page)
    return pages


def check_segments(path: Path, page: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Place and length of every segment, if each is listed and lies inside the file."""
    key = page.keyframe
    check_numbers(path, key)
    expected = math.prod(decoded(path, lambda: key.chunked))
    offsets, counts = (
        decoded(path, np.asarray, listed, np.int64) for listed in (page.dataoffsets, page.databytecounts)
    )
    if not any(tag in key.tags for tag in _LENGTH_TAGS):
        counts = np.zeros_like(offsets)
    if offsets.shape != counts.shape or offsets.ndim != 1:
        raise damaged(path, f"{offsets.size} segments of {counts.size} lengths")
    counts = lengths_told(path, key, offsets, counts)
    ends, length = offsets + counts, page.parent.filehandle.size
    first = min(offsets.min(initial=0), counts.min(initial=0), ends.min(initial=0))
    if len(ends) < expected or first < 0 or ends.max(initial=0) > length:
        raise damaged(
            path,
            f"{len(ends)} of {expected} segments listed, the last ending at byte {ends.max(initial=0)} "
            f"of {length}: it is truncated or damaged",
        )
    # What is read is allocated: no codec makes a tile larger than twice its pixels.
    if (largest := int(counts.max(initial=0))) > 2 * segment_bytes(key) + _SLACK:
        raise damaged(
            path, f"a tile or strip of {largest} stored bytes for {segment_bytes(key)} bytes of pixels"
        )
    return offsets, counts


def refusal(path: Path, has: str, needs: str, do: str) -> UnreadableSlideError:
    """The error for a file that is whole, and would be read wrongly."""
    return UnreadableSlideError(has=f"{path}: {has}", needs=needs, do=do)
