"""Reading a whole slide at a coarse resolution."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patching.errors import UnreadableSlideError
from patching.geometry import Location, Size, nearest
from patching.grid import read_plan
from patching.readers.base import AbstractSlide
from patching.resample import covered_shrink

_BLOCK = 2048  # level pixels a side that are read at once: bounds memory whatever the slide's size


@dataclass(frozen=True)
class Overview:
    """A whole slide, coarse."""

    image_HWC: NDArray[np.generic]
    """In the slide's dtype: means over what exists."""
    covered_HW: NDArray[np.bool_]
    """Where at least half of a pixel exists."""
    downsample: float
    """Level-0 pixels per pixel."""

    def shrunk(self, factor: int) -> "Overview":
        """Coarser by a whole factor."""
        image_HWC, covered_HW = covered_shrink(self.image_HWC, self.covered_HW, factor)
        return Overview(image_HWC, covered_HW, self.downsample * factor)


def overview(
    slide: AbstractSlide, downsample: float, threads: int = 1, *, patches: int | None = None
) -> Overview:
    """The whole slide, at least as fine as asked for, read in blocks.

    Pixel (i, j) is the mean over a block of whole pixels of one level, so its place is known exactly.

    Args:
        slide: an open slide.
        downsample: level-0 pixels per pixel wanted, 1 or more.
        threads: threads that read.
        patches: a level that will be read afterwards: what it lacks and a coarser one has counts as lacking.
    """
    number, factor = read_plan(slide.levels, downsample, tolerance=0.01)
    level, whole = slide.levels[number], max(1, int(factor))
    plane = level.size
    rows, columns = -(-plane.height // whole), -(-plane.width // whole)
    image_HWC = np.empty((rows, columns, len(slide.channels)), slide.dtype)
    covered_HW = np.empty((rows, columns), np.bool_)
    step = max(1, _BLOCK // whole)

    def read(corner: tuple[int, int]) -> None:
        row, column = corner
        x, y = column * whole, row * whole
        size = Size(min(step * whole, plane.width - x), min(step * whole, plane.height - y))
        place = Location(round(x * level.downsample), round(y * level.downsample))
        part = (slice(row, row + step), slice(column, column + step))
        if whole == 1:
            slide.read_region(place, number, size, out=image_HWC[part], covered=covered_HW[part])
        else:
            known_HW = np.empty((size.height, size.width), np.bool_)
            pixels_HWC = slide.read_region(place, number, size, covered=known_HW)
            image_HWC[part], covered_HW[part] = covered_shrink(pixels_HWC, known_HW, whole)

    blocks = [(row, column) for row in range(0, rows, step) for column in range(0, columns, step)]
    with ThreadPoolExecutor(threads, thread_name_prefix="overview") as pool:
        for _ in pool.map(read, blocks):
            pass
    if patches is not None and patches != number:
        for part in _lacking(slide, patches, level.downsample * whole):
            image_HWC[part], covered_HW[part] = slide.background, False
    return Overview(image_HWC, covered_HW, level.downsample * whole)


def _lacking(slide: AbstractSlide, level: int, side: float) -> Iterator[tuple[slice, slice]]:
    """What a level does not store, in rows and columns of `side` level-0 pixels."""
    scale = slide.levels[level].downsample / side
    for window in slide.lacking(level):
        top, bottom = (nearest(scale * y) for y in (window.top, window.top + window.height))
        left, right = (nearest(scale * x) for x in (window.left, window.left + window.width))
        yield slice(top, bottom), slice(left, right)


def holds_pixels(slide: AbstractSlide) -> bool:
    """Whether a single pixel of a slide exists; where the file does not tell, its coarsest level is read.

    Raises:
        UnreadableSlideError: the file is damaged there.
    """
    told = slide.stores_something()
    if told is not None:
        return told
    number, level = len(slide.levels) - 1, slide.levels[-1]
    for top in range(0, level.size.height, _BLOCK):
        for left in range(0, level.size.width, _BLOCK):
            size = Size(min(_BLOCK, level.size.width - left), min(_BLOCK, level.size.height - top))
            place = Location(round(left * level.downsample), round(top * level.downsample))
            covered_HW = np.empty((size.height, size.width), np.bool_)
            slide.read_region(place, number, size, covered=covered_HW)
            if covered_HW.any():
                return True
    return False


def nothing_stored(slide: AbstractSlide, level: int | None = None) -> UnreadableSlideError:
    """The error for a slide without a pixel, or without one on the level that patches are read from."""
    where = "" if level is None else f" on level {level}, which patches are read from"
    return UnreadableSlideError(
        has=f"{slide}: not one pixel{where}: nothing is stored, or all of it is transparent",
        needs="a slide that was scanned",
        do="copy it again from its source, with the files or folders that belong to it, or leave it out",
    )
