"""What stages hand over is damaged or contradicts itself: refused in words, and found by `verify`."""

import json
import shutil
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.data.splitting import TEST, TRAIN
from models.networks.checkpoint import load_classifier
from patching.errors import ArtifactError, CheckpointError, StoreError
from patching.manifest import SlideRow
from patching.sealing import CHECKSUM, sealed, unsealed
from patching.store.reading import PatchStore
from pipeline.artifacts import Paths
from pipeline.checks import tables
from pipeline.checks.files import file_problems
from pipeline.checks.tables import run_problems
from pipeline.cli import main
from pipeline.cohort.index import write_index
from pipeline.config import Context, load_stage
from pipeline.experiments.study_cells import is_done
from pipeline.files import read_json, read_table, write_json, write_parquet
from pipeline.patch_tables import read_index, read_splits, with_splits
from pipeline.report.evidence import load_evidence
from pipeline.report.sources import ReportSettings
from pipeline.report.stores import require_stores
from pipeline.stages import verify
from pipeline.training.patches import patch_table

Call = Callable[..., int]


@pytest.fixture
def cohort(trainable_cohort: Context) -> Context:
    """Ready for training, its index made from its stores as tiling does it."""
    paths = trainable_cohort.paths
    slides = read_table(paths.slides, (), "ingest")
    rows = [SlideRow(row.slide_id, row.patient_id, ()) for row in slides.itertuples()]
    write_index(paths, rows, {row.slide_id: PatchStore.open(paths.store(row.slide_id)) for row in rows})
    assert main(["attribute", "--root", str(paths.root), "--cohort", "small"]) == 0
    return trainable_cohort


@pytest.fixture
def call(cohort: Context, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Exit code of a verb, and what it says."""

    def called(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        code = main([*words, "--root", str(cohort.paths.root), "--cohort", "small"])
        return code, capsys.readouterr().err

    return called


def changed(path: Path, **columns: object) -> None:
    """Write a parquet table with other columns, as somebody would by hand."""
    pd.read_parquet(path).assign(**columns).to_parquet(path, index=False)


@given(st.data())
def test_a_flipped_bit_in_json_never_gives_other_content(data: st.DataObject) -> None:
    content = {"split": "test", "groups": {"group_0": {"accuracy": 0.875, "patches": [12, 3]}}, "told": "ü"}
    whole = json.dumps(sealed(content), indent=2, ensure_ascii=False).encode()
    place = data.draw(st.integers(0, len(whole) - 1))
    spoiled = bytearray(whole)
    spoiled[place] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = unsealed(bytes(spoiled))
    except ValueError:
        return
    # Where the flip was in the checksum's very name there is a key more.
    assert {key: found[key] for key in content} == content
    assert len(found) == len(content) or CHECKSUM.encode() not in spoiled


@pytest.mark.parametrize("damage", ["", "{", "[1]", "nul", "\xff", '{"wga": NaN, "checksum": "0"}'])
def test_json_that_is_none_names_the_file_and_what_writes_it(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(damage.encode("latin-1"))
    with pytest.raises(ArtifactError, match=r"run\.json, which is damaged") as caught:
        read_json(path, "train")
    assert caught.value.do == "run `evenpatch train` again"


def test_a_file_that_may_not_be_read_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.json"
    write_json(path, {"seed": 3})

    def refused(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(ArtifactError, match="cannot be read") as caught:
        read_json(path, "train")
    assert "permissions" in caught.value.do
    assert "damaged" not in caught.value.has


def test_json_that_was_changed_is_known_and_a_missing_key_is_told(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    write_json(path, {"test": {"wga": 0.75, "groups": {}}})
    assert read_json(path, "evaluate") == {"test": {"wga": 0.75, "groups": {}}}
    path.write_text(path.read_text().replace("0.75", "0.95"))
    with pytest.raises(ArtifactError, match="checksum"):
        read_json(path, "evaluate")
    # Files of earlier versions, and of other programs, have none.
    path.write_text('{"test": {"groups": {"group_0": 3}}}')
    found = read_json(path, "evaluate")
    for lookup in (
        lambda: found["validation"],
        lambda: found["test"]["wga"],
        lambda: found["test"]["groups"]["a"],
    ):
        with pytest.raises(ArtifactError, match=r"metrics\.json, which is damaged \(no '"):
            lookup()


def test_a_flipped_bit_in_a_table_never_gives_other_rows(tmp_path: Path) -> None:
    path = tmp_path / "predictions.parquet"
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"patch_id": [f"s@{n}_0" for n in range(300)], "probability": rng.random(300)})
    write_parquet(path, table)
    whole, refused = path.read_bytes(), 0
    for place in rng.integers(0, len(whole), 200).tolist():
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        try:
            found = read_table(path, (), "evaluate")
        except ArtifactError:
            refused += 1
            continue
        # What is not sealed is the tail with the columns' names and types, where most flips change nothing.
        assert found.to_numpy().tolist() == table.to_numpy().tolist()
    assert refused > 100


@pytest.mark.parametrize("table", ["index", "splits", "attributes"])
@pytest.mark.parametrize("damage", ["empty", "cut off", "text"])
def test_a_damaged_table_is_refused_by_name(
    table: str, damage: str, cohort: Context, call: Callable[..., tuple[int, str]]
) -> None:
    paths = cohort.paths
    path, stage, reader = {
        "index": (paths.index, "tile", "split"),
        "splits": (paths.splits, "split", "attribute"),
        "attributes": (paths.attribute_table("low"), "attribute", "train"),
    }[table]
    whole = path.read_bytes()
    path.write_bytes({"empty": b"", "cut off": whole[: len(whole) // 2], "text": b"no table\n"}[damage])
    for verb in ("verify", reader):
        code, told = call(verb)
        assert (code, "Traceback" in told) == (2, False)
        if (table, damage) != ("splits", "cut off"):  # which lacks patients: a contradiction
            assert f"{path}" in told
            assert f"run `evenpatch {stage}" in told
    assert "Error\nhas: " in told


CONTRADICTIONS = {
    "of the same patch_id": {"patch_id": "s0@0_0"},
    "label that are no whole numbers": {"label": 0.5},
    "tissue_fraction outside of 0 to 1": {"tissue_fraction": 1.5},
    "of the same ['slide_id', 'store_row']": {"store_row": 0},
    "patient_id that are no text": {"patient_id": None},
    "x that are no whole numbers": {"x": "left"},
}


@pytest.mark.parametrize("told", CONTRADICTIONS)
def test_an_index_that_cannot_be_is_refused(told: str, cohort: Context) -> None:
    changed(cohort.paths.index, **CONTRADICTIONS[told])
    with pytest.raises(ArtifactError) as caught:
        read_index(cohort.paths)
    assert told in caught.value.has
    assert caught.value.do == "run `evenpatch tile` again"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("003,train", "patient '003' in more than one"),
        ("077,tset", "the split 'tset'"),
        (",train", "no text"),
    ],
)
def test_splits_that_cannot_be_are_refused(line: str, told: str, cohort: Context) -> None:
    with cohort.paths.splits.open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(ArtifactError) as caught:
        with_splits(read_index(cohort.paths), read_splits(cohort.paths))
    assert told in caught.value.has


def test_a_file_that_a_record_tells_of_is_missed(cohort: Context) -> None:
    assert list(file_problems(cohort.paths)) == []
    cohort.paths.histogram.unlink()
    assert list(file_problems(cohort.paths)) == [
        f"no file {cohort.paths.histogram}; run `evenpatch attribute --cohort small`, or `dvc repro`"
    ]


def test_labels_that_were_inverted_by_hand_are_found(
    cohort: Context, call: Callable[..., tuple[int, str]]
) -> None:
    assert call("verify")[0] == 0
    index = pd.read_parquet(cohort.paths.index)
    changed(cohort.paths.index, label=1 - index["label"])
    with pytest.raises(ArtifactError, match="groups that are not the patch index's"):
        patch_table(cohort.paths, "low")
    code, told = call("verify")
    assert code == 2
    assert f"{cohort.paths.index}: another label than in the stores of {len(index)} patches" in told
    # Even where later tables were made from it.
    assert call("attribute")[0] == 0
    patch_table(cohort.paths, "low")
    assert call("verify")[0] == 2


def test_splits_that_were_changed_by_hand_are_found(
    cohort: Context, call: Callable[..., tuple[int, str]]
) -> None:
    whole = cohort.paths.splits.read_text()
    patient = whole.partition(f",{TEST}")[0].splitlines()[-1]
    cohort.paths.splits.write_text(whole.replace(f"{patient},{TEST}", f"{patient},{TRAIN}"))
    code, told = call("verify")
    assert code == 2
    assert f"{cohort.paths.groups}: other counts at 'low' of test than by the present splits" in told
    # Attributes of other splits than the present ones: their thresholds saw test patients.
    assert call("attribute")[0] == 0
    assert call("verify")[0] == 0
    cohort.paths.splits.write_text(whole)
    assert "other counts at 'low' of train" in call("verify")[1]


def test_a_problem_is_told_once_with_the_command_of_its_run(
    own_finished: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = own_finished.paths.evaluation("erm-high") / "metrics.json"
    path.write_text(path.read_text()[:-40])
    (problem,) = (each for each in file_problems(own_finished.paths) if f"{path}" in each)
    again = "run `evenpatch evaluate --cohort toy --algorithm erm --threshold high` again"
    assert problem.endswith(f"; {again}")
    twice = (problem, *run_problems(own_finished.paths))
    assert len(twice) == 2
    monkeypatch.setattr(verify, "_CHECKS", (lambda _: iter(twice),))
    monkeypatch.setattr(verify, "index_problems", lambda *_, **__: iter(()))
    monkeypatch.setattr(verify, "_of_stores", lambda *_: iter(()))
    with pytest.raises(ArtifactError) as caught:
        verify.run(own_finished, Namespace(slide=None))
    assert caught.value.has == f"1 problem: {problem}"


def test_a_training_of_other_splits_is_warned_of(
    own_finished: Context, caplog: pytest.LogCaptureFixture
) -> None:
    own_finished.paths.splits.write_text(own_finished.paths.splits.read_text() + "\n")
    list(run_problems(own_finished.paths))
    told = "erm-low: splits.csv changed since it was trained; `dvc repro`, or evenpatch train --cohort toy "
    assert any(message.startswith(told) for message in caplog.messages)


@pytest.mark.parametrize("verb", ["train", "evaluate", "tune", "sweep"])
def test_a_threshold_to_work_at_is_one_that_can_be(
    call: Callable[..., tuple[int, str]], cohort: Context, verb: str
) -> None:
    code, told = call(verb, "--threshold", "lower")
    words = " ".join(told.split())
    assert code == 2
    assert "with the thresholds high, low needs: the threshold 'lower' do: choose one of them, or " in words
    assert "add it to configs/cohorts/small.yaml, attribute.thresholds (or to configs/attribute.yaml" in words
    # Attributes that are not there yet would not help it.
    shutil.rmtree(cohort.paths.attributes / "tables")
    code, told = call(verb, "--threshold", "low/er")
    assert code == 2
    assert "a threshold called 'low/er'" in told


def test_attributes_of_another_threshold_are_found(cohort: Context) -> None:
    path = cohort.paths.attribute_table("low")
    shutil.copy(cohort.paths.attribute_table("high"), path)
    table = pd.read_parquet(path)
    patch_table(cohort.paths, "low")  # as whole as the other one
    assert main(["attribute", "--root", str(cohort.paths.root), "--cohort", "small"]) == 0
    told = pq.read_table(path)
    pq.write_table(told.set_column(3, "group", [(table["group"] ^ 1).to_numpy()]), path)
    with pytest.raises(ArtifactError, match="groups that are not the patch index's"):
        patch_table(cohort.paths, "low")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda index: index.iloc[:-3], "3 patches of a store are missing"),
        (lambda index: index[index["slide_id"] != "s1"], "patches of a store are missing, as s1@"),
        (lambda index: index.replace({"slide_id": {"s1": "s77"}}), "another slide_id than in the stores"),
        (lambda index: index.assign(x=index["x"] + 1), "another x than in the stores"),
        (lambda index: index.assign(patient_id="003"), "another patient_id than in the stores"),
        (
            lambda index: pd.concat([index, index.tail(1).assign(patch_id="s1@7_7", store_row=999)]),
            "1 patches that no store has, as s1@7_7",
        ),
    ],
)
def test_verify_holds_the_index_against_the_stores(
    change: Callable[[pd.DataFrame], pd.DataFrame],
    told: str,
    cohort: Context,
    call: Callable[..., tuple[int, str]],
) -> None:
    change(pd.read_parquet(cohort.paths.index)).to_parquet(cohort.paths.index, index=False)
    code, said = call("verify")
    assert code == 2
    assert f"{cohort.paths.index}: " in said
    assert told in said


@pytest.fixture
def own_finished(finished_cohort: Context, tmp_path: Path) -> Context:
    """A copy of the finished cohort, to be damaged."""
    shutil.copytree(finished_cohort.paths.root, tmp_path, dirs_exist_ok=True)
    return Context(finished_cohort.cohort, Paths(tmp_path, finished_cohort.cohort), tmp_path / "configs")


def test_verify_holds_predictions_and_figures_against_each_other(
    own_finished: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, joined = own_finished.paths, Mock(wraps=patch_table)
    monkeypatch.setattr(tables, "patch_table", joined)
    assert list(run_problems(paths)) == []
    # Seconds for a million patches: once for all runs at a threshold.
    assert sorted(call.args[1] for call in joined.call_args_list) == ["high", "low"]
    path = paths.evaluation("gerne-low") / "predictions.parquet"
    table = pd.read_parquet(path)
    changed(path, prediction=1 - table["prediction"])
    problems = list(run_problems(paths))
    assert len(problems) == len(table.groupby(["split", "group"]))
    assert problems[0].startswith(
        f"{path.parent / 'metrics.json'}: other correct than predictions of group 0"
    )
    assert problems[0].endswith(
        "run `evenpatch evaluate --cohort toy --algorithm gerne --threshold low` again"
    )
    changed(path, label=1 - table["label"], prediction=1 - table["prediction"])
    assert any("another label than in the tables" in problem for problem in run_problems(paths))


@pytest.mark.parametrize("figures", [3, {}, {"groups": [1]}])
def test_figures_of_another_shape_are_told(figures: object, own_finished: Context) -> None:
    path = own_finished.paths.evaluation("gerne-low") / "metrics.json"
    write_json(path, read_json(path, "evaluate") | {"test": figures})
    (problem,) = run_problems(own_finished.paths)
    assert problem.startswith(f"{path}: no figures of groups of test; run `evenpatch evaluate ")


def test_json_of_an_earlier_version_is_warned_of_and_no_problem(
    cohort: Context, caplog: pytest.LogCaptureFixture
) -> None:
    assert list(file_problems(cohort.paths)) == []
    assert caplog.messages == []
    content = read_json(cohort.paths.groups, "attribute")
    cohort.paths.groups.write_text(json.dumps(content))
    assert list(file_problems(cohort.paths)) == []
    (warning,) = caplog.messages
    assert warning.startswith("1 JSON files hold no checksum, as an earlier version ")
    assert warning.endswith(f"whether they are whole; {cohort.paths.groups} is one")


def test_predictions_of_other_origin_are_no_problem(own_finished: Context) -> None:
    paths = own_finished.paths
    shutil.copytree(paths.evaluation("erm-low"), paths.evaluation("theirs"))
    (paths.evaluation("theirs") / "metrics.json").unlink()
    assert list(run_problems(paths)) == []
    changed(paths.evaluation("theirs") / "predictions.parquet", probability=1.5)
    (problem,) = run_problems(paths)
    assert "theirs/predictions.parquet, which is damaged" in problem


def test_weights_that_are_not_the_cards_are_refused(own_finished: Context) -> None:
    folder = own_finished.paths.training("gerne-low")
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    with pytest.raises(CheckpointError, match=r"model\.safetensors: damaged, or not the weights"):
        load_classifier(folder)
    shutil.copy(own_finished.paths.training("erm-high") / "model.safetensors", path)
    with pytest.raises(CheckpointError, match=r"model\.safetensors: damaged, or not the weights"):
        load_classifier(folder)
    path.write_bytes(whole)
    load_classifier(folder)
    card = folder / "model.json"
    told = card.read_text()
    for other in (told.replace('"gerne"', '"erm"'), '{"checksum": "0", "schema_version": NaN}'):
        card.write_text(other)
        with pytest.raises(CheckpointError, match=r"model\.json: damaged"):
            load_classifier(folder)


@pytest.mark.parametrize("split", [TEST, TRAIN])
def test_the_report_does_not_pass_over_damaged_patches_of_the_test(split: str, own_finished: Context) -> None:
    paths = own_finished.paths
    splits = pd.read_csv(paths.splits)
    patient = splits.loc[splits["split"] == split, "patient_id"].iloc[0]
    shard = next(paths.store(f"s-{patient}").glob("images/c.*"))
    content = shard.read_bytes()
    shard.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
    evidence = load_evidence(own_finished, load_stage(own_finished.configs, "toy", "report", ReportSettings))
    if split == TRAIN:
        require_stores(evidence)
        return
    with pytest.raises(StoreError, match=f"shard 0 of .*s-{patient}.zarr"):
        require_stores(evidence)


def test_a_damaged_cell_of_a_study_is_trained_anew(tmp_path: Path) -> None:
    cell = Namespace(name="r0-f0-erm-low", fingerprint="f")
    write_json(tmp_path / "r0-f0-erm-low.json", {"fingerprint": "f", "failure": "no such luck"})
    assert is_done(tmp_path, cell)
    write_json(tmp_path / "r0-f0-erm-low.json", {"fingerprint": "f"})
    (tmp_path / "r0-f0-erm-low.parquet").write_bytes(b"PAR1")
    assert not is_done(tmp_path, cell)
    (tmp_path / "r0-f0-erm-low.json").write_text("{")
    assert not is_done(tmp_path, cell)
