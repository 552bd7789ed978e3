"""What the files of a slide tell before it is tiled, and which slides fit together."""

import logging
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from patching.damage import memory_told
from patching.digests import fingerprint
from patching.errors import AnnotationError, ChannelError, EvenpatchError, MissingFileError
from patching.geometry import Location, Size
from patching.manifest import SlideRow
from patching.readers.base import AbstractSlide
from patching.readers.joined_reader import JoinedSlide, Shift
from patching.readers.naming import SlideKind
from patching.readers.overview import holds_pixels, nothing_stored
from patching.readers.registration import SubpixelShift, modality_shifts

logger = logging.getLogger(__name__)
_PROBE = 64
_CORNER = Location(0, 0)
_OTHER_SIZE = 0.05  # relative; programs round sizes, and some take them from the objective


@dataclass(frozen=True)
class Examined:
    """A slide that opens: its row of the manifest and what its files tell."""

    row: SlideRow
    channels: tuple[str, ...]
    size: Size
    dtype: str
    mpp: float | None
    kind: SlideKind
    fingerprint: str
    annotation_fingerprint: str
    """Empty where there is no annotation."""
    shifts: tuple[SubpixelShift, ...] = ()
    """Estimated shift of every modality onto the first, where it was asked for."""
    bounds: Location = _CORNER
    """Where QuPath's frame begins at level 0."""


def examine(
    row: SlideRow, registration: Literal["report", "correct"] | None, largest_shift: float
) -> Examined:
    """Open a slide, decode some of it and read what its files tell.

    Args:
        row: the slide; its annotation need only exist.
        registration: whether to estimate the shift between modalities, and whether to correct it.
        largest_shift: level-0 pixels; modalities further apart are an error, where the row gives a `shift`
            those that are further apart after it.

    Raises:
        SlideError: a file is missing, damaged or of another kind than the row tells.
        AnnotationError: neither an annotation nor a label.
        MemoryShortageError: it needs more memory than there is.
    """
    if row.annotation is None and row.label is None:
        raise AnnotationError(
            has="neither an annotation nor a label",
            needs="one of both",
            do="fill the column `annotation` or `label`",
        )
    if row.annotation is not None and not row.annotation.is_file():
        raise MissingFileError(
            has=f"no file {row.annotation}",
            needs="the slide's annotation",
            do="check the column `annotation`: paths are relative to slides.csv",
        )
    with memory_told(row.slide_id), row.open() as slide:
        _probe(slide)
        shifts = _shifts(slide, row.reading.shift, largest_shift) if registration else ()
        if registration == "correct" and shifts and row.reading.shift is None:
            moved = tuple(shift.rounded() for shift in shifts)
            row = replace(row, reading=replace(row.reading, shift=moved))
        _tell_sides(slide, row.mpp)
        found = None if slide.mpp is None else slide.mpp.mean
        return Examined(
            row=row,
            channels=slide.channels,
            size=slide.size,
            dtype=str(slide.dtype),
            mpp=row.mpp or found,
            kind=slide.kind,
            fingerprint=fingerprint(row.images),
            annotation_fingerprint="" if row.annotation is None else fingerprint([row.annotation]),
            shifts=shifts,
            bounds=slide.bounds,
        )


def _tell_sides(slide: AbstractSlide, given: float | None) -> None:
    """In the log: a given pixel size that contradicts the file's, and pixels that are not square."""
    if slide.mpp is None:
        return
    if slide.mpp.square:
        if given is not None and abs(given / slide.mpp.mean - 1) > _OTHER_SIZE:
            logger.warning(
                "%s: the file says %.4g µm per pixel, and the column mpp %g, which counts",
                *(slide, slide.mpp.mean, given),
            )
        return
    if given is None or given == slide.mpp.mean:
        meaning = "the column mpp holds their mean, and patches of `downsample` are as oblong as they"
    else:
        meaning = f"the column mpp says {given:g}, and they are taken for square ones of that size"
    logger.warning("%s: pixels of %.4g x %.4g µm: %s", slide, slide.mpp.x, slide.mpp.y, meaning)


def _shifts(
    slide: AbstractSlide, given: Sequence[Shift] | None, largest_shift: float
) -> tuple[SubpixelShift, ...]:
    """As estimated, before any correction; what a given shift leaves of them must be within the limit."""
    if not isinstance(slide, JoinedSlide):
        return ()
    shifts = modality_shifts(slide)
    moved = given or [Shift(0, 0)] * len(shifts)
    # Both are relative to the first modality, which a given shift may move too.
    left = [
        math.hypot(found.x - (by.x - moved[0].x), found.y - (by.y - moved[0].y))
        for found, by in zip(shifts, moved, strict=True)
    ]
    if (furthest := max(left)) > largest_shift:
        told = "left after the column `shift`" if given else "apart"
        do = "register the modalities, {} the column `shift`, or raise `ingest.largest_shift`"
        raise ChannelError(
            has=f"{slide}: modalities {furthest:.1f} pixels {told}, as estimated",
            needs=f"at most {largest_shift:g}",
            do=do.format("correct" if given else "give their shift in"),
        )
    return shifts


def _probe(slide: AbstractSlide) -> None:
    """Decode a few pixels of the coarsest level: some damage shows only there; none at all is an error."""
    level = len(slide.levels) - 1
    middle = Location(slide.size.width // 2, slide.size.height // 2)
    slide.read_region(middle, level, Size(_PROBE, _PROBE))
    if not holds_pixels(slide):
        raise nothing_stored(slide)


def misfits(opened: Sequence[Examined], channels: tuple[str, ...] | None) -> dict[str, EvenpatchError]:
    """Slides whose channels or pixel type are not the cohort's: those wanted, else the most frequent."""
    if not opened:
        return {}
    wanted = channels or Counter(slide.channels for slide in opened).most_common(1)[0][0]
    fitting = [slide for slide in opened if slide.channels == wanted]
    # Only slides with the right channels have a say in the pixel type.
    dtype = Counter(slide.dtype for slide in fitting or opened).most_common(1)[0][0]
    return {
        slide.row.slide_id: ChannelError(
            has=f"{', '.join(slide.channels)} in {slide.dtype}",
            needs=f"the cohort's {', '.join(wanted)} in {dtype}",
            do="convert it to the others' type of pixels, or make a cohort of its own"
            if slide.channels == wanted
            else "name channels alike in the column `channels`, or set `ingest.channels`",
        )
        for slide in opened
        if (slide.channels, slide.dtype) != (wanted, dtype)
    }
