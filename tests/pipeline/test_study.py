"""The study: every patient tested once per repeat, finished trainings kept, pooled figures right."""

import json
import logging
import math
import re
import shutil
from argparse import Namespace
from collections.abc import Callable
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from pydantic import BaseModel, ValidationError

from models.algorithms.registry import ALGORITHMS
from models.data.attributes import LAYOUT
from models.data.splitting import TEST, SplitSettings
from models.metrics.intervals import PatientSums
from models.metrics.selection import Choice, Score
from patching.errors import ArtifactError, ConfigError, EvenpatchError, MemoryShortageError
from pipeline.cli import main
from pipeline.config import Context, load_stage
from pipeline.experiments import study_cells, study_pool
from pipeline.experiments.best_on_validation import BEST, best_on_validation
from pipeline.experiments.study_archive import archive, restore
from pipeline.experiments.study_files import StudySettings
from pipeline.results.bootstrap import BootstrapSettings, bootstrap_settings
from pipeline.results.runs import study_fingerprints, study_left_out
from pipeline.results.seeds import pools_of, statistics_of
from pipeline.results.studied import CELL, repeats_of
from pipeline.stages import study
from pipeline.training.identity import RECIPE
from pipeline.training.settings import TrainStage

QUICK = {"epochs": 0.3, "backbone": "densenet_slim", "device": "cpu", "minimum_validation_patches": 1}
WHOLE = {"archive": None, "minutes": None}
SMALL = {"repeats": 2, "folds": 2, "algorithms": ["erm", "gerne"], "draws": 50, "workers": 1}


@pytest.fixture
def context(trainable_cohort: Context) -> Context:
    """A cohort ready for training, with settings of seconds."""
    file = trainable_cohort.configs / "cohorts" / "small.yaml"
    content = yaml.safe_load(file.read_text())
    content |= {"train": QUICK, "study": SMALL, "algorithms": {"gerne": {"candidates": [{"beta": 0.5}]}}}
    file.write_text(yaml.safe_dump(content))
    return trainable_cohort


def settings_of(context: Context) -> StudySettings:
    return load_stage(context.configs, context.cohort, "study", StudySettings)


def train_here(context: Context, *cells: study_cells.Cell) -> None:
    study_cells.train_cells(context.paths, context.paths.study / "cells", cells)


def test_plans_every_training_once(context: Context) -> None:
    names = [cell.name for cell in study_cells.planned(context, settings_of(context))]
    assert len(names) == len(set(names)) == 2 * 2 * 2 * 2
    assert names[0] == "r0-f0-erm-low"
    assert names[-1] == "r1-f1-gerne-high"


def test_plans_the_named_thresholds_alone(context: Context) -> None:
    settings = settings_of(context).model_copy(update={"thresholds": ("high",)})
    assert {cell.threshold for cell in study_cells.planned(context, settings)} == {"high"}
    with pytest.raises(ConfigError, match="some of low, high"):
        list(study_cells.planned(context, settings.model_copy(update={"thresholds": ("medium",)})))


def test_every_patient_is_tested_once_per_repeat(context: Context) -> None:
    wanted = pd.read_parquet(context.paths.index)["patch_id"]
    tested = []
    for cell in study_cells.planned(context, settings_of(context)):
        if (cell.repeat, cell.algorithm, cell.threshold) == (0, "erm", "low"):
            train_here(context, cell)
            table = pd.read_parquet(context.paths.study / "cells" / f"{cell.name}.parquet")
            assert ((table["logit"] > 0) == (table["prediction"] == 1)).all()
            tested += table["patch_id"][table["split"] == TEST].tolist()
    # Patient 003, whom slides.csv fixes to test, is no exception.
    assert sorted(tested) == sorted(wanted)


def test_a_finished_training_is_kept_until_something_changes(context: Context) -> None:
    folder = context.paths.study / "cells"
    cell = next(study_cells.planned(context, settings_of(context)))
    assert not study_cells.is_done(folder, cell)
    train_here(context, cell)
    assert study_cells.is_done(folder, cell)
    file = context.configs / "cohorts" / "small.yaml"
    content = yaml.safe_load(file.read_text())
    content["train"]["learning_rate"] = 0.01
    file.write_text(yaml.safe_dump(content))
    assert not study_cells.is_done(folder, next(study_cells.planned(context, settings_of(context))))


def test_what_decides_no_training_retrains_nothing(context: Context) -> None:
    folder = context.paths.study / "cells"
    cell = next(study_cells.planned(context, settings_of(context)))
    train_here(context, cell)
    file = context.configs / "cohorts" / "small.yaml"
    content = yaml.safe_load(file.read_text())
    content["train"] |= {"save_minutes": 3, "log_gradients": True, "decision": {"rule": "by_tissue"}}
    content["attribute"] = {"bins": 31}
    file.write_text(yaml.safe_dump(content))
    index = pd.read_parquet(context.paths.index)
    index.assign(quality_focus=1.0, tumor_fraction=0.5).to_parquet(context.paths.index, index=False)
    assert study_cells.is_done(folder, next(study_cells.planned(context, settings_of(context))))
    index.assign(tissue_fraction=index["tissue_fraction"] ** 2).to_parquet(context.paths.index, index=False)
    assert not study_cells.is_done(folder, next(study_cells.planned(context, settings_of(context))))


def test_the_defaults_behind_finished_studies_are_what_they_were() -> None:
    """A new key: add it to the file. A changed default: raise RECIPE as well."""
    kinds: dict[str, type[BaseModel]] = {"train": TrainStage, "split": SplitSettings}
    kinds |= {name: algorithm.settings_type for name, algorithm in ALGORITHMS.items()}
    present = {name: kind.model_validate({}).model_dump(mode="json") for name, kind in kinds.items()}
    known = json.loads(Path(__file__).with_name("study_defaults.json").read_text())
    assert present == known["defaults"]
    assert known["recipe"] == RECIPE


def test_a_method_that_sees_no_attribute_is_trained_once_for_all_thresholds(context: Context) -> None:
    folder = context.paths.study / "cells"
    cells = list(study_cells.planned(context, settings_of(context)))
    jobs = study_cells.trainings(cells)
    assert sorted(len(job) for job in jobs) == [1] * 8 + [2] * 4
    (both,) = [job for job in jobs if {cell.name for cell in job} >= {"r0-f0-erm-low", "r0-f0-erm-high"}]
    assert set(study_cells.train_cells(context.paths, folder, both)) == {cell.name for cell in both}
    together = [pd.read_parquet(folder / f"{cell.name}.parquet") for cell in both]
    for cell, found in zip(both, together, strict=True):
        (folder / f"{cell.name}.parquet").unlink()
        train_here(context, cell)
        pd.testing.assert_frame_equal(pd.read_parquet(folder / f"{cell.name}.parquet"), found)


class Pool(Executor):
    """Trains in this process, which has imported all that a new one would import for seconds."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def submit(self, function: Callable[..., Any], /, *given: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*given, **named))
        except EvenpatchError as error:
            future.set_exception(error)
        return future


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings of a study run in this process."""
    monkeypatch.setattr(study_pool, "ProcessPoolExecutor", Pool)


@pytest.mark.usefixtures("here")
def test_an_archive_gives_the_same_tables_without_training(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> None:
        raise AssertionError("a finished result was trained again")

    options = {"repeats": 1, "algorithms": ["erm"], "thresholds": None, "workers": 1, "minutes": None}
    store = tmp_path / "archive"
    study.run(context, Namespace(**options, archive=store))
    written = (context.paths.study / "study.json").read_text()
    names = sorted(path.name for path in (store / "small").iterdir())
    assert names == ["erm-high-r0.parquet", "erm-low-r0.parquet"]
    before = [(store / "small" / name).read_bytes() for name in names]
    shutil.rmtree(context.paths.study)
    monkeypatch.setattr(study, "finished", lambda *given: iter(()) if not given[2] else never())
    study.run(context, Namespace(**options, archive=store))
    assert (context.paths.study / "study.json").read_text() == written
    assert [(store / "small" / name).read_bytes() for name in names] == before
    (store / "small" / names[0]).write_bytes(b"PAR1 cut off")
    with pytest.raises(ArtifactError, match=r"erm-high-r0\.parquet, which is damaged"):
        study.run(context, Namespace(**options, archive=store))


def test_a_study_in_slices_says_what_is_left(context: Context, capsys: pytest.CaptureFixture[str]) -> None:
    options = {"repeats": 1, "algorithms": ["erm"], "thresholds": ["low"], "workers": 1, "archive": None}
    study.run(context, Namespace(**options, minutes=1e-9))
    assert "2 of 2 results are missing still" in capsys.readouterr().out
    assert not (context.paths.study / "study.json").exists()


def test_a_place_that_takes_no_archive_is_refused_before_any_training(
    context: Context, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    given = ["--cohort", "small", "--root", str(context.paths.root), "--archive", str(tmp_path / "file")]
    assert main(["study", *given]) == 2
    assert "a folder that can be written to" in capsys.readouterr().err
    assert not (context.paths.study / "cells").exists()


def test_a_process_that_was_killed_is_told_as_what_it_is(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(Pool):
        def submit(self, *_: Any, **__: Any) -> Future[Any]:
            future: Future[Any] = Future()
            future.set_exception(BrokenProcessPool("terminated abruptly"))
            return future

    monkeypatch.setattr(study_pool, "ProcessPoolExecutor", Killed)
    cells = list(study_cells.planned(context, settings_of(context)))
    with pytest.raises(MemoryShortageError, match="fewer --workers"):
        list(
            study_pool.finished(context.paths, context.paths.study, study_cells.trainings(cells), 2, math.inf)
        )


def test_others_are_left_out_where_methods_are_named(
    context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    file = context.configs / "cohorts" / "small.yaml"
    others = {"algorithms": ["jtt"], "repeats": 2}
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {"study": SMALL | {"others": others}}))
    given = {"repeats": 1, "thresholds": None, "workers": 1, "archive": None, "minutes": 1e-9}
    # In one repeat, whatever the others' two: three methods, two folds, two thresholds.
    study.run(context, Namespace(**given, algorithms=None))
    assert "12 of 12 results are missing" in capsys.readouterr().out
    study.run(context, Namespace(**given, algorithms=["jtt"]))
    assert "4 of 4 results are missing" in capsys.readouterr().out


def test_an_interrupted_summary_leaves_no_study_of_two_minds(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    table = of_index(context, ("erm", "gerne"))
    study.summarize(context, context.paths.study, settings_of(context), table, [], [])
    assert not study_left_out(context)
    monkeypatch.setattr(pd.DataFrame, "to_parquet", interrupted)
    with pytest.raises(KeyboardInterrupt):
        study.summarize(context, context.paths.study, settings_of(context), table, [], [])
    assert study_left_out(context) == "there is no finished study"


def test_an_archive_holds_as_many_folds_as_there_are_patients(context: Context, tmp_path: Path) -> None:
    folder, store = context.paths.study / "cells", tmp_path / "archive"
    first = next(study_cells.planned(context, settings_of(context)))
    index = pd.read_parquet(context.paths.index)
    cells = [replace(first, fold=fold) for fold in (2, 130, 258)]
    for cell in cells:
        table = of_index(context, ("erm",)).assign(fold=cell.fold)
        folder.mkdir(parents=True, exist_ok=True)
        table[list(CELL)].to_parquet(folder / f"{cell.name}.parquet")
        record = {"fingerprint": cell.fingerprint, "name": cell.name, "tissue_fraction_above": 0.4}
        (folder / f"{cell.name}.json").write_text(json.dumps(record))
    assert archive(store, folder, cells, index) == 1
    shutil.rmtree(folder)
    assert restore(store, folder, cells, index) == 3
    for cell in cells:
        found = pd.read_parquet(folder / f"{cell.name}.parquet")
        assert set(found["fold"]) == {cell.fold}
        assert len(found) == len(of_index(context, ("erm",)))


def test_starting_weights_are_known_by_what_they_hold(context: Context) -> None:
    file = context.configs / "cohorts" / "small.yaml"
    content = yaml.safe_load(file.read_text())
    plain = next(study_cells.planned(context, settings_of(context))).fingerprint
    content["train"] |= {"weights": "start.safetensors"}
    file.write_text(yaml.safe_dump(content))
    found = [plain]
    for held in (None, b"a", b"b"):
        if held is not None:
            (context.paths.root / "start.safetensors").write_bytes(held)
        found.append(next(study_cells.planned(context, settings_of(context))).fingerprint)
        found.append(study_fingerprints(context, (), ())["train"])
    assert len(set(found)) == 7


def test_the_same_training_gives_the_same_predictions(context: Context) -> None:
    cell = next(study_cells.planned(context, settings_of(context)))
    path = context.paths.study / "cells" / f"{cell.name}.parquet"
    train_here(context, cell)
    first = path.read_bytes()
    train_here(context, cell)
    assert path.read_bytes() == first


@pytest.mark.slow
def test_writes_figures_table_and_picture(
    context: Context, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    study.run(context, Namespace(repeats=1, algorithms=None, thresholds=None, workers=2, **WHOLE))
    content = json.loads((context.paths.study / "study.json").read_text())
    assert set(content["thresholds"]) == {"low", "high"}
    assert len(content["cells"]) == 1 * 2 * 2 * 2
    difference = content["thresholds"]["low"]["differences"]["erm"]["wga"]
    wga = {name: row["wga"] for name, row in content["thresholds"]["low"]["algorithms"].items()}
    expected = wga["gerne"]["estimate"] - wga["erm"]["estimate"]
    assert difference["estimate"] == pytest.approx(expected)
    assert (context.paths.study / "study.png").read_bytes()[:4] == b"\x89PNG"
    assert "GERNE − ERM" in (context.paths.study / "table.md").read_text()
    assert "GBA" in capsys.readouterr().out
    for name in ("table.md", "study.json", "study.png"):
        assert f"wrote {context.paths.study / name}" in caplog.text


def predictions(repeats: int) -> pd.DataFrame:
    """Four patients of ten patches; repeat 1 is wrong on every patch of group 3 of patient 0."""
    rows: list[dict[str, Any]] = []
    for repeat in range(repeats):
        for patient in range(4):
            for patch in range(10):
                label, attribute = patch % 2, (patch + patient) // 2 % 2
                group = int(LAYOUT.group(label, attribute))
                wrong = repeat == 1 and patient == 0 and group == 3
                prediction = 1 - label if wrong else label
                rows.append(
                    {
                        "patch_id": f"{patient}@{patch}",
                        "patient_id": f"p{patient}",
                        "repeat": repeat,
                        "fold": 0,
                        "threshold": "low",
                        "algorithm": "erm",
                        "split": TEST,
                        "label": label,
                        "attribute": attribute,
                        "group": group,
                        "prediction": prediction,
                        "logit": 2.0 * prediction - 1,
                    }
                )
    return pd.DataFrame(rows)


def statistics_at(table: pd.DataFrame, minimum_patches: int) -> PatientSums:
    """Sums over the groups of the repeats in a table."""
    (pool,) = pools_of(repeats_of(table, [], table[["patch_id", "patient_id"]].drop_duplicates()), [])
    settings = BootstrapSettings(minimum_patches=minimum_patches)
    return statistics_of(pool, LAYOUT, None, settings, ranked=True)["groups"]


def test_repeats_are_pooled_as_means() -> None:
    table = predictions(2)
    statistics = statistics_at(table, minimum_patches=2)
    whole = statistics.metrics(np.ones((1, 4)))[0]
    wga_R = whole[:, statistics.names.index("wga")]
    group_3 = table[(table["repeat"] == 1) & (table["group"] == 3)]
    accuracy = (group_3["prediction"] == group_3["label"]).mean()
    assert accuracy < 1
    np.testing.assert_allclose(wga_R, [1, accuracy])


def test_a_group_too_small_in_a_repeat_is_not_estimable() -> None:
    table = predictions(2)
    smallest = int(table[table["repeat"] == 0]["group"].value_counts().min())
    assert statistics_at(table, minimum_patches=smallest).estimable_G.all()
    assert not statistics_at(table, minimum_patches=smallest + 1).estimable_G.all()


def of_index(context: Context, algorithms: tuple[str, ...]) -> pd.DataFrame:
    """One repeat on all patches of the cohort: half of tumor with much tissue, and few with little."""
    index = pd.read_parquet(context.paths.index)[["patch_id", "patient_id", "label", "tissue_fraction"]]
    index = index.assign(attribute=(index["tissue_fraction"] > 0.4).astype(int))
    rare = (index["label"] == 1) & (index["attribute"] == 0)
    index = index[~rare | (rare.cumsum() <= 12)].assign(repeat=0, fold=0, threshold="low")
    index["group"] = 2 * index["label"] + index["attribute"]
    wrong = (index["group"] == 3) & (np.arange(len(index)) % 2 == 0)
    index["prediction"] = np.where(wrong, 1 - index["label"], index["label"])
    index["split"], index["logit"] = TEST, 2.0 * index["prediction"] - 1
    return pd.concat([index.assign(algorithm=name) for name in algorithms])


def test_the_tables_say_what_cannot_be_estimated(
    context: Context, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    table = of_index(context, ("erm", "class_balanced", "group_resampling", "gerne"))
    study.summarize(context, context.paths.study, settings_of(context), table, [], [])
    written = (context.paths.study / "table.md").read_text()
    left_out = "tumor, little tissue (12 patches): not estimable, and left out of WGA and GBA."
    assert left_out in written
    assert re.search(r"^\| GERNE − ERM \| \+0\.0 \[\+0\.0, \+0\.0\]", written, re.MULTILINE)
    figures = json.loads((context.paths.study / "study.json").read_text())["thresholds"]["low"]
    assert figures["patches_per_group"][2] == 12
    assert set(figures["differences"]) == {"erm", "class_balanced", "group_resampling"}
    for row in (*figures["algorithms"].values(), *figures["differences"].values()):
        keys = {"wga", "gba", "average", "auroc", *(f"group_{g}" for g in range(4))}
        assert keys <= set(row)
        assert row["group_2"]["estimate"] == "not estimable"
        assert all({"estimate", "low", "high", "spread", "level"} <= set(figure) for figure in row.values())
    assert figures["algorithms"]["erm"]["wga"]["estimate"] == pytest.approx(0.5, abs=0.05)
    told = capsys.readouterr().out
    assert "…" not in told
    assert max(map(len, told.splitlines())) <= 80
    assert left_out in " ".join(told.split())


def test_the_minimums_are_those_of_evaluate_unless_the_study_has_its_own(context: Context) -> None:
    own = bootstrap_settings(context)
    # SMALL has its own number of draws; the seed of the folds is not that of the bootstrap.
    assert bootstrap_settings(context, study=True) == own.model_copy(update={"draws": 50})
    file = context.configs / "cohorts" / "small.yaml"
    content = yaml.safe_load(file.read_text())
    content["evaluate"], content["study"] = {"minimum_patches": 5}, {"minimum_patients": 7, "seed": 9}
    file.write_text(yaml.safe_dump(content))
    assert bootstrap_settings(context).model_dump() == own.model_dump() | {"minimum_patches": 5}
    found = bootstrap_settings(context, study=True)
    assert found.model_dump() == own.model_dump() | {"minimum_patches": 5, "minimum_patients": 7}
    study.summarize(context, context.paths.study, settings_of(context), of_index(context, ("erm",)), [], [])
    settings = json.loads((context.paths.study / "study.json").read_text())["settings"]
    assert settings["minimum_patches"] == 5
    assert (settings["minimum_patients"], settings["seed"], settings["draws"]) == (7, 9, own.draws)


def test_wrong_options_end_with_code_2(context: Context, capsys: pytest.CaptureFixture[str]) -> None:
    root = str(context.paths.root)
    for wrong in ("0", "-1", "nan"):
        assert main(["study", "--cohort", "small", "--root", root, "--minutes", wrong]) == 2
        assert f"--minutes {wrong}" in capsys.readouterr().err
    for wrong in ("0", "-1"):
        assert main(["study", "--cohort", "small", "--root", root, "--repeats", wrong]) == 2
        assert f"repeats = {wrong}" in capsys.readouterr().err
    assert main(["study", "--cohort", "small", "--root", root, "--algorithms", "erm", "erm"]) == 2
    assert "name each once" in capsys.readouterr().err


def test_settings_of_a_search_are_told(context: Context) -> None:
    cells = list(study_cells.planned(context, settings_of(context)))
    assert study.tuned_before(context.paths, cells) == []
    path = context.paths.trials("tune", "gerne-low") / "tune.json"
    path.parent.mkdir(parents=True)
    best = {"candidates": [{"beta": 0.5}]}
    for settings, told in ((best | {"c": 0.123}, 0), (best, 1)):
        path.write_text(json.dumps({"n_trials": 20, "n_earlier": 0, "best": {"settings": settings}}))
        found = study.tuned_before(context.paths, cells)
        assert len(found) == told
    assert found[0].startswith("gerne at threshold low is too good: its settings are the best of 20 trials")


def test_brackets_in_a_reason_are_printed_as_they_are(
    context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_of(context).model_copy(update={"repeats": 1, "algorithms": ("erm",)})
    reason = "erm: group [tumor] and [/b] are empty"
    study.summarize(context, context.paths.study, settings, of_index(context, ("erm",)), [], [reason])
    assert reason in capsys.readouterr().out


@pytest.mark.usefixtures("here")
def test_a_method_that_cannot_run_is_recorded_and_left_out_with_the_reason(
    context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    # One hard sample in ten thousand: the pseudo-group is empty in every fold.
    file = context.configs / "cohorts" / f"{context.cohort}.yaml"
    content = yaml.safe_load(file.read_text())
    content["algorithms"]["gerne_unknown"] = {"t": 0.0001, "candidates": [{}]}
    file.write_text(yaml.safe_dump(content))
    command = ["study", "--cohort", context.cohort, "--root", str(context.paths.root), "--repeats", "1"]
    stale = context.paths.study / "cells" / "r0-f0-gerne_unknown-low.parquet"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"of other settings")
    assert main([*command, "--algorithms", "erm", "gerne_unknown"]) == 0
    assert not stale.exists()
    said = "gerne_unknown is left out: it could not be trained in 4 of 4 cells"
    assert said in capsys.readouterr().out.replace("\n", " ")
    table = (context.paths.study / "table.md").read_text()
    assert said.replace("_", r"\_") in table
    assert re.search(r"EmptyGroupError: .+; needs .+; .+$", table, re.MULTILINE)  # on one line
    assert "| ERM |" in table
    assert "| GERNE, attributes unknown |" not in table
    cell = next(
        cell
        for cell in study_cells.planned(
            context, settings_of(context).model_copy(update={"repeats": 1, "algorithms": ("gerne_unknown",)})
        )
    )
    assert study_cells.is_done(context.paths.study / "cells", cell)
    assert main([*command, "--algorithms", "gerne_unknown"]) == 2
    assert "one method that runs in every fold" in capsys.readouterr().err


def test_the_best_on_validation_is_chosen_in_every_fold() -> None:
    predictions = pd.DataFrame(
        [
            {"patch_id": f"p{fold}", "repeat": 0, "fold": fold, "threshold": "low", "algorithm": name}
            for fold in (0, 1)
            for name in ("erm", "gerne")
        ]
    )
    records: list[dict[str, Any]] = [
        {"name": f"r0-f{fold}-{name}-low", "algorithm": name, "threshold": "low", "validation": score}
        for fold, name, score in (
            (0, "erm", [0.5, 0.6, -1.0]),
            (0, "gerne", [0.5, 0.7, -2.0]),
            (1, "erm", [0.4, 0.9, -1.0]),
            (1, "gerne", [0.3, 0.9, -1.0]),
        )
    ]
    failed = {"name": "r0-f1-jtt-low", "algorithm": "jtt", "threshold": "low", "failure": "empty"}
    best = best_on_validation(predictions, [*records, failed])
    assert best is not None
    assert best["patch_id"].tolist() == ["p0", "p1"]
    assert best.index.tolist() == [1, 2]  # GERNE in fold 0 by its GBA, ERM in fold 1
    assert set(best["algorithm"]) == {BEST}
    without_score = [record | {"validation": None} for record in records]
    assert best_on_validation(predictions, without_score) is None
    assert best_on_validation(predictions[predictions["algorithm"] == "erm"], records) is None


def test_a_figure_that_is_not_estimable_is_written_and_loses() -> None:
    names = ("erm", "gerne")
    scores = {"erm": Score(-np.inf, 0.9, -0.1), "gerne": Score(0.4, -np.inf, -0.2)}
    records = []
    for name in names:
        trial = Namespace(override={}, figures={"step": 1.0}, score=scores[name])
        result = Namespace(trials=(trial,), chosen=0, choice=Choice("validation", "enough"))
        outcome = study_cells._outcome(result)  # type: ignore[arg-type]
        assert outcome["choice"] == {"by": "validation", "why": "enough"}
        json.dumps(outcome, allow_nan=False)
        records.append({"name": f"r0-f0-{name}-low", "algorithm": name, "threshold": "low", **outcome})
    table = pd.concat([predictions(1).assign(algorithm=name, threshold="low", fold=0) for name in names])
    best = best_on_validation(table.assign(chosen=table["algorithm"]), records)
    assert best is not None
    assert set(best["chosen"]) == {"gerne"}


def test_the_settings_name_everything_once() -> None:
    with pytest.raises(ValidationError, match="name each once"):
        StudySettings(thresholds=("low", "low"))
    with pytest.raises(ValidationError, match="name each once"):
        StudySettings(algorithms=())
