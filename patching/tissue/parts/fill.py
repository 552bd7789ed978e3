"""Fill that a writer put where nothing was scanned: one exact color in large regions, beside a background."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from patching.tissue.parts.brightfield import background, density, white_level
from patching.tissue.parts.coverage import inner
from patching.tissue.parts.histogram import robust_deviation
from patching.tissue.parts.morphology import morphed, straight, turned
from patching.tissue.parts.strips import mean_of_channels, over_channels, sampled, sampling

_SHARE = 0.001  # of the known pixels: fill of less changes no statistics
_COLORS = 6  # of the most common flat ones that are looked at
_SCATTERED = 0.05  # share of a color's pixels that lie in no region of 5 x 5
_RING = 2  # pixels around fill that may be averages of it and the slide
_FEWEST = 64  # pixels of a sample that show anything
_BAND = 64  # rows
_PALLOR = 0.17  # of a background, see `brightfield.background`
_NARROW = 0.01  # density: deviation of glass, pixel by pixel; stroma is more varied
_TINTED = 0.03  # density: range over channels that glass has and pale stroma too
_BETWEEN = 0.4  # of the way from fill to the background: nothing lies there
_EXCEPTION = 0.002  # share of pixels that do nonetheless
_RINGING = 0.02  # the same after JPEG, along straight borders
_BLACKISH = 1.3  # density: under 12 of 255

Judge = Callable[[NDArray[np.bool_], bool], bool]
"""Whether an intensity image has a background in some pixels, beside fill whose border is straight or not."""


@dataclass(frozen=True, slots=True)
class Fill:
    """One color of fill and where it is."""

    color_C: NDArray[np.generic]
    mask_HW: NDArray[np.bool_]
    channel: int | None = None
    """The only one that has it; None is all."""


def find_fill(
    image_HWC: NDArray[np.generic],
    known_HW: NDArray[np.bool_] | None,
    *,
    brightfield: bool,
    has_background: Judge,
    dark: bool = True,
) -> list[Fill]:
    """Fill in an image, by color.

    An exact color that is the background itself is no fill: the remaining pixels must have a background of
    their own, apart from it. White glass at 255 and signal that was clipped at 0 stay what they are.

    Args:
        image_HWC: the image.
        known_HW: where it shows the slide for all that is known; None is everywhere.
        brightfield: the background is bright.
        has_background: whether an intensity image has a background in these pixels.
        dark: whether to look at the dark end of an intensity image.
    """
    found: list[Fill] = []
    sample_NC: NDArray[np.generic] | None = None
    for color_C in _flat_colors(image_HWC, known_HW):
        sample_NC = _sampled(image_HWC, known_HW) if sample_NC is None else sample_NC
        at_top = _is_top(color_C)
        if not _at_an_end(sample_NC, color_C, bright=brightfield, dark=dark):
            continue
        if _surely_scattered(image_HWC, color_C):
            continue
        mask_HW = _equal(image_HWC, color_C)
        if known_HW is not None:
            mask_HW &= known_HW
        if _scattered(mask_HW) > _SCATTERED * np.count_nonzero(mask_HW):
            continue
        rest_HW = inner(~mask_HW, _RING) if known_HW is None else inner(known_HW & ~mask_HW, _RING)
        rest_NC = _sampled(image_HWC, rest_HW)
        if len(rest_NC) < _FEWEST:
            continue
        if brightfield:
            filled = _beside_glass(image_HWC, rest_HW, rest_NC, color_C, mask_HW)
        elif at_top:
            filled = (straight(mask_HW) or turned(mask_HW)) and _apart(_above(rest_NC), _above(color_C[None]))
        else:
            filled = _apart(rest_NC, color_C[None]) and has_background(rest_HW, straight(mask_HW))
        if filled:
            found.append(Fill(color_C, mask_HW))
            known_HW = ~mask_HW if known_HW is None else known_HW & ~mask_HW
    return found


def lowest_in_fields(plane_HW: NDArray[np.generic], known_HW: NDArray[np.bool_] | None) -> bool:
    """Whether the lowest value fills regions that were cut along rows and columns: cheap to tell."""
    lowest_HW = plane_HW == (plane_HW if known_HW is None else plane_HW[known_HW]).min()
    if known_HW is not None:
        lowest_HW &= known_HW
    return bool(np.count_nonzero(lowest_HW) >= _SHARE * lowest_HW.size and straight(lowest_HW))


def _flat_colors(
    image_HWC: NDArray[np.generic], known_HW: NDArray[np.bool_] | None
) -> Iterator[NDArray[np.generic]]:
    """Colors that many pixels of a sample have in common with the next one to the right and below."""
    height, width, channels = image_HWC.shape
    step = sampling(image_HWC.shape)
    here = image_HWC[: height - 1 : step, : width - 1 : step]
    flat_HW = np.ones(here.shape[:2], np.bool_)
    for other in (image_HWC[1::step, : width - 1 : step], image_HWC[: height - 1 : step, 1::step]):
        for channel in range(channels):
            flat_HW &= here[..., channel] == other[..., channel]
    total = flat_HW.size
    if known_HW is not None:
        sampled_HW = known_HW[: height - 1 : step, : width - 1 : step]
        flat_HW &= sampled_HW
        total = int(np.count_nonzero(sampled_HW))
    least = max(_SHARE * total, 4)
    if np.count_nonzero(flat_HW) < least:
        return
    color_NC = here[flat_HW]
    key_N = np.zeros(len(color_NC), np.uint64)
    for channel in range(channels):
        # Any float's bits, mixed by an odd factor: a collision would but hide a color.
        bits_N = np.ascontiguousarray(color_NC[:, channel]).astype(np.float64).view(np.uint64)
        key_N = (key_N ^ bits_N ^ (bits_N >> np.uint64(29))) * np.uint64(0x9E3779B97F4A7C15)
    _, first_K, count_K = np.unique(key_N, return_index=True, return_counts=True)
    for place in np.argsort(-count_K, kind="stable")[:_COLORS]:
        if count_K[place] >= least:
            yield color_NC[first_K[place]]


def _at_an_end(
    sample_NC: NDArray[np.generic], color_C: NDArray[np.generic], *, bright: bool, dark: bool
) -> bool:
    """Whether no pixel of a sample, but for exceptions, goes beyond a color at the end where fill may be."""
    if _is_top(color_C) or (bright and not color_C.any()):
        return True
    if not (bright or dark):
        return False
    beyond_N = np.zeros(len(sample_NC), np.bool_)
    for channel, value in enumerate(color_C):
        beyond_N |= sample_NC[:, channel] > value if bright else sample_NC[:, channel] < value
    return bool(beyond_N.mean() <= _EXCEPTION)


def _equal(image_HWC: NDArray[np.generic], color_C: NDArray[np.generic]) -> NDArray[np.bool_]:
    equal_HW = image_HWC[..., 0] == color_C[0]
    for channel in range(1, len(color_C)):
        equal_HW &= image_HWC[..., channel] == color_C[channel]
    return np.asarray(equal_HW, np.bool_)


def _scattered(mask_HW: NDArray[np.bool_]) -> int:
    """Pixels that lie in no region, as those of clipped noise do."""
    opened_HW = morphed(mask_HW, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    return int(np.count_nonzero(mask_HW)) - int(np.count_nonzero(opened_HW))


def _surely_scattered(image_HWC: NDArray[np.generic], color_C: NDArray[np.generic]) -> bool:
    """Whether an eighth of a large image's rows has twice as many scattered pixels as fill may have."""
    tops = range(0, len(image_HWC) - _BAND, 8 * _BAND)
    if len(tops) < 3:
        return False
    scattered = sum(_scattered(_equal(image_HWC[top : top + _BAND], color_C)) for top in tops)
    equal_HW = _equal(sampled(image_HWC), color_C)
    allowed = _SCATTERED * float(equal_HW.mean()) * image_HWC.shape[1]
    return bool(scattered > 2 * allowed * len(tops) * _BAND)


def _sampled(image_HWC: NDArray[np.generic], where_HW: NDArray[np.bool_] | None) -> NDArray[np.generic]:
    values_HWC = sampled(image_HWC)
    return values_HWC.reshape(-1, values_HWC.shape[-1]) if where_HW is None else values_HWC[sampled(where_HW)]


def _beside_glass(
    image_HWC: NDArray[np.generic],
    rest_HW: NDArray[np.bool_],
    rest_NC: NDArray[np.generic],
    color_C: NDArray[np.generic],
    mask_HW: NDArray[np.bool_],
) -> bool:
    """Whether the rest has glass of its own, darker than the color; or the color is black, and it alone."""
    white = white_level(image_HWC, rest_HW)
    rest = density(rest_NC.astype(np.float32), white)
    if not color_C.any():
        return bool(np.mean(over_channels(np.minimum, rest) > _BLACKISH) <= _EXCEPTION)
    fill_C = np.maximum(density(color_C.astype(np.float32)[None], white)[0], 0)
    glass = background(rest, _PALLOR)
    if glass.pallor > _PALLOR:
        # Tissue alone, or glass too dark to be believed, which is told. Neither ends along rows and columns.
        return _is_top(color_C) and straight(mask_HW)
    if (glass.density_C < fill_C).any():
        return False
    mean_N = mean_of_channels(rest)
    way = float(glass.density_C.mean() - fill_C.mean())
    near_N = mean_N[np.abs(mean_N - glass.density_C.mean()) < max(_NARROW, way / 2)]
    if not near_N.size:
        return False
    deviation = robust_deviation(near_N)
    between = float(np.mean(mean_N < fill_C.mean() + _BETWEEN * way))
    if straight(mask_HW):
        return between <= _RINGING and deviation <= 2 * _NARROW and way >= 2 * deviation
    if between > _RINGING or deviation > _NARROW or way < 4 * deviation:
        return False
    if turned(mask_HW):
        return True
    # White glass beside pale tissue has a border like that too.
    gray = bool(np.ptp(glass.density_C - fill_C) < _TINTED)
    return gray and between <= _EXCEPTION


def _is_top(color_C: NDArray[np.generic]) -> bool:
    """Whether all channels are at the end of an integer type's range."""
    if color_C.dtype.kind not in "iu":
        return False
    return bool(min(color_C.tolist()) == np.iinfo(str(color_C.dtype)).max)


def _above(values_NC: NDArray[np.generic]) -> NDArray[np.float64]:
    return -values_NC.astype(np.float64)


def _apart(rest_NC: NDArray[np.generic], color_1C: NDArray[np.generic]) -> bool:
    """Whether a color lies under the rest, in some channel with a gap as wide as the rest's own tail."""
    low_C, tail_C = np.quantile(rest_NC.astype(np.float64), (0.01, 0.1), axis=0)
    color_C = color_1C[0].astype(np.float64)
    if (color_C > low_C).any():
        return False
    gap_C = low_C - color_C
    apart_C = (gap_C > 0) & (gap_C >= tail_C - low_C)
    if not apart_C.any():
        return False
    between_NC = rest_NC.astype(np.float64) < color_C + (1 - 2 * _BETWEEN) * gap_C
    return bool(between_NC[:, apart_C].all(axis=1).mean() <= _EXCEPTION)
