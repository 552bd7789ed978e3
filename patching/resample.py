"""Area resampling."""

from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from patching.geometry import Size

T = TypeVar("T", bound=np.generic)
_KNOWN = (np.uint8, np.uint16, np.int16, np.float32, np.float64)
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
    height, width = image_HWC.shape[:2]
    rows, columns = -(-height // factor), -(-width // factor)
    padding = ((0, rows * factor - height), (0, columns * factor - width), (0, 0))
    padded = np.pad(image_HWC, padding, mode="edge") if padding[0][1] or padding[1][1] else image_HWC
    return area_resize(padded, Size(columns, rows))


def shrunk(image_HWC: NDArray[T], longest: int) -> NDArray[T]:
    """The image with at most `longest` pixels a side; smaller ones stay as they are."""
    height, width = image_HWC.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return image_HWC
    return area_resize(image_HWC, Size(max(1, round(width * scale)), max(1, round(height * scale))))
