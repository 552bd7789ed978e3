"""Patients whom slides.csv fixes to a split: they stay there in split and in every fold of a study."""

from argparse import Namespace

import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from models.data.splitting import (
    SPLITS,
    TEST,
    TRAIN,
    VALIDATION,
    SplitSettings,
    assign_splits,
    cross_validation_splits,
    patients_table,
)
from patching.errors import ArtifactError, GroupError
from pipeline.artifacts import Paths
from pipeline.config import Context, load_stage
from pipeline.experiments.study_cells import Cell, planned, train_cells
from pipeline.experiments.study_files import StudySettings
from pipeline.experiments.study_folds import fold_table
from pipeline.files import read_csv
from pipeline.stages import study
from pipeline.training.fixed import fixed_splits, told_fixed
from pipeline.training.identity import patches_identity
from tests.pipeline.test_split import patches_of

FOLDS = 3


def fold_splits(fixed: pd.Series, n_patients: int = 14, repeat: int = 0) -> dict[int, dict[str, str]]:
    """Split of every patient by fold; without those who are left out of it."""
    patients = patients_table(patches_of(n_patients), fixed)
    return {
        fold: cross_validation_splits(
            patients, SplitSettings(method="folds", folds=FOLDS, fold=fold, repeat=repeat, attempts=3)
        )
        .set_index("patient_id")["split"]
        .to_dict()
        for fold in range(FOLDS)
    }


@settings(deadline=None, max_examples=25)
@given(
    st.dictionaries(st.integers(0, 13).map(lambda p: f"{p:03}"), st.sampled_from(SPLITS), max_size=8),
    st.integers(0, 3),
)
def test_a_fixed_patient_is_nowhere_else_in_any_fold(fixed: dict[str, str], repeat: int) -> None:
    folds = fold_splits(pd.Series(fixed, dtype=object), repeat=repeat)
    seen = {
        patient: [folds[fold].get(patient) for fold in folds] for patient in (f"{p:03}" for p in range(14))
    }
    for patient, splits in seen.items():
        if fixed.get(patient) == TEST:
            assert sorted(map(str, splits)) == ["None", "None", TEST]
        elif patient in fixed:
            assert splits == [fixed[patient]] * FOLDS
        else:
            assert splits.count(TEST) == 1
            assert None not in splits
    for splits in folds.values():
        assert set(splits.values()) == set(SPLITS)


def test_nobody_is_left_out_where_nobody_is_fixed() -> None:
    patients = patients_table(patches_of(14))
    for fold in range(FOLDS):
        one = SplitSettings(method="folds", folds=FOLDS, fold=fold, repeat=2)
        pd.testing.assert_frame_equal(cross_validation_splits(patients, one), assign_splits(patients, one))


def test_where_everybody_is_fixed_the_folds_share_the_tested() -> None:
    fixed = pd.Series({f"{p:03}": SPLITS[p % 3] for p in range(14)})
    folds = fold_splits(fixed)
    tested = [{name for name, split in splits.items() if split == TEST} for splits in folds.values()]
    assert sorted(map(len, tested)) == [1, 1, 2]
    assert set.union(*tested) == set(fixed[fixed == TEST].index)
    assert (
        len({frozenset(name for name, split in each.items() if split == TRAIN) for each in folds.values()})
        == 1
    )


def test_a_fold_without_anybody_to_test_is_refused() -> None:
    fixed = pd.Series({f"{p:03}": TEST if p < 2 else (TRAIN, VALIDATION)[p % 2] for p in range(14)})
    with pytest.raises(GroupError, match="nobody is tested: of 14 patients 14 are fixed, 2 of them to test"):
        fold_splits(fixed)


@pytest.fixture
def context(trainable_cohort: Context) -> Context:
    """A cohort ready for training, of which slides.csv fixes some patients."""
    file = trainable_cohort.configs / "cohorts" / "small.yaml"
    quick = {"epochs": 0.1, "backbone": "densenet_slim", "device": "cpu", "minimum_validation_patches": 1}
    small = {
        "repeats": 1,
        "folds": 2,
        "algorithms": ["erm"],
        "candidate": "erm",
        "thresholds": ["low"],
        "draws": 50,
        "workers": 1,
    }
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {"train": quick, "study": small}))
    fix(trainable_cohort.paths, {"003": TEST, "007": TEST, "011": TEST, "005": TRAIN, "006": VALIDATION})
    return trainable_cohort


def fix(paths: Paths, fixed: dict[str, str]) -> None:
    slides = read_csv(paths.slides)
    slides.assign(split=slides["patient_id"].map(fixed)).to_csv(paths.slides, index=False)


def cells_of(context: Context) -> list[Cell]:
    return list(planned(context, load_stage(context.configs, "small", "study", StudySettings)))


@pytest.mark.slow
def test_a_study_splits_as_slides_csv_says_and_tells_so(
    context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"repeats": None, "algorithms": None, "thresholds": None, "workers": None}
    study.run(context, Namespace(**options, archive=None, minutes=None))
    told = (context.paths.study / "table.md").read_text()
    assert "slides.csv fixes 3 patients to test: no model of any fold was trained or chosen on them" in told
    assert "slides.csv fixes 1 patient to train: trained on in every fold, and tested in none." in told
    assert "slides.csv fixes 1 patient to validation" in " ".join(capsys.readouterr().out.split())
    tables = [pd.read_parquet(path) for path in sorted((context.paths.study / "cells").glob("*.parquet"))]
    index = pd.read_parquet(context.paths.index).set_index("patch_id")["patient_id"]
    used = pd.concat([table.assign(patient=table["patch_id"].map(index)) for table in tables])
    of_test = used[used["patient"].isin(["003", "007", "011"])]
    assert set(of_test["split"]) == {TEST}
    assert of_test.groupby("patient")["fold"].nunique().tolist() == [1, 1, 1]
    assert "005" not in set(used["patient"])
    assert used.loc[used["patient"] == "006", "split"].unique().tolist() == [VALIDATION]


def test_what_trains_in_a_fold_is_never_of_the_held_out(context: Context) -> None:
    for cell in cells_of(context):
        table, _ = fold_table(context.paths, cell.split, cell.threshold, cell.rule)
        splits = table.drop_duplicates("patient_id").set_index("patient_id")["split"]
        assert {splits.get(name, TEST) for name in ("003", "007", "011")} == {TEST}
        assert splits[["005", "006"]].tolist() == [TRAIN, VALIDATION]


def test_a_split_fixed_anew_trains_anew(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    before, name = patches_identity(context.paths), cells_of(context)[0].fingerprint
    fix(context.paths, {"003": TEST, "007": TEST, "011": TEST, "005": TRAIN})
    assert patches_identity(context.paths) != before
    assert cells_of(context)[0].fingerprint != name
    fix(context.paths, {})
    # Studies of cohorts that fix nobody are known again as before: of stores and rows alone.
    monkeypatch.setattr("pipeline.training.identity.digest", lambda content: str(len(content)))
    assert patches_identity(context.paths) == "2"
    context.paths.slides.unlink()
    assert patches_identity(context.paths) == "2"


def test_a_study_asks_for_the_ingested_slides(context: Context) -> None:
    (cell, *_) = cells_of(context)
    context.paths.slides.unlink()
    with pytest.raises(ArtifactError, match="evenpatch ingest"):
        train_cells(context.paths, context.paths.study / "cells", (cell,))


def test_nothing_is_said_where_nobody_is_fixed(context: Context) -> None:
    fix(context.paths, {})
    assert list(told_fixed(fixed_splits(context.paths))) == []
