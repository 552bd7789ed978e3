"""Texture by co-occurrence: which gray levels lie side by side (Haralick, Shanmugam and Dinstein 1973)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from skimage.feature import graycomatrix, graycoprops

_ANGLES = (0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
_PROPERTIES = ("contrast", "homogeneity", "energy", "correlation")
_ENDS = (0.01, 0.99)


def channel_cooccurrence(
    images_NCHW: NDArray[np.float64], distances: Sequence[int], levels: int
) -> dict[str, NDArray[np.float64]]:
    """Contrast, homogeneity, energy and correlation at every distance, [N, C] each.

    Means over four directions of symmetric pairs; scikit-image computes them. Each channel of each patch is
    cut into `levels` equal steps between its own 1 % and 99 % quantile, so that texture does not depend on
    brightness, nor on other patches. A constant channel has contrast 0 and the rest 1.
    """
    n, channels = images_NCHW.shape[:2]
    gray_MHW = gray_levels(images_NCHW.reshape(-1, *images_NCHW.shape[2:]), levels)
    tables = [
        graycomatrix(gray_HW, distances, _ANGLES, levels=levels, symmetric=True, normed=True)
        for gray_HW in gray_MHW
    ]
    # The properties take any number of distances: all patches' are put side by side.
    together = np.concatenate(tables, axis=2)
    found: dict[str, NDArray[np.float64]] = {}
    for name in _PROPERTIES:
        value_MD = graycoprops(together, name).mean(axis=1).reshape(n, channels, len(distances))
        found |= {f"{name}_{distance}": value_MD[..., d] for d, distance in enumerate(distances)}
    return found


def gray_levels(planes_MHW: NDArray[np.float64], levels: int) -> NDArray[np.uint8]:
    """Level 0 to `levels` - 1 of every pixel, in equal steps between the plane's 1 % and 99 % quantile."""
    low_M11, high_M11 = np.quantile(planes_MHW, _ENDS, axis=(1, 2), keepdims=True)
    differ_M11 = high_M11 > low_M11
    place_MHW = np.floor((planes_MHW - low_M11) / np.where(differ_M11, high_M11 - low_M11, 1) * levels)
    # Where both are one value, all above it are of the highest level: two kinds of pixels stay two.
    place_MHW = np.where(differ_M11 | (planes_MHW <= low_M11), place_MHW, levels - 1)
    gray_MHW: NDArray[np.uint8] = np.clip(place_MHW, 0, levels - 1).astype(np.uint8)
    return gray_MHW
