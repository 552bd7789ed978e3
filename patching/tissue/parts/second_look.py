"""Intensity images whose plain mean shows no two classes: few channels show them, or little is tissue."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from patching.tissue.parts.coverage import extended
from patching.tissue.parts.histogram import highest_background, otsu_threshold, separation
from patching.tissue.parts.intensity import (
    OUTLYING,
    Intensities,
    Projection,
    best_weights,
    contrasts,
    flattened,
    structured,
)
from patching.tissue.parts.morphology import disc, morphed
from patching.tissue.parts.regions import drop_regions
from patching.tissue.parts.strips import Floats, Projected, planes_of, sampled

_SPIKE = 8.0  # deviations from the median of its neighbors: a hot pixel
_LEFT = 0.25  # share of Otsu's tissue under which a threshold has cut the tissue
_LITTLE = 0.01  # share of tissue under which the scale of intensities is that of the noise
_RARE = 0.2  # share of the image up to which tissue is an exception
_FRINGE = 11  # pixels: diameter of the disc by which tissue grows, so that none is left in the rest
_ENOUGH = 400  # pixels of a sample that tell a scale
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
    first = _classes(flat, threshold)
    if first.separation >= believed and first.share >= _LITTLE:
        return Split(first.separation, flat.map(first.above), False)
    looks = _weighted(replace(seen, image_HWC=_without_spikes(seen.image_HWC)))
    flats = [flattened(look, projection) for look in looks]
    seconds = [_classes(flat, threshold) for flat in flats]
    for flat, second in zip(flats, seconds, strict=True):
        if second.separation >= believed and second.share >= _LITTLE:
            return Split(second.separation, flat.map(second.above), False)
    mask_HW = _rare(looks[0], flats[0], projection, threshold)
    if mask_HW is None and seconds[0].separation >= believed:
        mask_HW = flats[0].map(seconds[0].above)
    return Split(seconds[0].separation, mask_HW, mask_HW is None and structured(seen))


@dataclass(frozen=True, slots=True)
class _Classes:
    """Otsu's two classes, and what a method puts between them."""

    separation: float
    share: float
    """Of the upper class."""
    limit: float

    def above(self, flat_HW: Floats) -> NDArray[np.bool_]:
        """Values of the upper class, by the method."""
        return flat_HW > self.limit


def _classes(flat: Projected, threshold: Threshold) -> _Classes:
    known = flat.known
    fair = otsu_threshold(known)
    upper = known > fair
    apart, share = separation(known, upper), float(upper.mean())
    if not apart:
        return _Classes(apart, share, fair)
    # Triangle and entropy may cut a broad background in two, and entropy even tissue alone.
    limit = max(min(fair, highest_background(known, upper)), threshold(known))
    few = np.count_nonzero(known > limit) < _LEFT * np.count_nonzero(upper)
    return _Classes(apart, share, fair if few else limit)


def _without_spikes(image_HWC: NDArray[np.generic]) -> NDArray[np.generic]:
    """Pixels that stand out from their neighbors far above the noise get the median of 3 x 3."""
    despiked_HWC = image_HWC.astype(np.float32)
    for channel, plane in enumerate(planes_of(image_HWC)):
        values_HW = np.ascontiguousarray(plane, np.float32)
        middle_HW = cv2.medianBlur(values_HW, 3)
        beyond_HW = np.abs(values_HW - middle_HW)
        noise = 1.4826 * float(np.median(beyond_HW[beyond_HW > 0])) if beyond_HW.any() else 0.0
        spike_HW = beyond_HW > _SPIKE * noise
        despiked_HWC[..., channel][spike_HW] = middle_HW[spike_HW]
    return despiked_HWC


def _weighted(seen: Intensities) -> list[Intensities]:
    """With channels weighted by what they show, and with the strongest alone.

    Counts of 0, 1 and 2 have logarithms that no weight makes up for.
    """
    channels = seen.image_HWC.shape[-1]
    if channels == 1:
        return [seen]
    contrast_C = contrasts(seen)
    if not contrast_C.any():
        return [seen]
    weight_C = best_weights(seen, contrast_C)
    alone_C = np.zeros(channels, np.float32)
    alone_C[np.argmax(contrast_C)] = channels
    combined = replace(seen, weight_C=(weight_C / weight_C.mean()).astype(np.float32))
    several = np.count_nonzero(weight_C) > 1
    return [combined, replace(seen, weight_C=alone_C)] if several else [combined]


def noise_alone(seen: Intensities, where_HW: NDArray[np.bool_]) -> bool:
    """Whether some pixels of an image, judged without the others, are noise."""
    # What lies beside them would bend their slow surroundings.
    alone_HWC = extended(seen.image_HWC, where_HW)
    return bool(sampled(where_HW).any()) and not structured(
        replace(seen, image_HWC=alone_HWC, known_HW=where_HW)
    )


def _rare(
    seen: Intensities, flat: Projected, projection: Projection, threshold: Threshold
) -> NDArray[np.bool_] | None:
    """Regions far above the rest, if the rest is but noise; what separates them is judged around them."""
    known_HW = np.ones(seen.shape, np.bool_) if seen.known_HW is None else seen.known_HW
    flat_HW = flat.map(lambda flat_HW: flat_HW)
    core_HW = _outlying(flat_HW, known_HW)
    if core_HW is None:
        return None
    if not noise_alone(seen, known_HW & ~morphed(core_HW, cv2.MORPH_DILATE, disc(_FRINGE, _FRINGE))):
        return None
    regions = cv2.connectedComponents(core_HW.view(np.uint8), connectivity=8)[0] - 1
    across = min(_WIDEST, max(_FRINGE, np.sqrt(np.count_nonzero(core_HW) / regions)))
    around_HW = morphed(core_HW, cv2.MORPH_DILATE, disc(2 * across, 2 * across)) & known_HW
    if np.count_nonzero(sampled(around_HW)) >= _ENOUGH:
        # Scaled by itself: on the scale of the noise all tissue is equally far away, blurred edges too.
        flat_HW = flattened(replace(seen, known_HW=around_HW), projection).map(lambda flat_HW: flat_HW)
    around_N = flat_HW[around_HW]
    fair = otsu_threshold(around_N)
    lowest = min(fair, highest_background(around_N, around_N > fair))
    return around_HW & (flat_HW > max(lowest, threshold(around_N)))


def _outlying(flat_HW: NDArray[np.float32], known_HW: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """Regions that the background's noise does not reach, where they are but little of the image."""
    known_N = flat_HW[known_HW]
    middle = float(np.median(known_N))
    below_N = middle - known_N[known_N < middle]
    if not below_N.size:
        return None
    deviation = max(1.4826 * float(np.median(below_N)), 1e-6)
    core_HW = (flat_HW > middle + OUTLYING * deviation) & known_HW
    drop_regions(core_HW, _SMALLEST)
    return core_HW if 0 < np.count_nonzero(core_HW) <= _RARE * known_N.size else None
