"""How far the modalities of a field are apart: cross-correlation of their edges.

Modalities show other intensities but share outlines, so gradients of logarithms are compared, faded out
towards the borders; a peak of the correlation is found to a tenth of a pixel (Guizar-Sicairos et al. 2008,
doi:10.1364/OL.33.000156).
"""

import logging
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from patching.readers.joined_reader import JoinedSlide, Shift
from patching.readers.overview import Overview, overview

logger = logging.getLogger(__name__)
_LONGEST_SIDE = 2048
_UPSAMPLING = 10
_SMOOTHING = 1.5


@dataclass(frozen=True, slots=True)
class SubpixelShift:
    """Pixels that content must be moved by, to the right and down; a tenth of a pixel is resolved."""

    x: float
    y: float

    def rounded(self) -> Shift:
        """The nearest whole pixels."""
        return Shift(round(self.x), round(self.y))


def estimate_shift(reference_HW: NDArray[np.generic], moving_HW: NDArray[np.generic]) -> SubpixelShift:
    """Shift that brings the content of `moving` onto that of `reference`, two images of equal shape.

    Example: content that lies 3 pixels further left in `moving` gives x = 3. Where one of them has no edges
    there is nothing to go by: the shift is 0, and the log says so.
    """
    from skimage.registration import phase_cross_correlation  # with SciPy 30 MiB, which stacks alone need

    pair = [_outlines(image_HW) for image_HW in (reference_HW, moving_HW)]
    if not all(edges_HW.any() for edges_HW in pair):
        logger.warning("no shift between modalities can be estimated: one of them is empty")
        return SubpixelShift(0.0, 0.0)
    (down, right), _, _ = phase_cross_correlation(*pair, upsample_factor=_UPSAMPLING, normalization=None)
    return SubpixelShift(float(right), float(down))


def _outlines(image_HW: NDArray[np.generic]) -> NDArray[np.float64]:
    """Strength of the edges of a logarithm, without offset, fading to 0 at the borders."""
    if min(image_HW.shape) < 2:
        return np.zeros(image_HW.shape)
    values_HW = image_HW.astype(np.float64)
    values_HW = np.log1p(values_HW - values_HW.min())
    smooth_HW = cv2.GaussianBlur(values_HW, (0, 0), _SMOOTHING)
    dy_HW, dx_HW = np.gradient(smooth_HW)
    edges_HW = np.hypot(dx_HW, dy_HW)
    fade_HW = np.outer(np.hanning(image_HW.shape[0]), np.hanning(image_HW.shape[1]))
    faded: NDArray[np.float64] = (edges_HW - edges_HW.mean()) * fade_HW
    return faded


def modality_shifts(slide: JoinedSlide) -> tuple[SubpixelShift, ...]:
    """Shift of every file of a slide onto the first, in level-0 pixels, before any correction."""
    downsample = max(1.0, max(slide.size.width, slide.size.height) / _LONGEST_SIDE)
    views = [overview(part, downsample) for part in slide.parts]
    first_HW, *others = (_gray(view) for view in views)
    coarseness = views[0].downsample
    found = [estimate_shift(first_HW, other_HW) for other_HW in others]
    scaled = [SubpixelShift(shift.x * coarseness, shift.y * coarseness) for shift in found]
    return (SubpixelShift(0.0, 0.0), *scaled)


def _gray(view: Overview) -> NDArray[np.floating[Any]]:
    """Mean over channels; what does not exist has the mean of the rest, so that it shows few edges."""
    gray_HW: NDArray[np.floating[Any]] = view.image_HWC.mean(axis=-1)
    if view.covered_HW.any():
        gray_HW[~view.covered_HW] = gray_HW[view.covered_HW].mean()
    return gray_HW
