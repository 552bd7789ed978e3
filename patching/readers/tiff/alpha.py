"""Transparent pixels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def composited(pixels_HWA: NDArray[Any], background: int, *, premultiplied: bool = False) -> NDArray[Any]:
    """Lay uint8 or uint16 pixels with alpha in the last channel over a background; drops alpha.

    `premultiplied` tells that the colors hold their share of alpha already.
    """
    full = int(np.iinfo(pixels_HWA.dtype).max)
    alpha_HW1 = pixels_HWA[..., -1:].astype(np.uint32)
    if (alpha_HW1 == full).all():
        return pixels_HWA[..., :-1]
    # A product of two uint16 and half the divisor just fits into uint32.
    color_HWC = pixels_HWA[..., :-1].astype(np.uint32)
    shown_HWC = np.minimum(color_HWC, alpha_HW1) * full if premultiplied else color_HWC * alpha_HW1
    over_HWC = shown_HWC + background * (full - alpha_HW1) + full // 2
    return (over_HWC // full).astype(pixels_HWA.dtype)


def opaque(pixels_HWA: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Which pixels are not fully transparent, alpha being the last channel; None where all are."""
    opaque_HW: NDArray[np.bool_] = pixels_HWA[..., -1] > 0
    return None if opaque_HW.all() else opaque_HW
