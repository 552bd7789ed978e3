"""Detectors that threshold one projection of the image: density in brightfield, else intensity.

A threshold splits everything, noise included. Both branches therefore state what a background is before
they believe in a split; without one the image is wholly tissue or wholly empty.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Literal, final, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from patching.tissue.base import AbstractTissueDetector, DetectorSettings, SlideImage
from patching.tissue.parts.brightfield import background, densities, magnitude
from patching.tissue.parts.intensity import BELIEVED, Intensities
from patching.tissue.parts.lines import straight_lines
from patching.tissue.parts.marks import borders, ink_strokes, is_black, is_ink
from patching.tissue.parts.regions import drop_specks
from patching.tissue.parts.second_look import split
from patching.tissue.parts.strips import Floats, Projected, sampled

Mark = Literal["ink", "border", "line"]
_MARKS = 0.5  # share of what is dense from which it is told that marks were left out
_TISSUE, _INK, _BLACK = (np.uint8(bit) for bit in (1, 2, 4))


class ThresholdSettings(DetectorSettings):
    """Settings of `otsu`, `triangle` and `entropy`; lengths are mask pixels unless they say µm."""

    smoothing: float = Field(default=1.0, gt=0)
    """Standard deviation of the Gaussian that precedes the threshold."""
    minimum_region: int = Field(default=8, ge=0)
    """Specks and holes of fewer pixels are removed."""
    projection: Literal["log", "sqrt"] = "log"
    """Intensity images: the logarithm evens out bright channels more than the square root does."""
    minimum_separation: float = Field(default=BELIEVED, gt=0)
    """Intensity images: class means must lie this many background deviations apart to be believed.

    The classes are Otsu's, whatever the method. A Gaussian cut at its mean has 2.7; on simulated slides,
    noise alone and tissue alone stay under 3.1, tissue beside background is over 4.5.
    """
    density_range: tuple[float, float] = (0.025, 0.045)
    """Brightfield: the threshold is kept within these optical densities above the background."""
    exclude: tuple[Mark, ...] = get_args(Mark)
    """Brightfield: what is no tissue however dark: `ink` of pens, black `border` of the scan, long straight
    `line` of a cover slip's edge."""
    maximum_pallor: float = Field(default=0.17, gt=0)
    """Brightfield: the brightest percent counts as background if density / 2 + tint stays under this."""

    @field_validator("density_range")
    @classmethod
    def _ordered(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= value[0] <= value[1]:
            raise ValueError(f"density_range {value} must go from a lower to a higher density, from 0 on")
        return value


class AbstractThresholdDetector(AbstractTissueDetector[ThresholdSettings]):
    """A threshold after a projection on one well-behaved axis; an implementation writes the threshold."""

    Settings = ThresholdSettings

    @abstractmethod
    def _threshold(self, values: NDArray[np.floating]) -> float:
        """What separates background from tissue, which has the larger values."""

    @final
    def _detect(self, slide: SlideImage) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
        if slide.known_HW is not None and not sampled(slide.known_HW).any():
            return np.zeros(slide.shape, np.bool_), (
                "nothing is tissue: next to nothing of the slide is known",
            )
        judged = self._brightfield if slide.brightfield else self._intensity
        mask_HW, warnings = judged(slide)
        drop_specks(mask_HW, self._settings.minimum_region)
        if slide.brightfield and "line" in self._settings.exclude:
            self._without_lines(mask_HW)
        return mask_HW, warnings

    @final
    def _brightfield(self, slide: SlideImage) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
        """Density above the slide's own background, and no mark."""
        density = densities(slide.image_HWC, self._settings.smoothing, slide.known_HW)
        glass = background(density.known, self._settings.maximum_pallor)
        whole = glass.pallor > self._settings.maximum_pallor
        bits_HW = density.map(self._rule(density, None if whole else glass.density_C))
        mask_HW: NDArray[np.bool_] = bits_HW & _TISSUE != 0
        if slide.covered_HW is not None:
            mask_HW &= slide.covered_HW
        dense = int(np.count_nonzero(mask_HW))
        if "ink" in self._settings.exclude:
            mask_HW &= ~ink_strokes(bits_HW & _INK != 0, slide.mpp)
        if "border" in self._settings.exclude:
            mask_HW &= ~borders(bits_HW & _BLACK != 0)
        told = (self._told_pallor(glass.pallor),) if whole else ()
        marks = 1 - np.count_nonzero(mask_HW) / max(1, dense)
        return mask_HW, (*told, self._told_marks(marks)) if dense and marks > _MARKS else told

    @final
    def _told_marks(self, marks: float) -> str:
        return (
            f"little is tissue: {marks:.0%} of what is darker than background was taken for marks of pens "
            "or black borders; if it is stained tissue, leave `ink` and `border` out of `exclude`"
        )

    @final
    def _told_pallor(self, pallor: float) -> str:
        return (
            f"everything is tissue: the pallor of the brightest percent is {pallor:.3f}, "
            f"and that of a background {self._settings.maximum_pallor:g} at most (`maximum_pallor`)"
        )

    @final
    def _rule(self, density: Projected, background_C: Floats | None) -> Callable[[Floats], NDArray[np.uint8]]:
        """Tells tissue, ink and black of a density."""
        if background_C is None:
            clear_C, threshold = np.zeros(density.sample.shape[-1], np.float32), np.float64(-1)
        else:
            excess = magnitude(density.known - background_C)
            clear_C = background_C
            threshold = np.clip(np.float64(self._threshold(excess)), *self._settings.density_range)
        # Floats are above it where they are above the next float under it, and compared in half the time.
        limit = np.float32(threshold)
        limit = limit if limit <= threshold else np.nextafter(limit, np.float32(-np.inf))

        def bits(density_HWC: Floats) -> NDArray[np.uint8]:
            excess_HWC = density_HWC - clear_C
            tissue_HW = magnitude(excess_HWC) > limit
            return tissue_HW * _TISSUE | is_ink(excess_HWC) * _INK | is_black(density_HWC) * _BLACK

        return bits

    @final
    def _without_lines(self, mask_HW: NDArray[np.bool_]) -> None:
        line_HW = straight_lines(mask_HW)
        if line_HW.any():
            mask_HW &= ~line_HW
            drop_specks(mask_HW, self._settings.minimum_region)

    @final
    def _intensity(self, slide: SlideImage) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
        """Log or root intensity, if it falls into two classes."""
        seen = Intensities(slide.image_HWC, self._settings.smoothing, slide.known_HW)
        believed = self._settings.minimum_separation
        found = split(seen, self._settings.projection, believed, self._threshold)
        if found.mask_HW is not None:
            return found.mask_HW if slide.covered_HW is None else found.mask_HW & slide.covered_HW, ()
        told = (
            f"{'everything' if found.everything else 'nothing'} is tissue: two classes lie "
            f"{found.separation:.2f} background deviations apart, and {believed:g} are needed "
            "(`minimum_separation`)"
        )
        return np.full(slide.shape, found.everything), (told,)
