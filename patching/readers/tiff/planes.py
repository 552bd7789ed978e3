"""Which pages of a TIFF hold the planes of a stack, for every level alike."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tifffile import TiffFrame, TiffPage, TiffPageSeries

from patching.damage import decoded
from patching.errors import UnreadableSlideError
from patching.readers.planes import Planes, Selection, renamed, select
from patching.readers.tiff.layout import has_alpha


@dataclass(frozen=True, slots=True)
class TiffPlanes:
    """What is read of a series.

    `pages` are numbers into `pages_of` a level, in reading order; each gives `samples` planes.
    `transparent` tells that a page's last sample is transparency, laid over the background at decoding.
    `colors` tells that the samples of a page are channels.
    """

    selection: Selection
    pages: tuple[int, ...]
    samples: int
    transparent: bool
    colors: bool

    @property
    def channels(self) -> int:
        """Number of channels of the slide."""
        return int(self.selection.groups_TZC.shape[2])


def tiff_planes(path: Path, series: TiffPageSeries, planes: Planes) -> TiffPlanes:
    """Choose the planes of the full resolution.

    Raises:
        UnreadableSlideError: a choice or a name is missing or wrong, see `select`.
    """
    axes, shape = series.axes, list(series.shape)
    named = renamed(str(path), axes, shape, planes.axes)
    # Samples are the last axis beside Y and X, whatever its letter.
    inner = [axis for axis, length in zip(named, shape, strict=True) if axis not in "YX" and length > 1]
    colors = not inner or inner[-1] in "CS"
    alpha = has_alpha(series.keyframe)
    if alpha and not (colors and "S" in axes):
        raise UnreadableSlideError(
            has=f"{path}: axes {axes} named {named}, where samples are R, G, B and transparency",
            needs="the axis of samples last beside Y and X, as it is stored",
            do="correct the column `axes`, or save it without its alpha channel",
        )
    samples = series.keyframe.samplesperpixel
    if alpha:
        shape[axes.index("S")] -= 1
        samples -= 1
    selection = select(str(path), axes, shape, planes, samples)
    pages = tuple(number // samples for number in selection.wanted[::samples])
    return TiffPlanes(selection, pages, samples, alpha, colors)


def pages_of(path: Path, series: TiffPageSeries) -> list[Any]:
    """The series' pages in the order of its axes; those that ImageJ and others do not list are added.

    Raises:
        UnreadableSlideError: fewer or more pages than the axes tell.
    """
    page, listed = series.keyframe, decoded(path, lambda: list(series.pages))
    stacked = [length for axis, length in zip(series.axes, series.shape, strict=True) if axis not in "YX"]
    count = math.prod(stacked) // page.samplesperpixel
    if len(listed) == 1 < count and series.is_truncated and decoded(path, lambda: page.is_contiguous):
        return [_following(page, number) for number in range(count)]
    if len(listed) != count:
        raise UnreadableSlideError(
            has=f"{path}: {len(listed)} pages for axes {series.axes} of {'x'.join(map(str, series.shape))}",
            needs=f"{count} pages in this file",
            do="export one file with all channels and planes, or list one file per modality",
        )
    return listed


def _following(page: TiffPage, number: int) -> Any:
    """Page `number` of a stack whose pages lie one behind the other, with a directory for the first only."""
    nbytes = math.prod(page.shape) * np.dtype(page.dtype).itemsize
    offsets = tuple(offset + number * nbytes for offset in page.dataoffsets)
    return TiffFrame(
        page.parent, number, keyframe=page, dataoffsets=offsets, databytecounts=page.databytecounts
    )
