"""What a level lacks and a finer one has is made from the finer one."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patching.geometry import Level, Size
from patching.readers.base import Window
from patching.resample import covered_resize

Fill = Callable[[NDArray[Any], Window, NDArray[np.bool_]], None]
"""Fills pixels and coverage [H, W] of a window of the finer level; coverage comes true all over."""
_BLOCK_BYTES = 2**25


def finer_window(window: Window, coarse: Level, fine: Level) -> Window:
    """What lies under a window of the coarse level, in the pixels of the fine one."""
    ratio = coarse.downsample / fine.downsample
    left, top = (min(round(at * ratio), last) for at, last in _starts(window, fine.size))
    right = min(round((window.left + window.width) * ratio), fine.size.width)
    bottom = min(round((window.top + window.height) * ratio), fine.size.height)
    return Window(left, top, max(1, right - left), max(1, bottom - top))


def _starts(window: Window, size: Size) -> tuple[tuple[int, int], tuple[int, int]]:
    return (window.left, size.width - 1), (window.top, size.height - 1)


def from_finer(
    fill: Fill, window: Window, coarse: Level, fine: Level, samples: int, dtype: np.dtype[Any]
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Pixels [H, W, S] of a window of the coarse level, averaged over what the fine one covers, and coverage.

    Read in blocks, because levels may be far apart. A pixel is covered where at least half of it is.
    """
    pixels_HWS = np.empty((window.height, window.width, samples), dtype)
    covered_HW = np.empty((window.height, window.width), np.bool_)
    pixel_bytes = (coarse.downsample / fine.downsample) ** 2 * samples * dtype.itemsize
    together = max(1, int(_BLOCK_BYTES / pixel_bytes))
    columns = min(window.width, together)
    rows = max(1, together // columns)
    for top in range(0, window.height, rows):
        for left in range(0, window.width, columns):
            size = Size(min(columns, window.width - left), min(rows, window.height - top))
            block = Window(window.left + left, window.top + top, size.width, size.height)
            part = np.s_[top : top + size.height, left : left + size.width]
            pixels_HWS[part], covered_HW[part] = _averaged(fill, block, coarse, fine, samples, dtype)
    return pixels_HWS, covered_HW


def _averaged(
    fill: Fill, block: Window, coarse: Level, fine: Level, samples: int, dtype: np.dtype[Any]
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    under, ratio = finer_window(block, coarse, fine), coarse.downsample / fine.downsample
    fine_HWS = np.empty((under.height, under.width, samples), dtype)
    known_HW = np.ones((under.height, under.width), np.bool_)
    fill(fine_HWS, under, known_HW)
    # The last pixels stick out of the finer level: their edge stands for what is not there.
    beyond = (
        (0, max(0, round(block.height * ratio) - under.height)),
        (0, max(0, round(block.width * ratio) - under.width)),
    )
    return covered_resize(
        np.pad(fine_HWS, (*beyond, (0, 0)), mode="edge"),
        np.pad(known_HW, beyond, mode="edge"),
        Size(block.width, block.height),
    )
