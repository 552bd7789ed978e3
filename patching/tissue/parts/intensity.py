"""Tissue in intensity images: what is brighter than the background, under uneven light."""

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from patching.tissue.parts.histogram import otsu_threshold
from patching.tissue.parts.illumination import Gain, fit_gain
from patching.tissue.parts.strips import (
    Floats,
    Projected,
    as_floats,
    held,
    mean_of_channels,
    of_values,
    planes_of,
    smoothed,
)

_ROUNDING = 1e-8  # variance of log intensity that float32 arithmetic leaves in a constant image


Projection = Literal["log", "sqrt"]


def flattened(image_HWC: NDArray[np.generic], smoothing: float, projection: Projection = "log") -> Projected:
    """Log or root intensity [H, W], averaged over channels, with the illumination's slow gain divided out."""
    shape = (image_HWC.shape[0], image_HWC.shape[1])
    scaled = _scaling(image_HWC, smoothing)
    log = held(shape, _mean(of_values(image_HWC, lambda values: np.log1p(scaled(values)))))
    light = fit_gain(Projected(shape, smoothed(shape, log, smoothing)), otsu_threshold)
    flat = _flat_log(log, light) if projection == "log" else _flat_root(image_HWC, scaled, light)
    return Projected(shape, smoothed(shape, flat, smoothing), mapped=True)


def _scaling(image_HWC: NDArray[np.generic], smoothing: float) -> Callable[[Floats], Floats]:
    """What makes (I - pedestal) / s, not under -0.5, of intensities I [..., C].

    The pedestal, a detector's offset, is the channel's lowest half percent; s is a tenth of its
    range, under which log(1 + x) is linear and does not blow up the noise of empty pixels.
    """
    shape, values = (image_HWC.shape[0], image_HWC.shape[1]), as_floats(image_HWC)
    sample_HWC = Projected(shape, smoothed(shape, values, smoothing)).sample
    limits_C2 = np.array([np.quantile(plane, (0.005, 0.99)) for plane in planes_of(sample_HWC)], np.float32)
    pedestal_C, high_C = limits_C2.T
    scale_C = np.maximum((high_C - pedestal_C) / 10, np.float32(1e-6))
    return lambda values: np.maximum((values - pedestal_C) / scale_C, -0.5)


def _mean(channels: Callable[[slice], Floats]) -> Callable[[slice], Floats]:
    return lambda rows: mean_of_channels(channels(rows))


def _flat_log(log: Callable[[slice], Floats], light: Gain) -> Callable[[slice], Floats]:
    return lambda rows: log(rows) - light.rows(rows)


def _flat_root(
    image_HWC: NDArray[np.generic], scaled: Callable[[Floats], Floats], light: Gain
) -> Callable[[slice], Floats]:
    # The same distance from 0 as in the logarithm, where x = -0.5 is the floor.
    root = of_values(image_HWC, lambda values: np.sqrt(scaled(values) + np.float32(0.5)))
    return lambda rows: mean_of_channels(root(rows)) * np.exp(-light.rows(rows) / 2)


def structured(image_HWC: NDArray[np.generic], smoothing: float) -> bool:
    """Whether an image without background is tissue rather than noise.

    Averaging shrinks the variance of white noise by 4 pi sigma^2; tissue, whose pixels resemble
    their neighbors, keeps more than one and a half times what noise would. Only detail counts: what is
    smooth over five times the scale may be the illumination.
    """
    shape = (image_HWC.shape[0], image_HWC.shape[1])
    logarithm = _mean(of_values(image_HWC, lambda values: np.log1p(np.maximum(values, 0))))
    slow = smoothed(shape, logarithm, 5 * smoothing)
    fine = smoothed(shape, logarithm, smoothing)
    detail = Projected(shape, lambda rows: logarithm(rows) - slow(rows)).sample.var()
    kept = Projected(shape, lambda rows: fine(rows) - slow(rows)).sample.var()
    return bool(kept > max(1.5 * detail / (4 * np.pi * smoothing**2), _ROUNDING))
