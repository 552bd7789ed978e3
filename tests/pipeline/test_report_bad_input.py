"""What the report makes of input that it cannot trust: an error that says what to do, or words."""

import json
import re
import shutil
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from patching.errors import ArtifactError
from pipeline.artifacts import Paths
from pipeline.cli import main
from pipeline.cohort.duplicates import Twins
from pipeline.config import Context
from pipeline.intervention.models import models_of
from pipeline.look.html import make_environment
from pipeline.report.names import Names
from pipeline.report.page import shown_panels
from pipeline.report.panels import duplicates, verdict
from pipeline.report.sources import Sources
from pipeline.results.predictions import sound_runs
from pipeline.results.verdict import estimable
from pipeline.stages import report
from pipeline.training.patches import table_fingerprints
from pipeline.yaml_file import load_yaml
from tests.pipeline.reports import panel, shown, sources_of

HOSTILE = "<img src=x onerror=alert(1)>\"'&"


@pytest.fixture
def cohort(finished_cohort: Context, tmp_path: Path) -> Context:
    """The finished cohort with one run alone, to be changed."""
    shutil.copytree(finished_cohort.paths.root, tmp_path, dirs_exist_ok=True)
    context = Context(finished_cohort.cohort, Paths(tmp_path, finished_cohort.cohort), tmp_path / "configs")
    for folder in context.paths.evaluation("any").parent.iterdir():
        if folder.name != "erm-low":
            shutil.rmtree(folder)
    return context


def page_of(context: Context) -> str:
    report.run(context, Namespace())
    return " ".join(context.paths.report.read_text(encoding="utf-8").split())


def refused(context: Context, capsys: pytest.CaptureFixture[str]) -> str:
    """What the command line says, whose exit code is that of an expected error."""
    root = str(context.paths.root)
    assert main(["report", "--root", root, "--cohort", context.cohort]) == 2
    return " ".join(capsys.readouterr().err.split())


def change_predictions(context: Context, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    path = context.paths.evaluation("erm-low") / "predictions.parquet"
    change(pd.read_parquet(path)).to_parquet(path, index=False)


def change_slides(context: Context, **columns: object) -> None:
    slides = pd.read_csv(context.paths.slides, dtype=str).assign(**columns)
    slides.to_csv(context.paths.slides, index=False)
    as_if_trained_on_it(context)


def as_if_trained_on_it(context: Context) -> None:
    """The run's record names the present tables, so that it is not left out for their change."""
    path = context.paths.training("erm-low") / "run.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"fingerprints": table_fingerprints(context.paths, "low")}))


def of_test(table: pd.DataFrame) -> pd.Series:
    return table["split"] == "test"


def test_one_class_alone_is_told_without_figures(cohort: Context) -> None:
    change_predictions(cohort, lambda table: table[~of_test(table) | (table["label"] == 1)])
    page = page_of(cohort)
    assert "not estimable" in panel(page, "group_table")
    assert "tumor" in panel(page, "audit")


def test_one_test_patient_has_no_intervals(cohort: Context) -> None:
    change_predictions(
        cohort, lambda table: table[~of_test(table) | table["patch_id"].str.startswith("s-p03@")]
    )
    page = page_of(cohort)
    assert "not estimable" in panel(page, "group_table")
    told = panel(page, "audit")
    assert "1 test patients" in told or "1 test patient" in told
    assert "candidate shortcut</b>" not in told.lower()


def test_an_empty_group_is_told(cohort: Context) -> None:
    change_predictions(cohort, lambda table: table[~of_test(table) | (table["group"] != 2)])
    assert "not estimable" in shown(sources_of(cohort), "group_table")


def test_predictions_without_a_number_are_refused(
    cohort: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    def spoiled(table: pd.DataFrame) -> pd.DataFrame:
        rows = table.index[of_test(table)][:3]
        table.loc[rows, "probability"] = np.nan
        return table

    change_predictions(cohort, spoiled)
    said = refused(cohort, capsys)
    assert "erm-low: 3 of 192 predictions without a number in probability" in said
    assert "do: look whether the training diverged" in said


def test_missing_predictions_are_refused(cohort: Context, capsys: pytest.CaptureFixture[str]) -> None:
    change_predictions(
        cohort, lambda table: table.assign(prediction=table["prediction"].where(table.index != 200))
    )
    assert "without a number in prediction" in refused(cohort, capsys)


def spoiled(path: Path, how: str) -> None:
    table = pd.read_parquet(path)
    first = table.index[of_test(table)][:3]
    if how == "missing":
        path.unlink()
    elif how == "damaged":
        path.write_bytes(path.read_bytes()[:-40])
    elif how == "text":
        table.astype({"probability": str}).assign(probability="high").to_parquet(path, index=False)
    elif how == "fraction":
        # No whole number, and no error of the conversion to one.
        table.assign(prediction=table["prediction"].where(table.index != first[0], np.inf)).to_parquet(path)
    else:
        table.loc[first, "probability"] = float(how)
        table.to_parquet(path, index=False)


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("nan", "3 of 192 predictions without a number in probability"),
        ("inf", "3 of 192 predictions without a number in probability"),
        ("1.5", "3 of 192 predictions told outside of 0 to 1"),
        ("text", "192 of 192 predictions without a number in probability"),
        ("fraction", "1 of 192 predictions without a number in prediction"),
        ("damaged", "damaged"),
        ("missing", "no "),
    ],
)
def test_a_reference_that_cannot_be_read_is_left_out_and_the_main_run_is_refused(
    finished_cohort: Context, tmp_path: Path, how: str, told: str
) -> None:
    context = Context(
        finished_cohort.cohort, Paths(tmp_path, finished_cohort.cohort), finished_cohort.configs
    )
    context.paths.index.parent.mkdir(parents=True)
    shutil.copy(finished_cohort.paths.index, context.paths.index)
    for name in ("erm-low", "gerne-low"):
        shutil.copytree(finished_cohort.paths.evaluation(name), context.paths.evaluation(name))
    file = context.paths.evaluation("erm-low") / "predictions.parquet"
    spoiled(file, how)
    names = ("erm-low", "gerne-low")
    found, (sentence,) = sound_runs(context, names, ("gerne", "low"))
    assert [run.name for run in found] == ["gerne-low"]
    assert sentence.startswith("erm-low is left out: ")
    assert f"outputs/{context.cohort}/evaluate/erm-low/predictions.parquet" in sentence
    assert told in sentence
    assert str(tmp_path) not in sentence
    assert (
        "Written anew by `evenpatch evaluate --cohort toy --algorithm erm --threshold low`, where" in sentence
    )
    with pytest.raises(ArtifactError):
        sound_runs(context, names, ("erm", "low"))


def test_the_report_says_which_reference_it_left_out(finished_cohort: Context, tmp_path: Path) -> None:
    shutil.copytree(finished_cohort.paths.root, tmp_path, dirs_exist_ok=True)
    context = Context(finished_cohort.cohort, Paths(tmp_path, finished_cohort.cohort), tmp_path / "configs")
    kept = ("erm-low", "gerne-low", "class_balanced-low")
    for folder in context.paths.evaluation("any").parent.iterdir():
        if folder.name not in kept:
            shutil.rmtree(folder)
    # Another seed of the reference that is sound.
    for parent in (context.paths.training("any").parent, context.paths.evaluation("any").parent):
        shutil.copytree(parent / "class_balanced-low", parent / "class_balanced-low-s2")
    for name in ("erm-low", "class_balanced-low-s2"):
        spoiled(context.paths.evaluation(name) / "predictions.parquet", "nan")
    sources = sources_of(context)
    assert [one.split(" ")[0] for one in sources.unread] == ["erm-low", "class_balanced-low-s2"]
    board = sources.boards["low"]
    assert {method.algorithm for method in board.methods} & {"erm", "gerne"} == {"gerne"}
    environment = make_environment("pipeline.report", "pipeline.tables")
    environment.tests["estimable"] = estimable
    environment.globals |= {"sources": sources, "main": sources.main}
    page = environment.get_template("verdict.html").render(verdict.values(sources))
    assert "erm-low is left out: outputs/toy/evaluate/erm-low/predictions.parquet: 3 of 192" in page
    assert (
        "anew by <code>evenpatch evaluate --cohort toy --algorithm erm --threshold low</code>, where" in page
    )
    models = models_of(context)
    assert models is not None
    assert sources.unread[0] in models.remarks
    # A seed of the model that the report is about is not left out.
    for parent in (context.paths.training("any").parent, context.paths.evaluation("any").parent):
        shutil.copytree(parent / "gerne-low", parent / "gerne-low-s2")
    spoiled(context.paths.evaluation("gerne-low-s2") / "predictions.parquet", "nan")
    with pytest.raises(ArtifactError, match="gerne-low-s2"):
        sources_of(context)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([{"patient_id": "p03", "split": "train"}], "patient 'p03' in more than one row"),
        ([], "no split of patient 'p05'"),
    ],
)
def test_a_patient_in_two_splits_or_in_none_is_refused(
    cohort: Context, capsys: pytest.CaptureFixture[str], rows: list[dict[str, str]], told: str
) -> None:
    splits = pd.read_csv(cohort.paths.splits, dtype=str)
    splits = pd.concat([splits if rows else splits[splits["patient_id"] != "p05"], pd.DataFrame(rows)])
    splits.to_csv(cohort.paths.splits, index=False)
    as_if_trained_on_it(cohort)
    assert told in refused(cohort, capsys)


def test_equal_slides_across_splits_with_other_labels_are_listed(cohort: Context, sources: Sources) -> None:
    assert "duplicates" not in {each.name for each in shown_panels(sources)}
    fingerprints = [f"{number:064x}" for number in range(16)]
    # p03 is tested and p04 trained on; p08 and p12 are both of training.
    fingerprints[4], fingerprints[12] = fingerprints[3], fingerprints[8]
    change_slides(cohort, fingerprint=fingerprints)
    index = pd.read_parquet(cohort.paths.index)
    index.loc[index["slide_id"] == "s-p04", "label"] = 1
    index.to_parquet(cohort.paths.index, index=False)
    as_if_trained_on_it(cohort)
    told = " ".join(shown(sources_of(cohort), "duplicates").split())
    assert "2 groups of slides with the same content" in told
    assert "1 lies in training and test" in told
    assert "1 has labels that contradict" in told
    first, second = re.findall(r"<tr><th scope=\"row\">(.*?)</tr>", told)
    assert "s-p03, s-p04" in first
    assert "test, train <b>(leak)</b>" in first
    assert "(contradict)" in first
    assert "s-p08, s-p12" in second
    assert "<b>" not in second


@pytest.mark.parametrize(
    ("splits", "told", "mark", "not_told"),
    [
        (
            ("train", "validation"),
            "the choice was made on training content",
            "(not tested)",
            "tested on what",
        ),
        (("validation", "test"), "tested on what it was chosen by", "(leak)", "trained on"),
        (("train", "test"), "tested on what it was trained on", "(leak)", "the choice was made"),
        (
            ("train", "validation", "test"),
            "tested on what it was trained on",
            "(leak)",
            "the choice was made",
        ),
    ],
)
def test_equal_slides_are_a_leak_of_the_test_only_where_they_are_tested(
    splits: tuple[str, ...], told: str, mark: str, not_told: str
) -> None:
    twins = Twins(tuple(f"s-{name}" for name in splits), splits, tuple(sorted(splits)), ("tumor",))
    sources: Any = SimpleNamespace(evidence=SimpleNamespace(twins=(twins,)), ids=Names())
    page = make_environment("pipeline.report").get_template("duplicates.html")
    found = page.render(duplicates.values(sources))
    assert told in found
    assert mark in found
    assert not_told not in found


def test_hostile_text_is_shown_as_text_wherever_it_comes_from(cohort: Context) -> None:
    paths = cohort.paths
    file = cohort.configs / "cohorts" / f"{cohort.cohort}.yaml"
    file.write_text(yaml.safe_dump(load_yaml(file) | {"description": HOSTILE, "limits": [HOSTILE]}))
    for path, read, write in (
        (paths.index, pd.read_parquet, pd.DataFrame.to_parquet),
        (paths.splits, pd.read_csv, pd.DataFrame.to_csv),
        (paths.slides, pd.read_csv, pd.DataFrame.to_csv),
    ):
        table = read(path)
        table["patient_id"] = table["patient_id"].replace("p03", HOSTILE)
        write(table, path, index=False)
    scanner = np.where(np.arange(16) % 8 < 4, HOSTILE, "other")
    change_slides(
        cohort, **{HOSTILE: scanner}, image=HOSTILE, fingerprint=["0" * 64] * 2 + list("abcdefghijklmn")
    )
    (paths.patches / "summary.json").write_text(json.dumps({"warnings": {HOSTILE: [HOSTILE]}}))
    page = page_of(cohort)
    assert "<img src=x" not in page
    assert not re.search(r"<[^>]+\sonerror", page)
    assert page.count("&lt;img src=x onerror=alert(1)&gt;") >= 4
    assert "column “&lt;img" in panel(page, "audit")


def test_a_missing_overlay_is_left_out(cohort: Context) -> None:
    for path in cohort.paths.overlays.glob("*.jpg"):
        path.unlink()
    assert "Slides with grid and annotation" not in shown(sources_of(cohort), "cohort")


def test_slides_that_moved_do_not_matter_to_figures(cohort: Context) -> None:
    before = shown(sources_of(cohort), "group_table")
    change_slides(cohort, image="nowhere/gone.tif")
    assert shown(sources_of(cohort), "group_table") == before
