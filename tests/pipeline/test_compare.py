"""The results table: figures by hand, pairs on the same patients, seeds pooled, every form of it alike."""

import json
import logging
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from models.data.splitting import TEST
from models.metrics.accuracy import group_metrics
from pipeline.artifacts import ATTRIBUTES, Paths, run_name
from pipeline.cli import main
from pipeline.config import Context
from pipeline.results.predictions import find_tested
from pipeline.results.seeds import layout_of, pools_of
from pipeline.results.studied import CELL
from pipeline.tables.blocks import Cell
from pipeline.tables.numbers import figure_cell, number
from pipeline.tables.writers import WRITERS, latex_text, markdown_text
from pipeline.training.layout import GIVEN, TISSUE, NamedLayout, write_attributes

PATIENTS, EACH = 8, 40
STRANGE = "50 % of_it <b>|{x}~^\\"


@pytest.fixture
def context(tmp_path: Path, repository: Path) -> Context:
    """Eight patients of forty patches, ten of each group, all of them in the test split."""
    configs = tmp_path / "configs"
    (configs / "cohorts").mkdir(parents=True)
    for name in ("evaluate", "report", "study", "params"):
        shutil.copy(repository / "configs" / f"{name}.yaml", configs)
    sections = ("ingest", "tile", "split", "attribute", "train", "algorithms", "report", "register")
    cohort: dict[str, Any] = {name: {} for name in sections}
    cohort |= {"manifest": "slides.csv", "description": "A small cohort."}
    cohort["evaluate"] = {"draws": 100, "minimum_patches": 20}
    cohort["study"] = {"draws": 100, "minimum_patches": 20}
    (configs / "cohorts" / "small.yaml").write_text(yaml.safe_dump(cohort))
    paths = Paths(tmp_path, "small")
    paths.patches.mkdir(parents=True)
    table = patches()
    table.to_parquet(paths.index, index=False)
    table = table.assign(group=2 * table["label"] + table["attribute"])
    for name in ("low", "high"):
        path = paths.attribute_table(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        table.assign(threshold=name)[list(ATTRIBUTES)].to_parquet(path, index=False)
    return Context("small", paths, configs)


def patches() -> pd.DataFrame:
    """Groups in turn: patch n is of group n modulo 4. Much tissue lies above 0.5."""
    n = np.arange(PATIENTS * EACH)
    attribute = n % 2
    columns = {"patch_id": [f"p{i:04}" for i in n], "patient_id": [f"{i:03}" for i in n // EACH]}
    tissue = 0.5 * attribute + 0.01 + n % EACH / 100
    return pd.DataFrame(columns | {"label": n // 2 % 2, "attribute": attribute, "tissue_fraction": tissue})


def predicted(accuracy: tuple[float, float, float, float]) -> pd.DataFrame:
    """Of every patient's ten patches of each group, the first share is right."""
    table = patches().assign(split="test", group=lambda t: 2 * t["label"] + t["attribute"])
    place = np.arange(len(table)) % EACH // 4
    right = place < 10 * np.array(accuracy)[table["group"]]
    table["prediction"] = np.where(right, table["label"], 1 - table["label"])
    table["probability"] = table["prediction"] * 0.8 + 0.1
    return table.drop(columns=["patient_id", "tissue_fraction"])


def write_run(
    context: Context, algorithm: str, table: pd.DataFrame, *, seed: int | None = None, **changes: Any
) -> None:
    """An evaluated training at the threshold `low`, or another one of `changes`."""
    threshold = changes.pop("threshold", "low")
    name = run_name(algorithm, threshold, seed)
    evaluation, training = context.paths.evaluation(name), context.paths.training(name)
    for folder in (evaluation, training):
        folder.mkdir(parents=True, exist_ok=True)
    table.to_parquet(evaluation / "predictions.parquet", index=False)
    record = {
        "algorithm": algorithm,
        "threshold": threshold,
        "seed": 0 if seed is None else seed,
        "n_trials": 2,
        "algorithm_settings": {"beta": 1.0 if seed is None else 0.5},
        "train_settings": {"epochs": 3, "selection": "worst_group"},
        "trials": [{"override": {"beta": 1.0}}, {"override": {"beta": 0.5}}],
        "fingerprints": {},
    }
    (training / "run.json").write_text(json.dumps(record | changes))


@pytest.fixture
def three(context: Context) -> Context:
    """GERNE with two seeds, and both methods it is always compared with."""
    write_run(context, "gerne", predicted((0.8, 0.8, 0.8, 0.8)))
    write_run(context, "gerne", predicted((0.9, 0.9, 0.6, 0.9)), seed=4)
    write_run(context, "group_resampling", predicted((0.8, 0.8, 0.6, 0.8)))
    write_run(context, "class_balanced", predicted((1.0, 0.1, 0.3, 1.0)))
    return context


def compare(context: Context, *arguments: str) -> dict[str, Any]:
    assert main(["compare", *arguments, "--cohort", "small", "--root", str(context.paths.root)]) == 0
    content: dict[str, Any] = json.loads((context.paths.results / "table.json").read_text())
    return content


def method(section: dict[str, Any], algorithm: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in section["methods"] if each["algorithm"] == algorithm)
    return found


def refused(context: Context, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the command line says where it refuses."""
    assert main(["compare", *arguments, "--cohort", "small", "--root", str(context.paths.root)]) == 2
    told = capsys.readouterr().err
    assert all(word in told for word in ("has:", "needs:", "do:"))
    return told


def test_figures_and_differences_by_hand(three: Context) -> None:
    (section,) = compare(three)["sections"]
    assert (section["patients"], section["patches"], section["threshold"]) == (8, 320, "low")
    gerne = method(section, "gerne")["figures"]
    # Seed 0 is right on 0.8 of every group; seed 4 on 0.6 of its worst, on 0.825 over all, 0.75 of tumor.
    assert gerne["wga"]["estimate"] == pytest.approx(0.7)
    assert gerne["wga"]["spread"] == pytest.approx(np.std([0.8, 0.6], ddof=1))
    assert gerne["gba"]["estimate"] == pytest.approx((0.8 + 0.825) / 2)
    assert gerne["worst_class"]["estimate"] == pytest.approx((0.8 + 0.75) / 2)
    # All patients are alike, and two trainings of 0.8 and 0.6 are not: another one may be anything.
    assert gerne["wga"]["low"] < 0.1
    assert gerne["wga"]["high"] > 0.9
    assert gerne["wga"]["holds"] == "patients and training"
    assert method(section, "class_balanced")["figures"]["wga"]["holds"] == "patients"
    first, second = section["differences"]
    assert (first["candidate"], first["reference"]) == ("gerne", "group_resampling")
    assert second["reference"] == "class_balanced"
    assert first["figures"]["wga"]["estimate"] == pytest.approx(0.7 - 0.6)
    assert first["figures"]["wga"]["reading"] == "better"
    # Two seeds against one: their difference has no spread.
    assert first["figures"]["wga"]["spread"] == "not estimable"
    assert second["figures"]["wga"]["estimate"] == pytest.approx(0.7 - 0.1)
    assert second["figures"]["average"]["estimate"] == pytest.approx((0.8 + 0.825) / 2 - 0.6)
    control = "GERNE − ERM, decided by tissue: ERM, decided by tissue is not among the runs."
    assert section["absent"] == [control]
    assert method(section, "gerne")["seeds"] == [0, 4]
    assert method(section, "gerne")["trials"] == [2]
    assert method(section, "gerne")["runs"] == ["gerne-low", "gerne-low-s4"]
    notes = (three.paths.results / "table.md").read_text().splitlines()
    # Each method is under what its own interval holds, and their difference holds patients alone.
    both, alone = (
        "other test patients and other trainings",
        "other test patients, and not for other trainings",
    )
    where = "Threshold “low”, one split: "
    assert f"- Intervals account for {both}, of these methods ({where}GERNE)." in notes
    others = [each for each in notes if f"{alone}, of these methods ({where}" in each]
    assert len(others) == 1
    assert "GERNE" not in others[0]
    assert f"- A difference to a method of one training accounts for {alone}." in notes


def test_figures_are_those_of_the_predictions(three: Context) -> None:
    (section,) = compare(three)["sections"]
    table = predicted((1.0, 0.1, 0.3, 1.0))
    expected = group_metrics(table["label"], table["prediction"], table["group"], 4)
    found = method(section, "class_balanced")
    assert [each["estimate"] for each in found["groups"].values()] == pytest.approx(list(expected.accuracy_G))
    for key in ("wga", "gba", "average", "worst_class"):
        assert found["figures"][key]["estimate"] == pytest.approx(getattr(expected, key))


def test_differences_are_paired_on_the_same_patients(context: Context) -> None:
    """Both methods are right on the same patients but for one patch of each: their difference varies less."""
    base = predicted((0.5, 0.5, 0.5, 0.5))
    hard = np.arange(len(base)) // EACH % 2 == 0
    base.loc[hard, "prediction"] = 1 - base.loc[hard, "label"]
    better = base.copy()
    lifted = np.arange(len(base)) % EACH >= 36
    better.loc[lifted, "prediction"] = better.loc[lifted, "label"]
    write_run(context, "gerne", better)
    write_run(context, "group_resampling", base)
    (section,) = compare(context)["sections"]
    own = method(section, "gerne")["figures"]["wga"]
    assert own["high"] - own["low"] > 0.2
    difference = section["differences"][0]["figures"]["wga"]
    assert (difference["low"] + difference["high"]) / 2 == pytest.approx(0.1)
    assert 0 < difference["high"] - difference["low"] < 0.1


def test_what_is_always_told_is_told_to_be_missing(three: Context) -> None:
    content = compare(three, "gerne-low", "class_balanced-low")
    assert content["sections"][0]["absent"] == [
        "GERNE − group resampling: group resampling is not among the runs.",
        "GERNE − ERM, decided by tissue: ERM, decided by tissue is not among the runs.",
    ]
    content = compare(three, "group_resampling-low")
    assert len(content["sections"][0]["absent"]) == 3
    assert content["sections"][0]["differences"] == []
    assert "GERNE is not among the runs" in (three.paths.results / "table.html").read_text()


def test_few_patients_are_too_few_to_judge(three: Context) -> None:
    file = three.configs / "cohorts" / "small.yaml"
    content = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump(content | {"report": {"minimum_test_patients": PATIENTS + 1}}))
    (section,) = compare(three)["sections"]
    readings = [set(map(str, (f["reading"] for f in d["figures"].values()))) for d in section["differences"]]
    assert readings == [{"few"}, {"few"}]
    assert "too few patients to judge" in (three.paths.results / "table.md").read_text()


def test_thresholds_and_sources_are_never_mixed(three: Context) -> None:
    write_run(three, "gerne", predicted((0.7, 0.7, 0.7, 0.7)), threshold="high")
    write_study(three, repeats=2)
    sections = compare(three)["sections"]
    keys = [(each["source"], each["threshold"]) for each in sections]
    assert keys == [("split", "low"), ("split", "high"), ("study", "low")]
    assert [len(each["methods"]) for each in sections] == [3, 1, 2]
    assert "GERNE − group resampling: group resampling is not among the runs." in sections[1]["absent"]


def write_study(context: Context, repeats: int) -> None:
    """Of two algorithms at `low`; in repeat 1 the threshold of the folds is another."""
    tables = []
    for repeat in range(repeats):
        for algorithm, accuracy in (("gerne", (0.8, 0.8, 0.8, 0.8)), ("erm", (0.9, 0.5, 0.5, 0.9))):
            table = predicted(accuracy)
            if repeat == 1:
                table.loc[0, ["attribute", "group"]] = [1, 1]
            columns = {"repeat": repeat, "fold": 0, "threshold": "low", "algorithm": algorithm}
            columns |= {"split": TEST, "tissue_fraction": 0.5, "logit": 2.0 * table["prediction"] - 1}
            tables.append(table.assign(**columns)[list(CELL)])
    context.paths.study.mkdir(parents=True, exist_ok=True)
    pd.concat(tables).to_parquet(context.paths.study / "predictions.parquet", index=False)
    cells = [{"algorithm": "gerne", "threshold": "low", "n_trials": n} for n in (2, 3)]
    (context.paths.study / "study.json").write_text(json.dumps({"cells": cells}))


@pytest.mark.parametrize("as_folder", [False, True])
def test_a_studys_repeats_are_pooled(context: Context, *, as_folder: bool) -> None:
    write_study(context, repeats=2)
    context.paths.groups.parent.mkdir(parents=True, exist_ok=True)
    context.paths.groups.write_text(json.dumps({"thresholds": {"low": {"value": 0.5}}}))
    (section,) = compare(context, str(context.paths.study) if as_folder else "study")["sections"]
    gerne = method(section, "gerne")
    assert (gerne["seeds"], gerne["trials"]) == ([0, 1], [2, 3])
    assert gerne["figures"]["average"]["estimate"] == pytest.approx(0.8)
    assert section["patches"] == 320
    assert section["differences"][0]["figures"]["gba"]["estimate"] == pytest.approx(0.1, abs=0.01)
    assert section["differences"][0]["figures"]["gba"]["spread"] != "not estimable"
    # One patch moved from little to much tissue in the second of two repeats.
    assert list(section["groups"].values()) == [79.5, 80.5, 80, 80]
    told = (context.paths.results / "table.md").read_text()
    assert "2–3" in told
    # Every fold has a threshold of its own, which is not the single split's.
    assert section["tissue_fraction_above"] is None
    assert "“Much tissue”" not in told


def test_single_cells_can_be_named(context: Context) -> None:
    write_study(context, repeats=1)
    table = pd.read_parquet(context.paths.study / "predictions.parquet")
    folder = context.paths.study / "cells"
    folder.mkdir()
    for algorithm, rows in table.groupby("algorithm"):
        name = f"r0-f0-{algorithm}-low"
        rows.to_parquet(folder / f"{name}.parquet", index=False)
        record = {"algorithm": algorithm, "threshold": "low", "n_trials": 1}
        (folder / f"{name}.json").write_text(json.dumps(record))
    (section,) = compare(context, "r0-f0-gerne-low", str(folder / "r0-f0-erm-low.parquet"))["sections"]
    assert section == compare(context, str(folder))["sections"][0]
    assert method(section, "erm")["trials"] == [1]


def test_repeats_that_one_algorithm_lacks_are_refused(
    context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    write_study(context, repeats=2)
    path = context.paths.study / "predictions.parquet"
    table = pd.read_parquet(path)
    table[(table["algorithm"] == "gerne") | (table["repeat"] == 0)].to_parquet(path, index=False)
    assert "erm: repeats [0]" in refused(context, capsys, "study")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t[5:], "5 patches only in the first"),
        (lambda t: t.assign(label=1 - t["label"], group=3 - t["group"]), "320 of another label or group"),
        (lambda t: t.assign(group=t["group"].where(t["patch_id"] != "p0007", 0)), "group, as p0007"),
    ],
)
def test_other_test_patches_are_refused_and_named(
    three: Context, capsys: pytest.CaptureFixture[str], change: Any, told: str
) -> None:
    write_run(three, "erm", change(predicted((0.5, 0.5, 0.5, 0.5))))
    error = refused(three, capsys)
    assert told in error
    assert "class_balanced-low and erm-low" in error
    assert len(compare(three, "gerne-low", "group_resampling-low")["sections"]) == 1


def test_wrong_runs_are_refused(
    three: Context, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert "gerne-low-s4" in refused(three, capsys, "gerne-middle")
    assert "--candidate jtt" in refused(three, capsys, "--candidate", "jtt")
    assert "one prediction of every test patch" in refused(
        replaced(three, lambda t: pd.concat([t, t])), capsys, "gerne-low"
    )
    strange = replaced(three, lambda t: t.assign(patch_id="x" + t["patch_id"]))
    assert "not in the index, as xp0000" in refused(strange, capsys, "gerne-low")
    assert "predictions.parquet without prediction" in refused(
        replaced(three, lambda t: t.drop(columns="prediction")), capsys, "gerne-low"
    )
    assert "no file" in refused(three, capsys, str(three.paths.root))


def replaced(context: Context, change: Any) -> Context:
    write_run(context, "gerne", change(predicted((0.8, 0.8, 0.8, 0.8))))
    return context


def test_nothing_to_compare_is_told(context: Context, capsys: pytest.CaptureFixture[str]) -> None:
    assert "evenpatch evaluate" in refused(context, capsys)


def test_without_names_runs_of_other_data_are_left_out(
    three: Context, caplog: pytest.LogCaptureFixture
) -> None:
    write_run(three, "erm", predicted((1, 1, 1, 1)), fingerprints={"index.parquet": "0" * 64})
    with caplog.at_level(logging.WARNING):
        assert "erm" not in [each["algorithm"] for each in compare(three)["sections"][0]["methods"]]
    assert "erm-low is left out: index.parquet changed" in caplog.text
    named = compare(three, "erm-low", "gerne-low")
    assert method(named["sections"][0], "erm")["figures"]["wga"]["estimate"] == 1


def test_seeds_must_be_trained_alike_and_count_once(
    three: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(three, "gerne", predicted((0.8, 0.8, 0.8, 0.8)), seed=0)
    (section,) = compare(three)["sections"]
    assert method(section, "gerne")["seeds"] == [0, 4]
    assert "Left out, as another run has the seed already: gerne-low-s0." in section["remarks"]
    write_run(three, "gerne", predicted((0.8, 0.8, 0.8, 0.8)), seed=7, train_settings={"epochs": 5})
    assert "gerne-low-s7 with different epochs, selection" in refused(three, capsys)


def test_seeds_of_other_data_are_not_pooled(three: Context, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(three, "gerne", predicted((1, 1, 1, 1)), seed=7, fingerprints={"splits.csv": "0" * 64})
    assert "gerne-low-s7 with different splits.csv" in refused(three, capsys, "gerne-low", "gerne-low-s7")


def test_trials_of_a_search_count(three: Context) -> None:
    path = three.paths.trials("tune", "gerne-low") / "tune.json"
    path.parent.mkdir(parents=True)
    content = {"n_trials": 20, "n_earlier": 5, "best": {"settings": {"beta": 1.0}}}
    path.write_text(json.dumps(content))
    (section,) = compare(three)["sections"]
    # Seed 0 has the settings of the best trial, and chose from two of its own; seed 4 has others.
    assert method(section, "gerne")["trials"] == [2, 26]
    assert method(section, "group_resampling")["trials"] == [2]


def test_another_candidate_and_its_variants(three: Context) -> None:
    write_run(three, "gerne_unknown", predicted((0.7, 0.7, 0.7, 0.7)))
    pairs = [(d["candidate"], d["reference"]) for d in compare(three)["sections"][0]["differences"]]
    assert pairs == [
        (candidate, reference)
        for candidate in ("gerne", "gerne_unknown")
        for reference in ("group_resampling", "class_balanced")
    ]
    content = compare(three, "--candidate", "class_balanced")
    assert {d["candidate"] for d in content["sections"][0]["differences"]} == {"class_balanced"}


def test_an_oracle_stands_apart_and_is_asked_for(three: Context, tmp_path: Path) -> None:
    metrics = three.paths.evaluation("gerne-low") / "metrics.json"
    assert "No run holds an oracle figure" in page_of(three, "--oracle", "--output", str(tmp_path / "here"))
    metrics.write_text(json.dumps({"oracle": {"gba": 0.987654, "step": 300}}))
    assert "0.9877" not in page_of(three)
    assert "oracle" not in page_of(three).lower()
    assert "0.9877" in page_of(three, "--oracle")


def page_of(context: Context, *arguments: str) -> str:
    """The Markdown form."""
    compare(context, *arguments) if "--output" not in arguments else main(
        ["compare", *arguments, "--cohort", "small", "--root", str(context.paths.root)]
    )
    folder = Path(arguments[-1]) if "--output" in arguments else context.paths.results
    return (folder / "table.md").read_text()


def test_classes_and_attributes_of_an_imported_benchmark(context: Context) -> None:
    """Three classes by four attribute values without tissue: no AUROC, no tissue, plain names."""
    index = patches().assign(tissue_fraction=np.nan)
    index.to_parquet(context.paths.index, index=False)
    n = np.arange(len(index))
    table = pd.DataFrame({"patch_id": index["patch_id"], "split": "test", "label": n % 3, "attribute": n % 4})
    table["group"] = 4 * table["label"] + table["attribute"]
    for algorithm, wrong in (("gerne", 7), ("group_resampling", 5)):
        table["prediction"] = np.where(n % wrong == 0, (table["label"] + 1) % 3, table["label"])
        write_run(context, algorithm, table.assign(probability=0.5), threshold=GIVEN)
    (section,) = compare(context)["sections"]
    assert list(section["groups"])[:2] == ["label 0, attribute 0", "label 0, attribute 1"]
    assert len(section["groups"]) == 12
    assert set(method(section, "gerne")["figures"]) == {
        "wga",
        "wga_cross_fitted",
        "gba",
        "average",
        "worst_class",
    }
    expected = group_metrics(table["label"], table["prediction"], table["group"], 12)
    assert method(section, "group_resampling")["figures"]["wga"]["estimate"] == pytest.approx(expected.wga)
    told = (context.paths.results / "table.md").read_text()
    assert "Attribute given, one split" in told
    assert "all 12 groups are in table.json" in told
    # Of tissue is said no more than that there is none.
    (remark,) = [line for line in told.splitlines() if "tissue" in line]
    assert remark.startswith("group resampling, decided by tissue; GERNE, decided by tissue: not estimable (")


def test_groups_that_are_too_small_are_named(three: Context) -> None:
    few = predicted((0.8, 0.8, 0.8, 0.8))
    few = few[(few["group"] != 3) | (few["patch_id"] < "p0080")]
    for algorithm in ("gerne", "group_resampling"):
        write_run(three, algorithm, few.drop(few[few["group"] == 3].index[12:]))
    (section,) = compare(three, "gerne-low", "group_resampling-low")["sections"]
    assert method(section, "gerne")["groups"]["tumor, much tissue"]["estimate"] == "not estimable"
    told = (three.paths.results / "table.md").read_text()
    assert "tumor, much tissue (12 patches): not estimable, and left out of WGA and GBA." in told


def test_the_tissue_fraction_without_a_threshold(context: Context) -> None:
    """Right where much tissue goes with tumor: the worst bins are the other way round."""
    write_run(context, "erm", predicted((1.0, 0.0, 0.0, 1.0)))
    (section,) = compare(context)["sections"]
    found = method(section, "erm")
    assert found["slopes"]["tumor"]["low"] > 0 > found["slopes"]["non-tumor"]["high"]
    bins = {(each["class"], each["from"]): each for each in found["tissue_bins"]}
    assert len(bins) == 20
    # Little tissue lies below 0.41, much above 0.51.
    assert bins["non-tumor", 0.0]["estimate"] == bins["tumor", 0.7]["estimate"] == 1
    assert bins["non-tumor", 0.6]["estimate"] == bins["tumor", 0.3]["estimate"] == 0
    # Every patient has the tissue of ten patches of a class in steps of 0.04: 0.03, 0.07, 0.11 ...
    assert (bins["tumor", 0.0]["patches"], bins["tumor", 0.0]["patients"]) == (16, 8)
    assert bins["tumor", 0.0]["estimate"] == "not estimable"
    assert found["figures"]["worst_bin"]["estimate"] == 0
    told = (context.paths.results / "table.md").read_text()
    assert "non-tumor, 60–70 % tissue (24 patches, 8 patients)" in told


def test_probabilities_and_verdicts_are_told_in_all_and_by_tissue(three: Context) -> None:
    """GERNE's second seed is right on 0.6 of group 2; a probability is 0.1 from its verdict."""
    (section,) = compare(three)["sections"]
    found = method(section, "gerne")["operating"]
    assert set(found) == {"all patches", "little tissue", "much tissue"}
    little = found["little tissue"]
    assert little["sensitivity"] == pytest.approx((0.8 + 0.6) / 2)
    assert little["specificity"] == pytest.approx((0.8 + 0.9) / 2)
    assert found["all patches"]["sensitivity"] == pytest.approx((0.8 + 0.75) / 2)
    wrong = np.mean([0.2, (0.1 + 0.4) / 2])
    assert little["brier"] == pytest.approx(wrong * 0.81 + (1 - wrong) * 0.01)
    # Of 80 patches a class: by seed, those told as tumor are right on 64 of 80 and on 48 of 56.
    errors = [abs(80 * 0.9 - 64) + abs(80 * 0.1 - 16), abs(56 * 0.9 - 48) + abs(104 * 0.1 - 32)]
    assert little["ece"] == pytest.approx(np.mean(errors) / 160)
    told = (three.paths.results / "table.md").read_text()
    row = next(line for line in told.splitlines() if line.startswith("| GERNE, little tissue |"))
    assert f"{little['brier']:.3f}" in row
    assert f"{little['ece']:.3f} ({little['ece_by_chance']:.3f} by chance)" in row
    assert "70.0 [" in row


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture
def strange(three: Context) -> Context:
    """A cohort whose words hold every mark that some form of the table treats as its own."""
    file = three.configs / "cohorts" / "small.yaml"
    content = yaml.safe_load(file.read_text())
    content |= {"description": STRANGE, "report": {"names": {"gerne": STRANGE}}}
    file.write_text(yaml.safe_dump(content))
    return three


def flat_text(name: str, content: str) -> str:
    """What a reader sees of a written form, spaces between all of its pieces."""
    if name.endswith("html"):
        parser = _Text()
        parser.feed(content)
        content = " ".join(parser.words)
    if name.endswith("tex"):
        marks = {r"\textbackslash{}": "\\", r"\textasciitilde{}": "~", r"\textasciicircum{}": "^"}
        marks |= {r"\textless{}": "<", r"\textgreater{}": ">", "$-$": "−", r"$\pm$": "±", "--": "–"}
        marks |= {r"\\{}": " ", "``": "“", "''": "”"} | {f"\\{mark}": mark for mark in "&%$#_{}"}
        content = re.sub("|".join(map(re.escape, marks)), lambda found: marks[found[0]], content)
    if name.endswith("md"):
        content = re.sub(r"\\([\\`*_|<>])", r"\1", content)
    return " ".join(content.split())


@pytest.mark.parametrize("name", [name for name in WRITERS if name != "table.json"])
def test_every_written_form_says_the_same(strange: Context, name: str) -> None:
    (section,) = compare(strange)["sections"]
    told = flat_text(name, (strange.paths.results / name).read_text())
    for each in section["methods"]:
        assert each["name"] in told
        for key, figure in each["figures"].items():
            kind = "area" if key == "auroc" else "percent"
            assert number(figure["estimate"], kind) in told  # type: ignore[arg-type]
            interval = f"[{number(figure['low'], kind)}, {number(figure['high'], kind)}]"  # type: ignore[arg-type]
            assert interval in told
    for each in section["differences"]:
        assert number(each["figures"]["wga"]["estimate"], "percent", signed=True) in told
    for remark in section["remarks"]:
        assert remark in told
    assert STRANGE in told
    for each in section["differences"]:
        assert each["verdict"] == "better"
    assert "corrected (Holm) for 2 differences" in told
    assert "Exploratory: paired differences" in told
    assert "is not among these runs" in told


def test_names_of_groups_do_not_break_a_markdown_table(strange: Context) -> None:
    table = pd.read_parquet(strange.paths.attribute_table("low"))
    named = NamedLayout(("a|b", "c_d"), ("few", "much"))
    write_attributes(strange.paths.attribute_table("low"), table, named)
    compare(strange)
    content = (strange.paths.results / "table.md").read_text()
    assert r"a\|b, few" in content
    for lines in re.findall(r"(?:^\|.*\n)+", content, flags=re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines.splitlines()}) == 1


def test_the_page_is_escaped_and_complete_in_itself(strange: Context) -> None:
    compare(strange)
    page = (strange.paths.results / "table.html").read_text()
    assert "<b>|" not in page
    assert "&lt;b&gt;|" in page
    assert not re.findall(r"(?:src|href)=\"(?!#)|url\(|<script", page)
    assert page.count("<table>") == page.count("</table>") == 8


def test_the_latex_is_balanced_and_escaped(strange: Context) -> None:
    compare(strange)
    content = (strange.paths.results / "table.tex").read_text()
    bare = re.sub(r"\\[\\&%$#_{}]", "", content.partition("\n")[2])
    assert not re.findall(r"[%#_^~<>−±–“”]", bare)
    depth = np.cumsum([{"{": 1, "}": -1}.get(mark, 0) for mark in bare])
    assert depth.min() >= 0
    assert depth[-1] == 0
    assert bare.count("$") % 2 == 0
    begun, ended = (re.findall(rf"\\{word}{{(\w+)}}", content) for word in ("begin", "end"))
    assert sorted(begun) == sorted(ended)
    assert content.count(r"\toprule") == content.count(r"\bottomrule") == begun.count("tabular")
    for table in re.findall(r"\\begin{tabular}(.*?)\\end{tabular}", content, flags=re.DOTALL):
        columns = re.match(r"{@{}(l r*|lr*)@{}}", table)
        assert columns
        rows = re.findall(r"^(.*?) \\\\(?:\[1ex\])?$", table, flags=re.MULTILINE)
        assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {len(columns[1])}
    assert not re.search(r"\\\\\s*\[(?!1ex\])", content)


def test_every_mark_is_escaped() -> None:
    assert latex_text("a_b & 5 %") == r"a\_b \& 5 \%"
    assert latex_text("−1 ± 2") == r"$-$1 $\pm$ 2"
    assert latex_text("\\{x}^~") == r"\textbackslash{}\{x\}\textasciicircum{}\textasciitilde{}"
    assert markdown_text("a_b|c\n<b>") == r"a\_b\|c \<b\>"


@pytest.mark.parametrize("width", [80, 160])
def test_the_printed_tables_fit_a_terminal(
    three: Context, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    compare(three)
    told = capsys.readouterr().out
    assert "…" not in told
    assert max(map(len, told.splitlines())) <= width
    assert "class-balanced" in told
    assert "better" in told
    assert "[" in told


def test_cells() -> None:
    from models.metrics.intervals import Interval

    figure = Interval(0.8, 0.7, 0.9, 0.95, 0.0, 0.02)
    assert figure_cell(figure, "percent") == Cell(("80.0", "[70.0, 90.0]", "± 2.0"))
    assert figure_cell(replace(figure, spread=np.nan), "area") == Cell(("0.800", "[0.700, 0.900]"))
    assert figure_cell(replace(figure, low=np.nan), "percent") == Cell(("not estimable",))
    sure = figure_cell(
        replace(figure, low=-0.9, estimate=-0.8, high=-0.7), "percent", signed=True, reading="worse"
    )
    assert sure == Cell(("−80.0", "[−90.0, −70.0]", "± 2.0", "worse"), strong=True)


def test_a_layout_is_read_from_the_groups(three: Context) -> None:
    tested = [replace(one, source="split") for one in find_tested(three, ["gerne-low"])]
    assert layout_of(tested) == NamedLayout(("label 0", "label 1"), ("attribute 0", "attribute 1"))
    assert layout_of([replace(tested[0], source="study")]) == TISSUE


def test_runs_of_one_algorithm_are_pooled_in_the_order_of_seeds(three: Context) -> None:
    runs = find_tested(three, ["gerne-low-s4", "gerne-low", "class_balanced-low"])
    first, second = pools_of(runs, ["gerne"])
    assert (first.algorithm, first.seeds, second.algorithm) == ("gerne", (0, 4), "class_balanced")
