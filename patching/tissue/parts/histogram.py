"""Where to split values in two classes, judged by their histogram."""

import numpy as np
from numpy.typing import NDArray

_BINS = 256
_ENDS = (0.001, 0.999)
_RARE = 1e-9  # share under which a class is empty but for rounding
_FLAT = 1e-4  # a relative range in which float32 has too few steps for a histogram: 256 bins of three steps


def otsu_threshold(values: NDArray[np.floating]) -> float:
    """Threshold with the largest between-class variance over 256 bins (Otsu 1979).

    Extreme values, 0.1 % at either end, are clipped, so that a hot pixel does not stretch the bins.
    """
    values = np.sort(values, axis=None)
    low, high = _limits_of_sorted(values)
    if _flat(low, high):
        return high
    count_B, edges = _histogram(values, low, high)
    center_B = (edges[:-1] + edges[1:]) / 2
    below_B, total = np.cumsum(count_B), values.size
    mass_B = np.cumsum(count_B * center_B)
    with np.errstate(divide="ignore", invalid="ignore"):
        between_B = (mass_B[-1] * below_B / total - mass_B) ** 2 / (below_B * (total - below_B))
    # Empty bins between two modes tie: their middle is the fairest threshold.
    best = np.flatnonzero(np.nan_to_num(between_B[:-1]) >= np.nanmax(between_B[:-1]) * (1 - 1e-9))
    return float(edges[1:-1][best].mean())


def triangle_threshold(values: NDArray[np.floating]) -> float:
    """Bin farthest from the line between the tallest peak and the longer tail (Zack 1977), 256 bins."""
    low, high = _limits(values)
    if _flat(low, high):
        return high
    from skimage.filters import threshold_triangle  # with SciPy 30 MiB, which one detector needs

    return float(threshold_triangle(np.clip(values, low, high), nbins=_BINS))


def entropy_threshold(values: NDArray[np.floating]) -> float:
    """Threshold with the largest sum of both classes' entropies over 256 bins (Kapur 1985, eq. 17)."""
    from scipy.special import entr  # 20 MiB, which one detector needs

    values = np.sort(values, axis=None)
    low, high = _limits_of_sorted(values)
    if _flat(low, high):
        return high
    count_B, edges = _histogram(values, low, high)
    share_B = count_B / count_B.sum()
    entropy_B = np.cumsum(entr(share_B))
    below_B = np.cumsum(share_B)[:-1]
    above_B = 1 - below_B
    lower_B, upper_B = entropy_B[:-1], entropy_B[-1] - entropy_B[:-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        sum_B = np.log(below_B * above_B) + lower_B / below_B + upper_B / above_B
    sum_B[(below_B < _RARE) | (above_B < _RARE)] = -np.inf
    return float(edges[1:-1][np.argmax(sum_B)])


def _limits(values: NDArray[np.floating]) -> tuple[float, float]:
    low, high = np.quantile(values, _ENDS)
    return low, high


def _limits_of_sorted(sorted_N: NDArray[np.floating]) -> tuple[float, float]:
    """The same to the bit of what is sorted, which NumPy would partition anew."""
    low, high = (_quantile_of_sorted(sorted_N, share) for share in _ENDS)
    return low, high


def _quantile_of_sorted(sorted_N: NDArray[np.floating], share: float) -> float:
    place = share * (sorted_N.size - 1)
    below = int(place)
    low, high, part = sorted_N[below], sorted_N[min(below + 1, sorted_N.size - 1)], place - below
    step = float(high - low)
    # From the nearer end, as NumPy does.
    return float(low) + step * part if part < 0.5 else float(high) - step * (1 - part)


def _flat(low: float, high: float) -> bool:
    return high - low <= _FLAT * max(1.0, abs(high))


def _histogram(
    sorted_N: NDArray[np.floating], low: float, high: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Counts and edges of 256 bins; what lies outside goes to the outermost.

    As `np.histogram` counts, which takes four times as long as to sort and to look the edges up.
    """
    edges = np.histogram_bin_edges(sorted_N, bins=_BINS, range=(low, high))
    below_B = np.searchsorted(sorted_N, edges[1:-1])
    return np.diff(below_B, prepend=0, append=sorted_N.size), edges


def separation(values: NDArray[np.float32], upper: NDArray[np.bool_]) -> float:
    """Distance of the class means in robust standard deviations of the lower class."""
    if upper.all() or not upper.any():
        return 0.0
    low_N = values[~upper]
    return float(values[upper].mean() - low_N.mean()) / max(robust_deviation(low_N), 1e-6)


def highest_background(values: NDArray[np.float32], upper: NDArray[np.bool_]) -> float:
    """Three robust standard deviations above the median of the lower class, which must not be empty."""
    low_N = values[~upper]
    return float(np.median(low_N)) + 3 * robust_deviation(low_N)


def robust_deviation(values: NDArray[np.float32]) -> float:
    """Median absolute deviation, scaled to a Gaussian's standard deviation."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))
