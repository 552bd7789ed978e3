"""Accuracy of every group, and what is made of it. Undefined is NaN beside a count, never 0."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from patching.errors import GroupError


@dataclass(frozen=True)
class GroupMetrics:
    """Metrics of one set of predictions.

    Attributes:
        accuracy_G: share of correct patches of every group; NaN where not estimable.
        count_G: patches of every group.
        correct_G: correct patches of every group, also where not estimable.
        estimable_G: whether the group has the minimum of patches and patients.
        wga: worst-group accuracy, the minimum over estimable groups.
        gba: group-balanced accuracy, the mean over estimable groups.
        average: share of correct patches, all groups together.
        worst_class: the lowest accuracy of a class; needs no attribute.
    """

    accuracy_G: NDArray[np.float64]
    count_G: NDArray[np.int64]
    correct_G: NDArray[np.int64]
    estimable_G: NDArray[np.bool_]
    wga: float
    gba: float
    average: float
    worst_class: float


def group_metrics(
    label: ArrayLike,
    prediction: ArrayLike,
    group: ArrayLike,
    n_groups: int,
    *,
    patient: ArrayLike | None = None,
    minimum_patches: int = 1,
    minimum_patients: int = 1,
) -> GroupMetrics:
    """Accuracy per group, worst-group, group-balanced and average accuracy of N patches.

    Args:
        label: true class of every patch.
        prediction: predicted class of every patch.
        group: group number of every patch.
        n_groups: how many groups there are, also where some have no patch.
        patient: patient of every patch; needed where minimum_patients is above 1.
        minimum_patches: a group with fewer is not estimable.
        minimum_patients: a group of fewer patients is not estimable.

    Raises:
        GroupError: arrays of different length, or group numbers outside 0..n_groups-1.
    """
    label_N, prediction_N = np.asarray(label), np.asarray(prediction)
    group_N = checked_groups(group, n_groups, label_N, prediction_N)
    right_N = label_N == prediction_N
    count_G = np.bincount(group_N, minlength=n_groups)
    correct_G = np.bincount(group_N[right_N], minlength=n_groups)
    estimable_G = estimable_groups(
        group_N,
        n_groups,
        patient=patient,
        minimum_patches=minimum_patches,
        minimum_patients=minimum_patients,
    )
    accuracy_G = np.where(estimable_G, ratio(correct_G, count_G), np.nan)
    defined = accuracy_G[estimable_G]
    classes = [float(right_N[label_N == y].mean()) for y in np.unique(label_N)]
    return GroupMetrics(
        accuracy_G=accuracy_G,
        count_G=count_G,
        correct_G=correct_G,
        estimable_G=estimable_G,
        wga=float(defined.min()) if defined.size else np.nan,
        gba=float(defined.mean()) if defined.size else np.nan,
        average=float(right_N.mean()) if right_N.size else np.nan,
        worst_class=min(classes, default=np.nan),
    )


def estimable_groups(
    group_N: NDArray[np.int64],
    n_groups: int,
    *,
    patient: ArrayLike | None,
    minimum_patches: int,
    minimum_patients: int,
) -> NDArray[np.bool_]:
    """Whether every group has a patch, and the minimum of patches and of patients, [G]."""
    enough_G = np.bincount(group_N, minlength=n_groups) >= max(minimum_patches, 1)
    if minimum_patients > 1:
        enough_G &= patients_per_group(group_N, n_groups, patient) >= minimum_patients
    return enough_G


def patients_per_group(
    group_N: NDArray[np.int64], n_groups: int, patient: ArrayLike | None
) -> NDArray[np.int64]:
    """Number of different patients of every group, [G].

    Raises:
        GroupError: no patients, or not one per patch.
    """
    patient_N = np.asarray([] if patient is None else patient)
    if patient_N.shape != group_N.shape:
        raise GroupError(
            has=f"{patient_N.size} patient identifiers for {group_N.size} patches",
            needs="the patient of every patch, because a minimum of patients is asked for",
            do="pass patient=..., or set minimum_patients to 1",
        )
    return np.array([len(np.unique(patient_N[group_N == g])) for g in range(n_groups)], dtype=np.int64)


def auroc(label: ArrayLike, probability: ArrayLike) -> float:
    """Area under the ROC curve of P(label = 1); ties count half; NaN unless both classes occur."""
    label_N = np.asarray(label)
    if len(np.unique(label_N)) != 2:
        return float(np.nan)
    from sklearn.metrics import roc_auc_score  # 60 MiB, which slides without annotation do not need

    return float(roc_auc_score(label_N, np.asarray(probability)))


def ratio(numerator: ArrayLike, denominator: ArrayLike) -> NDArray[np.float64]:
    """Elementwise quotient, NaN where the denominator is 0."""
    below = np.asarray(denominator, dtype=np.float64)
    undefined = np.full(np.broadcast_shapes(np.shape(numerator), below.shape), np.nan)
    quotient: NDArray[np.float64] = np.divide(numerator, below, out=undefined, where=below > 0)
    return quotient


def checked_groups(group: ArrayLike, n_groups: int, *others: NDArray[np.generic]) -> NDArray[np.int64]:
    """Group numbers as int64, checked against their number and against the arrays they belong to.

    Raises:
        GroupError: arrays of different length, or group numbers outside 0..n_groups-1.
    """
    group_N = np.asarray(group)
    lengths = [len(group_N), *(other.shape[-1] for other in others)]
    if len(set(lengths)) > 1:
        raise GroupError(
            has=f"arrays of {', '.join(str(n) for n in lengths)} patches",
            needs="one group, label and prediction per patch",
            do="join the tables by patch_id",
        )
    if group_N.size and (group_N.min() < 0 or group_N.max() >= n_groups):
        raise GroupError(
            has=f"group numbers from {group_N.min()} to {group_N.max()}",
            needs=f"0 to {n_groups - 1}",
            do="number groups as label * n_attributes + attribute (models.groups.GroupLayout)",
        )
    return group_N.astype(np.int64)
