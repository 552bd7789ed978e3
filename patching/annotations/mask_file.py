"""Values of a mask's pixels as somebody meant them: one number each, upright, or refused."""

import logging
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from patching.damage import Foreign, decoded
from patching.errors import AnnotationError, UnreadableSlideError
from patching.readers.image.told import png_told, turned
from patching.readers.tiff.checks import check_numbers, check_segments, series_of
from patching.readers.tiff.layout import SegmentGrid, segment_bytes
from patching.readers.tiff.meaning.ome import refuse_entities
from patching.readers.tiff.stored_size import why_too_large

logger = logging.getLogger(__name__)
MAX_PIXELS = 2**27
SMALL = 2**24
"""Pixels of a mask that is read in less than half a second."""
_INVERTED, _PALETTE = 0, 3
_UNDERSTOOD = (1, 2, _PALETTE, 6)
"""Photometric interpretations: gray, RGB, palette, YCbCr."""
_PHOTOMETRIC, _ORIENTATION = 262, 274
_Tell = Callable[[int, str], None]
"""Takes the level of the log and what is to be told of a mask."""


def read_mask(path: Path) -> NDArray[np.generic]:
    """A number for each pixel, [H, W] of an unsigned type or bool.

    Of a palette it is the number of the color; of several channels, which must be equal, that of the first.

    Raises:
        AnnotationError: unreadable, too large, of several channels, partly transparent, or of a kind of
            pixels that is not understood.
    """
    return _read(path, lambda level, text: logger.log(level, "%s: %s", path.name, text))


def read_small_mask(path: Path) -> NDArray[np.generic] | None:
    """As `read_mask`, with nothing in the log; None where it has more than `SMALL` pixels.

    Raises:
        AnnotationError: as `read_mask`.
    """
    try:
        pixels = _pixels_of_tiff(path) if _is_tiff(path) else _pixels_of_png(path)
    except UnreadableSlideError as error:
        raise unusable(path, error.has) from error
    return None if pixels > SMALL else _read(path, lambda *_: None)


def _read(path: Path, tell: _Tell) -> NDArray[np.generic]:
    try:
        value_HWC, alpha = _read_tiff(path, tell) if _is_tiff(path) else _read_png(path, tell)
    except UnreadableSlideError as error:
        raise unusable(path, error.has) from error
    if value_HWC.ndim != 3 or not value_HWC.size or value_HWC.dtype.kind not in "bu":
        raise unusable(path, f"shape {value_HWC.shape} and dtype {value_HWC.dtype}")
    if alpha and value_HWC.shape[-1] > 1:
        if (value_HWC[..., -1] != _full(value_HWC.dtype)).any():
            raise unusable(path, "pixels that are transparent, which is no value")
        value_HWC = value_HWC[..., :-1]
    if not (value_HWC == value_HWC[..., :1]).all():
        raise unusable(path, f"{value_HWC.shape[-1]} channels that differ: shape {value_HWC.shape}")
    return value_HWC[..., 0]


def unusable(path: Path, what: str) -> AnnotationError:
    """The error for a mask that cannot be used."""
    return AnnotationError(
        has=f"mask {path.name}: {what}",
        needs="a PNG or TIFF of one unsigned integer channel",
        do="export the mask again with one value per class",
    )


_by_pillow = Foreign(unusable, (Image.DecompressionBombWarning, Image.DecompressionBombError))


def _is_tiff(path: Path) -> bool:
    return path.suffix.lower() in (".tif", ".tiff")


def _full(dtype: np.dtype[Any]) -> int:
    return 1 if dtype.kind == "b" else int(np.iinfo(dtype).max)


def _pixels_of_tiff(path: Path) -> int:
    with decoded(path, tifffile.TiffFile, path) as tiff:
        refuse_entities(path, tiff)
        page = series_of(path, tiff)[0].keyframe
        return int(page.imagewidth) * int(page.imagelength)


def _pixels_of_png(path: Path) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with _by_pillow(path, Image.open, path, formats=("PNG",)) as image:
            return int(image.width * image.height)


def _read_tiff(path: Path, tell: _Tell) -> tuple[NDArray[np.generic], bool]:
    """Pixels [H, W, C] of a TIFF's first image, and whether the last channel is its transparency."""
    with decoded(path, tifffile.TiffFile, path) as tiff:
        # The XML is parsed by defusedxml first: tifffile's own parser follows entities.
        refuse_entities(path, tiff)
        images = series_of(path, tiff)
        series = images[0]
        check_numbers(path, series.keyframe)
        if (pixels := max(math.prod(series.shape), segment_bytes(series.keyframe))) > MAX_PIXELS:
            raise unusable(path, f"{pixels} pixels in it or in one of its tiles, more than {MAX_PIXELS}")
        for page in decoded(path, lambda: list(series.pages)):
            if page is None or page.parent is not tiff:
                raise unusable(path, "pixels that are missing or in other files")
            _check_tiles(path, page)
        if len(images) > 1:
            tell(logging.WARNING, f"the first of {len(images)} images in the file is the mask")
        dark = _check_meaning(path, series.keyframe, tell)
        value_HWC = _upright(path, decoded(path, series.asarray), str(series.axes))
        return (value_HWC == 0 if dark else value_HWC), bool(series.keyframe.extrasamples)


def _check_meaning(path: Path, page: Any, tell: _Tell) -> bool:
    """Whether 0 is white in a mask of one bit, as fax machines have it; other kinds are refused or told."""
    meaning, turn = int(page.photometric), page.tags.get(_ORIENTATION)
    if _PHOTOMETRIC not in page.tags or meaning not in (_INVERTED, *_UNDERSTOOD):
        raise unusable(path, f"pixels of the kind {page.photometric!s}")
    if meaning == _INVERTED and page.bitspersample != 1:
        raise unusable(path, f"{page.bitspersample} bits of which 0 is white")
    if turn is not None and turn.value != 1:
        raise unusable(path, f"pixels that are not stored upright (orientation {turn.value})")
    if meaning == _PALETTE and page.colormap is not None:
        _tell_palette(np.asarray(page.colormap)[:, 0] >> 8, tell)
    return meaning == _INVERTED


def _upright(path: Path, value: NDArray[np.generic], axes: str) -> NDArray[np.generic]:
    """An array of named axes as [H, W, C]."""
    channels = "S" if "S" in axes else "C"
    last = [axis for axis in ("Y", "X", channels) if axis in axes]
    others = [axis for axis in axes if axis not in last]
    known = len(axes) == value.ndim and last[:2] == ["Y", "X"]
    if not known or any(value.shape[axes.index(axis)] > 1 for axis in others):
        raise unusable(path, f"several planes, or none: axes {axes} of {value.shape}")
    ordered = value.transpose([axes.index(axis) for axis in (*others, *last)])
    height, width = (value.shape[axes.index(axis)] for axis in "YX")
    return ordered.reshape(height, width, -1)


def _check_tiles(path: Path, page: Any) -> None:
    """No tile may hold a picture larger than itself."""
    key, handle = page.keyframe, page.parent.filehandle
    for offset, count in zip(*check_segments(path, page), strict=True):
        if count:
            decoded(path, handle.seek, int(offset))
            data = decoded(path, handle.read, int(count))
            if refused := why_too_large(data, key.compression, SegmentGrid.of(key).values):
                raise unusable(path, refused)


def _read_png(path: Path, tell: _Tell) -> tuple[NDArray[np.generic], bool]:
    """The same of a PNG; turned as its EXIF says."""
    with warnings.catch_warnings():
        # Pillow warns of images over 89 million pixels; here that is the limit.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        # Of other formats one runs a program and one loses the values.
        with _by_pillow(path, Image.open, path, formats=("PNG",)) as image:
            value = _by_pillow(path, np.asarray, image)
            mode, colors = image.mode, _by_pillow(path, image.getpalette)
    if mode == "P" and colors:
        _tell_palette(np.asarray(colors[:3]), tell)
    if value.ndim not in (2, 3):
        raise unusable(path, f"shape {value.shape}")
    if (turn := png_told(path).orientation) > 1:
        tell(logging.INFO, f"turned as its EXIF orientation ({turn}) says")
    return turned(value.reshape(*value.shape[:2], -1), turn), mode in ("LA", "PA", "RGBA")


def _tell_palette(first_3: NDArray[np.generic], tell: _Tell) -> None:
    """Programs that save few colors number them as they like, so that 0 may be the color of tumor."""
    if first_3.any():
        first = ", ".join(map(str, first_3))
        tell(
            logging.WARNING,
            f"its values are the numbers of a palette's colors, of which 0 is ({first}), not black",
        )
