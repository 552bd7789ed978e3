"""The AUROC of resampled patients: pairs of patches in the right order, counted by their patients."""

import numpy as np
from numpy.typing import NDArray

from models.metrics.accuracy import ratio


def ordered_pairs(
    label_N: NDArray[np.int64], probability_N: NDArray[np.float64], patient_N: NDArray[np.int64], n: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Won and all (positive, negative) pairs by patients, [P, P] each: Mann-Whitney, split up.

    Args:
        patient_N: number of every patch's patient, 0 to n - 1.
        n: how many patients there are.
    """
    positive_N = label_N == 1
    score_N, owner_N = probability_N[positive_N], patient_N[positive_N]
    wins_PP = np.zeros((n, n))
    for q in range(n):
        negatives = np.sort(probability_N[~positive_N & (patient_N == q)])
        below = np.searchsorted(negatives, score_N, side="left")
        not_above = np.searchsorted(negatives, score_N, side="right")
        wins_PP[:, q] = np.bincount(owner_N, weights=(below + not_above) / 2, minlength=n)
    positives_P = np.bincount(owner_N, minlength=n)
    negatives_P = np.bincount(patient_N[~positive_N], minlength=n)
    return wins_PP, np.outer(positives_P, negatives_P).astype(np.float64)


def resampled_auroc(
    weights_DP: NDArray[np.float64], wins_RPP: NDArray[np.float64], pairs_RPP: NDArray[np.float64]
) -> NDArray[np.float64]:
    """AUROC of every draw and repeat, [D, R]; NaN where there is no pair, or none was counted ([R, 0, 0])."""
    if not pairs_RPP.size:
        return np.full((len(weights_DP), len(pairs_RPP)), np.nan)
    wins_DR, pairs_DR = (
        np.stack([((weights_DP @ table_PP) * weights_DP).sum(axis=1) for table_PP in table_RPP], axis=1)
        for table_RPP in (wins_RPP, pairs_RPP)
    )
    return ratio(wins_DR, pairs_DR)
