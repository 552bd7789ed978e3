"""Thresholds that split values in two classes."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Threshold = Callable[[NDArray[np.floating]], float]
_FLAT = 1e-5  # a relative range in which float32 has too few steps for a histogram


def otsu_threshold(values: NDArray[np.floating]) -> float:
    """Threshold with the largest between-class variance over 256 bins (Otsu 1979).

    Extreme values, 0.1 % at either end, are clipped, so that a hot pixel does not stretch the bins.
    """
    low, high = np.quantile(values, (0.001, 0.999))
    if high - low <= _FLAT * max(1.0, abs(high)):
        return float(high)
    count_B, edges = np.histogram(np.clip(values, low, high), bins=256, range=(low, high))
    center_B = (edges[:-1] + edges[1:]) / 2
    below_B, total = np.cumsum(count_B), values.size
    mass_B = np.cumsum(count_B * center_B)
    with np.errstate(divide="ignore", invalid="ignore"):
        between_B = (mass_B[-1] * below_B / total - mass_B) ** 2 / (below_B * (total - below_B))
    # Empty bins between two modes tie: their middle is the fairest threshold.
    best = np.flatnonzero(np.nan_to_num(between_B[:-1]) >= np.nanmax(between_B[:-1]) * (1 - 1e-9))
    return float(edges[1:-1][best].mean())


def separation(values: NDArray[np.float32], upper: NDArray[np.bool_]) -> float:
    """Distance of the class means in robust standard deviations of the lower class."""
    if upper.all() or not upper.any():
        return 0.0
    low_N = values[~upper]
    deviation = 1.4826 * float(np.median(np.abs(low_N - np.median(low_N))))
    return float(values[upper].mean() - low_N.mean()) / max(deviation, 1e-6)
