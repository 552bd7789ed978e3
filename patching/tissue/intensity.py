"""Tissue in intensity images: what is brighter than the background, under uneven light."""

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from patching.tissue.illumination import Gain, fit_gain
from patching.tissue.strips import Floats, Projected, as_floats, mean_of_channels, smoothed
from patching.tissue.thresholds import otsu_threshold

_ROUNDING = 1e-8  # variance of log intensity that float32 arithmetic leaves in a constant image


Projection = Literal["log", "sqrt"]


def flattened(image_HWC: NDArray[np.generic], smoothing: float, projection: Projection = "log") -> Projected:
    """Log or root intensity [H, W], averaged over channels, with the illumination's slow gain divided out."""
    shape = (image_HWC.shape[0], image_HWC.shape[1])
    scaled = _scaled(image_HWC, smoothing)
    light = fit_gain(Projected(shape, smoothed(shape, _log(scaled), smoothing)), otsu_threshold)
    flat = _flat_log(scaled, light) if projection == "log" else _flat_root(scaled, light)
    return Projected(shape, smoothed(shape, flat, smoothing))


def _scaled(image_HWC: NDArray[np.generic], smoothing: float) -> Callable[[slice], Floats]:
    """(I - pedestal) / s, float32 [H, W, C], not under -0.5.

    The pedestal, a detector's offset, is the channel's lowest half percent; s is a tenth of its
    range, under which log(1 + x) is linear and does not blow up the noise of empty pixels.
    """
    shape, values = (image_HWC.shape[0], image_HWC.shape[1]), as_floats(image_HWC)
    sample_HWC = Projected(shape, smoothed(shape, values, smoothing)).sample
    pedestal_C, high_C = np.quantile(sample_HWC, (0.005, 0.99), axis=(0, 1)).astype(np.float32)
    scale_C = np.maximum((high_C - pedestal_C) / 10, np.float32(1e-6))
    return lambda rows: np.maximum((values(rows) - pedestal_C) / scale_C, -0.5)


def _log(scaled: Callable[[slice], Floats]) -> Callable[[slice], Floats]:
    return lambda rows: mean_of_channels(np.log1p(scaled(rows)))


def _flat_log(scaled: Callable[[slice], Floats], light: Gain) -> Callable[[slice], Floats]:
    log = _log(scaled)
    return lambda rows: log(rows) - light.rows(rows)


def _flat_root(scaled: Callable[[slice], Floats], light: Gain) -> Callable[[slice], Floats]:
    def root(rows: slice) -> Floats:
        # The same distance from 0 as in the logarithm, where x = -0.5 is the floor.
        mean_HW: Floats = mean_of_channels(np.sqrt(scaled(rows) + np.float32(0.5)))
        return mean_HW * np.exp(-light.rows(rows) / 2)

    return root


def structured(image_HWC: NDArray[np.generic], smoothing: float) -> bool:
    """Whether an image without background is tissue rather than noise.

    Averaging shrinks the variance of white noise by 4 pi sigma^2; tissue, whose pixels resemble
    their neighbors, keeps more than one and a half times what noise would. Only detail counts: what is
    smooth over five times the scale may be the illumination.
    """
    shape, values = (image_HWC.shape[0], image_HWC.shape[1]), as_floats(image_HWC)

    def logarithm(rows: slice) -> Floats:
        log_HW: Floats = mean_of_channels(np.log1p(np.maximum(values(rows), 0)))
        return log_HW

    slow = smoothed(shape, logarithm, 5 * smoothing)
    fine = smoothed(shape, logarithm, smoothing)
    detail = Projected(shape, lambda rows: logarithm(rows) - slow(rows)).sample.var()
    kept = Projected(shape, lambda rows: fine(rows) - slow(rows)).sample.var()
    return bool(kept > max(1.5 * detail / (4 * np.pi * smoothing**2), _ROUNDING))
