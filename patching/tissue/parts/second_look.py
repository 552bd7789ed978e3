"""Intensity images whose plain mean shows no two classes: few channels show them, or little is tissue."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from patching.tissue.parts.coverage import extended
from patching.tissue.parts.histogram import highest_background, otsu_threshold, separation
from patching.tissue.parts.intensity import Intensities, Projection, contrasts, flattened, structured
from patching.tissue.parts.morphology import disc, morphed
from patching.tissue.parts.regions import drop_regions
from patching.tissue.parts.strips import Projected, planes_of

_SPIKE = 8.0  # deviations from the median of its neighbors: a hot pixel
_OUTLYING = 6.0  # deviations from the background: no noise
_LEFT = 0.25  # share of Otsu's tissue under which a threshold has cut the tissue
_RARE = 0.2  # share of the image up to which tissue is an exception
_FRINGE = 11  # pixels: diameter of the disc by which tissue grows, so that none is left in the rest
_WIDEST = 65  # pixels: diameter up to which the surroundings of tissue are looked at
_SMALLEST = 8  # pixels: what is smaller may be a spike after the blur


@dataclass(frozen=True, slots=True)
class Split:
    """Values in two classes, or the one class that they are."""

    separation: float
    """Of Otsu's classes, in background deviations."""
    mask_HW: NDArray[np.bool_] | None
    """Tissue; None where no two classes are believed."""
    everything: bool
    """Whether the one class is tissue."""


Threshold = Callable[[NDArray[np.floating]], float]


def split(seen: Intensities, projection: Projection, believed: float, threshold: Threshold) -> Split:
    """Tissue and background of an intensity image.

    Args:
        seen: the image.
        projection: of intensities.
        believed: least separation of two classes.
        threshold: what separates them.
    """
    flat = flattened(seen, projection)
    apart, mask_HW = _two_classes(flat, believed, threshold)
    if mask_HW is not None or not flat.known.size:
        return Split(apart, mask_HW, False)
    careful = _weighted(replace(seen, image_HWC=_without_spikes(seen.image_HWC)))
    flat = flattened(careful, projection)
    again, mask_HW = _two_classes(flat, believed, threshold)
    if mask_HW is None:
        mask_HW = _rare(careful, flat.map(lambda flat_HW: flat_HW), threshold)
    if mask_HW is not None:
        return Split(max(apart, again), mask_HW, False)
    return Split(max(apart, again), None, structured(seen))


def _two_classes(
    flat: Projected, believed: float, threshold: Threshold
) -> tuple[float, NDArray[np.bool_] | None]:
    """Separation of Otsu's classes, and the mask where they are believed."""
    known = flat.known
    if not known.size:
        return 0.0, np.zeros(flat.shape, np.bool_)
    fair = otsu_threshold(known)
    upper = known > fair
    apart = separation(known, upper)
    if apart < believed:
        return apart, None
    # Triangle and entropy may cut a broad background in two, and entropy even tissue alone.
    limit = max(min(fair, highest_background(known, upper)), threshold(known))
    if np.count_nonzero(known > limit) < _LEFT * np.count_nonzero(upper):
        limit = fair
    return apart, flat.map(lambda flat_HW: flat_HW > limit)


def _without_spikes(image_HWC: NDArray[np.generic]) -> NDArray[np.generic]:
    """Pixels that stand out from their neighbors far above the noise get the median of 3 x 3."""
    despiked_HWC = image_HWC.astype(np.float32)
    for channel, plane in enumerate(planes_of(despiked_HWC.copy())):
        values_HW = np.ascontiguousarray(plane)
        middle_HW = cv2.medianBlur(values_HW, 3)
        beyond_HW = np.abs(values_HW - middle_HW)
        noise = 1.4826 * float(np.median(beyond_HW[beyond_HW > 0])) if beyond_HW.any() else 0.0
        spike_HW = beyond_HW > _SPIKE * noise
        despiked_HWC[..., channel][spike_HW] = middle_HW[spike_HW]
    return despiked_HWC


def _weighted(seen: Intensities) -> Intensities:
    """With channels weighted by how far what they show stands out from their noise."""
    if seen.image_HWC.shape[-1] == 1:
        return seen
    weight_C = contrasts(seen)
    if not weight_C.any():
        return seen
    return replace(seen, weight_C=(weight_C / weight_C.mean()).astype(np.float32))


def noise_alone(seen: Intensities, where_HW: NDArray[np.bool_]) -> bool:
    """Whether some pixels of an image, judged without the others, are noise."""
    # What lies beside them would bend their slow surroundings.
    alone_HWC = extended(seen.image_HWC, where_HW)
    return bool(where_HW.any()) and not structured(replace(seen, image_HWC=alone_HWC, known_HW=where_HW))


def _rare(seen: Intensities, flat_HW: NDArray[np.float32], threshold: Threshold) -> NDArray[np.bool_] | None:
    """Regions far above the rest, if the rest is but noise."""
    known_HW = np.ones(seen.shape, np.bool_) if seen.known_HW is None else seen.known_HW
    known_N = flat_HW[known_HW]
    middle = float(np.median(known_N))
    below_N = middle - known_N[known_N < middle]
    if not below_N.size:
        return None
    deviation = max(1.4826 * float(np.median(below_N)), 1e-6)
    core_HW = (flat_HW > middle + _OUTLYING * deviation) & known_HW
    drop_regions(core_HW, _SMALLEST)
    if not 0 < np.count_nonzero(core_HW) <= _RARE * known_N.size:
        return None
    rest_HW = known_HW & ~morphed(core_HW, cv2.MORPH_DILATE, disc(_FRINGE, _FRINGE))
    if not noise_alone(seen, rest_HW):
        return None
    regions = cv2.connectedComponents(core_HW.view(np.uint8), connectivity=8)[0] - 1
    across = min(_WIDEST, max(_FRINGE, np.sqrt(np.count_nonzero(core_HW) / regions)))
    around_HW = morphed(core_HW, cv2.MORPH_DILATE, disc(across, across))
    around_N = flat_HW[around_HW & known_HW]
    lowest = min(otsu_threshold(around_N), middle + 3 * deviation)
    return around_HW & (flat_HW > max(lowest, threshold(around_N)))
