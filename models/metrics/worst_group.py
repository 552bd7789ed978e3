"""Intervals of the worst group's accuracy, and of the difference of two methods' worst groups.

The lowest of several accuracies is biased down, in every draw of patients again, so that percentiles of
draws miss it. Its ends are made of those of the groups: the worst group lies above the lowest of the lower
ends, and below every upper end. For how many groups the upper ends must hold together is read from the data
(moment selection: Andrews and Soares 2010; bounds of a minimum: Chernozhukov, Lee and Rosen 2013).
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

    def with_group(self, h: int) -> tuple[NDArray[np.float64], Spread]:
        """The first's groups minus the second's group h, with their spread, [G]."""
        one, two = self.first, self.second
        other_RG = np.broadcast_to(two.accuracy_RG[:, [h]], two.accuracy_RG.shape)
        difference_G = one.mean_G - two.mean_G[h]
        if self.by_repeat:
            changes = [one.accuracy_RG - other_RG]
        else:
            changes = [one.accuracy_RG, other_RG]
        influence_PG = one.influence_PG - two.influence_PG[:, [h]]
        patients_G = np.minimum(one.patients_G, two.patients_G[h])
        spreads = [over_patients(influence_PG, patients_G, difference_G)]
        spreads += [over_trainings(values_RG) for values_RG in changes] if self.training else []
        return difference_G, together(spreads)

    def table(self) -> tuple[NDArray[np.float64], Spread]:
        """All differences and their spread, [G, H]: groups of the first by groups of the second."""
        columns = [self.with_group(h) for h in range(len(self.second.patients_G))]
        variance, freedom = (np.stack([spread[part] for _, spread in columns], axis=1) for part in (0, 1))
        return np.stack([difference_G for difference_G, _ in columns], axis=1), Spread(variance, freedom)


def group_ends(shares: Shares, tail: float, *, training: bool) -> Ends:
    """Ends of every group's accuracy, [G] each."""
    mean_G, patients_G = shares.mean_G, shares.patients_G
    spreads = [over_patients(shares.influence_PG, patients_G, 0.5 - mean_G)]
    spreads += [over_trainings(shares.accuracy_RG)] if training else []
    return wilson(mean_G, together(spreads), patients_G, shares.patches_G, tail)


def worst_ends(shares: Shares, tail: float, *, training: bool) -> tuple[float, float]:
    """Ends of the worst group's accuracy; NaN without an estimable group, or where one has no ends."""
    if not shares.patients_G.size or np.isnan(shares.mean_G).any():
        return np.nan, np.nan
    low_G, _ = group_ends(shares, tail, training=training)
    _, high_G = group_ends(shares, tail / _rivals(shares, training=training), training=training)
    return float(low_G.min()), float(high_G.min())


def difference_ends(pair: Pair, tail: float) -> Ends:
    """Ends of every group's difference, [G] each, inside -1..1."""
    difference_GG, spread = pair.table()
    reach_GG = spread.reach(tail)
    return np.diag(difference_GG - reach_GG).clip(-1), np.diag(difference_GG + reach_GG).clip(None, 1)


def worst_difference_ends(pair: Pair, tail: float) -> tuple[float, float]:
    """Ends of the first's worst group minus the second's, inside -1..1; NaN as `worst_ends`.

    The difference is the lowest, over the first's groups, of the highest, over the second's, of all
    differences; each end is that of the differences' own ends. A method differs from itself by 0 exactly.
    """
    if not pair.first.patients_G.size or np.isnan(pair.first.mean_G + pair.second.mean_G).any():
        return np.nan, np.nan
    difference_GH, spread = pair.table()
    first, second = (_rivals(shares, training=pair.training) for shares in (pair.first, pair.second))
    low_GH = difference_GH - spread.reach(tail / second)
    high_GH = difference_GH + spread.reach(tail / first)
    low, high = float(low_GH.max(axis=1).min()), float(high_GH.min(axis=0).max())
    return max(low, -1.0), min(high, 1.0)


def _rivals(shares: Shares, *, training: bool) -> int:
    """How many groups may be the worst: those not surely better than the one of the lowest mean."""
    worst = int(shares.mean_G.argmin())
    difference_G, spread = Pair(shares, shares, training=training, by_repeat=True).with_group(worst)
    return int((difference_G - spread.reach(_SURELY_BETTER) <= 0).sum())
