"""The report: what it says, that it is whole in itself, and that nothing in it can run."""

import base64
import hashlib
import json
import logging
import math
import re
import shutil
from argparse import Namespace
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from models.data.splitting import TEST
from models.metrics.along_attribute import AttributeCurve
from models.metrics.intervals import Interval
from patching.errors import ArtifactError
from pipeline.artifacts import Paths
from pipeline.config import Context, load_stage
from pipeline.files import write_json
from pipeline.look.curves import curves_of
from pipeline.look.html import make_environment
from pipeline.look.patches import composite, intensity_range, outlined
from pipeline.look.plots import canvas
from pipeline.report.page import render
from pipeline.report.panels import sheets, verdict
from pipeline.report.panels.structure import draw_curves
from pipeline.report.sources import Sources
from pipeline.results.answers import answer
from pipeline.results.figures import Contrast, Scoreboard
from pipeline.results.profiles.along import curve_along
from pipeline.results.runs import study_fingerprints
from pipeline.results.seeds import Pool
from pipeline.results.tested import rule_of
from pipeline.results.verdict import estimable, reading_of
from pipeline.stages import report
from pipeline.stages.evaluate import EvaluateSettings, split_metrics
from pipeline.yaml_file import load_yaml
from tests.pipeline.reports import panel, shown, sources_of

VOID = {"meta", "img", "br", "input"}


class Outline(HTMLParser):
    """Tags in order, and a check that every one is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def cohort(finished_cohort: Context, tmp_path: Path) -> Context:
    """The finished cohort, to be changed."""
    shutil.copytree(finished_cohort.paths.root, tmp_path, dirs_exist_ok=True)
    return Context(finished_cohort.cohort, Paths(tmp_path, finished_cohort.cohort), tmp_path / "configs")


def overlay(context: Context, **sections: object) -> None:
    """Other settings in the cohort's file."""
    file = context.configs / "cohorts" / f"{context.cohort}.yaml"
    file.write_text(yaml.safe_dump(load_yaml(file) | sections))


@pytest.fixture(scope="module")
def outline(page: str) -> Outline:
    parser = Outline()
    parser.feed(page)
    assert not parser.open
    return parser


def test_the_file_is_complete_in_itself(page: str) -> None:
    assert not re.search(r"src\s*=\s*[\"'](?!data:)", page)
    assert not re.search(
        r"(src|href)\s*=\s*[\"'](?!data:|#|gallery/|slides/|model_card\.md|data_card\.md)", page
    )
    assert "://" not in page
    assert len(page.encode()) < 4e6


def test_nothing_in_it_runs(page: str, outline: Outline) -> None:
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in scripts]
    (policy,) = [attributes["content"] for _, attributes in outline.seen if "http-equiv" in attributes]
    allowed = "script-src " + " ".join(f"'sha256-{digest}'" for digest in digests)
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert policy.endswith(allowed)
    assert [tag for tag, _ in outline.seen].count("script") == len(scripts)
    assert not any(name.startswith("on") for _, attributes in outline.seen for name in attributes)
    assert "A toy &lt;script&gt;alert(2)&lt;/script&gt; cohort." in page
    assert "s-&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "has: &lt;b&gt;noise&lt;/b&gt;" in page


def test_every_table_has_a_caption_and_every_picture_a_text(outline: Outline) -> None:
    tags = [tag for tag, _ in outline.seen]
    assert tags.count("table") == tags.count("caption") > 5
    assert all(attributes.get("alt") for tag, attributes in outline.seen if tag == "img")
    ids = [attributes["id"] for _, attributes in outline.seen if "id" in attributes]
    hrefs = [str(attributes["href"]) for tag, attributes in outline.seen if tag == "a"]
    links = [href[1:] for href in hrefs if href.startswith("#")]
    assert len(ids) == len(set(ids))
    assert set(links) <= set(ids)


def test_the_same_files_give_the_same_report(sources: Sources, page: str) -> None:
    assert render(sources) == page


def test_a_phantom_says_that_it_is_one(page: str) -> None:
    assert "it shows the mechanism, not clinical performance" in page


def test_differences_to_resampling_and_class_balanced_always_stand(sources: Sources) -> None:
    found = {
        (threshold, each.candidate.algorithm, each.reference.algorithm): each.readings["wga"]
        for threshold, board in sources.boards.items()
        for each in board.contrasts
    }
    pairs = [("gerne", r) for r in ("erm", "class_balanced", "group_resampling", "erm+by_tissue")]
    # At `low` the candidate's log-odds are an untrained network's: no rule is fitted to them, which is told.
    decided = ("high", "gerne+by_tissue", "erm+by_tissue")
    assert set(found) == {decided, *((t, *pair) for t in ("low", "high") for pair in pairs)}
    (told,) = [each for each in sources.boards["low"].remarks if each.startswith("GERNE, decided by tissue")]
    assert "not estimable" in told
    # Four test patients tell no more than the largest difference, and among others not even that.
    assert [place for place, reading in found.items() if reading != "open"] == [
        ("low", "gerne", "group_resampling")
    ]
    assert found["low", "gerne", "group_resampling"] == "worse"
    contrasts = [each for board in sources.boards.values() for each in board.contrasts]
    assert {each.verdict for each in contrasts} == {"open"}


def interval(estimate: float, low: float, high: float) -> Interval:
    return Interval(estimate, low, high, 0.95, 0.0, np.nan)


def board_of(sources: Sources, **differences: tuple[float, float]) -> Scoreboard:
    """The board at `low`, with these intervals of the candidate minus the references."""
    board = sources.boards["low"]
    changed = [
        changed_contrast(contrast, *differences[contrast.reference.algorithm])
        for contrast in board.contrasts
        if contrast.reference.algorithm in differences
    ]
    return replace(board, contrasts=tuple(changed))


def changed_contrast(contrast: Contrast, low: float, high: float) -> Contrast:
    found = interval((low + high) / 2, low, high)
    reading = reading_of(found, judged=True)
    return replace(contrast, figures={"wga": found}, readings={"wga": reading}, verdict=reading)


def test_better_stands_only_where_the_interval_excludes_zero(sources: Sources) -> None:
    terms = sources.terms
    text = answer(board_of(sources, erm=(0.1, 0.3), group_resampling=(-0.1, 0.2)), terms)
    assert "better than ERM (primary)" in text
    assert "not shown to differ from group resampling" in text
    assert "worse than ERM" in answer(board_of(sources, erm=(-0.3, -0.1)), terms)
    unknown = answer(board_of(sources, erm=(np.nan, np.nan)), terms)
    assert "better" not in unknown
    assert "not estimable" in unknown
    assert "nothing is compared" in answer(board_of(sources), terms)


def test_the_reference_by_other_rules_is_in_the_appendix(sources: Sources) -> None:
    """As in the tables of compare: below the verdicts, and no part of them."""
    low = sources.boards["low"]
    beside = replace(sources, boards={"low": replace(low, beside=low.contrasts[-1:])})
    environment = make_environment("pipeline.report", "pipeline.tables")
    environment.tests["estimable"] = estimable
    environment.globals |= {"sources": beside, "main": "low"}
    shown = environment.get_template("verdict.html").render(verdict.values(beside))
    (aside,) = re.findall(r'<details class="appendix">(.*?)</details>', shown, re.DOTALL)
    assert "The reference decided by other rules, exploratory" in aside
    (row,) = re.findall(r'<th scope="row">(.*?)</th>', aside)
    assert row == f"{low.contrasts[-1].candidate.name} − {low.contrasts[-1].reference.name}"
    assert "decided by other rules" not in environment.get_template("verdict.html").render(
        verdict.values(sources)
    )


def test_too_few_test_patients_of_a_label_are_no_ground_for_a_verdict(cohort: Context, page: str) -> None:
    # The cohort has four test patients, and asks for four.
    assert re.search(r"\bbetter than\b", panel(page, "verdict"))
    overlay(cohort, report={"minimum_test_patients": 5, "references": ["erm"]})
    sources = sources_of(cohort)
    contrasts = [each for board in sources.boards.values() for each in board.contrasts]
    assert {each.readings["wga"] for each in contrasts} == {each.verdict for each in contrasts} == {"few"}
    assert {each.reference.algorithm for each in contrasts} == {"erm", "erm+by_tissue"}
    told = shown(sources, "verdict")
    assert told.count("Too few test patients to judge.") == 2
    assert "at least 5 test patients with tumor" in told
    assert not re.search(r"\b(better|worse)\b", told, re.IGNORECASE)
    estimate = f"{100 * contrasts[0].figures['wga'].estimate:+.1f}".replace("-", "−")
    assert estimate in told


def test_a_primary_comparison_that_is_not_among_the_runs_is_not_said_to_be_read(cohort: Context) -> None:
    primary = {"candidate": "gerne", "reference": "erm", "metric": "wga", "threshold": "fixed"}
    overlay(cohort, report={"primary": primary, "minimum_test_patients": 1, "references": ["erm"]})
    told = shown(sources_of(cohort), "verdict")
    assert (
        "The primary comparison, fixed before the run, is not among these: GERNE minus ERM at “fixed”" in told
    )
    assert "read by itself:" not in told


def test_a_small_group_is_not_estimable_rather_than_zero(cohort: Context) -> None:
    overlay(cohort, evaluate={"minimum_patches": 10_000})
    sources = sources_of(cohort)
    methods = [method for board in sources.boards.values() for method in board.methods]
    assert not any(estimable(group) for method in methods for group in method.groups)
    assert shown(sources, "verdict", "group_table", "side_by_side").count("not estimable") > 32


def test_the_choice_names_the_groups_that_had_no_say(sources: Sources) -> None:
    run = sources.evidence.runs[0]
    validation = run.record["validation"] | {"accuracy_g0": 0.9, "accuracy_g2": "not estimable"}
    changed = replace(run, record=run.record | {"validation": validation})
    evidence = replace(sources.evidence, runs=(changed, *sources.evidence.runs[1:]))
    told = shown(replace(sources, evidence=evidence), "provenance")
    assert told.count("without tumor, little tissue") == 1


def another_seed(context: Context, name: str, seed: int, **record: object) -> None:
    """A run of another seed: as `name`, but every tenth prediction is turned round."""
    paths, other = context.paths, f"{name}-s{seed}"
    for folder in (paths.training, paths.evaluation):
        shutil.copytree(folder(name), folder(other))
    file = paths.training(other) / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"seed": seed} | record))
    table = pd.read_parquet(paths.evaluation(other) / "predictions.parquet")
    table.loc[::10, "prediction"] = 1 - table["prediction"]
    table.to_parquet(paths.evaluation(other) / "predictions.parquet", index=False)


def write_study(context: Context) -> None:
    """Of two algorithms and two repeats on all patches, at `low`; ERM errs in every third patch."""
    index = pd.read_parquet(context.paths.index)
    groups = pd.read_parquet(context.paths.attribute_table("low")).drop(columns="threshold")
    table = index[["patch_id", "label", "tissue_fraction"]].merge(groups, on="patch_id")
    tables = []
    for repeat in (0, 1):
        for algorithm in ("erm", "gerne"):
            wrong = (np.arange(len(table)) % 3 == repeat) & (algorithm == "erm")
            prediction = np.where(wrong, 1 - table["label"], table["label"])
            columns = {"repeat": repeat, "fold": 0, "threshold": "low", "algorithm": algorithm}
            columns |= {"split": TEST, "logit": 2.0 * prediction - 1}
            tables.append(table.assign(prediction=prediction, **columns))
    context.paths.study.mkdir(parents=True)
    pd.concat(tables).to_parquet(context.paths.study / "predictions.parquet", index=False)
    for name in ("study", "attribute", "train", "algorithms/erm", "algorithms/gerne"):
        (context.configs / name).parent.mkdir(exist_ok=True)
        shutil.copy(Path(__file__).parents[2] / "configs" / f"{name}.yaml", context.configs / f"{name}.yaml")
    content = {"cells": [], "fingerprints": study_fingerprints(context, ("erm", "gerne"), ("low",))}
    (context.paths.study / "study.json").write_text(json.dumps(content))


def test_one_seed_says_what_evaluate_says(finished_cohort: Context, sources: Sources) -> None:
    settings = load_stage(finished_cohort.configs, finished_cohort.cohort, "evaluate", EvaluateSettings)
    for board in sources.boards.values():
        for method in board.methods:
            if rule_of(method.algorithm) is not None:
                continue
            run = sources.evidence.run(method.algorithm, board.threshold)
            assert run is not None
            expected = split_metrics(run.patches, settings)
            assert board.value == sources.evidence.threshold_value(board.threshold)
            for key in ("wga", "gba", "average"):
                interval = expected["intervals"][key]
                found = method.figures[key]
                assert found.estimate == pytest.approx(expected[key], abs=1e-12)
                assert (found.low, found.high) == (interval["low"], interval["high"])
            for g, size in enumerate(board.sizes):
                group = expected["groups"][f"group_{g}"]
                assert (size.patches, size.patients) == (group["patches"], group["patients"])


def test_one_seed_and_one_split_are_told_with_the_way_to_more(page: str) -> None:
    assert "One seed, one split." in panel(page, "verdict")
    told = " ".join(panel(page, "reliability").split())
    assert "One seed, one split." in told
    assert "evenpatch train --cohort toy --algorithm gerne --threshold low --seed 1" in told
    assert "make study COHORT=toy" in told
    assert "The intervals of this report are about the first. What" in told
    assert "±" not in page
    assert "Primary, fixed before the run and read by itself: GERNE minus ERM at “low”" in page


def test_other_seeds_are_pooled_and_counted(cohort: Context, sources: Sources) -> None:
    another_seed(cohort, "gerne-low", 7)
    found = sources_of(cohort)
    gerne = next(each for each in found.boards["low"].methods if each.algorithm == "gerne")
    assert gerne.pool.seeds == (3, 7)
    own = [
        (table["prediction"] == table["label"]).mean()
        for name in ("gerne-low", "gerne-low-s7")
        for table in [pd.read_parquet(cohort.paths.evaluation(name) / "predictions.parquet")]
        for table in [table[table["split"] == "test"]]
    ]
    assert gerne.figures["average"].estimate == pytest.approx(np.mean(own))
    assert gerne.figures["average"].spread == pytest.approx(np.std(own, ddof=1))
    # Single runs are shown as before, and other methods are what they were.
    assert [run.name for run in found.evidence.runs] == [run.name for run in sources.evidence.runs]
    assert found.boards["high"].methods[-1].figures == sources.boards["high"].methods[-1].figures
    told = shown(found, "reliability")
    assert "<td>3, 7</td>" in told
    assert "and where a method has several seeds about the second too" in told
    assert f"± {100 * gerne.figures['wga'].spread:.1f}" in told
    assert f"± {100 * gerne.figures['wga'].spread:.1f}" in shown(found, "side_by_side")
    assert "One split." in told
    assert "One seed, one split." not in told + shown(found, "verdict")


def test_seeds_of_other_data_or_settings_are_left_out_with_the_reason(
    cohort: Context, sources: Sources, caplog: pytest.LogCaptureFixture
) -> None:
    another_seed(cohort, "gerne-low", 7, fingerprints={"splits.csv": "0" * 64})
    another_seed(cohort, "gerne-low", 8, train_settings={"epochs": 9.0, "selection": "worst_group"})
    with caplog.at_level(logging.WARNING):
        found = sources_of(cohort)
    assert found.single
    assert found.boards["low"].methods[-1].figures == sources.boards["low"].methods[-1].figures
    assert "gerne-low-s7 is left out: splits.csv changed since it was trained" in caplog.text
    assert "gerne-low-s8 is left out: trained with other epochs than gerne-low" in caplog.text


def test_a_finished_study_is_shown_with_its_differences(cohort: Context) -> None:
    write_study(cohort)
    found = sources_of(cohort)
    (board,) = found.study
    assert [(each.candidate.name, each.reference.name) for each in board.contrasts] == [("GERNE", "ERM")]
    told = shown(found, "reliability")
    assert "Repeated cross-validation: in each of 2 repeats" in told
    assert "Brackets are intervals over patients and trainings" in told
    assert "One split." not in told
    difference = board.contrasts[0].figures["average"]
    assert difference.estimate == pytest.approx(1 / 3)
    assert f"[{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]" in told
    assert "GERNE − ERM" in told
    assert "One seed, one split." not in shown(found, "verdict")


def test_a_study_of_other_patches_is_left_out_with_the_reason(
    cohort: Context, caplog: pytest.LogCaptureFixture
) -> None:
    write_study(cohort)
    path = cohort.paths.study / "study.json"
    path.write_text(json.dumps({"cells": [], "fingerprints": {"index.parquet": "0" * 64}}))
    with caplog.at_level(logging.WARNING):
        assert sources_of(cohort).study == ()
    assert "the study is left out: it is of an earlier version" in caplog.text
    path.write_text(json.dumps({"cells": [], "fingerprints": {"patches": "0" * 64}}))
    with caplog.at_level(logging.WARNING):
        assert "One seed, one split." in shown(sources_of(cohort), "verdict")
    assert "the study is left out: patches changed since" in caplog.text


@pytest.mark.parametrize(
    ("name", "line", "told"),
    [
        ("train", "learning_rate: 0.0123", "train"),
        ("attribute", "thresholds: {low: {quantile: 0.35}, high: {quantile: 0.6}}", "thresholds.low"),
        ("algorithms/gerne", "c: 0.75", "algorithms.gerne"),
    ],
)
def test_a_study_of_other_settings_is_left_out_with_the_reason(
    name: str, line: str, told: str, cohort: Context, caplog: pytest.LogCaptureFixture
) -> None:
    write_study(cohort)
    file = cohort.configs / f"{name}.yaml"
    key = line.split(":")[0]
    content = {name: value for name, value in load_yaml(file).items() if name != key}
    file.write_text(yaml.safe_dump(content) + line + "\n")
    with caplog.at_level(logging.WARNING):
        assert sources_of(cohort).study == ()
    assert f"the study is left out: {told} changed since" in caplog.text


def test_a_key_that_changes_no_weights_leaves_a_study_valid(cohort: Context) -> None:
    write_study(cohort)
    for name, line in (("train", "save_minutes: 3"), ("attribute", "bins: 31")):
        file = cohort.configs / f"{name}.yaml"
        key = line.split(":")[0]
        content = {name: value for name, value in load_yaml(file).items() if name != key}
        file.write_text(yaml.safe_dump(content) + line + "\n")
    assert len(sources_of(cohort).study) == 1


def test_predictions_without_a_record_are_no_study(cohort: Context) -> None:
    write_study(cohort)
    (cohort.paths.study / "study.json").unlink()
    assert sources_of(cohort).study == ()


def test_a_damaged_table_is_told(cohort: Context) -> None:
    write_study(cohort)
    (cohort.paths.study / "predictions.parquet").write_bytes(b"PAR1 cut off")
    with pytest.raises(ArtifactError, match="damaged"):
        sources_of(cohort)


def test_a_seed_chosen_from_other_candidates_is_left_out(
    cohort: Context, caplog: pytest.LogCaptureFixture
) -> None:
    another_seed(cohort, "gerne-low", 3, trials=[{"override": {"beta": 0.5}}])
    with caplog.at_level(logging.WARNING):
        assert {len(method.pool.runs) for method in sources_of(cohort).boards["low"].methods} == {1}
    assert "gerne-low-s3 is left out: trained with other candidates" in caplog.text


def phantom_like() -> dict[str, AttributeCurve]:
    """ERM fails on tumor patches with little tissue, GERNE does not; from 90 % on there are too few."""
    rng = np.random.default_rng(0)
    tissue_N = np.concatenate([rng.uniform(0.01, 0.9, 900), rng.uniform(0.9, 1, 5)])
    patient_N = np.arange(905) % 9
    lost_N = np.where(tissue_N < 0.1, 1.0, np.where(tissue_N < 0.2, 0.6, 0.05))
    erm_N, gerne_N = (rng.random(905) >= lost_N).astype(int), (rng.random(905) > 0.1).astype(int)
    rows = pd.DataFrame({"label": 1, "tissue_fraction": tissue_N, "patient_id": patient_N})
    settings = EvaluateSettings(draws=200)
    return {
        name: curve_along("tissue_fraction", rows, prediction_N, 2, settings)
        for name, prediction_N in (("erm", erm_N), ("gerne", gerne_N))
    }


def test_a_failure_at_little_tissue_is_drawn_with_its_interval_and_count() -> None:
    curves = phantom_like()
    with canvas(7, 2) as (_, grid):
        axes = grid[0, 0]
        draw_curves(axes, curves, 1, {"erm": "ERM", "gerne": "GERNE"})
        marked = {line.get_label(): line.get_ydata() for line in axes.lines}
        assert marked["ERM"][0] == 0
        assert 0.2 < marked["ERM"][1] < 0.6
        assert np.nanmin(marked["GERNE"]) > 0.7
        # Too few patches: no mark, gray, and their number; the marks of both are beside each other.
        assert np.isnan([marked[name][9] for name in ("ERM", "GERNE")]).all()
        gray = [patch.get_x() for patch in axes.patches]
        assert gray == [0.9]
        told = [text.get_text().split("\n") for text in axes.get_xticklabels()]
        assert told[9] == ["90–100 %", "5", "5"]
        count = int(curves["erm"].count_B[10])
        assert told[0] == ["0–10 %", str(count), "9"]
        places = {line.get_label(): line.get_xdata() for line in axes.lines if len(line.get_xdata()) == 10}
        assert (places["GERNE"] - places["ERM"] > 0).all()
        bars = [line.get_ydata() for line in axes.lines if len(set(line.get_xdata())) == 1]
        interval = curves["erm"].interval_B[11]
        assert [interval.low, interval.high] in [list(bar) for bar in bars]


def test_the_report_pools_seeds_along_the_tissue(sources: Sources) -> None:
    """A method with two seeds has one curve, the mean of both."""
    board = sources.boards["low"]
    pool = next(method.pool for method in board.methods if method.algorithm == "erm")
    other = replace(pool.runs[0], seed=7, patches=pool.runs[0].patches.assign(prediction=1))
    both = Pool("erm", (pool.runs[0], other), ())
    one, two, mean = (
        curve_along(
            "tissue_fraction", each.rows, each.by_run("prediction", -1), 2, EvaluateSettings(draws=20)
        )
        for each in (pool, Pool("erm", (other,), ()), both)
    )
    known = mean.estimable_B
    assert known.any()
    np.testing.assert_allclose(mean.accuracy_B[known], ((one.accuracy_B + two.accuracy_B) / 2)[known])
    np.testing.assert_array_equal(mean.count_B, one.count_B)
    np.testing.assert_allclose(mean.correct_B, (one.correct_B + two.correct_B) / 2)


def test_channels_become_colors() -> None:
    image_HWC = np.zeros((4, 6, 3), np.uint16)
    image_HWC[0, :, 0], image_HWC[:, 5, 1] = 1000, 1000
    range_C2 = np.array([[0, 1000]] * 3, float)
    rgb_HWC = composite(image_HWC, range_C2, brightfield=False)
    assert rgb_HWC[0, 0].tolist() == [255, 0, 0]
    assert rgb_HWC[3, 5].tolist() == [0, 255, 0]
    assert rgb_HWC[0, 5].tolist() == [255, 255, 0]
    one = composite(image_HWC[..., :1], range_C2[:1], brightfield=False)
    assert one[0, 0].tolist() == [255, 255, 255]
    assert composite(
        image_HWC[..., [0, 1, 2, 0]], np.vstack([range_C2, range_C2[:1]]), brightfield=False
    ).shape == (4, 6, 3)
    assert intensity_range(image_HWC[None]).shape == (3, 2)


def test_what_is_no_tissue_is_dimmed() -> None:
    rgb_HWC = np.full((32, 32, 3), 200, np.uint8)
    mask_HW = np.zeros((8, 8), bool)
    mask_HW[:, 4:] = True
    shown_HWC = outlined(rgb_HWC, mask_HW, 64)
    assert shown_HWC.shape == (64, 64, 3)
    assert shown_HWC[32, 10].tolist() == [100, 100, 100]
    assert shown_HWC[32, 50].tolist() == [200, 200, 200]
    assert shown_HWC[32, 32].tolist() != [200, 200, 200]


def test_groups_are_shown_by_sheet_and_slide(sources: Sources) -> None:
    shown = sheets.values(sources)["thresholds"]
    assert [item["name"] for item in shown] == list(sources.evidence.thresholds)
    assert all(item["sheet"].startswith("data:image/jpeg") for item in shown)
    assert all(len(item["slides"]) == 3 for item in shown)
    assert len({item["sheet"] for item in shown}) == 2, "the thresholds make different groups"
    assert all(item["quality"] == () for item in shown)


def test_quality_by_group_names_other_shortcuts(sources: Sources) -> None:
    index = sources.evidence.index.copy()
    index["quality_focus"] = index["label"] + np.arange(len(index)) % 5 / 5
    index["quality_brightness"] = np.arange(len(index)) // 2 % 5 / 5
    changed = replace(sources, evidence=replace(sources.evidence, index=index))
    for item in sheets.values(changed)["thresholds"]:
        focus, brightness = item["quality"]
        assert (focus.name, brightness.name) == ("focus", "brightness")
        assert focus.large
        assert not brightness.large
        assert focus.means[2] > focus.means[0] + 0.5
        assert len(focus.means) == 4
    told = shown(changed, "sheets")
    assert told.count('<tr class="candidate"><th scope="row">focus') == 2
    assert told.count('<th scope="row">brightness') == 2


def test_no_training_is_an_error(small_cohort: Paths) -> None:

    with pytest.raises(ArtifactError):
        report.run(Context("small", small_cohort, small_cohort.root / "configs"), Namespace())


def test_estimable_needs_all_three_numbers() -> None:
    assert estimable(interval(0.5, 0.4, 0.6))
    assert not estimable(interval(0.5, math.nan, math.nan))


def test_a_terminal_gets_the_worst_group_of_every_method(page: str, finished_cohort: Context) -> None:
    assert page
    paths = finished_cohort.paths
    content = json.loads((paths.report.parent / "wga.json").read_text())
    figures = content["wga"]
    evaluated = {path.name for path in paths.evaluation("any").parent.iterdir()}
    assert {f"{name}-low" for name in figures} == {name for name in evaluated if name.endswith("-low")}
    for name, figure in figures.items():
        own = json.loads((paths.evaluation(f"{name}-low") / "metrics.json").read_text())
        assert figure == pytest.approx(own["test"]["wga"], abs=6e-4)
        assert content["groups_judged"] == own["test"]["groups_judged"]


def test_pictures_for_dvc_lie_beside_the_report(page: str, finished_cohort: Context) -> None:
    assert page
    folder = finished_cohort.paths.report.parent
    assert sorted(path.name for path in (folder / "curves").iterdir()) == ["high.svg", "low.svg"]
    assert b"<svg" in (folder / "groups" / "tissue_fraction.svg").read_bytes()


def test_curves_show_what_validation_knew() -> None:
    columns = ("validation_worst_class", "validation_class_balanced")
    always = {"train_loss": [0.7, 0.6], "validation_wga": [np.nan, np.nan]}
    blind = pd.DataFrame(always | {column: [0.5, 0.6] for column in columns})
    known = blind.assign(validation_wga=[0.1, 0.2])
    assert [column for column, _ in curves_of([blind, blind])][1:] == list(columns)
    for histories in ([blind, known], [known], [blind.drop(columns=columns[0])]):
        assert [column for column, _ in curves_of(histories)][1:] == ["validation_wga", "validation_gba"]


def test_what_tiling_warned_of_is_told(page: str) -> None:
    assert "What tiling warned of" in page
    assert "everything is tissue: &lt;b&gt;0.97&lt;/b&gt; of the slide" in page


def test_the_control_stands_in_the_report_or_the_reason_why_not(sources: Sources, page: str) -> None:
    told = panel(page, "side_by_side")
    assert "ERM, decided by tissue" in told
    assert "AUROC within strata" in told
    # The untrained network at `low` carries no rule: what is missing is told with its reason.
    assert re.search(r"GERNE, decided by tissue: not estimable \([^)]+\)", told)
    verdict = panel(page, "verdict")
    assert "GERNE − ERM, decided by tissue" in verdict
    assert verdict.count("primary") >= 2
    for board in sources.boards.values():
        assert board.told_threshold in verdict
        assert board.told_value in board.sizes[0].title
    assert "Few test patients" in verdict


def test_without_log_odds_the_report_tells_that_nothing_is_decided(cohort: Context) -> None:
    path = cohort.paths.evaluation("erm-low") / "predictions.parquet"
    pd.read_parquet(path).drop(columns="logit").to_parquet(path, index=False)
    found = sources_of(cohort)
    names = [method.algorithm for method in found.boards["low"].methods]
    assert "erm" in names
    assert "erm+by_tissue" not in names
    assert "ERM, decided by tissue: not estimable (predictions without log-odds" in shown(
        found, "side_by_side"
    )
    assert "ERM, decided by tissue is not estimable." in shown(found, "verdict")


def test_a_model_that_decides_by_tissue_is_shown_plainly_and_by_its_card(cohort: Context) -> None:
    path = cohort.paths.training("gerne-high") / "model.json"
    content = json.loads(path.read_text())
    content["decision"] |= {"rule": "by_tissue", "offsets": [9.0, 9.0], "knots": [0.2, 0.8]}
    write_json(path, content)
    board = sources_of(cohort).boards["high"]
    by_name = {each.algorithm: each.pool.rows["prediction"] for each in board.methods}
    plain = pd.read_parquet(cohort.paths.evaluation("gerne-high") / "predictions.parquet")
    assert by_name["gerne+by_tissue"].mean() > 0.95  # as only this card decides
    assert by_name["gerne"].mean() == pytest.approx((plain[plain["split"] == "test"]["logit"] > 0).mean())
    assert "GERNE, decided by tissue: the rule is that of the model’s own card." in board.remarks
    content["decision"]["offsets"] = [9.0]
    write_json(path, content)
    (sentence,) = sources_of(cohort).unread
    assert "outputs/toy/train/gerne-high/model.json with a decision that cannot be read" in sentence
    assert "anew by `evenpatch train --cohort toy --algorithm gerne --threshold high && evenpatch" in sentence
    # The one model that the report is about is not left out.
    path = cohort.paths.training("gerne-low") / "model.json"
    write_json(path, json.loads(path.read_text()) | {"decision": content["decision"]})
    with pytest.raises(ArtifactError, match="a decision that cannot be read"):
        sources_of(cohort)
