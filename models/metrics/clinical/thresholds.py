"""Patches told as tumor at every threshold of a fine grid, and the net benefit of acting on that."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.metrics.accuracy import checked_groups, ratio

N_STEPS = 1000
"""Steps of a threshold from 0 to 1."""


def threshold_steps() -> NDArray[np.float64]:
    """The thresholds 0, 0.001 to 1, [N_STEPS + 1]: quotients, the doubles that a browser computes too."""
    steps: NDArray[np.float64] = np.arange(N_STEPS + 1) / N_STEPS
    return steps


def steps_exceeded(probability: ArrayLike, group: ArrayLike, n_groups: int) -> NDArray[np.int64]:
    """Patches of every group by how many thresholds of the grid their probability exceeds, [G, N_STEPS + 2].

    A patch is tumor where its probability exceeds the threshold (models.networks.decision): at step k these
    are the patches that exceed more than k thresholds, and so `told_at` counts them. The size is that of the
    grid, whatever the number of patches.

    Args:
        probability: of every patch, [N]; none is NaN.
        group: number of every patch's group, [N].
        n_groups: how many groups there are.

    Raises:
        GroupError: arrays of different length, or group numbers outside 0..n_groups-1.
    """
    probability_N = np.asarray(probability, dtype=np.float64)
    group_N = checked_groups(group, n_groups, probability_N)
    exceeded_N = np.searchsorted(threshold_steps(), probability_N, side="left")
    cell_N, width = group_N * (N_STEPS + 2) + exceeded_N, N_STEPS + 2
    return np.bincount(cell_N, minlength=n_groups * width).reshape(n_groups, width)


def told_at(exceeded_GX: NDArray[np.int64]) -> NDArray[np.int64]:
    """Patches of every group that are tumor at every threshold of the grid, [G, N_STEPS + 1].

    >>> counts = told_at(steps_exceeded([0.2, 0.5, 0.5004], [0, 0, 0], 1))
    >>> counts[0, [0, 199, 200, 500, 501]].tolist()
    [3, 3, 2, 1, 0]
    """
    more_GX = exceeded_GX[:, ::-1].cumsum(axis=1)[:, ::-1]
    return more_GX[:, 1:]


def net_benefit(
    true_positive: ArrayLike, false_positive: ArrayLike, n: int, threshold: ArrayLike
) -> NDArray[np.float64]:
    """Net benefit TP/n - FP/n * t/(1 - t) of acting on every patch above the threshold t.

    Vickers and Elkin, Medical Decision Making 26:565, 2006. Who acts at t gives t/(1-t) of a find for a false
    alarm. To act on nothing has 0; to act on everything, TP and FP are the sizes of the classes. NaN without
    patches, or at t = 1.

    >>> round(float(net_benefit(30, 20, 100, 0.2)), 3)
    0.25
    """
    threshold_T = np.asarray(threshold, np.float64)
    odds_T = ratio(threshold_T, 1 - threshold_T)
    benefit: NDArray[np.float64] = ratio(
        np.asarray(true_positive) - np.asarray(false_positive) * odds_T, np.full(odds_T.shape, n)
    )
    return benefit
