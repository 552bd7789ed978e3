"""The area under the precision-recall curve of resampled patients."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from models.metrics.accuracy import ratio
from models.metrics.auroc import MOST_BINS, score_bins
from models.metrics.patients import PatientStatistics

_CELLS = 2**18
"""Numbers that a chunk of draws takes at once: 2 MiB."""


@dataclass(frozen=True)
class PrecisionStatistics:
    """Per-patient counts in bins of the score, for intervals of the average precision (PatientSums).

    Attributes:
        classes: sums whose groups are the labels 0 and 1.
        counts: of every repeat, sparse [2 * B, P]: of label 0 and then of label 1, B bins in descending order
            of the score. The bins are the different scores, so that equal ones are one step of the curve; of
            more scores than MOST_BINS, neighbors share a bin.
    """

    classes: PatientStatistics
    counts: tuple[csr_array, ...]

    @property
    def patients(self) -> tuple[str, ...]:
        return self.classes.patients

    @property
    def count_PRG(self) -> NDArray[np.float64]:
        return self.classes.count_PRG

    @property
    def estimable_G(self) -> NDArray[np.bool_]:
        return self.classes.estimable_G

    @property
    def names(self) -> tuple[str, ...]:
        """Specificity and sensitivity, and `auprc`."""
        return ("group_0", "group_1", "auprc")

    def metrics(self, weights_DP: NDArray[np.float64], /) -> NDArray[np.float64]:
        """Every metric of every draw and repeat, [D, R, 3]; NaN where undefined, or where a class is not
        estimable.

        Args:
            weights_DP: how often every patient is in a draw.
        """
        right_DR2, count_DR2 = (
            np.tensordot(weights_DP, part_PRG, axes=1)
            for part_PRG in (self.classes.correct_PRG, self.classes.count_PRG)
        )
        area_DR = np.stack([_average_precision(counts_XP, weights_DP) for counts_XP in self.counts], axis=1)
        found_DR3 = np.concatenate([ratio(right_DR2, count_DR2), area_DR[..., None]], axis=-1)
        return np.where([*self.estimable_G, self.estimable_G.all()], found_DR3, np.nan)


def precision_statistics(
    classes: PatientStatistics,
    label: ArrayLike,
    probability: ArrayLike,
    patient: ArrayLike,
    *,
    most_bins: int = MOST_BINS,
) -> PrecisionStatistics:
    """Count N patches of two classes for the average precision of any draw of their patients.

    Average precision (scikit-learn's `average_precision_score`): the precision at every score, weighted by
    the recall that it adds. Unlike an AUROC it moves with the share of tumor, which is what chance reaches.

    Args:
        classes: sums of the same patches, with the labels as groups.
        label: 0 or 1 of every patch, [N].
        probability: what ranks them, [N] or [R, N]; NaN where a repeat did not test the patch.
        patient: of every patch, [N].
        most_bins: exact where there are no more different scores.
    """
    label_N, score_RN = np.asarray(label), np.atleast_2d(np.asarray(probability, dtype=np.float64))
    names_P, patient_N = np.unique(np.asarray(patient).astype(str), return_inverse=True)
    counts = []
    for score_N in score_RN:
        tested_N = ~np.isnan(score_N)
        # Of the negated scores, so that the highest come first.
        bin_N, n_bins = score_bins(-score_N[tested_N], most_bins)
        places = (label_N[tested_N] * n_bins + bin_N, patient_N[tested_N])
        counts.append(csr_array((np.ones(len(bin_N)), places), shape=(2 * n_bins, len(names_P))))
    return PrecisionStatistics(classes, tuple(counts))


def _average_precision(counts_XP: csr_array, weights_DP: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of every draw, [D]; NaN without label 1."""
    rows = max(1, _CELLS // counts_XP.shape[0])
    found = [np.empty(0)]
    for at in range(0, len(weights_DP), rows):
        negative_BD, positive_BD = (counts_XP @ weights_DP[at : at + rows].T).reshape(
            2, counts_XP.shape[0] // 2, -1
        )
        above_BD = np.cumsum(positive_BD, axis=0)
        told_BD = above_BD + np.cumsum(negative_BD, axis=0)
        precision_BD = np.nan_to_num(ratio(above_BD, told_BD))
        found.append(ratio((positive_BD * precision_BD).sum(axis=0), above_BD[-1]))
    return np.concatenate(found)
