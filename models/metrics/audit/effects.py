"""How an outcome of patches differs between the bins of an attribute, where other things are equal.

A linear model with a constant for every stratum and one for every bin (a linear probability model where the
outcome is 0 or 1), whose errors are those of patients, not of patches: what each patient adds to a constant
gives its variance (Liang and Zeger 1986), as for the accuracy of a group (models.metrics.spread).

What is made of it: the tie, the share of the outcome's variation within strata that the bins tell, as a
correlation. Of labels and without strata it is Cramér's V of the table. And the differences between bins.
"""

from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.metrics.accuracy import ratio
from models.metrics.audit.bins import NONE, estimable_bins
from models.metrics.spread import Spread, effective_patients, over_patients

_IDENTIFIED = 1e-6


class Tie(NamedTuple):
    """How much of an outcome the bins tell, 0 (nothing) to 1 (all); NaN where it cannot be told."""

    estimate: float
    low: float
    high: float


class Gap(NamedTuple):
    """The outcome's mean in the bin `high` minus that in the bin `low`, at equal strata."""

    low_bin: int
    high_bin: int
    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class Effects:
    """The outcome in the B bins of an attribute; NaN and False where a bin is not estimable.

    Attributes:
        mean_B: the outcome's plain mean.
        count_B, patients_B: patches and patients, also where not estimable.
        constant_B: the outcome's mean at equal strata, but for a constant; 0 where not estimable.
        pair_C2: the C pairs of estimable bins that strata leave to be told apart.
        difference_C, spread_C: second minus first of each pair, at equal strata, and its variance.
        explained: share of the variation within strata that bins tell, without what chance alone gives.
        explained_spread: its variance.
    """

    mean_B: NDArray[np.float64]
    count_B: NDArray[np.int64]
    patients_B: NDArray[np.int64]
    constant_B: NDArray[np.float64]
    pair_C2: NDArray[np.int64]
    difference_C: NDArray[np.float64]
    spread_C: Spread
    explained: float
    explained_spread: Spread

    def tie(self, level: float) -> Tie:
        """With its interval over patients."""
        reach = float(self.explained_spread.reach((1 - level) / 2))
        ends = (self.explained, self.explained - reach, self.explained + reach)
        return Tie(*(float(np.sqrt(np.clip(end, 0, 1))) for end in ends))

    @property
    def speaks_for_B(self) -> NDArray[np.int64]:
        """1 where the outcome is more frequent than average at equal strata, else 0; NONE: not known."""
        known_B = np.isfinite(self.mean_B)
        average = float(ratio(self.constant_B @ (self.count_B * known_B), (self.count_B * known_B).sum()))
        return np.where(known_B, self.constant_B > average, NONE).astype(np.int64)

    def sure_C(self, level: float, others: int = 0) -> NDArray[np.float64]:
        """How far every difference surely lies from 0, all pairs together (Bonferroni), below 0 where not.

        Args:
            others: pairs of other bins that are read together with these.
        """
        n_pairs = len(self.pair_C2) + others
        return np.abs(self.difference_C) - self.spread_C.reach((1 - level) / 2 / max(n_pairs, 1))

    def gap(self, level: float, others: int = 0) -> Gap | None:
        """The two bins most surely apart, else those furthest apart; the interval holds for all pairs."""
        if not len(self.pair_C2):
            return None
        sure_C = self.sure_C(level, others)
        # Where nothing is told, the largest difference is shown, not the one of the narrowest interval.
        place = int(np.argmax(sure_C if (sure_C > 0).any() else np.abs(self.difference_C)))
        one, other = self.pair_C2[place].tolist()
        tail = (1 - level) / 2 / (len(self.pair_C2) + others)
        difference = float(self.difference_C[place])
        reach = float(self.spread_C.reach(tail)[place])
        if difference < 0:
            one, other, difference = other, one, -difference
        # Where strata hold few of a bin, the linear model reaches beyond what shares can differ.
        ends = np.clip([difference, difference - reach, difference + reach], -1, 1).tolist()
        return Gap(one, other, *ends)


def binned_effects(
    outcome: ArrayLike,
    bin_N: NDArray[np.int64],
    n_bins: int,
    *,
    patient: NDArray[np.int64],
    stratum: NDArray[np.int64] | None = None,
    minimum_patches: int = 1,
    minimum_patients: int = 2,
) -> Effects:
    """The effects of N patches. Time grows with N and with patients times bins and strata.

    Args:
        outcome: 0 or 1, [N].
        bin_N: bin of every patch, 0 to n_bins - 1, or NONE.
        patient: number of every patch's patient, [N], from 0 on.
        stratum: number of what is to be equal, [N], from 0 on; none: patches are compared as they are.
        minimum_patches, minimum_patients: a bin with fewer is left out.
    """
    n_patients = int(patient.max(initial=-1)) + 1
    minimums = {"minimum_patches": minimum_patches, "minimum_patients": minimum_patients}
    estimable_B = estimable_bins(bin_N, n_bins, patient, **minimums)
    known = bin_N != NONE
    count_B = np.bincount(bin_N[known], minlength=n_bins)
    table = np.bincount(patient[known] * n_bins + bin_N[known], minlength=n_patients * n_bins)
    count_PB = table.reshape(n_patients, n_bins)
    outcome_N = np.asarray(outcome, dtype=np.float64)
    mean_B = ratio(np.bincount(bin_N[known], weights=outcome_N[known], minlength=n_bins), count_B)
    kept = known & np.append(estimable_B, False)[bin_N]
    stratum_N = np.zeros(len(bin_N), np.int64) if stratum is None else stratum
    fit = _Fit(outcome_N[kept], bin_N[kept], patient[kept], stratum_N[kept], n_bins, n_patients)
    pair_C2, difference_C, spread_C = fit.differences(np.flatnonzero(estimable_B))
    explained, spread = fit.explained()
    return Effects(
        mean_B=np.where(estimable_B, mean_B, np.nan),
        count_B=count_B,
        patients_B=(count_PB > 0).sum(axis=0),
        constant_B=fit.constant_B,
        pair_C2=pair_C2,
        difference_C=difference_C,
        spread_C=spread_C,
        explained=explained,
        explained_spread=spread,
    )


class _Fit:
    """Least squares within strata, by the normal equations of the bins."""

    def __init__(
        self,
        outcome_M: NDArray[np.float64],
        bin_M: NDArray[np.int64],
        patient_M: NDArray[np.int64],
        stratum_M: NDArray[np.int64],
        n_bins: int,
        n_patients: int,
    ) -> None:
        n_strata = int(stratum_M.max(initial=0)) + 1
        size_S = np.bincount(stratum_M, minlength=n_strata)
        count_SB = np.bincount(stratum_M * n_bins + bin_M, minlength=n_strata * n_bins)
        count_SB = count_SB.reshape(n_strata, n_bins)
        share_SB = np.nan_to_num(ratio(count_SB, size_S[:, None]))
        mean_S = np.nan_to_num(ratio(np.bincount(stratum_M, weights=outcome_M, minlength=n_strata), size_S))
        centered_M = outcome_M - mean_S[stratum_M]
        self.normal_BB = np.diag(count_SB.sum(axis=0)) - share_SB.T @ (size_S[:, None] * share_SB)
        self.inverse_BB = np.linalg.pinv(self.normal_BB, hermitian=True)
        sums_B = np.bincount(bin_M, weights=centered_M, minlength=n_bins)
        self.constant_B = self.inverse_BB @ sums_B
        fitted_M = self.constant_B[bin_M] - (share_SB @ self.constant_B)[stratum_M]
        left_M = centered_M - fitted_M
        own_PB, own_PS = (
            np.bincount(patient_M * n + number_M, weights=left_M, minlength=n_patients * n).reshape(-1, n)
            for number_M, n in ((bin_M, n_bins), (stratum_M, n_strata))
        )
        self.score_PB = own_PB - own_PS @ share_SB
        counts = np.bincount(patient_M * n_bins + bin_M, minlength=n_patients * n_bins)
        self.count_PB = counts.reshape(n_patients, n_bins).astype(np.float64)
        self.variation = float(centered_M @ centered_M)
        squares_P, left_P = (
            np.bincount(patient_M, weights=part_M**2, minlength=n_patients) for part_M in (centered_M, left_M)
        )
        self.raw = 1 - float(left_P.sum()) / self.variation if self.variation > 0 else np.nan
        self.gain_P = squares_P - left_P - np.nan_to_num(self.raw) * squares_P

    def differences(self, bin_E: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64], Spread]:
        """Pairs of bins, the second's constant minus the first's, and the variance of that."""
        pairs = np.array(list(combinations(bin_E.tolist(), 2)), dtype=np.int64).reshape(-1, 2)
        contrast_CB = np.zeros((len(pairs), len(self.normal_BB)))
        places = np.arange(len(pairs))
        contrast_CB[places, pairs[:, 0]], contrast_CB[places, pairs[:, 1]] = -1, 1
        # What strata tell already (a bin that is a stratum) has no difference of its own.
        told_CB = contrast_CB @ self.normal_BB @ self.inverse_BB
        identified_C = np.abs(told_CB - contrast_CB).max(axis=1, initial=0) < _IDENTIFIED
        pairs, contrast_CB = pairs[identified_C], contrast_CB[identified_C]
        difference_C = contrast_CB @ self.constant_B
        patients_C = effective_patients(self.count_PB)[pairs].min(axis=1)
        influence_PC = self.score_PB @ (self.inverse_BB @ contrast_CB.T)
        return pairs, difference_C, over_patients(influence_PC, patients_C, difference_C)

    def explained(self) -> tuple[float, Spread]:
        """Share of the variation within strata that bins tell, less what they would by chance; its variance.

        Chance gives tr(G⁻¹ Σ), Σ the scores' variance over patients: of patches that are all independent, as
        much as Bergsma (2013) takes off Cramér's V.
        """
        (patients,) = effective_patients(self.count_PB.sum(axis=1, keepdims=True))
        if not self.variation > 0 or np.isnan(patients):
            return np.nan, Spread(np.array(np.nan), np.array(np.nan))
        scale = patients / (patients - 1) / self.variation
        noise_BB = self.inverse_BB @ (self.score_PB.T @ self.score_PB) * scale
        explained = max(self.raw - float(np.trace(noise_BB)), 0.0)
        moved = over_patients(self.gain_P / self.variation, patients, np.array(explained))
        variance = moved.variance + 2 * float((noise_BB * noise_BB.T).sum())
        return explained, Spread(variance, moved.freedom)
