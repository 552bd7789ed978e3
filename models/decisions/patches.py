"""Validation patches as a decision is fitted to them, and what weight each of them has."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.groups import GroupLayout
from patching.errors import AlgorithmError, ConfigError

_LAYOUT = GroupLayout(n_classes=2, n_attributes=2)
_CLASSES = ("label 0", "label 1")
_GROUPS = tuple(f"{label} and {tissue} tissue" for label in _CLASSES for tissue in ("little", "much"))


@dataclass(frozen=True)
class ValidationPatches:
    """What is known of N validation patches of two classes.

    Attributes:
        logit_N: the network's own log-odds of class 1.
        label_N: 0 or 1.
        patient_N: number of the patient, 0..P-1, ascending by name.
        tissue_N: tissue fraction; NaN where it is not known.
        above: a patch with more tissue has attribute 1; None where tissue does not make the attribute.
    """

    logit_N: NDArray[np.float64]
    label_N: NDArray[np.int64]
    patient_N: NDArray[np.int64]
    tissue_N: NDArray[np.float64]
    above: float | None

    def __len__(self) -> int:
        return len(self.label_N)

    @property
    def patients(self) -> int:
        """How many there are."""
        return len(np.unique(self.patient_N))

    @cached_property
    def group_N(self) -> NDArray[np.int64]:
        """Group of every patch, 2 * label + attribute.

        Raises:
            ConfigError: tissue does not make the attribute, or is not known.
        """
        if self.above is None or (unknown := int(np.isnan(self.tissue_N).sum())):
            raise ConfigError(
                has="an attribute that tissue does not make"
                if self.above is None
                else f"{unknown} of {len(self)} validation patches without a tissue fraction",
                needs="the tissue fraction of every patch, and the threshold that makes the attribute of it",
                do="set `decision: {rule: plain}`: imported images have no other",
            )
        return _LAYOUT.group(self.label_N, (self.tissue_N > self.above).astype(np.int64))

    @cached_property
    def weight_by_group_N(self) -> NDArray[np.float64]:
        """The four groups have equal weight, patients equal weight in each; P in all."""
        return equal_weights(self.group_N, self.patient_N) * self.patients

    @cached_property
    def weight_by_class_N(self) -> NDArray[np.float64]:
        """Both classes have equal weight, patients equal weight in each; P in all."""
        return equal_weights(self.label_N, self.patient_N) * self.patients

    @cached_property
    def weight_by_patient_N(self) -> NDArray[np.float64]:
        """Patients have equal weight; P in all."""
        return equal_weights(np.zeros_like(self.patient_N), self.patient_N) * self.patients

    def require_groups(self, minimum_patients: int) -> None:
        """Check that every group has patients enough for a rule.

        Raises:
            AlgorithmError: names the groups that have not.
            ConfigError: there are no groups.
        """
        self._require(self.group_N, _GROUPS, minimum_patients)

    def require_classes(self, minimum_patients: int) -> None:
        """Check that both classes have patients enough for a temperature or a threshold.

        Raises:
            AlgorithmError: names the classes that have not.
        """
        self._require(self.label_N, _CLASSES, minimum_patients)

    def _require(self, part_N: NDArray[np.int64], names: tuple[str, ...], minimum: int) -> None:
        counts = [len(np.unique(self.patient_N[part_N == k])) for k in range(len(names))]
        few = [f"{n} with {name}" for n, name in zip(counts, names, strict=True) if n < minimum]
        if few:
            raise AlgorithmError(
                has=f"validation patients: {', '.join(few)}",
                needs=f"{minimum} or more, to fit a decision on",
                do="give validation more patients (split.validation), lower decision.minimum_patients, or "
                "decide by the rule plain at the plain threshold",
            )


def validation_patches(
    *,
    logit_N: ArrayLike,
    label_N: ArrayLike,
    patient_N: ArrayLike,
    tissue_fraction_N: ArrayLike | None,
    above: float | None,
) -> ValidationPatches:
    """Check that all arrays are of the same patches; see `ValidationPatches`.

    Raises:
        AlgorithmError: no patches, arrays of different length, log-odds that are no numbers, or other labels.
    """
    logit, label = np.asarray(logit_N, dtype=np.float64), np.asarray(label_N)
    names, patient = np.unique(np.asarray(patient_N).astype(str), return_inverse=True)
    tissue = (
        np.full(label.shape, np.nan)
        if tissue_fraction_N is None
        else np.asarray(tissue_fraction_N, dtype=np.float64)
    )
    lengths = {len(column) for column in (logit, label, patient, tissue)}
    if (
        lengths != {label.size}
        or not names.size
        or not np.isfinite(logit).all()
        or not np.isin(label, (0, 1)).all()
    ):
        raise AlgorithmError(
            has=f"columns of {sorted(lengths)} validation patches, labels {np.unique(label)[:5].tolist()}",
            needs="one finite log-odds, one label 0 or 1 and one patient for every patch",
            do="check that the split has patches, and that the training did not diverge",
        )
    return ValidationPatches(logit, label.astype(np.int64), patient.astype(np.int64), tissue, above)


def equal_weights(part_N: NDArray[np.int64], patient_N: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weight of every patch, 1 in all, of parts (groups or classes).

    Parts that have patches weigh alike; so do patients within a part, and a patient's patches within it. A
    patient whose patches all come twice weighs as before.
    """
    _, part = np.unique(part_N, return_inverse=True)
    cells, cell_N, size_C = np.unique(
        np.stack([part, patient_N], axis=1), axis=0, return_inverse=True, return_counts=True
    )
    patients_Q = np.bincount(cells[:, 0])
    weight_C = 1.0 / (len(patients_Q) * patients_Q[cells[:, 0]] * size_C)
    weight_N: NDArray[np.float64] = weight_C[cell_N]
    return weight_N
