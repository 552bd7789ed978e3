"""Other ways to make the same intervals, from shared draws of patients, all cohorts at once.

For accuracies and differences of groups: percentiles, expanded percentiles (Hesterberg 2015), bias-corrected
and accelerated ones (BCa, Efron 1987), Student's t around the estimate, basic (percentiles mirrored at the
estimate). For the worst group: the same of the lowest, and the groups' ends put together in other ways.
"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtrit

from benchmarks.intervals.cohorts import N_GROUPS, Cohort, Truth
from benchmarks.intervals.tally import Tally
from models.metrics.accuracy import ratio

DRAWS = 2000
TAIL = 0.025
Ends = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class Resampled:
    """A figure of C cohorts, of any further shape X.

    Attributes:
        drawn_DCX: in every draw of patients, ascending.
        estimate_CX: on all patients.
        without_PCX: on all patients but one.
        patients_CX: behind it.
    """

    drawn_DCX: NDArray[np.float64]
    estimate_CX: NDArray[np.float64]
    without_PCX: NDArray[np.float64]
    patients_CX: NDArray[np.float64]

    def percentile(self, low_CX: NDArray[np.float64], high_CX: NDArray[np.float64]) -> Ends:
        """Quantiles of the draws at these chances."""
        return self._quantile(low_CX), self._quantile(high_CX)

    def ends(self, way: str, tail: float) -> Ends:
        """Of one of WAYS."""
        plain_CX, expanded_CX = np.full_like(self.estimate_CX, tail), self._expanded(tail)
        if way == "percentile":
            return self.percentile(plain_CX, 1 - plain_CX)
        if way == "expanded":
            return self.percentile(expanded_CX, 1 - expanded_CX)
        if way == "basic":
            low_CX, high_CX = self.percentile(plain_CX, 1 - plain_CX)
            return 2 * self.estimate_CX - high_CX, 2 * self.estimate_CX - low_CX
        if way == "BCa":
            return self.percentile(self._accelerated(tail), self._accelerated(1 - tail))
        inflation_CX = self.patients_CX / (self.patients_CX - 1)
        deviation_CX = self.drawn_DCX.std(axis=0) * np.sqrt(inflation_CX)
        reach_CX = -stdtrit(self.patients_CX - 1, tail) * deviation_CX
        return self.estimate_CX - reach_CX, self.estimate_CX + reach_CX

    def _expanded(self, tail: float) -> NDArray[np.float64]:
        inflation_CX = np.sqrt(self.patients_CX / (self.patients_CX - 1))
        return np.asarray(ndtr(inflation_CX * stdtrit(self.patients_CX - 1, tail)), dtype=np.float64)

    def _accelerated(self, chance: float) -> NDArray[np.float64]:
        below_CX = (self.drawn_DCX < self.estimate_CX).mean(axis=0)
        tied_CX = (self.drawn_DCX == self.estimate_CX).mean(axis=0)
        bias_CX = ndtri(np.clip(below_CX + tied_CX / 2, 1 / DRAWS, 1 - 1 / DRAWS))
        change_PCX = self.without_PCX.mean(axis=0) - self.without_PCX
        power_CX = np.maximum((change_PCX**2).sum(axis=0), 1e-12) ** 1.5
        moved_CX = bias_CX + ndtri(chance)
        acceleration_CX = (change_PCX**3).sum(axis=0) / (6 * power_CX)
        return np.asarray(ndtr(bias_CX + moved_CX / (1 - acceleration_CX * moved_CX)), dtype=np.float64)

    def _quantile(self, chance_CX: NDArray[np.float64]) -> NDArray[np.float64]:
        place_CX = chance_CX * (len(self.drawn_DCX) - 1)
        floor_CX = np.floor(place_CX).astype(int)
        after_CX = np.minimum(floor_CX + 1, len(self.drawn_DCX) - 1)
        low_CX, high_CX = (
            np.take_along_axis(self.drawn_DCX, at_CX[None], axis=0)[0] for at_CX in (floor_CX, after_CX)
        )
        return low_CX + (place_CX - floor_CX) * (high_CX - low_CX)


WAYS = ("percentile", "basic", "BCa", "expanded", "t")


class Candidates:
    """Counts of one setting and size; without trainings."""

    def __init__(self, first: Truth, second: Truth, n_patients: int) -> None:
        self.first, self.second = first, second
        rng = np.random.default_rng(0)
        drawn_DP = rng.multinomial(n_patients, np.full(n_patients, 1 / n_patients), size=DRAWS)
        # Without draws of one label alone, which have no worst group.
        both_D = (drawn_DP[:, ::2].sum(axis=1) > 0) & (drawn_DP[:, 1::2].sum(axis=1) > 0)
        self.weights_WP = np.concatenate(
            [np.ones((1, n_patients)), 1 - np.eye(n_patients), drawn_DP[both_D].astype(np.float64)]
        )
        self.tallies: dict[str, Tally] = defaultdict(Tally)

    def add(self, cohort: Cohort) -> None:
        """Count the intervals of all cohorts whose draws hold every group."""
        one_WCG, two_WCG = (
            self._accuracy(right_CPRG[:, :, 0], cohort.count_CPG)
            for right_CPRG in (cohort.first_CPRG, cohort.second_CPRG)
        )
        whole_C = ~(np.isnan(one_WCG).any(axis=(0, 2)))
        one_WCG, two_WCG = one_WCG[:, whole_C], two_WCG[:, whole_C]
        patients_CG = (cohort.count_CPG[whole_C] > 0).sum(axis=1).astype(np.float64)
        groups = self._resampled(one_WCG, patients_CG)
        changes = self._resampled(one_WCG - two_WCG, patients_CG)
        lowest = self._resampled(one_WCG.min(axis=2), patients_CG.min(axis=1))
        apart = self._resampled(one_WCG.min(axis=2) - two_WCG.min(axis=2), patients_CG.min(axis=1))
        for way in WAYS:
            self._groups("first group", way, groups.ends(way, TAIL), self.first.accuracy_G)
            change_G = self.first.accuracy_G - self.second.accuracy_G
            self._groups("group difference", way, changes.ends(way, TAIL), change_G)
            self._one("first wga", way, lowest.ends(way, TAIL), self.first.wga)
            self._one("wga difference", way, apart.ends(way, TAIL), self.first.wga - self.second.wga)
        for way in ("percentile", "expanded"):
            low_CG, high_CG = groups.ends(way, TAIL)
            _, together_CG = groups.ends(way, TAIL / N_GROUPS)
            low_C = low_CG.min(axis=1)
            self._one("first wga", f"lowest ends, {way}", (low_C, high_CG.min(axis=1)), self.first.wga)
            joint = (low_C, together_CG.min(axis=1))
            self._one("first wga", f"lowest ends, upper jointly, {way}", joint, self.first.wga)

    def _accuracy(
        self, right_CPG: NDArray[np.float64], count_CPG: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        right_WCG, count_WCG = (
            np.tensordot(self.weights_WP, part.swapaxes(0, 1), axes=1) for part in (right_CPG, count_CPG)
        )
        return ratio(right_WCG, count_WCG)

    def _resampled(self, values_WCX: NDArray[np.float64], patients_CX: NDArray[np.float64]) -> Resampled:
        n_patients = self.weights_WP.shape[1]
        whole_CX, without_PCX, drawn_DCX = np.split(values_WCX, [1, 1 + n_patients])
        return Resampled(np.sort(drawn_DCX, axis=0), whole_CX[0], without_PCX, patients_CX)

    def _groups(self, name: str, way: str, ends: Ends, truth_G: NDArray[np.float64]) -> None:
        for g, truth in enumerate(truth_G.tolist()):
            self.tallies[f"{name} {g}|{way}"].add(ends[0][:, g], ends[1][:, g], truth)

    def _one(self, name: str, way: str, ends: Ends, truth: float) -> None:
        self.tallies[f"{name}|{way}"].add(*ends, truth)
