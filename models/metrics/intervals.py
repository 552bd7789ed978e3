"""Confidence intervals over patients, and over trainings where there are several.

Accuracies of groups, of the worst one, and their differences have intervals in closed form; every other
metric has one from draws of patients with replacement. docs/intervals.md says why, and how often each covers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.metrics.cross_fit import cross_fitted_worst
from models.metrics.draws import drawn, drawn_ends
from models.metrics.patients import PatientStatistics as PatientStatistics
from models.metrics.patients import PatientSums as PatientSums
from models.metrics.patients import patient_statistics as patient_statistics
from models.metrics.patients import patients_behind
from models.metrics.spread import mean_of_defined, over_trainings
from models.metrics.worst_group import Ends as GroupEnds
from models.metrics.worst_group import (
    Pair,
    difference_ends,
    group_ends,
    worst_difference_ends,
    worst_ends,
)
from patching.errors import GroupError

FEW_PATIENTS = 10
"""Patients of a group from which on an interval says something. Simulated with five, intervals still cover,
but that of an accuracy is half as wide as all there is, and no difference under 0.3 is told from 0."""
WORST, CROSS_FITTED = "wga", "wga_cross_fitted"
Holds = Literal["patients", "patients and training"]
Ends = tuple[float, float]


@dataclass(frozen=True)
class Interval:
    """A metric with its interval.

    Attributes:
        estimate: on all patients, averaged over repeats; NaN where undefined or not estimable.
        low, high: ends of the interval; NaN where there is none.
        level: coverage of this interval, 0..1; for groups after Bonferroni's correction.
        undefined_share: share of draws of patients in which the metric is undefined.
        spread: standard deviation of the repeats (seeds) on all patients; NaN for one repeat.
        holds: what might have been otherwise: the patients, or the trainings too.
        patients: in the group behind the metric that has the fewest; none where it was not counted.
    """

    estimate: float
    low: float
    high: float
    level: float
    undefined_share: float
    spread: float
    holds: Holds = "patients"
    patients: int | None = None

    @property
    def excludes_zero(self) -> bool:
        """Whether a difference is told from 0 at this level."""
        return self.low > 0 or self.high < 0

    @property
    def few_patients(self) -> bool:
        """Whether a group behind the metric has too few patients to lean on its interval."""
        return self.patients is not None and self.patients < FEW_PATIENTS


def bootstrap(
    statistics: PatientSums, *, n_draws: int = 2000, level: float = 0.95, seed: int = 0
) -> dict[str, Interval]:
    """Intervals of every metric, by its name; those of groups hold together (Bonferroni over the estimable).

    A metric is that of each repeat, averaged. `wga`, the lowest accuracy of a group, is biased down by its
    minimum; its interval is not. `wga_cross_fitted` is beside it: nearly unbiased, and of the same interval.
    """
    whole_RM = _of_all(statistics)
    told = _Told(statistics, [whole_RM], whole_RM, drawn(statistics, n_draws, seed), level)
    if not isinstance(statistics, PatientStatistics):
        return told.intervals({}, None)
    shares, tails = statistics.shares(), told.tails
    ends = group_ends(shares, tails.group, training=told.training)
    judged = shares.of(statistics.estimable_G)
    worst = worst_ends(judged, tails.one, training=told.training) if statistics.estimable_G.any() else None
    return told.intervals(_named(ends, worst), _cross_fitted(statistics, seed))


def paired_difference(
    first: PatientSums,
    second: PatientSums,
    *,
    n_draws: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Intervals of first minus second, both on the same draws of the same patients.

    Methods with the same number of repeats are compared repeat by repeat, others by their means.

    Raises:
        GroupError: the two are not of the same patches' groups and patients.
    """
    _require_same_patches(first, second)
    wholes = [_of_all(statistics) for statistics in (first, second)]
    by_repeat = len(wholes[0]) == len(wholes[1])
    if by_repeat:
        change_RM = wholes[0] - wholes[1]
    else:
        change_RM = (mean_of_defined(wholes[0]) - mean_of_defined(wholes[1]))[None]
    values_DM = drawn(first, n_draws, seed) - drawn(second, n_draws, seed)
    told = _Told(first, [change_RM] if by_repeat else wholes, change_RM, values_DM, level, lowest=-1)
    if not (isinstance(first, PatientStatistics) and isinstance(second, PatientStatistics)):
        return told.intervals({}, None)
    both_G, tails = first.estimable_G & second.estimable_G, told.tails
    pair = Pair(first.shares(), second.shares(), told.training, by_repeat)
    worst = worst_difference_ends(pair.of(both_G), tails.one) if both_G.any() else None
    found = [_cross_fitted(statistics, seed) for statistics in (first, second)]
    change_R = found[0] - found[1] if by_repeat else mean_of_defined(found[0]) - mean_of_defined(found[1])
    return told.intervals(_named(difference_ends(pair, tails.group), worst), np.atleast_1d(change_R))


class _Tails(NamedTuple):
    """Chance beyond each end: of one metric, and of a group among all."""

    one: float
    group: float


@dataclass(frozen=True)
class _Told:
    """What intervals are made of.

    Attributes:
        statistics: whose metrics and patients they are of.
        changes: values whose variation between repeats is that between trainings, [R, M] each.
        whole_RM: on all patients, of every repeat.
        values_DM: of every draw of patients.
        level: coverage.
        lowest: the least that a share can be, or a difference of two.
    """

    statistics: PatientSums
    changes: Sequence[NDArray[np.float64]]
    whole_RM: NDArray[np.float64]
    values_DM: NDArray[np.float64]
    level: float
    lowest: int = 0

    @property
    def training(self) -> bool:
        """Whether there are repeats to tell the variation between trainings from."""
        return all(len(values_RM) > 1 for values_RM in self.changes)

    @property
    def tails(self) -> _Tails:
        one = (1 - self.level) / 2
        return _Tails(one, one / max(int(self.statistics.estimable_G.sum()), 1))

    def intervals(
        self, closed: Mapping[str, Ends], cross_R: NDArray[np.float64] | None
    ) -> dict[str, Interval]:
        """Of every metric: with the ends that are given, or else with those of the draws."""
        found: dict[str, Interval] = {}
        for m, name in enumerate(self.statistics.names):
            found[name] = self._interval(m, closed.get(name))
            if name == WORST and cross_R is not None:
                estimate, spread = float(mean_of_defined(cross_R)), _deviation(cross_R)
                found[CROSS_FITTED] = replace(found[name], estimate=estimate, spread=spread)
        return found

    def _interval(self, m: int, closed: Ends | None) -> Interval:
        whole_R, values_D, tails = self.whole_RM[:, m], self.values_DM[:, m], self.tails
        estimate = float(mean_of_defined(whole_R))
        behind = patients_behind(self.statistics, m)
        tail = tails.group if m < len(self.statistics.estimable_G) else tails.one
        if closed is None:
            between = [over_trainings(values_RM[:, m]) for values_RM in self.changes] if self.training else []
            closed = drawn_ends(values_D, estimate, tail, behind.effective, between, behind.fewest)
            if not self.statistics.names[m].startswith("slope"):
                closed = max(closed[0], self.lowest), min(closed[1], 1)
        # The mean of the repeats' lowest groups can lie outside of ends made of the groups' means.
        low, high = min(closed[0], estimate), max(closed[1], estimate)
        return Interval(
            estimate=estimate,
            low=low,
            high=high,
            level=1 - 2 * tail,
            undefined_share=float(np.isnan(values_D).mean()),
            spread=_deviation(whole_R),
            holds="patients and training" if self.training else "patients",
            patients=behind.fewest,
        )


def _of_all(statistics: PatientSums) -> NDArray[np.float64]:
    """Every metric of all patients, in every repeat, [R, M]."""
    (whole_RM,) = statistics.metrics(np.ones((1, len(statistics.patients))))
    return np.asarray(whole_RM, dtype=np.float64)


def _require_same_patches(first: PatientSums, second: PatientSums) -> None:
    tested = [statistics.count_PRG.max(axis=1) for statistics in (first, second)]
    if first.patients != second.patients or not np.array_equal(*tested):
        raise GroupError(
            has=f"{len(first.patients)} and {len(second.patients)} patients, with "
            f"{tested[0].sum(axis=0).astype(int).tolist()} and {tested[1].sum(axis=0).astype(int).tolist()} "
            "patches in the groups",
            needs="predictions of the same patches by both methods",
            do="compare runs on the same split and threshold",
        )


def _cross_fitted(statistics: PatientStatistics, seed: int) -> NDArray[np.float64]:
    """Of every repeat, [R]."""
    own_G = statistics.estimable_G
    return cross_fitted_worst(statistics.correct_PRG[..., own_G], statistics.count_PRG[..., own_G], seed)


def _named(groups: GroupEnds, worst: GroupEnds | None) -> dict[str, Ends]:
    """Ends by the names of metrics; those of the worst group are not there without an estimable one."""
    ends = zip(*(part_G.tolist() for part_G in groups), strict=True)
    found = {f"group_{g}": pair for g, pair in enumerate(ends)}
    return found | {WORST: (np.nan, np.nan) if worst is None else (float(worst[0]), float(worst[1]))}


def _deviation(values_R: NDArray[np.float64]) -> float:
    defined = values_R[~np.isnan(values_R)]
    return float(defined.std(ddof=1)) if len(defined) > 1 else np.nan
