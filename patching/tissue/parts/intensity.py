"""Tissue in intensity images: what is brighter than the background, under uneven light."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from patching.tissue.parts.histogram import otsu_threshold, robust_deviation
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
_SHOWN = 1.1  # of that ratio, which the noise of a sample stays under
OUTLYING = 6.0  # deviations from the background that no noise reaches
_STEEPEST = 30  # log of root intensity that no light changes by
BELIEVED = 3.8  # background deviations that two classes lie apart, see `ThresholdSettings`

Projection = Literal["log", "sqrt"]


@dataclass(frozen=True)
class Intensities:
    """An intensity image, and what of it is to be looked at."""

    image_HWC: NDArray[np.generic]
    smoothing: float
    """Standard deviation of the Gaussian that precedes all statistics, in pixels."""
    known_HW: NDArray[np.bool_] | None = None
    """Pixels that statistics may look at; None is all."""
    weight_C: Floats | None = None
    """Of the channels in their mean, 1 on average; None is equal ones."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.image_HWC.shape[0], self.image_HWC.shape[1]

    def mean(self, function: Callable[[Floats], Floats]) -> Callable[[slice], Floats]:
        """Mean over channels of a function of each value."""
        channels, weight_C = of_values(self.image_HWC, function), self.weight_C
        if weight_C is None:
            return lambda rows: mean_of_channels(channels(rows))
        share_C = weight_C / np.float32(weight_C.size)
        return lambda rows: np.tensordot(share_C, planes_of(channels(rows)), axes=1)

    def smooth(self, compute: Callable[[slice], Floats], times: float = 1) -> Callable[[slice], Floats]:
        """What `compute` gives, after the blur."""
        return smoothed(self.shape, compute, times * self.smoothing)

    def projected(self, compute: Callable[[slice], Floats], *, mapped: bool = False) -> Projected:
        """Values of all pixels."""
        return Projected(self.shape, compute, mapped=mapped, known_HW=self.known_HW)


def flattened(seen: Intensities, projection: Projection = "log") -> Projected:
    """Log or root intensity [H, W], averaged over channels, with the illumination's slow gain divided out."""
    scaled = _scaling(seen)
    log = held(seen.shape, seen.mean(lambda values: np.log1p(scaled(values))))
    light = fit_gain(seen.projected(seen.smooth(log)), otsu_threshold)
    flat = _flat_log(log, light) if projection == "log" else _flat_root(seen, scaled, light)
    return seen.projected(seen.smooth(flat), mapped=True)


def _scaling(seen: Intensities) -> Callable[[Floats], Floats]:
    """What makes (I - pedestal) / s, not under -0.5, of intensities I [..., C].

    The pedestal, a detector's offset, is the channel's lowest half percent; s is a tenth of its
    range, under which log(1 + x) is linear and does not blow up the noise of empty pixels.
    """
    known = seen.projected(seen.smooth(as_floats(seen.image_HWC))).known
    limits_C2 = np.array([np.quantile(plane, (0.005, 0.99)) for plane in planes_of(known)], np.float32)
    pedestal_C, high_C = limits_C2.T
    scale_C = np.maximum((high_C - pedestal_C) / 10, np.float32(1e-6))
    return lambda values: np.maximum((values - pedestal_C) / scale_C, -0.5)


def _flat_log(log: Callable[[slice], Floats], light: Gain) -> Callable[[slice], Floats]:
    return lambda rows: log(rows) - light.rows(rows)


def _flat_root(
    seen: Intensities, scaled: Callable[[Floats], Floats], light: Gain
) -> Callable[[slice], Floats]:
    # The same distance from 0 as in the logarithm, where x = -0.5 is the floor.
    root = seen.mean(lambda values: np.sqrt(scaled(values) + np.float32(0.5)))
    # Away from all known pixels the surface may rise without end.
    return lambda rows: root(rows) * np.exp(np.clip(light.rows(rows) / -2, -_STEEPEST, _STEEPEST))


def structured(seen: Intensities) -> bool:
    """Whether an image without background is tissue rather than noise.

    Averaging shrinks the variance of white noise by 4 pi sigma^2; tissue, whose pixels resemble
    their neighbors, keeps more than one and a half times what noise would. Only detail counts: what is
    smooth over five times the scale may be the illumination.
    """
    logarithm = seen.mean(lambda values: np.log1p(np.maximum(values, 0)))
    slow, fine = seen.smooth(logarithm, 5), seen.smooth(logarithm)
    detail = seen.projected(lambda rows: logarithm(rows) - slow(rows)).known
    if not detail.size:
        return False
    kept = seen.projected(lambda rows: fine(rows) - slow(rows)).known.var()
    return bool(kept > max(1.5 * detail.var() / (4 * np.pi * seen.smoothing**2), _ROUNDING))


def best_weights(seen: Intensities, contrast_C: Floats) -> Floats:
    """Weights of the channels' logarithms in their mean [C], 0 for those without contrast.

    The best linear ones: a channel's signal over the variance of its noise.
    """
    scaled = _scaling(seen)
    logarithm = of_values(seen.image_HWC, lambda values: np.log1p(scaled(values)))
    fine = seen.smooth(logarithm)
    noise = seen.projected(lambda rows: logarithm(rows) - fine(rows)).known
    noise_C = np.maximum(noise.std(axis=tuple(range(noise.ndim - 1))), np.float32(1e-6))
    return np.asarray(np.sqrt(contrast_C) / noise_C, np.float32)


def contrasts(seen: Intensities) -> Floats:
    """Variance of what each channel shows over its noise [C], 0 where it shows nothing; see `structured`.

    Little tissue hardly adds to a variance: what no noise reaches counts by itself.
    """
    values = as_floats(seen.image_HWC)
    slow, fine = seen.smooth(values, 5), seen.smooth(values)
    detail = seen.projected(lambda rows: values(rows) - slow(rows)).known
    kept = seen.projected(lambda rows: fine(rows) - slow(rows)).known
    axes = tuple(range(detail.ndim - 1))
    noise_C = np.maximum(detail.var(axis=axes) / np.float32(4 * np.pi * seen.smoothing**2), _ROUNDING)
    ratio_C = kept.var(axis=axes) / noise_C
    deviation_C = np.array([robust_deviation(plane) for plane in planes_of(kept)], np.float32)
    # Where most pixels are the same, no deviation tells the noise of the others.
    far = kept / np.maximum(deviation_C, np.sqrt(noise_C))
    outlying_C = np.square(far, where=far > OUTLYING, out=np.zeros_like(far)).mean(axis=axes)
    shown_C: Floats = np.maximum(np.where(ratio_C > _SHOWN, ratio_C - 1, np.float32(0)), outlying_C)
    return shown_C.astype(np.float32)
