"""Confidence intervals by a bootstrap over patients.

Patches of one patient are not independent: a draw takes patients with replacement and keeps all
their patches. Every metric is a function of per-patient sums, so that a draw is a matrix product.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.metrics.accuracy import ratio
from models.metrics.patients import PatientStatistics as PatientStatistics
from models.metrics.patients import PatientSums as PatientSums
from models.metrics.patients import patient_statistics as patient_statistics
from patching.errors import GroupError

_CELLS = 2**22
"""Draws times patients that are held at once: 32 MiB."""


@dataclass(frozen=True)
class Interval:
    """A metric with its percentile interval.

    Attributes:
        estimate: on all patients, averaged over repeats; NaN where undefined or not estimable.
        low, high: ends of the interval; NaN where there is none.
        level: coverage of this interval, 0..1; for groups after Bonferroni's correction.
        undefined_share: share of draws left out because the metric was undefined in them.
        spread: standard deviation of the repeats (seeds) on all patients; NaN for one repeat.
        holds: what the interval accounts for: that other patients might have been tested, or also that other
            trainings might have been made.
    """

    estimate: float
    low: float
    high: float
    level: float
    undefined_share: float
    spread: float
    holds: Literal["patients", "patients and training"] = "patients"

    @property
    def excludes_zero(self) -> bool:
        """Whether a difference is told from 0 at this level."""
        return self.low > 0 or self.high < 0


def bootstrap(
    statistics: PatientSums, *, n_draws: int = 2000, level: float = 0.95, seed: int = 0
) -> dict[str, Interval]:
    """Intervals of `group_0`.. (Bonferroni over the estimable groups), `wga`, `gba`, `average`, `auroc`.

    A repeat's metric is computed inside each draw, then averaged over the repeats. WGA is biased
    down by its minimum, in every draw again: read it beside the groups' intervals.
    """
    values_DM = _drawn(statistics, n_draws, seed)
    whole_RM = statistics.metrics(np.ones((1, len(statistics.patients))))[0]
    return _intervals(statistics, whole_RM, values_DM, level)


def paired_difference(
    first: PatientSums,
    second: PatientSums,
    *,
    n_draws: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Intervals of first minus second, both on the same draws of the same patients.

    Raises:
        GroupError: the two are not of the same patches' groups and patients.
    """
    tested = [statistics.count_PRG.max(axis=1) for statistics in (first, second)]
    if first.patients != second.patients or not np.array_equal(*tested):
        raise GroupError(
            has=f"{len(first.patients)} and {len(second.patients)} patients, with "
            f"{tested[0].sum(axis=0).astype(int).tolist()} and {tested[1].sum(axis=0).astype(int).tolist()} "
            "patches in the groups",
            needs="predictions of the same patches by both methods",
            do="compare runs on the same split and threshold",
        )
    one, two = (_drawn(statistics, n_draws, seed) for statistics in (first, second))
    whole_DP = np.ones((1, len(first.patients)))
    whole_one, whole_two = (statistics.metrics(whole_DP)[0] for statistics in (first, second))
    if whole_one.shape != whole_two.shape:
        # Methods with another number of seeds are compared by their means; a spread has no meaning then.
        whole_one, whole_two = (_mean_over_repeats(whole[None]) for whole in (whole_one, whole_two))
    return _intervals(first, whole_one - whole_two, one - two, level)


def _drawn(statistics: PatientSums, n_draws: int, seed: int) -> NDArray[np.float64]:
    """Every metric of every draw, [D, M]; the draws are those of the seed and the number of patients."""
    rng, n_patients = np.random.default_rng(seed), len(statistics.patients)
    chance_P, rows = np.full(n_patients, 1 / n_patients), max(1, _CELLS // n_patients)
    found = []
    for first in range(0, n_draws, rows):
        draws_DP = rng.multinomial(n_patients, chance_P, size=min(rows, n_draws - first))
        found.append(_mean_over_repeats(statistics.metrics(draws_DP.astype(np.float64))))
    return np.concatenate(found)


def _mean_over_repeats(values_DRM: NDArray[np.float64]) -> NDArray[np.float64]:
    return ratio(np.nansum(values_DRM, axis=1), (~np.isnan(values_DRM)).sum(axis=1))


def _intervals(
    statistics: PatientSums,
    whole_RM: NDArray[np.float64],
    values_DM: NDArray[np.float64],
    level: float,
) -> dict[str, Interval]:
    n_groups = len(statistics.estimable_G)
    group_level = 1 - (1 - level) / max(int(statistics.estimable_G.sum()), 1)
    estimate_M = _mean_over_repeats(whole_RM[None])[0]
    return {
        name: _interval(float(estimate_M[m]), whole_RM[:, m], values_DM[:, m], own)
        for m, name in enumerate(statistics.names)
        for own in [group_level if m < n_groups else level]
    }


def _interval(
    estimate: float, whole_R: NDArray[np.float64], values_D: NDArray[np.float64], level: float
) -> Interval:
    defined_D, defined_R = values_D[~np.isnan(values_D)], whole_R[~np.isnan(whole_R)]
    tail = (1 - level) / 2
    low, high = np.quantile(defined_D, [tail, 1 - tail]) if defined_D.size else (np.nan, np.nan)
    spread = float(defined_R.std(ddof=1)) if len(defined_R) > 1 else np.nan
    undefined = 1 - len(defined_D) / max(len(values_D), 1)
    return Interval(estimate, float(low), float(high), level, undefined, spread)
