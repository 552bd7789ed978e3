"""Simulated slides whose tissue is known, for tests of detectors. Wider than high, nothing symmetric."""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]
HEIGHT, WIDTH = 240, 340


def blobs(share: float, *, height: int = HEIGHT, width: int = WIDTH, seed: int = 3) -> Mask:
    """Soft-edged regions of this share of the image; little is one region."""
    return _blobs(share, height, width, seed).copy()


@cache
def _blobs(share: float, height: int, width: int, seed: int) -> Mask:
    y, x = np.mgrid[:height, :width]
    field = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((height, width)), 16)
    if share < 0.05:
        field = -((y - 0.62 * height) ** 2 + 1.3 * (x - 0.3 * width) ** 2)
    return np.asarray(field > np.quantile(field, 1 - share), np.bool_)


def texture(mask_HW: Mask, seed: int) -> NDArray[np.float64]:
    return _texture(mask_HW.shape, seed).copy()


@cache
def _texture(shape: tuple[int, ...], seed: int) -> NDArray[np.float64]:
    return np.exp(3 * ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 3))


def stained(
    tissue_HW: Mask,
    glass: tuple[int, int, int] = (242, 240, 241),
    *,
    stain: tuple[int, int, int] = (182, 110, 164),
    noise: float = 3,
    seed: int = 0,
) -> NDArray[np.uint8]:
    """In transmitted light: a stain of the glass's own tint, varied in density."""
    shade = texture(tissue_HW, seed).clip(0.6, 1.1)[..., None] * np.array(stain) * np.array(glass) / 242
    clean = np.where(tissue_HW[..., None], shade, np.array(glass))
    noisy = clean + np.random.default_rng(seed + 1).normal(0, noise, clean.shape)
    return noisy.clip(0, 255).astype(np.uint8)


def glowing(
    tissue_HW: Mask,
    *,
    channels: int = 1,
    telling: tuple[int, ...] | None = None,
    offset: float = 100,
    noise: float = 5,
    signal: float = 60,
    seed: int = 0,
) -> NDArray[np.uint16]:
    """Intensities over a detector's offset; only the telling channels show tissue."""
    rng, planes = np.random.default_rng(seed), []
    for channel in range(channels):
        shown = signal * tissue_HW * texture(tissue_HW, seed + channel)
        tells = telling is None or channel in telling
        planes.append(offset + tells * shown + rng.normal(0, noise, tissue_HW.shape))
    return np.stack(planes, axis=-1).clip(0, 65535).astype(np.uint16)


def scanned(share: float, shape: str = "columns", *, height: int = HEIGHT, width: int = WIDTH) -> Mask:
    """What was scanned, when `share` of it was not: columns at the right, single tiles, or the corners."""
    scanned_HW = np.ones((height, width), np.bool_)
    if shape == "columns":
        scanned_HW[:, width - round(share * width) :] = False
    elif shape == "tiles":
        side = 20
        places = [(y, x) for y in range(0, height, side) for x in range(0, width, side)]
        order = np.random.default_rng(5).permutation(len(places))[: max(1, round(share * len(places)))]
        for y, x in (places[n] for n in order):
            scanned_HW[y : y + side, x : x + side] = False
    else:
        y_H1, x_1W = np.ogrid[:height, :width]
        distance_HW = np.hypot(y_H1 - 0.48 * height, x_1W - 0.52 * width)
        scanned_HW = np.asarray(distance_HW < np.quantile(distance_HW, 1 - share), np.bool_)
    return scanned_HW


def overlap(found_HW: Mask, true_HW: Mask, *, edge: int = 0) -> float:
    """Intersection over union; pixels within `edge` of the true outline do not count."""
    if edge:
        grown = ndimage.binary_dilation(true_HW, iterations=edge)
        counted = ~(grown ^ ndimage.binary_erosion(true_HW, iterations=edge, border_value=1))
        found_HW, true_HW = found_HW & counted, true_HW & counted
    union = np.count_nonzero(found_HW | true_HW)
    return float(np.count_nonzero(found_HW & true_HW) / union) if union else 1.0
