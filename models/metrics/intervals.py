"""Confidence intervals by a bootstrap over patients.

Patches of one patient are not independent: a draw takes patients with replacement and keeps all
their patches. Every metric is a function of per-patient sums, so that a draw is a matrix product.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.metrics.accuracy import checked_groups, estimable_groups, ratio
from models.metrics.auroc import ordered_pairs, resampled_auroc
from patching.errors import GroupError


@dataclass(frozen=True)
class Interval:
    """A metric with its percentile interval.

    Attributes:
        estimate: on all patients, averaged over repeats; NaN where undefined or not estimable.
        low, high: ends of the interval; NaN where there is none.
        level: coverage of this interval, 0..1; for groups after Bonferroni's correction.
        undefined_share: share of draws left out because the metric was undefined in them.
        spread: standard deviation of the repeats (seeds) on all patients; NaN for one repeat.
    """

    estimate: float
    low: float
    high: float
    level: float
    undefined_share: float
    spread: float

    @property
    def excludes_zero(self) -> bool:
        """Whether a difference is told from 0 at this level."""
        return self.low > 0 or self.high < 0


class PatientSums(Protocol):
    """Per-patient sums whose metrics can be bootstrapped: P patients, R repeats (seeds), G groups, M metrics.

    The first G metrics are the groups' own; their intervals are Bonferroni's over the estimable ones.
    """

    @property
    def patients(self) -> tuple[str, ...]: ...
    @property
    def count_PRG(self) -> NDArray[np.float64]: ...
    @property
    def estimable_G(self) -> NDArray[np.bool_]: ...
    @property
    def names(self) -> tuple[str, ...]: ...
    def metrics(self, weights_DP: NDArray[np.float64], /) -> NDArray[np.float64]: ...


@dataclass(frozen=True)
class PatientStatistics:
    """Per-patient sums of P patients, R repeats (seeds) and G groups.

    Attributes:
        patients: identifiers, ascending.
        correct_PRG, count_PRG: correct and all patches.
        wins_RPP: pairs (positive patch of patient p, negative patch of patient q) in the right
            order of probability, ties counting half; for the AUROC.
        pairs_RPP: all such pairs; both are [R, 0, 0] where there is no probability.
        estimable_G: groups that WGA and GBA range over.
    """

    patients: tuple[str, ...]
    correct_PRG: NDArray[np.float64]
    count_PRG: NDArray[np.float64]
    wins_RPP: NDArray[np.float64]
    pairs_RPP: NDArray[np.float64]
    estimable_G: NDArray[np.bool_]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the metrics in the order of `metrics`."""
        groups = tuple(f"group_{g}" for g in range(len(self.estimable_G)))
        return (*groups, "wga", "gba", "average", "auroc")

    def metrics(self, weights_DP: NDArray[np.float64]) -> NDArray[np.float64]:
        """Every metric of every draw and repeat, [D, R, G + 4]; NaN where undefined.

        Args:
            weights_DP: how often every patient is in a draw.
        """
        shape = (len(weights_DP), *self.count_PRG.shape[1:])
        n_patients = len(self.patients)
        correct_DRG = (weights_DP @ self.correct_PRG.reshape(n_patients, -1)).reshape(shape)
        count_DRG = (weights_DP @ self.count_PRG.reshape(n_patients, -1)).reshape(shape)
        accuracy_DRG = np.where(self.estimable_G, ratio(correct_DRG, count_DRG), np.nan)
        estimable_DRE = accuracy_DRG[..., self.estimable_G]
        if not estimable_DRE.shape[-1]:
            estimable_DRE = np.full((*shape[:2], 1), np.nan)
        average_DR = ratio(correct_DRG.sum(axis=-1), count_DRG.sum(axis=-1))
        auroc_DR = resampled_auroc(weights_DP, self.wins_RPP, self.pairs_RPP)
        summary = [estimable_DRE.min(axis=-1), estimable_DRE.mean(axis=-1), average_DR, auroc_DR]
        return np.concatenate([accuracy_DRG, np.stack(summary, axis=-1)], axis=-1)


def patient_statistics(
    label: ArrayLike,
    prediction: ArrayLike,
    group: ArrayLike,
    patient: ArrayLike,
    n_groups: int,
    *,
    probability: ArrayLike | None = None,
    minimum_patches: int = 1,
    minimum_patients: int = 2,
) -> PatientStatistics:
    """Sums per patient of N patches, predicted once or in R repeats.

    Args:
        label: true class of every patch, [N].
        prediction: predicted class, [N] or [R, N]; -1 where a repeat did not test the patch.
        group: group number of every patch, [N].
        patient: patient of every patch, [N].
        n_groups: how many groups there are.
        probability: P(label = 1), [N] or [R, N], for the AUROC; without it that is NaN.
        minimum_patches: a group with fewer is not estimable.
        minimum_patients: a group of fewer patients is not estimable; below 2 an interval over
            patients says nothing.

    Raises:
        GroupError: arrays of different length, or group numbers outside 0..n_groups-1.
    """
    label_N, prediction_RN = np.asarray(label), np.atleast_2d(np.asarray(prediction))
    names_P, patient_N = np.unique(np.asarray(patient).astype(str), return_inverse=True)
    group_N = checked_groups(group, n_groups, label_N, prediction_RN, patient_N)
    tested_RN = prediction_RN >= 0
    cell_N, shape = patient_N * n_groups + group_N, (len(names_P), n_groups)
    # Tables of all pairs of patients are large: where thousands of single images are the patients, too large.
    wins_RPP = pairs_RPP = np.zeros((len(prediction_RN), 0, 0))
    if probability is not None:
        score_RN = np.atleast_2d(np.asarray(probability))
        checked_groups(group, n_groups, score_RN)
        rows = zip(score_RN, tested_RN, strict=True)
        pairs = [ordered_pairs(label_N[t], score_N[t], patient_N[t], len(names_P)) for score_N, t in rows]
        wins_RPP, pairs_RPP = (np.stack(table) for table in zip(*pairs, strict=True))
    seen_N = tested_RN.any(axis=0)
    return PatientStatistics(
        patients=tuple(names_P.tolist()),
        correct_PRG=_counts(cell_N, tested_RN & (prediction_RN == label_N), shape),
        count_PRG=_counts(cell_N, tested_RN, shape),
        wins_RPP=wins_RPP,
        pairs_RPP=pairs_RPP,
        estimable_G=estimable_groups(
            group_N[seen_N],
            n_groups,
            patient=patient_N[seen_N],
            minimum_patches=minimum_patches,
            minimum_patients=minimum_patients,
        ),
    )


def bootstrap(
    statistics: PatientSums, *, n_draws: int = 2000, level: float = 0.95, seed: int = 0
) -> dict[str, Interval]:
    """Intervals of `group_0`.. (Bonferroni over the estimable groups), `wga`, `gba`, `average`, `auroc`.

    A repeat's metric is computed inside each draw, then averaged over the repeats. WGA is biased
    down by its minimum, in every draw again: read it beside the groups' intervals.
    """
    draws_DP = _patient_draws(len(statistics.patients), n_draws, seed)
    values_DM = _mean_over_repeats(statistics.metrics(draws_DP))
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
    draws_DP = _patient_draws(len(first.patients), n_draws, seed)
    one, two = (_mean_over_repeats(statistics.metrics(draws_DP)) for statistics in (first, second))
    whole_DP = np.ones((1, len(first.patients)))
    whole_one, whole_two = (statistics.metrics(whole_DP)[0] for statistics in (first, second))
    if whole_one.shape != whole_two.shape:
        # Methods with another number of seeds are compared by their means; a spread has no meaning then.
        whole_one, whole_two = (_mean_over_repeats(whole[None]) for whole in (whole_one, whole_two))
    return _intervals(first, whole_one - whole_two, one - two, level)


def _counts(
    cell_N: NDArray[np.int64], chosen_RN: NDArray[np.bool_], shape: tuple[int, int]
) -> NDArray[np.float64]:
    """Chosen patches of every patient, repeat and group, [P, R, G]."""
    tables = [np.bincount(cell_N[row], minlength=shape[0] * shape[1]).reshape(shape) for row in chosen_RN]
    return np.stack(tables, axis=1).astype(np.float64)


def _patient_draws(n_patients: int, n_draws: int, seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return rng.multinomial(n_patients, np.full(n_patients, 1 / n_patients), size=n_draws).astype(np.float64)


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
