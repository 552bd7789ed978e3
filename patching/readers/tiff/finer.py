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
_BAND_BYTES = 2**25


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

    Read in bands, because levels may be far apart. A pixel is covered where at least half of it is.
    """
    pixels_HWS = np.empty((window.height, window.width, samples), dtype)
    covered_HW = np.empty((window.height, window.width), np.bool_)
    ratio = coarse.downsample / fine.downsample
    row_bytes = max(1, round(window.width * ratio * ratio * samples * dtype.itemsize))
    step = max(1, _BAND_BYTES // row_bytes)
    for top in range(0, window.height, step):
        height = min(step, window.height - top)
        band = finer_window(Window(window.left, window.top + top, window.width, height), coarse, fine)
        fine_HWS = np.empty((band.height, band.width, samples), dtype)
        known_HW = np.ones((band.height, band.width), np.bool_)
        fill(fine_HWS, band, known_HW)
        # The last pixels stick out of the finer level: their edge stands for what is not there.
        beyond = (
            (0, max(0, round(height * ratio) - band.height)),
            (0, max(0, round(window.width * ratio) - band.width)),
        )
        pixels_HWS[top : top + height], covered_HW[top : top + height] = covered_resize(
            np.pad(fine_HWS, (*beyond, (0, 0)), mode="edge"),
            np.pad(known_HW, beyond, mode="edge"),
            Size(window.width, height),
        )
    return pixels_HWS, covered_HW
