"""What of an image a detector may look at."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from patching.tissue.parts.coverage import extended, inner, without_mixed
from patching.tissue.parts.fill import Fill, find_fill, lowest_in_fields
from patching.tissue.parts.histogram import otsu_threshold
from patching.tissue.parts.intensity import BELIEVED, Intensities
from patching.tissue.parts.second_look import noise_alone, split
from patching.tissue.parts.strips import sampled

_SMOOTHING = 1.0  # pixels, to judge whether there is a background
_FRINGE = 5  # pixels from tissue at which a background is no longer blurred with it


@dataclass(frozen=True, slots=True)
class Seen:
    """An image, and what of it is known."""

    image_HWC: NDArray[np.generic]
    """Uncovered pixels have the value of the nearest covered one."""
    covered_HW: NDArray[np.bool_] | None = None
    """None is everywhere."""
    known_HW: NDArray[np.bool_] | None = None
    """What statistics may look at; None is all."""
    told: tuple[str, ...] = ()
    """What was found, in words."""


def look(
    image_HWC: NDArray[np.generic],
    covered_HW: NDArray[np.bool_] | None,
    *,
    brightfield: bool,
    dark: bool,
) -> Seen:
    """Leave out what the image does not show: what is not covered, no number, or fill.

    Args:
        image_HWC: is not changed.
        covered_HW: where it shows the slide; None is everywhere.
        brightfield: the background is bright.
        dark: whether a flat dark end of an intensity image may be fill.
    """
    if covered_HW is not None and covered_HW.all():
        covered_HW = None
    if image_HWC.dtype.kind == "f":
        covered_HW = _without_missing(image_HWC, covered_HW)

    def has_background(rest_HW: NDArray[np.bool_], straight: bool) -> bool:
        return _has_background(image_HWC, rest_HW, straight=straight)

    fills = find_fill(
        image_HWC, covered_HW, brightfield=brightfield, has_background=has_background, dark=dark
    )
    if not brightfield and dark and image_HWC.shape[-1] > 1:
        fills += _in_one_channel(image_HWC, covered_HW, fills)
    if covered_HW is None and not fills:
        return Seen(image_HWC)
    covered_HW = np.ones(image_HWC.shape[:2], np.bool_) if covered_HW is None else covered_HW.copy()
    for fill in fills:
        covered_HW &= ~fill.mask_HW
    covered_HW = without_mixed(image_HWC, covered_HW)
    known_HW = inner(covered_HW, 1)
    known_HW = known_HW if known_HW.any() else covered_HW
    return Seen(extended(image_HWC, covered_HW), covered_HW, known_HW, tuple(_told(fill) for fill in fills))


def _in_one_channel(
    image_HWC: NDArray[np.generic], covered_HW: NDArray[np.bool_] | None, fills: list[Fill]
) -> list[Fill]:
    """Fields that one channel alone lacks, cut along rows and columns: nothing can be said of them."""
    known_HW = covered_HW
    for fill in fills:
        known_HW = ~fill.mask_HW if known_HW is None else known_HW & ~fill.mask_HW
    found: list[Fill] = []
    if known_HW is not None and not known_HW.any():
        return found
    for channel in range(image_HWC.shape[-1]):
        plane_HW1 = image_HWC[..., channel : channel + 1]
        if not lowest_in_fields(plane_HW1[..., 0], known_HW):
            continue

        def has_background(
            rest_HW: NDArray[np.bool_], straight: bool, plane_HW1: NDArray[np.generic] = plane_HW1
        ) -> bool:
            return straight and _has_background(plane_HW1, rest_HW, straight=True)

        alone = find_fill(plane_HW1, known_HW, brightfield=False, has_background=has_background)
        found += [replace(fill, channel=channel) for fill in alone]
    return found


def _has_background(image_HWC: NDArray[np.generic], rest_HW: NDArray[np.bool_], *, straight: bool) -> bool:
    """Whether some pixels of an intensity image have a background of their own.

    It is noise, and noise alone may as well be tissue. What was cut along rows and columns counts whatever it
    is: if it is tissue alone, the detector says so. What does not vary at all was not taken by a camera.
    """
    if not sampled(rest_HW).any():
        return False
    rest = Intensities(extended(image_HWC, rest_HW), _SMOOTHING, rest_HW)
    found = split(rest, "log", BELIEVED, otsu_threshold)
    low_HW = rest_HW if found.mask_HW is None else inner(rest_HW & ~found.mask_HW, _FRINGE)
    low_NC = sampled(image_HWC)[sampled(low_HW)]
    if not len(low_NC) or (low_NC == low_NC[0]).all():
        return False
    return straight or (found.mask_HW is not None and noise_alone(rest, low_HW))


def _without_missing(
    image_HWC: NDArray[np.generic], covered_HW: NDArray[np.bool_] | None
) -> NDArray[np.bool_] | None:
    """Coverage without pixels that are no finite number in some channel."""
    finite_HW = np.isfinite(image_HWC[..., 0].astype(np.float64))
    for channel in range(1, image_HWC.shape[-1]):
        finite_HW &= np.isfinite(image_HWC[..., channel].astype(np.float64))
    if finite_HW.all():
        return covered_HW
    return finite_HW if covered_HW is None else finite_HW & covered_HW


def _told(fill: Fill) -> str:
    values = ", ".join(f"{value:g}" for value in fill.color_C.tolist())
    where = "" if fill.channel is None else f" in channel {fill.channel + 1} alone"
    return (
        f"{fill.mask_HW.mean():.2%} of the image is exactly ({values}){where}, apart from its background: "
        "taken for fill, of which nothing is known"
    )
