"""Predictions as sums per patient, of which every metric of a draw of patients is made.

Patches of one patient are not independent: a draw takes patients with replacement, each with all patches.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.metrics.accuracy import checked_groups, estimable_groups, ratio
from models.metrics.auroc import Rankings, rankings
from models.metrics.spread import Shares, effective_patients, shares_of
from patching.errors import GroupError

OF_BOTH_CLASSES = ("auroc", "auprc")
"""Metrics that take patches of both classes; their groups are numbered label * A + a."""


class PatientSums(Protocol):
    """Per-patient sums whose metrics can be bootstrapped: P patients, R repeats (seeds), G groups, M metrics.

    The first G metrics are the groups' own; their intervals are Bonferroni's over the estimable ones. Metrics
    are shares, in 0..1, but those whose names begin with `slope`.
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


class Behind(NamedTuple):
    """How many patients a metric stands on: of the group that has the fewest.

    Attributes:
        effective: those of equally many patches that tell as much (`effective_patients`); NaN below two.
        fewest: their number.
    """

    effective: float
    fewest: int


@dataclass(frozen=True)
class PatientStatistics:
    """Per-patient sums of P patients, R repeats (seeds) and G groups.

    Attributes:
        patients: identifiers, ascending.
        correct_PRG, count_PRG: correct and all patches.
        rankings: of every repeat's patches, for the AUROC; none where there is no probability.
        estimable_G: groups that WGA and GBA range over.
    """

    patients: tuple[str, ...]
    correct_PRG: NDArray[np.float64]
    count_PRG: NDArray[np.float64]
    rankings: tuple[Rankings, ...]
    estimable_G: NDArray[np.bool_]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the metrics in the order of `metrics`.

        `auroc_<a>` ranks the patches of attribute value a alone, `auroc_within` is the mean of those: what
        moves the threshold of a value does not change them.
        """
        groups = tuple(f"group_{g}" for g in range(len(self.estimable_G)))
        strata = [f"auroc_{a}" for a in range(len(groups) // 2)]
        ranked = ("auroc", *strata, "auroc_within") if self.rankings else ()
        return (*groups, "wga", "gba", "average", *ranked)

    def shares(self) -> Shares:
        """The groups' accuracies, with what every patient adds to them."""
        return shares_of(self.correct_PRG, self.count_PRG, self.estimable_G)

    def metrics(self, weights_DP: NDArray[np.float64], /) -> NDArray[np.float64]:
        """Every metric of every draw and repeat, [D, R, M]; NaN where undefined.

        Args:
            weights_DP: how often every patient is in a draw.
        """
        correct_DRG, count_DRG = (
            np.tensordot(weights_DP, part_PRG, axes=1) for part_PRG in (self.correct_PRG, self.count_PRG)
        )
        accuracy_DRG = np.where(self.estimable_G, ratio(correct_DRG, count_DRG), np.nan)
        estimable_DRE = accuracy_DRG[..., self.estimable_G]
        if not estimable_DRE.shape[-1]:
            estimable_DRE = np.full((*estimable_DRE.shape[:2], 1), np.nan)
        average_DR = ratio(correct_DRG.sum(axis=-1), count_DRG.sum(axis=-1))
        summary = [estimable_DRE.min(axis=-1), estimable_DRE.mean(axis=-1), average_DR]
        return np.concatenate([accuracy_DRG, np.stack(summary, axis=-1), *self._ranked(weights_DP)], axis=-1)

    def _ranked(self, weights_DP: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """Of all patches, of every stratum, and the strata's mean, which is told where all of them are."""
        if not self.rankings:
            return []
        found_DRS = np.stack([each.auroc(weights_DP) for each in self.rankings], axis=1)
        both_A = self.estimable_G.reshape(2, -1).all(axis=0)
        strata_DRA = np.where(both_A, found_DRS[..., 1:], np.nan)
        return [found_DRS[..., :1], strata_DRA, strata_DRA.mean(axis=-1, keepdims=True)]


def patients_behind(statistics: PatientSums, m: int) -> Behind:
    """The patients that metric m stands on.

    A group's own; for WGA, GBA and the AUROC within strata, of the smallest estimable group; for a
    metric of both classes, of the smaller one; for all else, all patients.
    """
    count_PG = statistics.count_PRG.mean(axis=1)
    n_groups, name = count_PG.shape[1], statistics.names[m]
    parts_XP = [count_PG.sum(axis=1)]
    if m < n_groups:
        parts_XP = [count_PG[:, m]]
    elif name in ("wga", "gba", "auroc_within"):
        parts_XP = list(count_PG[:, statistics.estimable_G].T)
    elif name in OF_BOTH_CLASSES:
        parts_XP = list(count_PG.reshape(len(count_PG), 2, n_groups // 2).sum(axis=2).T)
    elif name.startswith("auroc_"):
        parts_XP = list(
            count_PG.reshape(len(count_PG), 2, n_groups // 2)[:, :, int(name.removeprefix("auroc_"))].T
        )
    if not parts_XP:
        return Behind(np.nan, 0)
    counts_PX = np.stack(parts_XP, axis=1)
    return Behind(float(effective_patients(counts_PX).min()), int((counts_PX > 0).sum(axis=0).min()))


def patient_statistics(
    label: ArrayLike,
    prediction: ArrayLike,
    group: ArrayLike,
    patient: ArrayLike,
    n_groups: int,
    *,
    probability: ArrayLike | None = None,
    network: ArrayLike | None = None,
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
        probability: P(label = 1), [N] or [R, N], or what ranks as it does, for the AUROC; the groups then are
            those of two classes, g = label * (n_groups // 2) + a.
        network: which network of its repeat scored a patch, [N]: only patches of the same one are ranked
            against each other. Without it, one network scored all.
        minimum_patches: a group with fewer is not estimable.
        minimum_patients: a group of fewer patients is not estimable; below 2 an interval over
            patients says nothing.

    Raises:
        GroupError: arrays of different length, group numbers outside 0..n_groups-1, or probabilities with
            groups that are not of two classes.
    """
    label_N, prediction_RN = np.asarray(label), np.atleast_2d(np.asarray(prediction))
    names_P, patient_N = np.unique(np.asarray(patient).astype(str), return_inverse=True)
    network_N = np.zeros(label_N.shape) if network is None else np.asarray(network)
    group_N = checked_groups(group, n_groups, label_N, prediction_RN, patient_N, network_N)
    tested_RN = prediction_RN >= 0
    cell_N, shape = patient_N * n_groups + group_N, (len(names_P), n_groups)
    seen_N = tested_RN.any(axis=0)
    score_RN = None if probability is None else np.atleast_2d(np.asarray(probability, dtype=np.float64))
    return PatientStatistics(
        patients=tuple(names_P.tolist()),
        correct_PRG=_counts(cell_N, tested_RN & (prediction_RN == label_N), shape),
        count_PRG=_counts(cell_N, tested_RN, shape),
        rankings=_rankings(score_RN, tested_RN, label_N, group_N, patient_N, network_N, n_groups),
        estimable_G=estimable_groups(
            group_N[seen_N],
            n_groups,
            patient=patient_N[seen_N],
            minimum_patches=minimum_patches,
            minimum_patients=minimum_patients,
        ),
    )


def _rankings(
    score_RN: NDArray[np.float64] | None,
    tested_RN: NDArray[np.bool_],
    label_N: NDArray[np.int64],
    group_N: NDArray[np.int64],
    patient_N: NDArray[np.int64],
    network_N: NDArray[Any],
    n_groups: int,
) -> tuple[Rankings, ...]:
    if score_RN is None:
        return ()
    checked_groups(group_N, n_groups, score_RN)
    n_attributes = n_groups // 2
    if n_groups % 2 or not np.array_equal(group_N // n_attributes, label_N):
        raise GroupError(
            has=f"probabilities, and {n_groups} groups that do not begin with those of label 0",
            needs="two classes, and groups numbered as label * n_attributes + attribute",
            do="leave the probabilities out: there is an AUROC of two classes only",
        )
    return tuple(
        rankings(row_N[t], group_N[t], patient_N[t], network_N[t], n_attributes=n_attributes)
        for row_N, t in zip(score_RN, tested_RN, strict=True)
    )


def _counts(
    cell_N: NDArray[np.int64], chosen_RN: NDArray[np.bool_], shape: tuple[int, int]
) -> NDArray[np.float64]:
    """Chosen patches of every patient, repeat and group, [P, R, G]."""
    tables = [np.bincount(cell_N[row], minlength=shape[0] * shape[1]).reshape(shape) for row in chosen_RN]
    return np.stack(tables, axis=1).astype(np.float64)
