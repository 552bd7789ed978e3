"""Slides opened again after tiling: whether they are still the same, places at full resolution, outlines."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from patching.annotations.registry import load_annotation
from patching.digests import fingerprint
from patching.errors import AnnotationError, SlideError
from patching.geometry import Location, Size
from patching.manifest import SlideRow
from patching.readers.base import AbstractSlide
from patching.readers.zarr.files import is_url
from patching.resample import shrunk
from patching.store.reading import StoreAttributes

logger = logging.getLogger(__name__)
State = Literal["same", "not_checked", "too_large", "gone", "changed", "unreadable"]
"""Of a slide since it was tiled. `not_checked`: there, of the same size, but not compared; `too_large`: on no
level has a patch as few pixels as are read for one picture; `gone` is moved, too."""
FINER = 1.01
"""Level-0 pixels a stored one from which the slide shows more than the network saw."""
_LARGEST = 2**12
"""Pixels a side that are read for one picture: of a larger patch, a level that has fewer is."""
_POINTS = 2_000
"""Of all outlines of a slide."""


@dataclass(frozen=True)
class Reopened:
    """What became of a slide; `slide` is open where it is there, and has the size that was tiled."""

    state: State
    slide: AbstractSlide | None = None


@contextmanager
def reopened(row: SlideRow | None, about: StoreAttributes, *, check: bool) -> Iterator[Reopened]:
    """Open a slide again, if it is what was tiled; else say what it is.

    Args:
        row: of the cohort's table; None where it has none any more.
        about: what its store says of it.
        check: whether to compare what its files hold; an address is never read whole.
    """
    state = _state(row, about, check=check)
    if state != "same" or row is None:
        yield Reopened(state)
        return
    try:
        slide = row.open()
    except SlideError as error:
        logger.warning("%s: %s", about.slide_id, error)
        yield Reopened("unreadable")
        return
    with slide:
        if slide.size != Size(*about.slide_size) or slide.channels != about.channels:
            yield Reopened("changed")
        elif about.downsample >= FINER and _level(slide, about.extent) is None:
            yield Reopened("too_large", slide)
        else:
            yield Reopened("same" if check else "not_checked", slide)


def _state(row: SlideRow | None, about: StoreAttributes, *, check: bool) -> State:
    if row is None or any(not is_url(str(image)) and not Path(image).exists() for image in row.images):
        return "gone"
    try:
        return "changed" if check and fingerprint(row.images) != about.fingerprint else "same"
    except SlideError as error:
        logger.warning("%s: %s", about.slide_id, error)
        return "unreadable"


def finest(slide: AbstractSlide, x: int, y: int, extent: int, side: int) -> NDArray[Any] | None:
    """A square of a slide at its finest resolution, with at most `side` pixels a side.

    None where it fails, or has too many pixels on every level.

    Args:
        slide: open.
        x, y: upper left corner at level 0.
        extent: its side at level 0; what does not exist is background.
        side: where it has more pixels, their areas are averaged.
    """
    level = _level(slide, extent)
    if level is None:
        return None
    pixels = max(1, round(extent / slide.levels[level].downsample))
    try:
        region_HWC = slide.read_region(Location(x, y), level, Size(pixels, pixels))
    except SlideError as error:
        logger.warning("%s: the place at %d, %d cannot be read: %s", slide, x, y, error)
        return None
    return shrunk(region_HWC, side)


def _level(slide: AbstractSlide, extent: int) -> int | None:
    fitting = (n for n, level in enumerate(slide.levels) if extent / level.downsample <= _LARGEST)
    return next(fitting, None)


def tumor_outlines(
    row: SlideRow, slide: AbstractSlide, classes: Mapping[str, str]
) -> list[list[list[float]]] | None:
    """Rings of the slide's tumor annotation, level-0 (x, y), thinned to some thousand points.

    None where the slide has no annotation, or it cannot be read.
    """
    if row.annotation is None:
        return None
    try:
        rings = load_annotation(
            row.annotation,
            label=None,
            size=slide.size,
            classes=classes,
            bounds=slide.bounds,
            scanned=slide.scanned,
            origin=row.reading.annotation_origin,
        ).outlines()
    except (AnnotationError, SlideError) as error:
        logger.warning("%s: its annotation is not drawn: %s", row.slide_id, error)
        return None
    tolerance = max(slide.size.width, slide.size.height) / _POINTS
    thinned = [cv2.approxPolyDP(ring.astype(np.float32), tolerance, True)[:, 0] for ring in rings]
    large = sorted((ring for ring in thinned if len(ring) > 2), key=len, reverse=True)
    kept: list[list[list[float]]] = []
    left = _POINTS
    for ring in large:
        if len(ring) <= left:
            kept.append(ring.round(1).tolist())
            left -= len(ring)
    return kept
