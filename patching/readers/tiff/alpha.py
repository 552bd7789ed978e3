"""Transparent pixels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def composited(pixels_HWA: NDArray[Any], background: int) -> NDArray[Any]:
    """Lay uint8 or uint16 pixels with straight alpha in the last channel over a background; drops alpha."""
    full = int(np.iinfo(pixels_HWA.dtype).max)
    alpha_HW1 = pixels_HWA[..., -1:].astype(np.uint32)
    if (alpha_HW1 == full).all():
        return pixels_HWA[..., :-1]
    # A product of two uint16 and half the divisor just fits into uint32.
    color_HWC = pixels_HWA[..., :-1].astype(np.uint32)
    over_HWC = color_HWC * alpha_HW1 + background * (full - alpha_HW1) + full // 2
    return (over_HWC // full).astype(pixels_HWA.dtype)


def opaque(pixels_HWA: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Which pixels are not fully transparent, alpha being the last channel; None where all are."""
    opaque_HW: NDArray[np.bool_] = pixels_HWA[..., -1] > 0
    return None if opaque_HW.all() else opaque_HW
