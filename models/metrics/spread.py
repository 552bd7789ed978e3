"""How far a share of patches would move with other patients, and with other trainings.

A share, the accuracy of a group, is a sum of right patches over a sum of patches. What one patient adds to it
(its influence) gives its variance without a draw: the sandwich estimate for samples of clusters.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from models.metrics.accuracy import ratio

_EXTRA = 0.5
"""Patients that a variance is given beyond those seen. Where nearly all patches are right, ten patients may
hold none of those that a method fails on. Half a patient more, with half of the patches right, takes the
interval of an accuracy of 0.9 from 0.91 coverage to 0.98, and makes intervals wider by a fiftieth."""
_FEWEST = 2.0
"""Effective patients of any group: of fewer no spread is known."""


class Spread(NamedTuple):
    """A variance, and the degrees of freedom that it is known with."""

    variance: NDArray[np.float64]
    freedom: NDArray[np.float64]

    def reach(self, tail: ArrayLike) -> NDArray[np.float64]:
        """How far an end lies from the estimate, by Student's t; `tail` is the chance beyond it."""
        return self.quantile(tail) * np.sqrt(self.variance)

    def quantile(self, tail: ArrayLike) -> NDArray[np.float64]:
        """Of Student's t, positive."""
        return np.asarray(-stdtrit(self.freedom, np.asarray(tail)), dtype=np.float64)


class Shares(NamedTuple):
    """Accuracies of G groups in R repeats, over P patients; NaN where a group is not estimable.

    Arrays may have further axes before that of the groups, for cohorts that are simulated together.

    Attributes:
        accuracy_RG: of every repeat.
        influence_PG: what each patient adds to the mean over the repeats; sums to 0.
        patches_G: tested at least once.
        patients_G: effective number, see `effective_patients`.
    """

    accuracy_RG: NDArray[np.float64]
    influence_PG: NDArray[np.float64]
    patches_G: NDArray[np.float64]
    patients_G: NDArray[np.float64]

    @property
    def mean_G(self) -> NDArray[np.float64]:
        """Over the repeats in which a group has patches."""
        return mean_of_defined(self.accuracy_RG)

    def of(self, chosen_G: NDArray[np.bool_]) -> "Shares":
        """Those of some groups."""
        return Shares(*(part[..., chosen_G] for part in self))

    def alone(self, group: NDArray[np.int64]) -> "Shares":
        """One group, to stand against any number; of cohorts simulated together, one of each."""
        parts = []
        for part in self:
            places = (1,) * (part.ndim - 1 - group.ndim)
            parts.append(np.take_along_axis(part, group.reshape(*places, *group.shape, 1), axis=-1))
        return Shares(*parts)


def shares_of(
    correct_PRG: NDArray[np.float64], count_PRG: NDArray[np.float64], estimable_G: NDArray[np.bool_]
) -> Shares:
    """Accuracies with their influences, of sums per patient."""
    total_RG = count_PRG.sum(axis=0)
    accuracy_RG = np.where(estimable_G, ratio(correct_PRG.sum(axis=0), total_RG), np.nan)
    influence_PRG = ratio(correct_PRG - np.nan_to_num(accuracy_RG) * count_PRG, total_RG)
    return Shares(
        accuracy_RG=accuracy_RG,
        influence_PG=np.where(estimable_G, mean_of_defined(influence_PRG.swapaxes(0, 1)), np.nan),
        patches_G=count_PRG.max(axis=1).sum(axis=0),
        patients_G=effective_patients(count_PRG.mean(axis=1)),
    )


def effective_patients(count_PX: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many patients of equally many patches tell as much (Kish 1965), at least 2; NaN for fewer than two.

    Where few patients hold most patches the variance is known less well than their number says (Carter,
    Schnepel and Steigerwald 2017), and Student's t takes this number in its place.
    """
    effective_X = ratio(count_PX.sum(axis=0) ** 2, (count_PX**2).sum(axis=0))
    return np.where((count_PX > 0).sum(axis=0) > 1, np.maximum(effective_X, _FEWEST), np.nan)


def mean_of_defined(values_RX: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the first axis without NaN; NaN where there is nothing else."""
    return ratio(np.nansum(values_RX, axis=0), (~np.isnan(values_RX)).sum(axis=0))


def over_patients(
    influence_PX: NDArray[np.float64], patients_X: NDArray[np.float64], unseen_X: NDArray[np.float64]
) -> Spread:
    """Of a share or a difference of shares, with other patients.

    Args:
        influence_PX: of every patient.
        patients_X: effective number.
        unseen_X: how far half a patient more would lie from the estimate.
    """
    seen_X = (influence_PX**2).sum(axis=0) + _EXTRA * (unseen_X / patients_X) ** 2
    return Spread(seen_X * patients_X / (patients_X - 1), patients_X - 1)


def over_trainings(values_RX: NDArray[np.float64]) -> Spread:
    """Of a mean over repeats, with other trainings: from how the repeats differ on the same patients."""
    n_X = (~np.isnan(values_RX)).sum(axis=0)
    squared_X = np.nansum((values_RX - mean_of_defined(values_RX)) ** 2, axis=0)
    return Spread(ratio(squared_X, (n_X - 1) * n_X), n_X - 1.0)


def together(spreads: Sequence[Spread]) -> Spread:
    """Independent variances added, with Satterthwaite's (1946) degrees of freedom."""
    variance, uncertain = np.zeros(()), np.zeros(())
    for each in spreads:
        variance = variance + each.variance
        uncertain = uncertain + ratio(each.variance**2, each.freedom)
    # Without any variance there is nothing to be uncertain of.
    return Spread(variance, np.where(variance > 0, ratio(variance**2, uncertain), spreads[0].freedom))


def wilson(
    share_G: NDArray[np.float64],
    spread: Spread,
    patients_G: NDArray[np.float64],
    patches_G: NDArray[np.float64],
    tail: ArrayLike,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both ends of Wilson's (1927) interval of shares of clustered patches, inside 0..1.

    The number of trials is that of independent patches which would have this variance (Dean and Pagano 2015;
    Franco et al. 2019), and Student's t stands for the normal quantile.

    Args:
        share_G, spread: the shares and their variances.
        patients_G, patches_G: effective patients; patches, which no number of trials exceeds.
        tail: chance beyond each end.
    """
    with_half_G = (patients_G * share_G + _EXTRA / 2) / (patients_G + _EXTRA)
    independent_G = ratio(with_half_G * (1 - with_half_G), spread.variance)
    # Where the variance is not known (of one training alone, say), neither are the trials.
    trials_G = np.where(spread.variance == 0, patches_G, np.minimum(independent_G, patches_G))
    pull_G = spread.quantile(tail) ** 2 / trials_G
    middle_G = (share_G + pull_G / 2) / (1 + pull_G)
    reach_G = np.sqrt(share_G * (1 - share_G) * pull_G + pull_G**2 / 4) / (1 + pull_G)
    # Where all patches are right or wrong, an end is the share itself but for the last digit.
    low_G, high_G = np.minimum(middle_G - reach_G, share_G), np.maximum(middle_G + reach_G, share_G)
    return low_G.clip(0), high_G.clip(None, 1)
