"""Statistics of the values of channels, wherever in the patch they are: of each, and of two together."""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


def channel_intensity(images_NCHW: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Moments, quantiles and robust spread of every channel, [N, C] each.

    `skewness` and `kurtosis` (excess) are ratios of plain moments, and 0 where a channel is constant; `mad`
    is the median absolute deviation from the median, unscaled.
    """
    values_NCP = _pixels(images_NCHW)
    centered_NCP = values_NCP - values_NCP.mean(axis=-1, keepdims=True)
    squared_NCP = centered_NCP**2
    variance_NC = np.where(_varies(values_NCP), squared_NCP.mean(axis=-1), 0)
    third_NC = (squared_NCP * centered_NCP).mean(axis=-1)
    fourth_NC = (squared_NCP**2).mean(axis=-1)
    quantiles_QNC = np.quantile(values_NCP, QUANTILES, axis=-1)
    median_NC1 = quantiles_QNC[QUANTILES.index(0.5)][..., None]
    return {
        "mean": values_NCP.mean(axis=-1),
        "std": np.sqrt(variance_NC),
        "skewness": quotient_or_zero(third_NC, variance_NC**1.5),
        "kurtosis": quotient_or_zero(fourth_NC - 3 * variance_NC**2, variance_NC**2),
        **{f"q{100 * q:02.0f}": at_NC for q, at_NC in zip(QUANTILES, quantiles_QNC, strict=True)},
        "mad": np.median(np.abs(values_NCP - median_NC1), axis=-1),
    }


def between_channels(images_NCHW: NDArray[np.float64]) -> dict[tuple[int, ...], NDArray[np.float64]]:
    """Pearson's correlation of every two channels over the pixels, [N] each; 0 where one is constant."""
    values_NCP = _pixels(images_NCHW)
    centered_NCP = values_NCP - values_NCP.mean(axis=-1, keepdims=True)
    length_NC = np.where(_varies(values_NCP), np.sqrt((centered_NCP**2).sum(axis=-1)), 0)
    return {
        (first, second): quotient_or_zero(
            np.einsum("np,np->n", centered_NCP[:, first], centered_NCP[:, second]),
            length_NC[:, first] * length_NC[:, second],
        )
        for first, second in combinations(range(values_NCP.shape[1]), 2)
    }


def saturation(images_NCHW: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Mean and standard deviation over the pixels of (largest - smallest channel) / largest, [N] each.

    What HSV calls saturation, for any number of channels; 0 where the largest channel is not above 0.
    """
    values_NCP = _pixels(images_NCHW)
    largest_NP = values_NCP.max(axis=1)
    above_NP = np.maximum(largest_NP, 0)
    share_NP = quotient_or_zero(largest_NP - values_NCP.min(axis=1), above_NP)
    return {"mean": share_NP.mean(axis=-1), "std": share_NP.std(axis=-1)}


def quotient_or_zero(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> NDArray[np.float64]:
    """Elementwise quotient, 0 where the denominator is 0: what is constant has no shape of its own."""
    quotient: NDArray[np.float64] = np.divide(
        numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0
    )
    return quotient


def _pixels(images_NCHW: NDArray[np.float64]) -> NDArray[np.float64]:
    return images_NCHW.reshape(*images_NCHW.shape[:2], -1)


def _varies(values_NCP: NDArray[np.float64]) -> NDArray[np.bool_]:
    # Not by the variance, which rounding keeps above 0.
    varies_NC: NDArray[np.bool_] = values_NCP.max(axis=-1) > values_NCP.min(axis=-1)
    return varies_NC
