"""A mask image of any scale, aligned by its upper left corner with the slide, or with its scanned region."""

import logging
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, final

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from patching.annotations.base import OTHERS, AbstractAnnotation, Locations, Measured, checked_file, kind_of
from patching.annotations.frame import Frame
from patching.damage import Foreign, decoded
from patching.errors import AnnotationError, UnreadableSlideError
from patching.geometry import Location, Size
from patching.readers.tiff.checks import check_numbers, check_segments, series_of
from patching.readers.tiff.layout import SegmentGrid, segment_bytes
from patching.readers.tiff.meaning.ome import refuse_entities
from patching.readers.tiff.stored_size import why_too_large
from patching.tissue_area import AreaTable

logger = logging.getLogger(__name__)
MAX_PIXELS = 2**27
_MOST_VALUES = 2**16
_CORNER = Location(0, 0)
_Place = tuple[tuple[float, float], Size, Location]
"""Level-0 pixels per mask pixel, what the mask covers, and where that begins."""


@final
class MaskAnnotation(AbstractAnnotation):
    """Tumor and ignored pixels of a mask.

    Args:
        tumor_HW: bool.
        ignore_HW: bool.
        scale: level-0 pixels per mask pixel, (x, y).
        size: what the mask covers, level-0 pixels; where mask pixels stick out of it, there is nothing.
            None is the mask.
        corner: where it begins on the slide.
    """

    def __init__(
        self,
        tumor_HW: NDArray[np.bool_],
        ignore_HW: NDArray[np.bool_],
        scale: tuple[float, float],
        size: Size | None = None,
        corner: Location = _CORNER,
    ) -> None:
        bounds = None if size is None else (size.width / scale[0], size.height / scale[1])
        masks: dict[Measured, NDArray[np.bool_]] = {"tumor": tumor_HW, "ignore": ignore_HW}
        # A table is several times its mask, and most slides have nothing to ignore.
        self._masks = {kind: mask_HW for kind, mask_HW in masks.items() if mask_HW.any()}
        self._tables = {kind: AreaTable(mask_HW, bounds) for kind, mask_HW in self._masks.items()}
        self._scale, self._corner_2 = scale, np.array([corner.x, corner.y])

    @classmethod
    def load(cls, path: Path, *, frame: Frame, classes: Mapping[str, str]) -> Self:
        """Read a PNG or TIFF of one channel.

        Where the class map has numbers, they are the mask's values; else everything but 0 is tumor. A mask
        covers the slide, or its scanned region: as the cohort says, else what has its aspect ratio.

        Raises:
            AnnotationError: unreadable, too large, not of one channel, of another aspect ratio than
                the slide, or with a value that the map does not have, or more than 65,536 values to look up.
        """
        value_HW = _read(checked_file(path))
        place = _place(Size(value_HW.shape[1], value_HW.shape[0]), frame, path)
        if not any(key.isdecimal() for key in classes):
            _tell_unnamed(value_HW, path)
            return cls(value_HW != 0, np.zeros(value_HW.shape, np.bool_), *place)
        kinds = _kinds(np.unique(value_HW), classes, path)
        tumor, ignore = (
            np.isin(value_HW, [value for value, kind in kinds.items() if kind == wanted])
            for wanted in ("tumor", "ignore")
        )
        return cls(tumor, ignore, *place)

    def fractions(
        self, locations_N2: Locations, extent: float, kind: Measured = "tumor"
    ) -> NDArray[np.float64]:
        """See the base class."""
        if kind not in self._tables:
            return np.zeros(len(locations_N2))
        return self._tables[kind].fractions(locations_N2 - self._corner_2, extent, self._scale)

    def outlines(self, kind: Measured = "tumor") -> tuple[NDArray[np.float64], ...]:
        """See the base class; through the centers of the outermost mask pixels."""
        if kind not in self._masks:
            return ()
        mask_HW = self._masks[kind].astype(np.uint8)
        rings, _ = cv2.findContours(mask_HW, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        scale_2 = np.asarray(self._scale)
        return tuple((np.vstack([r[:, 0], r[:1, 0]]) + 0.5) * scale_2 + self._corner_2 for r in rings)


def _read(path: Path) -> NDArray[np.generic]:
    read = _read_tiff if path.suffix.lower() in (".tif", ".tiff") else _read_image
    try:
        value = read(path)
    except UnreadableSlideError as error:
        raise _unusable(path, error.has) from error
    if value.ndim == 3 and (value == value[..., :1]).all():
        value = value[..., 0]
    if value.ndim != 2 or not value.size or value.dtype.kind not in "bu":
        raise _unusable(path, f"shape {value.shape} and dtype {value.dtype}")
    return value


def _read_tiff(path: Path) -> NDArray[np.generic]:
    with decoded(path, tifffile.TiffFile, path) as tiff:
        # The XML is parsed by defusedxml first: tifffile's own parser follows entities.
        refuse_entities(path, tiff)
        series = series_of(path, tiff)[0]
        check_numbers(path, series.keyframe)
        if (pixels := max(math.prod(series.shape), segment_bytes(series.keyframe))) > MAX_PIXELS:
            raise _unusable(path, f"{pixels} pixels in it or in one of its tiles, more than {MAX_PIXELS}")
        for page in decoded(path, lambda: list(series.pages)):
            if page is None or page.parent is not tiff:
                raise _unusable(path, "pixels that are missing or in other files")
            _check_tiles(path, page)
        return decoded(path, series.asarray).squeeze()


def _check_tiles(path: Path, page: Any) -> None:
    """No tile may hold a picture larger than itself."""
    key, handle = page.keyframe, page.parent.filehandle
    for offset, count in zip(*check_segments(path, page), strict=True):
        if count:
            decoded(path, handle.seek, int(offset))
            data = decoded(path, handle.read, int(count))
            if refused := why_too_large(data, key.compression, SegmentGrid.of(key).values):
                raise _unusable(path, refused)


def _read_image(path: Path) -> NDArray[np.generic]:
    with warnings.catch_warnings():
        # Pillow warns of images over 89 million pixels; here that is the limit.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        # Of other formats one runs a program and one loses the values.
        with _by_pillow(path, Image.open, path, formats=("PNG",)) as image:
            return _by_pillow(path, np.asarray, image)


def _tell_unnamed(value_HW: NDArray[np.generic], path: Path) -> None:
    """A second value is seldom meant as tumor, too: often it is `no patch`, or another tissue."""
    marked = value_HW[value_HW != 0]
    if marked.size and marked.min() != marked.max():
        logger.warning(
            "%s: values from %d to %d all count as tumor, because `classes` names none; write what each "
            "means, as `classes: {0: normal, 1: tumor, 255: ignore}`",
            path.name,
            int(marked.min()),
            int(marked.max()),
        )


def _place(mask: Size, frame: Frame, path: Path) -> _Place:
    """Where a mask lies.

    Raises:
        AnnotationError: it has another aspect ratio than what it should cover.
    """
    covers: dict[str, Size] = {"slide": frame.size}
    if frame.moved and frame.scanned is not None:
        covers["bounds"] = frame.scanned
    scales = {origin: scale for origin, size in covers.items() if (scale := _scale(mask, size)) is not None}
    usual = "bounds" if "bounds" in scales and "slide" not in scales else "slide"
    origin = frame.origin if frame.origin in covers and frame.moved else usual
    if origin not in scales:
        sides = [f"{name} of {size.width} x {size.height}" for name, size in covers.items()]
        raise AnnotationError(
            has=f"{path.name} of {mask.width} x {mask.height} on a {', '.join(sides)}",
            needs="a mask of the slide's aspect ratio, aligned by the upper left corner",
            do="export the mask of the whole slide again, or check that it belongs to this slide",
        )
    why = "the mask has its aspect ratio" + (" as both have" if len(scales) > 1 else "")
    return scales[origin], covers[origin], frame.corner(usual, why, path)


def _scale(mask: Size, covered: Size) -> tuple[float, float] | None:
    """Level-0 pixels per mask pixel; None where the sides' ratios differ.

    A whole number where one explains both sides, because the mask's last pixels may stick out of what it
    covers or be cut off; else what the sides' ratios say, if they agree within one mask pixel.
    """
    x, y = covered.width / mask.width, covered.height / mask.height
    for whole in {max(1, round(x)), max(1, round(y))}:
        if abs(covered.width / whole - mask.width) < 1 and abs(covered.height / whole - mask.height) < 1:
            return float(whole), float(whole)
    if abs(covered.width / y - mask.width) >= 1 and abs(covered.height / x - mask.height) >= 1:
        return None
    return x, y


def _kinds(values: NDArray[np.generic], classes: Mapping[str, str], path: Path) -> dict[int, str]:
    """What each value means by a map of values; 0, where unnamed, goes by `*`, else it is normal."""
    if len(values) > _MOST_VALUES:
        raise _unusable(path, f"{len(values)} different values, more than {_MOST_VALUES}")
    kinds: dict[int, str] = {}
    for value in (int(v) for v in values):
        if value != 0 or "0" in classes:
            kinds[value] = kind_of([str(value)], classes, path)
        else:
            kinds[value] = classes.get(OTHERS, "normal")
    return kinds


def _unusable(path: Path, what: str) -> AnnotationError:
    return AnnotationError(
        has=f"mask {path.name}: {what}",
        needs="a PNG or TIFF of one unsigned integer channel",
        do="export the mask again with one value per class",
    )


_by_pillow = Foreign(_unusable, (Image.DecompressionBombWarning, Image.DecompressionBombError))
