"""Otsu's threshold, on optical density in brightfield and on log intensity elsewhere.

Otsu splits everything, noise included. Both branches therefore state what a background is before
they believe in a split; without one the image is wholly tissue or wholly empty.
"""

from typing import final

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from patching.tissue.base import AbstractTissueDetector, DetectorSettings, SlideImage
from patching.tissue.illumination import log_gain
from patching.tissue.regions import without_specks

_ROUNDING = 1e-8  # variance of log intensity that float32 arithmetic leaves in a constant image
_FLAT = 1e-5  # a relative range in which float32 has too few steps for a histogram


class OtsuSettings(DetectorSettings):
    """Settings of `otsu`; lengths are mask pixels."""

    smoothing: float = Field(default=1.0, gt=0)
    """Standard deviation of the Gaussian that precedes the threshold."""
    minimum_region: int = Field(default=8, ge=0)
    """Specks and holes of fewer pixels are removed."""
    minimum_separation: float = Field(default=3.8, gt=0)
    """Intensity images: class means must lie this many background deviations apart to be believed.

    A Gaussian cut at its mean has 2.7; on simulated slides, noise alone and tissue alone stay under
    3.1, tissue beside background is over 4.5.
    """
    density_range: tuple[float, float] = (0.025, 0.045)
    """Brightfield: the threshold is kept within these optical densities above the background."""
    maximum_pallor: float = Field(default=0.17, gt=0)
    """Brightfield: the brightest percent counts as background if density / 2 + tint stays under this."""


@final
class OtsuDetector(AbstractTissueDetector):
    """Otsu's method (1979) after a projection on one well-behaved axis."""

    Settings = OtsuSettings

    def __init__(self, settings: OtsuSettings) -> None:
        self._settings = settings

    def _detect(self, slide: SlideImage) -> NDArray[np.bool_]:
        split = self._brightfield if slide.brightfield else self._intensity
        return without_specks(split(slide.image_HWC), self._settings.minimum_region)

    def _brightfield(self, image_HWC: NDArray[np.generic]) -> NDArray[np.bool_]:
        """Density above the slide's own background, whatever its tint.

        Example: on a peach background of (230, 201, 185), pallor is 0.09 / 2 + 0.09 = 0.14: accepted;
        pale cytoplasm of (200, 174, 244) has 0.10 / 2 + 0.15 = 0.20: the image has no background.
        """
        smooth_HWC = self._smooth(image_HWC.astype(np.float32))
        density_HWC = -np.log10((smooth_HWC + 1) / 256)
        background_C = _brightest(density_HWC)
        if background_C.mean() / 2 + np.ptp(background_C) > self._settings.maximum_pallor:
            return np.ones(image_HWC.shape[:2], np.bool_)
        background_C = _typical(density_HWC, background_C)
        above_HW = np.sqrt((np.maximum(density_HWC - background_C, 0) ** 2).mean(axis=-1))
        low, high = self._settings.density_range
        mask_HW: NDArray[np.bool_] = above_HW > np.clip(otsu_threshold(above_HW), low, high)
        return mask_HW

    def _intensity(self, image_HWC: NDArray[np.generic]) -> NDArray[np.bool_]:
        """Log intensity, averaged over channels, with the illumination's slow gain divided out."""
        image = image_HWC.astype(np.float32)
        raw_HW = self._log_projection(image)
        flat_HW = self._smooth(raw_HW - log_gain(self._smooth(raw_HW), otsu_threshold))
        mask_HW: NDArray[np.bool_] = flat_HW > otsu_threshold(flat_HW)
        if separation(flat_HW, mask_HW) >= self._settings.minimum_separation:
            return mask_HW
        return np.full(mask_HW.shape, self._structured(image))

    def _log_projection(self, image_HWC: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mean over channels of log(1 + (I - pedestal) / s), float32 [H, W].

        The pedestal, a detector's offset, is the channel's lowest half percent; s is a tenth of its
        range, under which the logarithm is linear and does not blow up the noise of empty pixels.
        """
        smooth_HWC = self._smooth(image_HWC)
        pedestal_C, high_C = np.quantile(smooth_HWC, (0.005, 0.99), axis=(0, 1)).astype(np.float32)
        scale_C = np.maximum((high_C - pedestal_C) / 10, np.float32(1e-6))
        above_HWC = np.maximum((image_HWC - pedestal_C) / scale_C, -0.5)
        projected_HW: NDArray[np.float32] = np.log1p(above_HWC).mean(axis=-1, dtype=np.float32)
        return projected_HW

    def _structured(self, image_HWC: NDArray[np.float32]) -> bool:
        """Whether an image without background is tissue rather than noise.

        Averaging shrinks the variance of white noise by 4 pi sigma^2; tissue, whose pixels resemble
        their neighbors, keeps more than one and a half times what noise would. Only detail counts: what is
        smooth over five times the scale may be the illumination.
        """
        log_HW = np.log1p(np.maximum(image_HWC, 0)).mean(axis=-1, dtype=np.float32)
        slow_HW = self._smooth(log_HW, 5)
        noise = (log_HW - slow_HW).var() / (4 * np.pi * self._settings.smoothing**2)
        return bool((self._smooth(log_HW) - slow_HW).var() > max(1.5 * noise, _ROUNDING))

    def _smooth(self, image: NDArray[np.float32], times: float = 1) -> NDArray[np.float32]:
        sigma = self._settings.smoothing * times
        smooth: NDArray[np.float32] = cv2.GaussianBlur(image, (0, 0), sigma).reshape(image.shape)
        return smooth


def separation(value_HW: NDArray[np.float32], mask_HW: NDArray[np.bool_]) -> float:
    """Distance of the class means in robust standard deviations of the lower class."""
    if mask_HW.all() or not mask_HW.any():
        return 0.0
    low_N = value_HW[~mask_HW]
    deviation = 1.4826 * float(np.median(np.abs(low_N - np.median(low_N))))
    return float(value_HW[mask_HW].mean() - low_N.mean()) / max(deviation, 1e-6)


def otsu_threshold(values: NDArray[np.floating]) -> float:
    """Threshold with the largest between-class variance over 256 bins (Otsu 1979).

    Extreme values, 0.1 % at either end, are clipped, so that a hot pixel does not stretch the bins.
    """
    low, high = np.quantile(values, (0.001, 0.999))
    if high - low <= _FLAT * max(1.0, abs(high)):
        return float(high)
    count_B, edges = np.histogram(np.clip(values, low, high), bins=256, range=(low, high))
    center_B = (edges[:-1] + edges[1:]) / 2
    below_B, total = np.cumsum(count_B), values.size
    mass_B = np.cumsum(count_B * center_B)
    with np.errstate(divide="ignore", invalid="ignore"):
        between_B = (mass_B[-1] * below_B / total - mass_B) ** 2 / (below_B * (total - below_B))
    # Empty bins between two modes tie: their middle is the fairest threshold.
    best = np.flatnonzero(np.nan_to_num(between_B[:-1]) >= np.nanmax(between_B[:-1]) * (1 - 1e-9))
    return float(edges[1:-1][best].mean())


def _brightest(density_HWC: NDArray[np.float32]) -> NDArray[np.float32]:
    """Optical density per channel of the brightest percent: the background, if there is one."""
    mean_HW = density_HWC.mean(axis=-1)
    return _median(density_HWC[mean_HW <= np.quantile(mean_HW, 0.01)])


def _typical(density_HWC: NDArray[np.float32], background_C: NDArray[np.float32]) -> NDArray[np.float32]:
    """Move from the brightest pixels to the middle of those that look like them."""
    for _ in range(2):
        near_HW = np.abs(density_HWC - background_C).max(axis=-1) < 0.03
        if near_HW.any():
            background_C = _median(density_HWC[near_HW])
    return background_C


def _median(density_NC: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.median(density_NC, axis=0).astype(np.float32)
