"""A mask image of any scale, aligned by its upper left corner with the slide, or with its scanned region."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self, final

import cv2
import numpy as np
from numpy.typing import NDArray

from patching.annotations.base import (
    OTHERS,
    AbstractAnnotation,
    Kind,
    Locations,
    Measured,
    checked_file,
    deciding_name,
    kind_of,
)
from patching.annotations.frame import Frame
from patching.annotations.mask_file import SMALL, read_mask, read_small_mask, unusable
from patching.errors import AnnotationError
from patching.geometry import Location, Size
from patching.tissue_area import AreaTable

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
        warnings: what nobody told before.
    """

    def __init__(
        self,
        tumor_HW: NDArray[np.bool_],
        ignore_HW: NDArray[np.bool_],
        scale: tuple[float, float],
        size: Size | None = None,
        corner: Location = _CORNER,
        warnings: tuple[str, ...] = (),
    ) -> None:
        bounds = None if size is None else (size.width / scale[0], size.height / scale[1])
        masks: dict[Measured, NDArray[np.bool_]] = {"tumor": tumor_HW, "ignore": ignore_HW}
        # A table is several times its mask, and most slides have nothing to ignore.
        self._masks = {kind: mask_HW for kind, mask_HW in masks.items() if mask_HW.any()}
        self._tables = {kind: AreaTable(mask_HW, bounds) for kind, mask_HW in self._masks.items()}
        self._scale, self._corner_2 = scale, np.array([corner.x, corner.y])
        self.warnings = warnings

    @classmethod
    def load(cls, path: Path, *, frame: Frame, classes: Mapping[str, str]) -> Self:
        """Read a PNG or TIFF of one channel.

        Where the class map has numbers, they are the mask's values; else everything but 0 is tumor. A mask
        covers the slide, or its scanned region: as the cohort says, else what has its aspect ratio.

        Raises:
            AnnotationError: unreadable, too large, not of one channel, of another aspect ratio than
                the slide, or with a value that the map does not have, or more than 65,536 values to look up.
        """
        value_HW = read_mask(checked_file(path))
        place = _place(Size(value_HW.shape[1], value_HW.shape[0]), frame, path)
        if not names_values(classes):
            return cls(value_HW != 0, np.zeros(value_HW.shape, np.bool_), *place, _several(value_HW))
        kinds = _kinds([int(value) for value in np.unique(value_HW)], classes, path)
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


def _several(value_HW: NDArray[np.generic]) -> tuple[str, ...]:
    """A second value is seldom meant as tumor, too: often it is `no patch`, or another tissue.

    Of small masks `mask_values` tells it for all slides at once.
    """
    marked = value_HW[value_HW != 0] if value_HW.size > SMALL else value_HW[:0]
    if not marked.size or marked.min() == marked.max():
        return ()
    values = f"from {marked.min()} to {marked.max()}"
    return (f"the mask's values {values} all count as tumor, as `classes` names none",)


def names_values(classes: Mapping[str, str]) -> bool:
    """Whether the class map says what values of masks mean; else everything but 0 is tumor."""
    return any(key.isdecimal() for key in classes)


def mask_values(path: Path, classes: Mapping[str, str]) -> dict[int, Kind | None] | None:
    """The values of a mask in ascending order, and what each means as `MaskAnnotation.load` reads it.

    Args:
        path: PNG or TIFF.
        classes: value -> tumor, normal or ignore.

    Returns:
        None for a mask of so many pixels that reading it takes a second; a value whose kind is None is one
        that the map lacks, which `load` refuses.

    Raises:
        MissingFileError: no such file.
        AnnotationError: unreadable, too large, or not of one channel.
    """
    value_HW = read_small_mask(checked_file(path))
    if value_HW is None:
        return None
    values = [int(value) for value in np.unique(value_HW)]
    if not names_values(classes):
        return {value: "tumor" if value else "normal" for value in values}
    known = [v for v in values if v == 0 or OTHERS in classes or deciding_name([str(v)], classes)]
    return {**dict.fromkeys(values), **_kinds(known, classes, path)}


def _place(mask: Size, frame: Frame, path: Path) -> _Place:
    """Where a mask lies.

    Raises:
        AnnotationError: it has another aspect ratio than what it should cover.
    """
    covers: dict[str, Size] = {"slide": frame.size}
    if frame.moved:
        # Without a size of its own it is a file of the slide's size that was shifted.
        covers["bounds"] = frame.scanned or frame.size
    scales = {origin: scale for origin, size in covers.items() if (scale := _scale(mask, size)) is not None}
    usual = "bounds" if "bounds" in scales and "slide" not in scales else "slide"
    origin = (frame.origin or usual) if frame.moved else "slide"
    if origin not in scales:
        sides = [f"{name} of {size.width} x {size.height}" for name, size in covers.items()]
        raise AnnotationError(
            has=f"{path.name} of {mask.width} x {mask.height} on a {', '.join(sides)}",
            needs="a mask of the slide's aspect ratio, aligned by the upper left corner",
            do="export the mask of the whole slide again, or check that it belongs to this slide",
        )
    why = "the mask has the aspect ratio of " + ("both" if len(scales) > 1 else f"the {usual}")
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


def _kinds(values: Sequence[int], classes: Mapping[str, str], path: Path) -> dict[int, Kind]:
    """What each value means by a map of values; 0, where unnamed, goes by `*`, else it is normal."""
    if len(values) > _MOST_VALUES:
        raise unusable(path, f"{len(values)} different values, more than {_MOST_VALUES}")
    background = not {"0", OTHERS} & classes.keys()
    return {v: "normal" if v == 0 and background else kind_of([str(v)], classes, path) for v in values}
