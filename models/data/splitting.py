"""Split patients, never patches: balanced over label and tissue fraction, the same for the same seed."""

from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, model_validator

from patching.errors import GroupError

TRAIN, VALIDATION, TEST = SPLITS = ("train", "validation", "test")
_MISSING_LABEL = 1e6
"""Cost of a part without patients of one label: more than any imbalance of counts."""
_MAX_PASSES = 20


class SplitSettings(BaseModel):
    """How patients become training, validation and test."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["holdout", "folds"] = "holdout"
    """`holdout` draws one test set; `folds` tests every patient once over `folds` runs."""
    validation: float = Field(default=0.2, gt=0, lt=1)
    """Share of validation: of all patients' patches with holdout, of those not in test with folds."""
    test: float = Field(default=0.2, ge=0, lt=1)
    """Share of test; holdout only. 0: nobody is tested but whom the manifest fixes, and all others train."""
    folds: int = Field(default=5, ge=2)
    """Number of folds."""
    fold: NonNegativeInt = 0
    """The fold that is tested."""
    repeat: NonNegativeInt = 0
    """Which of the repeated cross-validations; another repeat has other folds."""
    seed: NonNegativeInt = 0
    attempts: PositiveInt = 20
    """Random starts of the search; the best balanced one is taken."""

    @property
    def tests(self) -> bool:
        """Whether patients are drawn for the test."""
        return self.method == "folds" or self.test > 0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.method == "folds" and self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} of {self.folds} folds: the last is {self.folds - 1}")
        if self.method == "holdout" and self.validation + self.test >= 1:
            raise ValueError("validation and test leave nothing for training")
        return self


def patients_table(patches: pd.DataFrame, fixed: pd.Series | None = None) -> pd.DataFrame:
    """What splitting knows of every patient, sorted by patient_id.

    Args:
        patches: columns patient_id, label (0/1) and tissue_fraction, one row per patch.
        fixed: split that the manifest fixes, indexed by patient_id; NaN where it does not.

    Returns:
        index patient_id; integer columns `label<y>_tissue<t>`, the patches of every label and
        tercile of tissue fraction; column `fixed`, a split or None. Terciles serve the balance
        only: no threshold is made from them.
    """
    ranks = patches["tissue_fraction"].rank(method="average", pct=True)
    tercile = np.minimum((ranks * 3).astype(int), 2)
    stratum = "label" + patches["label"].astype(str) + "_tissue" + tercile.astype(str)
    table = pd.crosstab(patches["patient_id"], stratum).sort_index().rename_axis(columns=None)
    known = {} if fixed is None else fixed.dropna().to_dict()
    table["fixed"] = pd.Series(
        [known.get(patient) for patient in table.index], index=table.index, dtype=object
    )
    return table


def assign_splits(patients: pd.DataFrame, settings: SplitSettings) -> pd.DataFrame:
    """Assign every patient to train, validation or test.

    Args:
        patients: of `patients_table`.

    Returns:
        columns patient_id and split, sorted by patient_id.

    Raises:
        GroupError: too few patients of a label for every split to have one.
    """
    patients = patients.sort_index()
    split_P = patients["fixed"].to_numpy(dtype=object, copy=True)
    if settings.method == "holdout" and settings.tests:
        shares = [1 - settings.validation - settings.test, settings.validation, settings.test]
        split_P = _complete(patients, split_P, SPLITS, shares, settings, ())
    else:
        if settings.method == "folds":
            free_P = pd.isna(split_P)
            split_P[np.flatnonzero(free_P)[_in_fold(patients[free_P], settings, (0,))]] = TEST
        rest = split_P != TEST
        shares = [1 - settings.validation, settings.validation]
        key = (1, settings.fold) if settings.method == "folds" else ()
        split_P[rest] = _complete(patients[rest], split_P[rest], (TRAIN, VALIDATION), shares, settings, key)
    _check_labels(patients, split_P, settings)
    return pd.DataFrame({"patient_id": patients.index, "split": split_P.astype(str)})


def label_patients(patients: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether a patient has patches of label 0 and of label 1, [P, 2]."""
    columns = [
        patients[[name for name in patients.columns if name.startswith(f"label{y}_")]].sum(axis=1)
        for y in (0, 1)
    ]
    return np.stack([column.to_numpy() > 0 for column in columns], axis=1)


def cross_validation_splits(patients: pd.DataFrame, settings: SplitSettings) -> pd.DataFrame:
    """As `assign_splits` by folds, for a cross-validation that tests nobody twice.

    Whom the manifest fixes to test is tested in one of the folds, and left out of the others: no model is
    trained or chosen on them. Whom it fixes to train or validation is there in every fold, and never tested.

    Returns:
        columns patient_id and split, sorted by patient_id, without those who are left out.

    Raises:
        GroupError: as `assign_splits`, or nobody is tested in this fold.
    """
    splits, patients = assign_splits(patients, settings), patients.sort_index()
    held_P = (patients["fixed"] == TEST).to_numpy()
    elsewhere_P = held_P.copy()
    elsewhere_P[held_P] = ~_in_fold(patients[held_P], settings, (2,))
    splits = splits[~elsewhere_P]
    if not (splits["split"] == TEST).any():
        raise GroupError(
            has=f"fold {settings.fold} of {settings.folds}, in which nobody is tested: of {len(patients)} "
            f"patients {int(patients['fixed'].notna().sum())} are fixed, {int(held_P.sum())} of them to test",
            needs="a patient to test in every fold",
            do="use fewer folds, or free patients whose split slides.csv fixes",
        )
    return splits.reset_index(drop=True)


def _in_fold(patients: pd.DataFrame, settings: SplitSettings, key: tuple[int, ...]) -> NDArray[np.bool_]:
    """Of these patients, shared out over all folds, those of the tested one."""
    names = [str(fold) for fold in range(settings.folds)]
    empty_P = np.full(len(patients), None, dtype=object)
    fold_P = _complete(patients, empty_P, names, [1 / settings.folds] * settings.folds, settings, key)
    chosen_P: NDArray[np.bool_] = fold_P == names[settings.fold]
    return chosen_P


def _complete(
    patients: pd.DataFrame,
    given_P: NDArray[np.object_],
    names: Sequence[str],
    shares: Sequence[float],
    settings: SplitSettings,
    key: tuple[int, ...],
) -> NDArray[np.object_]:
    """Fill in the parts that are not given, so that every stratum is shared out as asked."""
    has_label_P2 = label_patients(patients)
    strata_PS = np.concatenate([patients.drop(columns="fixed").to_numpy(float), has_label_P2], axis=1)
    part_P = np.array([-1 if pd.isna(given) else names.index(given) for given in given_P], dtype=np.int64)
    rng = np.random.default_rng([settings.seed, settings.repeat, *key])
    tries = [
        _descend(part_P, strata_PS, has_label_P2, np.asarray(shares), rng) for _ in range(settings.attempts)
    ]
    best_P, _ = min(tries, key=lambda attempt: attempt[1])
    return np.array(names, dtype=object)[best_P]


def _descend(
    part_P: NDArray[np.int64],
    strata_PS: NDArray[np.float64],
    has_label_P2: NDArray[np.bool_],
    shares_T: NDArray[np.float64],
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], float]:
    """Give each free patient, in random order, to the part where it costs least, until nothing moves."""
    total_S = np.maximum(strata_PS.sum(axis=0), 1)
    wanted_TS = shares_T[:, None] * total_S
    n_labels = has_label_P2.shape[1]

    def cost(sums_TS: NDArray[np.float64]) -> NDArray[np.float64]:
        # The last strata count patients by label, so that a zero there is a part without that label.
        missing_T = (sums_TS[:, -n_labels:] < 0.5).sum(axis=1)
        uneven_T = ((sums_TS - wanted_TS) ** 2 / (wanted_TS * total_S)).sum(axis=1)
        costs_T: NDArray[np.float64] = uneven_T + _MISSING_LABEL * missing_T
        return costs_T

    result_P, free = part_P.copy(), rng.permutation(np.flatnonzero(part_P < 0))
    given = part_P >= 0
    sums_TS = np.zeros_like(wanted_TS)
    np.add.at(sums_TS, part_P[given], strata_PS[given])
    for _ in range(_MAX_PASSES):
        before_P = result_P.copy()
        for p in free:
            if result_P[p] >= 0:
                sums_TS[result_P[p]] -= strata_PS[p]
            result_P[p] = np.argmin(cost(sums_TS + strata_PS[p]) - cost(sums_TS))
            sums_TS[result_P[p]] += strata_PS[p]
        if np.array_equal(before_P, result_P):
            break
    return result_P, float(cost(sums_TS).sum())


def _check_labels(patients: pd.DataFrame, split_P: NDArray[np.object_], settings: SplitSettings) -> None:
    has_label_P2 = label_patients(patients)
    asked = SPLITS if settings.tests or (split_P == TEST).any() else (TRAIN, VALIDATION)
    counts = {split: has_label_P2[split_P == split].sum(axis=0) for split in asked}
    if all(count.all() for count in counts.values()):
        return
    found = "; ".join(f"{split} {n0} and {n1}" for split, (n0, n1) in counts.items())
    without, with_tumor = has_label_P2.sum(axis=0)
    needed = max(settings.folds, len(SPLITS)) if settings.method == "folds" else len(asked)
    raise GroupError(
        has=f"{len(patients)} patients, {without} with patches of label 0 and {with_tumor} with patches of "
        f"label 1 ({found})",
        needs=f"patients of both labels in {', '.join(asked[:-1])} and {asked[-1]}: at least {needed} "
        "of each",
        do="add patients, use fewer folds, or free patients whose split slides.csv fixes",
    )
