"""The operating threshold: above which told probability a patch counts as tumor."""

import numpy as np
from numpy.typing import NDArray

from patching.errors import AlgorithmError

_ROUNDING = 1e-12
"""Of sums of weights."""


def balanced_threshold(
    probability_N: NDArray[np.float64], label_N: NDArray[np.int64], weight_N: NDArray[np.float64]
) -> float:
    """Threshold with the largest mean of sensitivity and specificity; of equals the one nearest to 0.5.

    Args:
        probability_N: as told.
        label_N: 0 or 1.
        weight_N: of every patch; both classes weigh alike.
    """
    cut_T, above_T2 = _cuts(probability_N, label_N, weight_N)
    gain_T = above_T2[:, 1] - above_T2[:, 0]
    best_T = cut_T[gain_T >= gain_T.max() - _ROUNDING]
    return float(best_T[np.argmin(np.abs(best_T - 0.5))])


def sensitive_threshold(
    probability_N: NDArray[np.float64],
    label_N: NDArray[np.int64],
    weight_N: NDArray[np.float64],
    sensitivity: float,
) -> float:
    """Largest threshold that at least this share of tumor exceeds; see `balanced_threshold`.

    Raises:
        AlgorithmError: more tumor has a probability of 0.
    """
    cut_T, above_T2 = _cuts(probability_N, label_N, weight_N)
    enough_T = cut_T[above_T2[:, 1] >= sensitivity - _ROUNDING]
    if not enough_T.size:
        raise AlgorithmError(
            has=f"sensitivity {above_T2[:, 1].max():.3g} at every threshold: other tumor has probability 0",
            needs=f"{sensitivity:g} on validation",
            do="ask for less, or train a network that is less sure",
        )
    return float(enough_T.max())


def _cuts(
    probability_N: NDArray[np.float64], label_N: NDArray[np.int64], weight_N: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """0.5 and thresholds between any two probabilities, ascending, and the share of each class above them.

    Returns:
        [T] and [T, 2].
    """
    found = np.unique([0.0, *probability_N, 1.0])
    cut_T = np.unique([*(found[1:] + found[:-1]) / 2, 0.5])
    cut_T = cut_T[(cut_T > 0) & (cut_T < 1)]
    share_T2 = np.empty((len(cut_T), 2))
    for k in (0, 1):
        order_M = np.argsort(probability_N[label_N == k], kind="stable")
        ascending_M = probability_N[label_N == k][order_M]
        weight_M = np.concatenate([[0.0], np.cumsum(weight_N[label_N == k][order_M])])
        share_T2[:, k] = 1 - weight_M[np.searchsorted(ascending_M, cut_T, side="right")] / weight_M[-1]
    return cut_T, share_T2
