"""Splitting patients: balance, determinism, fixed splits, too few patients; and the stage."""

from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from models.data.splitting import SPLITS, SplitSettings, assign_splits, label_patients, patients_table
from patching.errors import ArtifactError, GroupError
from pipeline.artifacts import Paths
from pipeline.cli import main
from pipeline.config import validated
from pipeline.files import read_csv
from pipeline.yaml_file import load_yaml


def patches_of(n_patients: int, seed: int = 0, mixed: bool = True) -> pd.DataFrame:
    """A cohort of unequal patients; unless mixed, a patient has one label, two in five label 0."""
    rng = np.random.default_rng(seed)
    parts = []
    for p in range(n_patients):
        n = int(rng.integers(15, 60))
        label = rng.integers(0, 2, n) if mixed else np.full(n, int(p % 5 > 1))
        tissue = rng.beta(2 + 2 * label, 3)
        parts.append(pd.DataFrame({"patient_id": f"{p:03}", "label": label, "tissue_fraction": tissue}))
    return pd.concat(parts, ignore_index=True)


def shares(patients: pd.DataFrame, splits: pd.DataFrame) -> pd.DataFrame:
    """Share of every stratum's patches in every split."""
    counts = patients.drop(columns="fixed").groupby(splits["split"].to_numpy()).sum()
    return counts / counts.sum()


def test_the_patient_table_counts_labels_and_terciles() -> None:
    patches = pd.DataFrame(
        {
            "patient_id": ["b", "b", "b", "a", "a", "a"],
            "label": [0, 0, 1, 1, 1, 0],
            "tissue_fraction": [0.1, 0.2, 0.9, 0.3, 0.8, 0.4],
        }
    )
    table = patients_table(patches, pd.Series({"a": "test", "b": None}))
    assert table.index.tolist() == ["a", "b"]
    assert table["label0_tissue0"].tolist() == [0, 1]
    assert table["label1_tissue2"].tolist() == [1, 1]
    assert table["fixed"].tolist() == ["test", None]
    assert label_patients(table).all()


def test_holdout_balances_every_stratum() -> None:
    patients = patients_table(patches_of(60))
    found = shares(patients, assign_splits(patients, SplitSettings(validation=0.15, test=0.25)))
    np.testing.assert_allclose(found.loc["train"], 0.6, atol=0.05)
    np.testing.assert_allclose(found.loc["validation"], 0.15, atol=0.05)
    np.testing.assert_allclose(found.loc["test"], 0.25, atol=0.05)


@given(st.integers(8, 40), st.booleans(), st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_every_patient_has_one_split_and_every_split_both_labels(n: int, mixed: bool, seed: int) -> None:
    patients = patients_table(patches_of(n, seed, mixed))
    splits = assign_splits(patients, SplitSettings(seed=seed, attempts=5))
    assert splits["patient_id"].tolist() == patients.index.tolist()
    assert set(splits["split"]) == set(SPLITS)
    for split in SPLITS:
        assert label_patients(patients[(splits["split"] == split).to_numpy()]).any(axis=0).all()


def test_the_split_depends_on_the_seed_and_not_on_the_order() -> None:
    patches = patches_of(30)
    shuffled = patches.sample(frac=1, random_state=4)
    one = assign_splits(patients_table(patches), SplitSettings())
    pd.testing.assert_frame_equal(one, assign_splits(patients_table(shuffled), SplitSettings()))
    mixed_up = patients_table(patches).sample(frac=1, random_state=4)
    pd.testing.assert_frame_equal(one, assign_splits(mixed_up, SplitSettings()))
    other = assign_splits(patients_table(patches), SplitSettings(seed=1))
    assert (one["split"] != other["split"]).any()


@pytest.mark.parametrize("mixed", [True, False])
def test_folds_test_every_patient_once(mixed: bool) -> None:
    patients = patients_table(patches_of(23, mixed=mixed))
    runs = [assign_splits(patients, SplitSettings(method="folds", folds=4, fold=fold)) for fold in range(4)]
    tested = [run.loc[run["split"] == "test", "patient_id"].tolist() for run in runs]
    assert sorted(chain.from_iterable(tested)) == patients.index.tolist()
    assert all(4 <= len(fold) <= 8 for fold in tested)
    for run in runs:
        np.testing.assert_allclose(shares(patients, run).loc["test"], 0.25, atol=0.12)
        rest = run[run["split"] != "test"]
        assert 0.1 < (rest["split"] == "validation").mean() < 0.35


def test_repeats_have_other_folds() -> None:
    patients = patients_table(patches_of(23))
    first, second = (
        assign_splits(patients, SplitSettings(method="folds", folds=4, repeat=repeat)) for repeat in (0, 1)
    )
    assert set(first.loc[first["split"] == "test", "patient_id"]) != set(
        second.loc[second["split"] == "test", "patient_id"]
    )


@pytest.mark.parametrize("method", ["holdout", "folds"])
def test_the_manifest_fixes_patients(method: str) -> None:
    fixed = pd.Series({"000": "test", "001": "train", "002": "validation", "003": "test", "004": None})
    patients = patients_table(patches_of(30), fixed)
    splits = assign_splits(patients, SplitSettings(method=method)).set_index("patient_id")["split"]
    assert splits[["000", "001", "002", "003"]].tolist() == ["test", "train", "validation", "test"]
    assert 3 <= (splits == "test").sum() <= 9


def test_both_labels_everywhere_come_before_balance() -> None:
    """Three patients of each label must be in three splits, however small two of them are wanted."""
    patches = patches_of(6, mixed=False)
    patches["label"] = (patches["patient_id"] < "003").astype(int)
    patients = patients_table(patches)
    splits = assign_splits(patients, SplitSettings(validation=0.1, test=0.1))["split"].to_numpy()
    assert all(label_patients(patients[splits == split]).sum(axis=0).tolist() == [1, 1] for split in SPLITS)


def test_without_a_test_all_others_train_or_validate() -> None:
    patients = patients_table(patches_of(40))
    splits = assign_splits(patients, SplitSettings(validation=0.25, test=0))
    assert set(splits["split"]) == {"train", "validation"}
    found = shares(patients, splits)
    np.testing.assert_allclose(found.loc["validation"], 0.25, atol=0.05)
    # Two patients of each label are enough, for there are two parts.
    few = patients_table(patches_of(4).assign(label=lambda table: (table["patient_id"] < "002").astype(int)))
    assert len(assign_splits(few, SplitSettings(test=0))) == 4
    with pytest.raises(GroupError, match=r"in train and validation: at least 2 of each"):
        assign_splits(few[1:], SplitSettings(test=0))


def test_without_a_test_whom_the_manifest_fixes_is_tested() -> None:
    fixed = pd.Series({"000": "test", "001": "train", "002": "validation"})
    patients = patients_table(patches_of(30), fixed)
    splits = assign_splits(patients, SplitSettings(test=0)).set_index("patient_id")["split"]
    assert splits[splits == "test"].index.tolist() == ["000"]
    assert splits[["001", "002"]].tolist() == ["train", "validation"]
    assert len(splits) == 30


def test_too_few_patients_of_a_label_are_counted() -> None:
    patches = patches_of(9, mixed=False)
    patches["label"] = (patches["patient_id"] < "002").astype(int)
    with pytest.raises(GroupError) as caught:
        assign_splits(patients_table(patches), SplitSettings())
    assert "9 patients, 7 with patches of label 0 and 2 with patches of label 1" in str(caught.value)
    assert "at least 3 of each" in str(caught.value)
    with pytest.raises(GroupError, match="0 patients"):
        assign_splits(patients_table(patches[:0]), SplitSettings())


@pytest.mark.parametrize(
    "wrong",
    [
        {"method": "folds", "folds": 3, "fold": 3},
        {"validation": 0.5, "test": 0.5},
        {"test": -0.1},
        {"tset": 1},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SplitSettings.model_validate(wrong)


def test_the_stage_writes_the_same_bytes_again(small_cohort: Paths) -> None:
    arguments = ["split", "--cohort", small_cohort.cohort, "--root", str(small_cohort.root)]
    assert main(arguments) == 0
    content = small_cohort.splits.read_bytes()
    splits = pd.read_csv(small_cohort.splits, dtype=str)
    assert splits.columns.tolist() == ["patient_id", "split"]
    assert splits["patient_id"].iloc[0] == "000"
    assert splits.loc[splits["patient_id"] == "003", "split"].item() == "test"
    small_cohort.splits.unlink()
    assert main(arguments) == 0
    assert small_cohort.splits.read_bytes() == content
    assert not list(small_cohort.data.glob(".*.part"))


def test_the_stage_takes_a_fold(small_cohort: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    config = small_cohort.root / "configs" / "split.yaml"
    config.write_text(config.read_text().replace("method: holdout", "method: folds"))
    arguments = ["split", "--cohort", small_cohort.cohort, "--root", str(small_cohort.root)]
    tested = set[str]()
    for fold in range(5):
        assert main([*arguments, "--fold", str(fold)]) == 0
        splits = pd.read_csv(small_cohort.splits, dtype=str)
        tested |= set(splits.loc[splits["split"] == "test", "patient_id"])
    assert tested == set(splits["patient_id"])
    assert main([*arguments, "--fold", "5"]) == 2
    assert "fold 5 of 5 folds" in capsys.readouterr().err


def test_the_stage_names_the_stage_before_it(small_cohort: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    small_cohort.index.unlink()
    assert main(["split", "--cohort", small_cohort.cohort, "--root", str(small_cohort.root)]) == 2
    error = capsys.readouterr().err
    assert ArtifactError.__name__ in error
    assert "evenpatch tile" in error


def test_the_shipped_settings_are_valid(repository: Path) -> None:
    path = repository / "configs" / "split.yaml"
    assert validated(SplitSettings, load_yaml(path), str(path)).method == "holdout"


def test_slides_of_the_same_content_in_two_splits_are_told(
    small_cohort: Paths, caplog: pytest.LogCaptureFixture
) -> None:
    slides = pd.read_csv(small_cohort.slides, dtype=str)
    slides["fingerprint"] = [f"{number}" for number in range(len(slides))]
    slides.to_csv(small_cohort.slides, index=False)
    arguments = ["split", "--root", str(small_cohort.root), "--cohort", small_cohort.cohort]
    assert main(arguments) == 0
    assert "content" not in caplog.text
    splits = pd.read_csv(small_cohort.splits, dtype=str)
    tested, trained = (splits.index[splits["split"] == split][1] for split in ("test", "train"))
    slides.loc[tested, "fingerprint"] = slides.loc[trained, "fingerprint"]
    slides.to_csv(small_cohort.slides, index=False)
    assert main(arguments) == 0
    assert "2 slides have the content of one in another split" in caplog.text


def test_a_small_test_is_told_with_the_way_out(small_cohort: Paths, caplog: pytest.LogCaptureFixture) -> None:
    file = small_cohort.root / "configs" / "cohorts" / "small.yaml"
    content = load_yaml(file)
    arguments = ["split", "--root", str(small_cohort.root), "--cohort", "small"]

    def told(**own: object) -> str:
        caplog.clear()
        file.write_text(yaml.safe_dump(content | {"split": own}))
        assert main(arguments) == 0
        return "".join(line for line in caplog.messages if "small" in line)

    assert told(test=0.3) == ""
    assert told(test=0) == ""
    few = told(test=0.1)
    assert "2 patients with tumor and 2 without, under 5 of either;" in few
    assert "`make study COHORT=small` (`evenpatch study --cohort small`) tests everyone" in few
    index = pd.read_parquet(small_cohort.index)
    tested = pd.read_csv(small_cohort.splits, dtype=str).query("split == 'test'")["patient_id"]
    # The test keeps its patients, but not one tumor patch of theirs with little tissue.
    gone = index["patient_id"].isin(tested) & (index["label"] == 1) & (index["tissue_fraction"] < 0.6)
    slides = read_csv(small_cohort.slides)
    slides["split"] = ["train", "validation"] * 12
    slides.loc[slides["patient_id"].isin(tested), "split"] = "test"
    slides.to_csv(small_cohort.slides, index=False)
    index[~gone].to_parquet(small_cohort.index, index=False)
    assert "no patch of tumor with the least third of tissue" in told(test=0.1)
