"""The intervals that are shown, of simulated cohorts: those of `models.metrics.intervals`, part by part."""

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from benchmarks.intervals.cohorts import N_GROUPS, Cohort, Setting, Truth
from benchmarks.intervals.tally import Mean, Tally
from models.metrics.accuracy import ratio
from models.metrics.cross_fit import cross_fitted_worst
from models.metrics.draws import drawn_ends
from models.metrics.spread import Shares, over_trainings, shares_of
from models.metrics.worst_group import Pair, difference_ends, group_ends, worst_difference_ends, worst_ends

DRAWS = 1000
TAIL = 0.025


class Ours:
    """Counts of one setting and size."""

    def __init__(self, setting: Setting, first: Truth, second: Truth, n_patients: int) -> None:
        self.first, self.second = first, second
        self.training = setting.repeats > 1
        self.tallies: dict[str, Tally] = defaultdict(Tally)
        self.means: dict[str, Mean] = defaultdict(Mean)
        chance_P = np.full(n_patients, 1 / n_patients)
        drawn_DP = np.random.default_rng(1).multinomial(n_patients, chance_P, size=DRAWS)
        self.weights_WP = np.concatenate([np.ones((1, n_patients)), drawn_DP])

    def add(self, cohort: Cohort) -> None:
        """Count the intervals of all cohorts."""
        one, two = (_shares(right, cohort.count_CPG) for right in (cohort.first_CPRG, cohort.second_CPRG))
        self._method("first", one, self.first)
        self._method("second", two, self.second)
        self._difference(Pair(one, two, self.training, by_repeat=True))
        if not self.training:
            self._bias(one, cohort)
        first_WCR, second_WCR = (
            self._balanced(cohort, right) for right in (cohort.first_CPRG, cohort.second_CPRG)
        )
        patients_C = one.patients_G.min(axis=-1)
        self._drawn("first gba", first_WCR, patients_C, self.first.gba)
        self._drawn("second gba", second_WCR, patients_C, self.second.gba)
        self._drawn("gba difference", first_WCR - second_WCR, patients_C, self.first.gba - self.second.gba)

    def _balanced(self, cohort: Cohort, right_CPRG: NDArray[np.float64]) -> NDArray[np.float64]:
        """GBA of every draw, the first of them all patients, cohort and repeat."""
        right_WCRG = np.tensordot(self.weights_WP, right_CPRG.swapaxes(0, 1), axes=1)
        count_WCG = np.tensordot(self.weights_WP, cohort.count_CPG.swapaxes(0, 1), axes=1)
        balanced_WCR: NDArray[np.float64] = ratio(right_WCRG, count_WCG[:, :, None]).mean(axis=-1)
        return balanced_WCR

    def _method(self, name: str, shares: Shares, truth: Truth) -> None:
        self.tallies[f"{name} wga"].add(*worst_ends(shares, TAIL, training=self.training), truth.wga)
        low_CG, high_CG = group_ends(shares, TAIL, training=self.training)
        for g, accuracy in enumerate(truth.accuracy_G.tolist()):
            self.tallies[f"{name} group {g}"].add(low_CG[:, g], high_CG[:, g], accuracy)
        low_CG, high_CG = group_ends(shares, TAIL / N_GROUPS, training=self.training)
        missed_CG = (low_CG > truth.accuracy_G) | (truth.accuracy_G > high_CG)
        # As an interval of the groups that are missed, which holds 0 or does not.
        missed_C = missed_CG.any(axis=1).astype(np.float64)
        self.tallies[f"{name} groups jointly"].add(missed_C, np.ones_like(missed_C), 0.0)

    def _difference(self, pair: Pair) -> None:
        gain = self.first.wga - self.second.wga
        self.tallies["wga difference"].add(*worst_difference_ends(pair, TAIL), gain)
        low_CG, high_CG = difference_ends(pair, TAIL)
        for g, change in enumerate((self.first.accuracy_G - self.second.accuracy_G).tolist()):
            self.tallies[f"group difference {g}"].add(low_CG[:, g], high_CG[:, g], change)

    def _bias(self, shares: Shares, cohort: Cohort) -> None:
        low_C, high_C = worst_ends(shares, TAIL, training=False)
        for c, plug_in in enumerate(shares.mean_G.min(axis=-1).tolist()):
            found_R = cross_fitted_worst(cohort.first_CPRG[c], cohort.count_CPG[c][:, None], seed=c)
            cross = float(found_R.mean())
            self.means["plug-in"].add(plug_in - self.first.wga)
            self.means["cross-fitted"].add(cross - self.first.wga)
            self.means["cross-fitted outside"].add(float(not low_C[c] <= cross <= high_C[c]))

    def _drawn(
        self, name: str, values_WCR: NDArray[np.float64], patients_C: NDArray[np.float64], truth: float
    ) -> None:
        for c, patients in enumerate(patients_C.tolist()):
            whole_R, values_D = values_WCR[0, c], values_WCR[1:, c].mean(axis=1)
            trainings = [over_trainings(whole_R)] if self.training else []
            ends = drawn_ends(values_D, float(whole_R.mean()), TAIL, patients, trainings)
            self.tallies[name].add(*ends, truth)


def _shares(right_CPRG: NDArray[np.float64], count_CPG: NDArray[np.float64]) -> Shares:
    """Of all cohorts together."""
    right_PRCG = right_CPRG.transpose(1, 2, 0, 3)
    count_PRCG = np.repeat(count_CPG.swapaxes(0, 1)[:, None], right_PRCG.shape[1], axis=1)
    estimable_CG = (count_CPG > 0).sum(axis=1) > 1
    return shares_of(right_PRCG, count_PRCG, estimable_CG)
