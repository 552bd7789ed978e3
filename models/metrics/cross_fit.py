"""The worst group's accuracy, found on one half of the patients and scored on the other.

The lowest of several estimates is too low by what chance gave it. The accuracy of a group that was the lowest
on other patients is not; it is above the worst group's as far as those patients named the wrong one.
"""

import numpy as np
from numpy.typing import NDArray

from models.metrics.accuracy import ratio
from models.metrics.spread import mean_of_defined

_SPLITS, _FEWEST_SPLITS = 200, 10
"""Splits into halves; fewer of many patients, which halves hardly change."""
_PATIENTS = 20_000
"""Patients in all splits together, above the fewest splits."""


def cross_fitted_worst(
    correct_PRG: NDArray[np.float64], count_PRG: NDArray[np.float64], seed: int
) -> NDArray[np.float64]:
    """Mean over seeded splits, both ways, of every repeat, [R].

    Patients of the same groups are spread over both halves evenly. A split that leaves a group in one half
    alone does not count; NaN where none counts.

    Args:
        correct_PRG, count_PRG: right and all patches of P patients, of estimable groups.
        seed: of the splits.
    """
    n_patients, n_repeats, n_groups = count_PRG.shape
    if not n_groups or n_patients < 2:
        return np.full(n_repeats, np.nan)
    _, pattern_P = np.unique((count_PRG > 0).any(axis=1), axis=0, return_inverse=True)
    n_splits = min(max(_PATIENTS // n_patients, _FEWEST_SPLITS), _SPLITS)
    rng = np.random.default_rng(seed)
    # In a random order within each pattern, every second patient is of the other half. The patterns' order is
    # random too: two patients of patterns of their own would else be of one half in every split.
    place_SP = rng.random((n_splits, pattern_P.max() + 1)).argsort(axis=1)[:, pattern_P]
    order_SP = (place_SP + rng.random((n_splits, n_patients))).argsort(axis=1)
    weights_2SP = np.zeros((2, n_splits, n_patients))
    for half in (0, 1):
        np.put_along_axis(weights_2SP[half], order_SP[:, half::2], 1.0, axis=1)
    correct_2SRG, count_2SRG = (np.tensordot(weights_2SP, part, axes=1) for part in (correct_PRG, count_PRG))
    accuracy_2SRG = ratio(correct_2SRG, count_2SRG)
    worst_2SR1 = accuracy_2SRG.argmin(axis=-1)[..., None]
    scored_2SR = np.take_along_axis(accuracy_2SRG[::-1], worst_2SR1, axis=-1)[..., 0]
    whole_SR = ~np.isnan(accuracy_2SRG).any(axis=(0, 3))
    return mean_of_defined(np.where(whole_SR, scored_2SR.mean(axis=0), np.nan))
