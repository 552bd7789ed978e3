"""The Brier score of every group, from sums per patient: how far probabilities are from what is there."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.metrics.accuracy import checked_groups, estimable_groups, ratio


@dataclass(frozen=True)
class BrierStatistics:
    """Per-patient sums of P patients, R repeats (seeds) and G groups, for a bootstrap of the Brier score.

    Attributes:
        patients: identifiers, ascending.
        squared_PRG: sums of (P(label = 1) - label)².
        count_PRG: patches.
        estimable_G: groups whose own score is told.
    """

    patients: tuple[str, ...]
    squared_PRG: NDArray[np.float64]
    count_PRG: NDArray[np.float64]
    estimable_G: NDArray[np.bool_]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the metrics in the order of `metrics`."""
        return (*(f"group_{g}" for g in range(len(self.estimable_G))), "brier")

    def metrics(self, weights_DP: NDArray[np.float64], /) -> NDArray[np.float64]:
        """The score of every group, and of all patches together, [D, R, G + 1]; NaN where undefined.

        Args:
            weights_DP: how often every patient is in a draw.
        """
        squared_DRG = np.tensordot(weights_DP, self.squared_PRG, axes=1)
        count_DRG = np.tensordot(weights_DP, self.count_PRG, axes=1)
        group_DRG = np.where(self.estimable_G, ratio(squared_DRG, count_DRG), np.nan)
        whole_DR = ratio(squared_DRG.sum(axis=-1), count_DRG.sum(axis=-1))
        return np.concatenate([group_DRG, whole_DR[..., None]], axis=-1)


def brier_statistics(
    label: ArrayLike,
    probability: ArrayLike,
    group: ArrayLike,
    patient: ArrayLike,
    n_groups: int,
    *,
    minimum_patches: int = 1,
    minimum_patients: int = 2,
) -> BrierStatistics:
    """Sums per patient of N patches of two classes (Brier 1950; the half of his score for two classes).

    Args:
        label: 0 or 1 of every patch, [N].
        probability: P(label = 1), [N] or [R, N]; NaN where a repeat did not test the patch.
        group: group number of every patch, [N].
        patient: patient of every patch, [N].
        n_groups: how many groups there are.
        minimum_patches, minimum_patients: a group with fewer is not estimable.

    Raises:
        GroupError: arrays of different length, or group numbers outside 0..n_groups-1.
    """
    label_N, probability_RN = np.asarray(label), np.atleast_2d(np.asarray(probability, dtype=np.float64))
    names_P, patient_N = np.unique(np.asarray(patient).astype(str), return_inverse=True)
    group_N = checked_groups(group, n_groups, label_N, probability_RN, patient_N)
    tested_RN = ~np.isnan(probability_RN)
    squared_RN = np.where(tested_RN, (probability_RN - label_N) ** 2, 0.0)
    cell_N, shape = patient_N * n_groups + group_N, (len(names_P), n_groups)
    seen_N = tested_RN.any(axis=0)
    estimable_G = estimable_groups(
        group_N[seen_N],
        n_groups,
        patient=patient_N[seen_N],
        minimum_patches=minimum_patches,
        minimum_patients=minimum_patients,
    )
    return BrierStatistics(
        patients=tuple(names_P.tolist()),
        squared_PRG=_sums(cell_N, squared_RN, shape),
        count_PRG=_sums(cell_N, tested_RN, shape),
        estimable_G=estimable_G,
    )


def _sums(cell_N: NDArray[np.int64], weight_RN: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Weights summed over the patches of every patient, repeat and group, [P, R, G]."""
    tables = [np.bincount(cell_N, row_N, shape[0] * shape[1]).reshape(shape) for row_N in weight_RN]
    return np.stack(tables, axis=1).astype(np.float64)
