"""Area resampling."""

from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from patching.geometry import Size

T = TypeVar("T", bound=np.generic)
_KNOWN = (np.uint8, np.uint16, np.int16, np.float32, np.float64)
_EXACT = 2  # bytes of an integer that a float32 holds
_NOISE = 1e-5  # of shares of a pixel
_CHANNELS = 4  # OpenCV resamples at most this many together


def area_resize(image_HWC: NDArray[T], size: Size, out_HWC: NDArray[T] | None = None) -> NDArray[T]:
    """Shrink by averaging areas, keeping dtype and any number of channels; into `out_HWC` if it is given.

    Types that OpenCV does not know pass through float64; its weights have the precision of float32.
    """
    dtype, (height, width) = image_HWC.dtype, (size.height, size.width)
    result_HWC = np.empty((height, width, image_HWC.shape[-1]), dtype) if out_HWC is None else out_HWC
    source = image_HWC if dtype in _KNOWN else image_HWC.astype(np.float64)
    for first in range(0, source.shape[-1], _CHANNELS):
        part = np.ascontiguousarray(source[..., first : first + _CHANNELS])
        if part.shape[-1] == result_HWC.shape[-1] and dtype in _KNOWN:
            cv2.resize(part, (width, height), dst=result_HWC, interpolation=cv2.INTER_AREA)
            return result_HWC
        mean_HWC = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)
        rounded = np.rint(mean_HWC) if dtype.kind in "iu" else mean_HWC
        result_HWC[..., first : first + _CHANNELS] = rounded.reshape(height, width, -1)
    return result_HWC


def shrink(image_HWC: NDArray[np.generic], factor: int) -> NDArray[np.generic]:
    """Average blocks of `factor` pixels a side; the last row and column are filled up by their edge."""
    if factor == 1:
        return image_HWC
    padded_HWC = _filled_up(image_HWC, factor)
    return area_resize(padded_HWC, Size(padded_HWC.shape[1] // factor, padded_HWC.shape[0] // factor))


def covered_resize(
    image_HWC: NDArray[T], covered_HW: NDArray[np.bool_], size: Size
) -> tuple[NDArray[T], NDArray[np.bool_]]:
    """Shrink by averaging what is covered, and the coverage: true where at least half of a pixel's area is.

    Pixels that are covered all over, or not at all, are as `area_resize` makes them.
    """
    mean_HWC = area_resize(image_HWC, size)
    if covered_HW.all():
        return mean_HWC, np.ones(mean_HWC.shape[:2], np.bool_)
    share_HW = area_resize(covered_HW[..., None].astype(np.float32), size)[..., 0]
    mixed_HW = (share_HW > _NOISE) & (share_HW < 1 - _NOISE)
    if mixed_HW.any():
        wide = np.float32 if image_HWC.dtype.itemsize <= _EXACT else np.float64
        seen_HWC: NDArray[Any] = np.where(covered_HW[..., None], image_HWC, 0).astype(wide)
        seen_MC = area_resize(seen_HWC, size)[mixed_HW] / share_HW[mixed_HW][:, None]
        mean_HWC[mixed_HW] = np.rint(seen_MC) if image_HWC.dtype.kind in "iu" else seen_MC
    return mean_HWC, share_HW > 0.5 - _NOISE


def covered_shrink(
    image_HWC: NDArray[np.generic], covered_HW: NDArray[np.bool_], factor: int
) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """Average what is covered of blocks of `factor` pixels a side, as `shrink` does; and the coverage."""
    if factor == 1:
        return image_HWC, covered_HW
    padded_HWC, known_HW1 = _filled_up(image_HWC, factor), _filled_up(covered_HW[..., None], factor)
    size = Size(padded_HWC.shape[1] // factor, padded_HWC.shape[0] // factor)
    return covered_resize(padded_HWC, known_HW1[..., 0], size)


def _filled_up(image_HWC: NDArray[T], factor: int) -> NDArray[T]:
    """With the last row and column repeated until `factor` divides both sides."""
    down, right = (-length % factor for length in image_HWC.shape[:2])
    return np.pad(image_HWC, ((0, down), (0, right), (0, 0)), mode="edge") if down or right else image_HWC


def shrunk(image_HWC: NDArray[T], longest: int) -> NDArray[T]:
    """The image with at most `longest` pixels a side; smaller ones stay as they are."""
    height, width = image_HWC.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return image_HWC
    return area_resize(image_HWC, Size(max(1, round(width * scale)), max(1, round(height * scale))))
