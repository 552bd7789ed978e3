"""Detectors that threshold one projection of the image: density in brightfield, else intensity.

A threshold splits everything, noise included. Both branches therefore state what a background is before
they believe in a split; without one the image is wholly tissue or wholly empty.
"""

from abc import abstractmethod
from typing import Literal, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from patching.tissue.base import AbstractTissueDetector, DetectorSettings, SlideImage
from patching.tissue.brightfield import above, background, densities
from patching.tissue.intensity import flattened, structured
from patching.tissue.regions import drop_specks
from patching.tissue.thresholds import highest_background, otsu_threshold, separation


class ThresholdSettings(DetectorSettings):
    """Settings of `otsu`, `triangle` and `entropy`; lengths are mask pixels unless they say µm."""

    smoothing: float = Field(default=1.0, gt=0)
    """Standard deviation of the Gaussian that precedes the threshold."""
    minimum_region: int = Field(default=8, ge=0)
    """Specks and holes of fewer pixels are removed."""
    projection: Literal["log", "sqrt"] = "log"
    """Intensity images: the logarithm evens out bright channels more than the square root does."""
    minimum_separation: float = Field(default=3.8, gt=0)
    """Intensity images: class means must lie this many background deviations apart to be believed.

    The classes are Otsu's, whatever the method. A Gaussian cut at its mean has 2.7; on simulated slides,
    noise alone and tissue alone stay under 3.1, tissue beside background is over 4.5.
    """
    density_range: tuple[float, float] = (0.025, 0.045)
    """Brightfield: the threshold is kept within these optical densities above the background."""
    maximum_pallor: float = Field(default=0.17, gt=0)
    """Brightfield: the brightest percent counts as background if density / 2 + tint stays under this."""


class AbstractThresholdDetector(AbstractTissueDetector[ThresholdSettings]):
    """A threshold after a projection on one well-behaved axis; an implementation writes the threshold."""

    Settings = ThresholdSettings

    @abstractmethod
    def _threshold(self, values: NDArray[np.floating]) -> float:
        """What separates background from tissue, which has the larger values."""

    @final
    def _detect(self, slide: SlideImage) -> NDArray[np.bool_]:
        split = self._brightfield if slide.brightfield else self._intensity
        mask_HW = split(slide.image_HWC)
        drop_specks(mask_HW, self._settings.minimum_region)
        return mask_HW

    @final
    def _brightfield(self, image_HWC: NDArray[np.generic]) -> NDArray[np.bool_]:
        """Density above the slide's own background."""
        density = densities(image_HWC, self._settings.smoothing)
        background_C = background(density.sample, self._settings.maximum_pallor)
        if background_C is None:
            return np.ones(density.shape, np.bool_)
        excess = density.then(lambda density_HWC: above(density_HWC, background_C))
        threshold = np.clip(self._threshold(excess.sample), *self._settings.density_range)
        return excess.map(lambda excess_HW: excess_HW > threshold)

    @final
    def _intensity(self, image_HWC: NDArray[np.generic]) -> NDArray[np.bool_]:
        """Log or root intensity, if it falls into two classes."""
        smoothing, projection = self._settings.smoothing, self._settings.projection
        flat = flattened(image_HWC, smoothing, projection)
        fair = otsu_threshold(flat.sample)
        upper = flat.sample > fair
        if separation(flat.sample, upper) < self._settings.minimum_separation:
            return np.full(flat.shape, structured(image_HWC, smoothing))
        # Triangle and entropy may cut a broad background in two.
        lowest = min(fair, highest_background(flat.sample, upper))
        threshold = max(lowest, self._threshold(flat.sample))
        return flat.map(lambda flat_HW: flat_HW > threshold)
