"""What shortcut checks know of a cohort's patches, their settings, and the folds of its patients."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt

from patching.errors import GroupError


class ShortcutSettings(BaseModel):
    """configs/shortcuts.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folds: int = Field(default=4, ge=2)
    """Of the cross-validation over patients; of fewer patients each is left out in turn."""
    ridge: PositiveFloat = 0.01
    """Penalty of the linear model: half of it times the squared coefficients of the standardized statistics,
    beside the sum of the patches' log losses under weights of mean 1."""
    permutations: PositiveInt = 200
    """Of the labels, for the null; the smallest p-value there can be is 1 / (permutations + 1)."""
    seed: NonNegativeInt = 0
    """Of the folds and of the permutations."""


@dataclass(frozen=True)
class CheckedPatches:
    """N patches of two classes, in the order in which they lie in their patients' slides.

    Attributes:
        statistics_NS: hand-made statistics of every patch (models.data.statistics).
        tissue_fraction_N: share of every patch that is tissue.
        label_N: 0 or 1.
        patient: identifier of every patch's patient.
    """

    statistics_NS: NDArray[np.float64]
    tissue_fraction_N: NDArray[np.float64]
    label_N: NDArray[np.int64]
    patient: NDArray[np.str_]

    @cached_property
    def patient_N(self) -> NDArray[np.int64]:
        """Number of every patch's patient, 0 to `n_patients` - 1."""
        return np.unique(self.patient, return_inverse=True)[1].astype(np.int64)

    @property
    def n_patients(self) -> int:
        return int(self.patient_N.max()) + 1

    @property
    def labels_P2(self) -> NDArray[np.bool_]:
        """Whether every patient has patches of label 0, and of label 1."""
        counts_P2 = np.bincount(2 * self.patient_N + self.label_N, minlength=2 * self.n_patients)
        return counts_P2.reshape(-1, 2) > 0

    @cached_property
    def tercile_N(self) -> NDArray[np.int64]:
        """Tercile of every patch's tissue fraction among all patches, 0 to 2."""
        inner = np.quantile(self.tissue_fraction_N, [1 / 3, 2 / 3])
        return np.searchsorted(inner, self.tissue_fraction_N, side="left").astype(np.int64)

    @cached_property
    def patient_tissue_N(self) -> NDArray[np.float64]:
        """Mean tissue fraction of all patches of every patch's patient."""
        sums_P = np.bincount(self.patient_N, weights=self.tissue_fraction_N)
        mean_P: NDArray[np.float64] = sums_P / np.bincount(self.patient_N)
        return mean_P[self.patient_N]


def require_both_labels(patches: CheckedPatches) -> None:
    """Check that whoever is left out, patients of both labels remain.

    Raises:
        GroupError: fewer than two patients of a label.
    """
    without, with_tumor = patches.labels_P2.sum(axis=0)
    if min(without, with_tumor) < 2:
        raise GroupError(
            has=f"{without} patients with patches of label 0 and {with_tumor} with patches of label 1",
            needs="two patients of each label, so that one is left where the other is tested",
            do="add patients",
        )


def patient_folds(
    patches: CheckedPatches, label_N: NDArray[np.int64], folds: int, seed: int
) -> NDArray[np.int64]:
    """The fold in which every patch is tested: patients stay whole, labels and tissue are shared out evenly.

    Patients go in, those of the most uneven strata first, where the strata's shares in the folds then spread
    least. That is scikit-learn's StratifiedGroupKFold, which refuses strata of few patches, as permuted
    labels may have; strata are label and tercile of tissue fraction, as of every split here.

    Args:
        label_N: the patches' labels, or permuted ones.
        folds: how many; with fewer patients each is a fold of its own, as far as labels let them.

    Returns:
        numbers from 0 on, without a gap.
    """
    stratum_N = 3 * label_N + patches.tercile_N
    counts_PS = np.bincount(6 * patches.patient_N + stratum_N, minlength=6 * patches.n_patients).reshape(
        -1, 6
    )
    share_PS = counts_PS / np.maximum(counts_PS.sum(axis=0), 1)
    order_P = np.random.default_rng(seed).permutation(len(share_PS))
    order_P = order_P[np.argsort(-counts_PS[order_P].std(axis=1), kind="stable")]
    fold_P, sums_FS = np.zeros(len(share_PS), np.int64), np.zeros((folds, 6))
    each_FF1 = np.eye(folds)[:, :, None]
    for patient in order_P:
        spread_F = (sums_FS + each_FF1 * share_PS[patient]).std(axis=1).sum(axis=1)
        # Among folds that are equally good but for rounding the emptiest, and of those the first: no gaps.
        fold = np.lexsort((sums_FS.sum(axis=1), spread_F.round(12)))[0]
        fold_P[patient] = fold
        sums_FS[fold] += share_PS[patient]
    return fold_P[patches.patient_N]
