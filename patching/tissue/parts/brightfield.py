"""Tissue in transmitted light: what is denser than the slide's own background."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from patching.tissue.parts.strips import (
    Floats,
    Projected,
    as_floats,
    channels_last,
    mean_of_channels,
    over_channels,
    planes_of,
    smoothed,
)

_PER_E_FOLD = np.float32(
    -1 / math.log(10)
)  # optical density is a decadic logarithm; OpenCV's is four times as fast


def densities(image_HWC: NDArray[np.generic], smoothing: float) -> Projected:
    """Optical density of each channel [H, W, C] of an 8-bit image, after a Gaussian blur."""
    shape = (image_HWC.shape[0], image_HWC.shape[1])
    smooth = smoothed(shape, as_floats(image_HWC), smoothing)
    return Projected(shape, smooth, _density, mapped=True)


def _density(smooth_HWC: Floats) -> Floats:
    # A sample that was put together of strips comes channels last, which OpenCV takes for another layout.
    density_CHW = np.add(planes_of(smooth_HWC), np.float32(1), order="C")
    density_CHW *= np.float32(1 / 256)
    lines = density_CHW.reshape(len(density_CHW), -1)
    cv2.log(lines, lines)
    lines *= _PER_E_FOLD
    return channels_last(density_CHW)


def background(density_HWC: Floats, maximum_pallor: float) -> Floats | None:
    """Density of the background per channel [C], whatever its tint; None where all is tissue.

    Example: on a peach background of (230, 201, 185), pallor is 0.09 / 2 + 0.09 = 0.14: accepted;
    pale cytoplasm of (200, 174, 244) has 0.10 / 2 + 0.15 = 0.20: the image has no background.
    """
    mean_HW = mean_of_channels(density_HWC)
    background_C = _median(density_HWC, mean_HW <= np.quantile(mean_HW, 0.01))
    if background_C.mean() / 2 + np.ptp(background_C) > maximum_pallor:
        return None
    # From the brightest pixels to the middle of those that look like them.
    for _ in range(2):
        near_HW = over_channels(np.maximum, np.abs(density_HWC - background_C)) < 0.03
        if near_HW.any():
            background_C = _median(density_HWC, near_HW)
    return background_C


def magnitude(excess_HWC: Floats) -> Floats:
    """Root mean square over channels of the density above the background [H, W]."""
    above_HWC = np.maximum(excess_HWC, 0)
    above_HW: Floats = np.sqrt(mean_of_channels(np.square(above_HWC, out=above_HWC)))
    return above_HW


def _median(density_HWC: Floats, where_HW: NDArray[np.bool_]) -> Floats:
    return np.array([np.median(plane[where_HW]) for plane in planes_of(density_HWC)], np.float32)
