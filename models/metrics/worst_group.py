"""Intervals of the worst group's accuracy, and of the difference of two methods' worst groups.

The lowest of several accuracies is biased down, in every draw of patients again, so that percentiles of
draws miss it. Its ends are made of those of the groups: the worst group lies above the lowest of the lower
ends, and below every upper end. For how many groups the upper ends must hold together is read from the data
(moment selection: Andrews and Soares 2010; bounds of a minimum: Chernozhukov, Lee and Rosen 2013).

Arrays may have further axes before that of the groups, for cohorts that are simulated together.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.metrics.spread import Shares, Spread, over_patients, over_trainings, together, wilson

_SURELY_BETTER = 0.025
"""Chance at which a group is taken for better than the worst one, though it is not."""
Ends = tuple[NDArray[np.float64], NDArray[np.float64]]


class Pair(NamedTuple):
    """Differences of the groups of two methods.

    Attributes:
        first, second: the two.
        training: whether the ends hold for other trainings too.
        by_repeat: whether repeat r of the one belongs to repeat r of the other.
    """

    first: Shares
    second: Shares
    training: bool
    by_repeat: bool

    def of(self, chosen_G: NDArray[np.bool_]) -> "Pair":
        """The differences of some groups."""
        return self._replace(first=self.first.of(chosen_G), second=self.second.of(chosen_G))

    def apart(self) -> tuple[NDArray[np.float64], Spread]:
        """The first's groups minus the second's, group by group, with their spread, [G]."""
        one, two = self.first, self.second
        difference_G = one.mean_G - two.mean_G
        if self.by_repeat:
            changes = [one.accuracy_RG - two.accuracy_RG]
        else:
            changes = [one.accuracy_RG, two.accuracy_RG]
        patients_G = np.minimum(one.patients_G, two.patients_G)
        spreads = [over_patients(one.influence_PG - two.influence_PG, patients_G, difference_G)]
        spreads += [over_trainings(values_RG) for values_RG in changes] if self.training else []
        return difference_G, together(spreads)

    def table(self) -> tuple[NDArray[np.float64], Spread]:
        """All differences and their spread, [H, G]: groups of the second by groups of the first."""
        n_groups = self.second.patients_G.shape[-1]
        rows = [self._replace(second=self.second.alone(np.array(h))).apart() for h in range(n_groups)]
        variance, freedom = (np.stack([spread[part] for _, spread in rows]) for part in (0, 1))
        return np.stack([difference_G for difference_G, _ in rows]), Spread(variance, freedom)


def group_ends(shares: Shares, tail: float | NDArray[np.float64], *, training: bool) -> Ends:
    """Ends of every group's accuracy, [G] each."""
    mean_G, patients_G = shares.mean_G, shares.patients_G
    spreads = [over_patients(shares.influence_PG, patients_G, 0.5 - mean_G)]
    spreads += [over_trainings(shares.accuracy_RG)] if training else []
    return wilson(mean_G, together(spreads), patients_G, shares.patches_G, tail)


def worst_ends(shares: Shares, tail: float, *, training: bool) -> Ends:
    """Both ends of the worst group's accuracy; NaN where a group has none."""
    low_G, _ = group_ends(shares, tail, training=training)
    _, high_G = group_ends(shares, tail / _rivals(shares, training=training)[..., None], training=training)
    return low_G.min(axis=-1), high_G.min(axis=-1)


def difference_ends(pair: Pair, tail: float) -> Ends:
    """Ends of every group's difference, [G] each, inside -1..1."""
    difference_G, spread = pair.apart()
    reach_G = spread.reach(tail)
    return (difference_G - reach_G).clip(-1), (difference_G + reach_G).clip(None, 1)


def worst_difference_ends(pair: Pair, tail: float) -> Ends:
    """Both ends of the first's worst group minus the second's, inside -1..1; NaN where a group has none.

    The difference is the lowest, over the first's groups, of the highest, over the second's, of all
    differences; each end is that of the differences' own ends. A method differs from itself by 0 exactly.
    """
    difference_HG, spread = pair.table()
    first, second = (_rivals(shares, training=pair.training) for shares in (pair.first, pair.second))
    low_HG = difference_HG - spread.reach(tail / second[..., None])
    high_HG = difference_HG + spread.reach(tail / first[..., None])
    return low_HG.max(axis=0).min(axis=-1).clip(-1), high_HG.min(axis=-1).max(axis=0).clip(None, 1)


def _rivals(shares: Shares, *, training: bool) -> NDArray[np.float64]:
    """How many groups may be the worst: those not surely better than the one of the lowest mean."""
    lowest = shares.alone(shares.mean_G.argmin(axis=-1))
    difference_G, spread = Pair(shares, lowest, training=training, by_repeat=True).apart()
    count: NDArray[np.int64] = (difference_G <= spread.reach(_SURELY_BETTER)).sum(axis=-1)
    return np.maximum(count, 1.0)
