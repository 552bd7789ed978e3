"""Otsu's threshold, on optical density in brightfield and on log intensity elsewhere.

Otsu splits everything, noise included. Both branches therefore state what a background is before
they believe in a split; without one the image is wholly tissue or wholly empty.
"""

from typing import final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from patching.tissue.base import AbstractTissueDetector, DetectorSettings, SlideImage
from patching.tissue.brightfield import above, background, densities
from patching.tissue.intensity import flattened, structured
from patching.tissue.regions import drop_specks
from patching.tissue.thresholds import otsu_threshold, separation


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
        mask_HW = split(slide.image_HWC)
        drop_specks(mask_HW, self._settings.minimum_region)
        return mask_HW

    def _brightfield(self, image_HWC: NDArray[np.generic]) -> NDArray[np.bool_]:
        """Density above the slide's own background."""
        density = densities(image_HWC, self._settings.smoothing)
        background_C = background(density.sample, self._settings.maximum_pallor)
        if background_C is None:
            return np.ones(density.shape, np.bool_)
        excess = density.then(lambda density_HWC: above(density_HWC, background_C))
        threshold = np.clip(otsu_threshold(excess.sample), *self._settings.density_range)
        return excess.map(lambda excess_HW: excess_HW > threshold)

    def _intensity(self, image_HWC: NDArray[np.generic]) -> NDArray[np.bool_]:
        """Log intensity, if it falls into two classes."""
        smoothing = self._settings.smoothing
        flat = flattened(image_HWC, smoothing)
        threshold = otsu_threshold(flat.sample)
        if separation(flat.sample, flat.sample > threshold) >= self._settings.minimum_separation:
            return flat.map(lambda flat_HW: flat_HW > threshold)
        return np.full(flat.shape, structured(image_HWC, smoothing))
