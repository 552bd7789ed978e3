"""Reading a whole slide at a coarse resolution."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from patching.geometry import Location, Size
from patching.grid import read_plan
from patching.readers.base import AbstractSlide
from patching.resample import shrink

_BLOCK = 2048  # level pixels a side that are read at once: bounds memory whatever the slide's size


def overview(slide: AbstractSlide, downsample: float, threads: int = 1) -> tuple[NDArray[np.generic], float]:
    """The whole slide, at least as fine as asked for, read in blocks.

    Args:
        slide: an open slide.
        downsample: level-0 pixels per pixel wanted, 1 or more.
        threads: threads that read.

    Returns:
        The image [H, W, C] in the slide's dtype, and its level-0 pixels per pixel. Pixel (i, j) is the
        mean over a block of whole pixels of one level, so its place is known exactly.
    """
    number, factor = read_plan(slide.levels, downsample, tolerance=0.01)
    level, whole = slide.levels[number], max(1, int(factor))
    plane = level.size
    rows, columns = -(-plane.height // whole), -(-plane.width // whole)
    image_HWC = np.empty((rows, columns, len(slide.channels)), slide.dtype)
    step = max(1, _BLOCK // whole)

    def read(corner: tuple[int, int]) -> None:
        row, column = corner
        x, y = column * whole, row * whole
        size = Size(min(step * whole, plane.width - x), min(step * whole, plane.height - y))
        place = Location(round(x * level.downsample), round(y * level.downsample))
        block_HWC = image_HWC[row : row + step, column : column + step]
        if whole == 1:
            slide.read_region(place, number, size, out=block_HWC)
        else:
            block_HWC[:] = shrink(slide.read_region(place, number, size), whole)

    blocks = [(row, column) for row in range(0, rows, step) for column in range(0, columns, step)]
    with ThreadPoolExecutor(threads, thread_name_prefix="overview") as pool:
        for _ in pool.map(read, blocks):
            pass
    return image_HWC, level.downsample * whole
