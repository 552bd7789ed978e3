"""Tissue in transmitted light: what is denser than the slide's own background."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from patching.tissue.parts.histogram import robust_deviation
from patching.tissue.parts.strips import (
    Floats,
    Projected,
    as_floats,
    mean_of_channels,
    over_channels,
    planes_of,
    sampled,
    smoothed,
)

_PER_E_FOLD = np.float32(
    -1 / math.log(10)
)  # optical density is a decadic logarithm; OpenCV's is four times as fast

_NEAR = np.float32(0.03)  # of density: pixels that are like each other
_FARTHEST = 0.2  # of density, behind the brightest pixels: glass is not darker
_GRAY = 0.03  # range over channels of a step between two backgrounds; that of stains is larger
_EVEN = 0.005  # deviation of the mean over channels on glass; tissue is more varied
_RARE = 2  # times as many pixels make the brighter ones an exception
_BINS = 64
_BRIGHTEST = 0.995  # share of the pixels under the light of the glass, hot ones being above
_LEAST_LIGHT = 0.6  # of full light: what the glass of a slide is given, or more


def densities(
    image_HWC: NDArray[np.generic], smoothing: float, known_HW: NDArray[np.bool_] | None = None
) -> Projected:
    """Optical density of each channel [H, W, C], after a Gaussian blur; `known_HW` is what statistics see."""
    shape = (image_HWC.shape[0], image_HWC.shape[1])
    smooth = smoothed(shape, as_floats(image_HWC), smoothing)
    white = white_level(image_HWC, known_HW)
    return Projected(shape, smooth, lambda values: density(values, white), mapped=True, known_HW=known_HW)


def white_level(image_HWC: NDArray[np.generic], known_HW: NDArray[np.bool_] | None = None) -> float:
    """The value of full light: 256 of 8 bits.

    Of wider types the range of 8, 10, 12, 14, ... bits, as cameras have them, that the brightest pixels lie
    in; but not so much that these were darker than the exposure of a slide leaves them.
    """
    if image_HWC.dtype.kind != "u" or image_HWC.dtype.itemsize == 1:
        return 256.0
    bright_HW = sampled(image_HWC).max(axis=-1)
    bright_N = bright_HW if known_HW is None else bright_HW[sampled(known_HW)]
    if not bright_N.size:
        return 256.0
    brightest = float(np.quantile(bright_N, _BRIGHTEST))
    bits = max(8, 2 * math.ceil(math.log2(brightest + 1) / 2))
    return min(2.0**bits, max(256.0, brightest / _LEAST_LIGHT))


def density(values: Floats, white: float) -> Floats:
    """Optical density of intensities [..., C]; 0 of 256 steps of `white` counts as 1."""
    # A sample that was put together of strips comes channels last, which OpenCV takes for another layout.
    density_CHW = np.add(planes_of(values), np.float32(white / 256), order="C")
    density_CHW *= np.float32(1 / white)
    lines = density_CHW.reshape(len(density_CHW), -1)
    cv2.log(lines, lines)
    lines *= _PER_E_FOLD
    channels_last: Floats = density_CHW.transpose(*range(1, density_CHW.ndim), 0)
    return channels_last


@dataclass(frozen=True)
class Background:
    """What a slide's brightest pixels are like."""

    density_C: Floats
    pallor: float
    """Half of the mean density, and the range over channels, of the brightest percent."""


def background(density_HWC: Floats, maximum_pallor: float) -> Background:
    """Density of the background per channel, whatever its tint; all is tissue if pallor exceeds its maximum.

    Example: on a peach background of (230, 201, 185), pallor is 0.09 / 2 + 0.09 = 0.14: accepted;
    pale cytoplasm of (200, 174, 244) has 0.10 / 2 + 0.15 = 0.20: the image has no background.
    """
    mean_HW = mean_of_channels(density_HWC)
    brightest_C = _median(density_HWC, mean_HW <= np.quantile(mean_HW, 0.01))
    pallor = float(brightest_C.mean() / 2 + np.ptp(brightest_C))
    if pallor > maximum_pallor:
        return Background(brightest_C, pallor)
    background_C = _middle(density_HWC, brightest_C)
    return Background(_dominant(density_HWC, mean_HW, background_C, maximum_pallor), pallor)


def _middle(density_HWC: Floats, start_C: Floats) -> Floats:
    """From the brightest pixels to the middle of those that look like them."""
    for _ in range(2):
        near_HW = _near(density_HWC, start_C)
        if near_HW.any():
            start_C = _median(density_HWC, near_HW)
    return start_C


def _dominant(density_HWC: Floats, mean_HW: Floats, start_C: Floats, maximum_pallor: float) -> Floats:
    """The background, or the far more common gray step behind it.

    A little that is brighter than the glass (bubbles, fill after JPEG) is no background. Glass behind it is
    darker in all channels alike, which no stain is, and even, which no tissue is.
    """
    few = np.count_nonzero(_near(density_HWC, start_C))
    beyond_HW = (mean_HW > start_C.mean() + _NEAR) & (mean_HW < start_C.mean() + _FARTHEST)
    if np.count_nonzero(beyond_HW) < _RARE * few:
        return start_C
    count_B, edges = np.histogram(mean_HW[beyond_HW], bins=_BINS)
    peak = float(edges[np.argmax(count_B) : np.argmax(count_B) + 2].mean())
    peak_C = _median(density_HWC, np.abs(mean_HW - peak) < _NEAR / 4)
    peak_C = _middle(density_HWC, peak_C)
    near_HW = _near(density_HWC, peak_C)
    gray = np.ptp(peak_C - start_C) < _GRAY
    pale = peak_C.mean() / 2 + np.ptp(peak_C) <= maximum_pallor
    if not (gray and pale and np.count_nonzero(near_HW) > _RARE * few):
        return start_C
    even = robust_deviation(mean_HW[near_HW]) < _EVEN
    return peak_C if even else start_C


def _near(density_HWC: Floats, middle_C: Floats) -> NDArray[np.bool_]:
    near_HW: NDArray[np.bool_] = over_channels(np.maximum, np.abs(density_HWC - middle_C)) < _NEAR
    return near_HW


def magnitude(excess_HWC: Floats) -> Floats:
    """Root mean square over channels of the density above the background [H, W]."""
    above_HWC = np.maximum(excess_HWC, 0)
    above_HW: Floats = np.sqrt(mean_of_channels(np.square(above_HWC, out=above_HWC)))
    return above_HW


def _median(density_HWC: Floats, where_HW: NDArray[np.bool_]) -> Floats:
    return np.array([np.median(plane[where_HW]) for plane in planes_of(density_HWC)], np.float32)
