"""Calibration and operating point: counts at every threshold, in Python and in the page's script."""

import json
import re
from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix

from models.metrics.intervals import Interval
from models.networks.card import DecisionCard
from models.networks.decision import told
from pipeline.config import Context
from pipeline.look.html import make_environment, script
from pipeline.report.panels import calibration
from pipeline.report.probabilities import own_benefits
from pipeline.report.sources import Sources
from pipeline.results.bootstrap import BootstrapSettings
from pipeline.results.clinical.operating_point import ThresholdCounts, reliability_of, tenths
from pipeline.results.verdict import estimable
from pipeline.training.layout import TISSUE
from tests.browsing import opened
from tests.pipeline.reports import shown

DRIVER = """
var box = document.querySelector(".threshold"), range = box.querySelector("input[type=range]"), found = [];
function read() {
  var rows = Array.from(box.querySelectorAll("tbody tr"), function (row) {
    return Array.from(row.cells, function (cell) { return cell.textContent; });
  });
  return { words: box.querySelector("output").textContent, rows: rows };
}
found.push(read());
%s.forEach(function (step) {
  range.value = step;
  range.dispatchEvent(new Event("input"));
  found.push(read());
});
box.querySelector("button").click();
found.push(read());
document.body.appendChild(document.createElement("pre")).textContent = JSON.stringify(found);
"""


@pytest.fixture(scope="module")
def sources(sources: Sources) -> Sources:
    """The report is about the method whose probabilities rank neither perfectly nor at random."""
    found = replace(sources)
    board = found.boards["high"]
    (method,) = [each for each in board.methods if each.algorithm == "gerne"]
    assert found.subject is not None
    # A cached property is what stands under its name.
    found.__dict__["subject"] = replace(found.subject, board=board, method=method, run=method.pool.runs[0])
    return found


@pytest.fixture(scope="module")
def rows(sources: Sources) -> pd.DataFrame:
    assert sources.subject is not None
    return sources.subject.run.patches


def expected_cells(rows: pd.DataFrame, told_N: np.ndarray) -> list[list[str]]:
    """The table of a threshold by scikit-learn: all patches, little tissue, much tissue."""
    found = []
    for member_N in (rows["attribute"] >= 0, rows["attribute"] == 0, rows["attribute"] == 1):
        (left, alarms), (missed, right) = confusion_matrix(
            rows["label"][member_N], told_N[member_N], labels=[0, 1]
        )
        shares = [f"{tenths(int(n), int(n + m))} %" for n, m in ((right, missed), (left, alarms))]
        found.append([f"{n:,}" for n in (right, missed, alarms, left)] + shares)
    return found


def test_counts_at_every_step_are_those_of_the_decision(rows: pd.DataFrame) -> None:
    counts = ThresholdCounts.of(rows, 4)
    np.testing.assert_array_equal(counts.size_G, rows["group"].value_counts().sort_index())
    for step in range(1, 1000, 3):
        probability_N, class_N = told(DecisionCard(threshold=step / 1000), rows["logit"])
        np.testing.assert_array_equal(probability_N, rows["probability"])
        expected_G = np.bincount(rows["group"], weights=class_N, minlength=4)
        np.testing.assert_array_equal(counts.told_GT[:, step], expected_G)


def test_counts_at_the_own_threshold_are_those_that_evaluate_wrote(
    sources: Sources, finished_cohort: Context
) -> None:
    written = json.loads((finished_cohort.paths.evaluation("gerne-high") / "metrics.json").read_text())[
        "test"
    ]
    found = calibration.values(sources)
    _, little, much = found["rows"]
    for place, row in enumerate((little, much)):
        for kind, group in (("rest", place), ("tumor", 2 + place)):
            figures, own = written["groups"][f"group_{group}"], row["kinds"][kind]
            right = own["own"] if kind == "tumor" else own["size"] - own["own"]
            assert (right, own["size"]) == (figures["correct"], figures["patches"])
    assert (found["own"], found["step"]) == ("0.5", 500)
    assert sources.subject is not None
    own = sources.subject.run.patches.groupby("attribute")[["probability", "label"]].mean()
    assert [list(each[1:3]) for each in found["promised"][1:]] == pytest.approx(own.to_numpy())


def test_the_static_table_is_scikit_learns(sources: Sources, rows: pd.DataFrame) -> None:
    found = [row["cells"] for row in calibration.values(sources)["rows"]]
    assert found == expected_cells(rows, rows["prediction"].to_numpy())
    assert len({cell for row in found for cell in row}) > 12


def test_what_the_page_holds_does_not_grow_with_the_patches() -> None:
    rng = np.random.default_rng(0)
    n = 400_000
    rows = pd.DataFrame({"group": rng.integers(0, 4, n), "probability": rng.random(n), "prediction": 0})
    counts = ThresholdCounts.of(rows, 4)
    packed = [calibration._packed(exceeded_X) for exceeded_X in counts.exceeded_GX]
    assert max(map(len, packed)) < 10_000
    assert sum(int(pair.split(":")[1]) for text in packed for pair in text.split()) == n


def test_reliability_bins_are_scikit_learns(rows: pd.DataFrame) -> None:
    found = reliability_of(rows, BootstrapSettings(minimum_patches=1, draws=50))
    shares, means = calibration_curve(rows["label"], rows["probability"], n_bins=10)
    filled = [each for each in found if each.patches]
    assert [each.mean for each in filled] == pytest.approx(means)
    judged = [each for each in filled if each.patients > 1]
    assert len(judged) > 5
    expected = [share for each, share in zip(filled, shares, strict=True) if each.patients > 1]
    assert [each.share.estimate for each in judged] == pytest.approx(expected)
    assert sum(each.patches for each in found) == len(rows)
    assert all(each.share.low <= each.share.estimate <= each.share.high for each in judged)
    assert not any(
        estimable(each.share) for each in reliability_of(rows, BootstrapSettings(minimum_patches=999))
    )


def test_net_benefit_of_the_parts(sources: Sources, rows: pd.DataFrame) -> None:
    found = dict(calibration.values(sources)["benefits"])
    assert len(found) == 3
    for (_, cells), attribute in zip(found.items(), (None, 0, 1), strict=True):
        own = rows if attribute is None else rows[rows["attribute"] == attribute]
        for threshold, of_model, of_all in cells:
            told_N, odds = own["probability"] > threshold, threshold / (1 - threshold)
            finds, alarms = (told_N & (own["label"] == y) for y in (1, 0))
            assert of_model == pytest.approx((finds.sum() - alarms.sum() * odds) / len(own))
            tumor = own["label"].mean()
            assert of_all == pytest.approx(tumor - (1 - tumor) * odds)


def test_a_part_on_which_the_model_does_harm_is_named_above_the_curves(
    sources: Sources, rows: pd.DataFrame
) -> None:
    assert sources.subject is not None
    parts = (rows, *(rows[rows["attribute"] == attribute] for attribute in (0, 1)))
    for threshold in (0.5, 0.7777, 0.95):
        found = own_benefits(sources.subject, threshold)
        for benefit, own in zip(found, parts, strict=True):
            finds, alarms = ((own["prediction"] == 1) & (own["label"] == y) for y in (1, 0))
            odds = threshold / (1 - threshold)
            assert benefit == pytest.approx((finds.sum() - alarms.sum() * odds) / len(own))
    assert "worse than ignoring the model" not in shown(sources, "calibration")
    harmful = replace(sources)
    wrong = rows.assign(prediction=1 - rows["label"])
    vars(harmful)["subject"] = replace(sources.subject, run=replace(sources.subject.run, patches=wrong))
    page = shown(harmful, "calibration")
    assert page.count("worse than ignoring the model") == 3
    assert page.index("worse than ignoring the model") < page.index("Decision curves: is acting")


def test_parts_of_too_few_are_not_estimable_wherever_they_are_told(sources: Sources) -> None:
    """Of much tissue too few patches that are no tumor: neither its averages nor its net benefit is told."""
    subject = sources.subject
    assert subject is not None
    nothing = Interval(np.nan, np.nan, np.nan, 0.95, 0.0, np.nan)
    groups = tuple(nothing if g == 1 else each for g, each in enumerate(subject.method.groups))
    few = replace(sources)
    few.__dict__["subject"] = replace(subject, method=replace(subject.method, groups=groups))
    found = calibration.values(few)
    promised = [np.isnan(each.predicted) or np.isnan(each.tumor) for each in found["promised"]]
    assert promised == [False, False, True]
    assert not found["promised"][2].broken
    gains = [np.isnan([cell[1:] for cell in cells]) for _, cells in found["benefits"]]
    assert [(bool(each.all()), bool(each.any())) for each in gains] == [(False, False)] * 2 + [(True, True)]
    html = rendered(few)
    (averages,) = re.findall(r"<p>On average: (.*?)</p>", html, re.DOTALL)
    assert averages.count("tumor are") == 2
    assert averages.count("not estimable") == 1
    assert html.partition("<b>Net benefit</b>")[2].count("not estimable") == 5


@given(st.integers(0, 10**6), st.integers(1, 10**6))
def test_shares_are_rounded_half_up(part: int, more: int) -> None:
    exact = Decimal(100 * part) / Decimal(part + more)
    assert Decimal(tenths(part, part + more)) == exact.quantize(Decimal("0.1"), ROUND_HALF_UP)


def rendered(sources: Sources) -> str:
    environment = make_environment("pipeline.report", "pipeline.tables")
    environment.tests["estimable"] = estimable
    environment.globals |= {"sources": sources, "group_names": TISSUE.names}
    html = environment.get_template("calibration.html").render(calibration.values(sources))
    assert str(html).count("<td") > 0
    return str(html)


def test_without_a_script_the_table_stands_and_nothing_else_is_offered(sources: Sources) -> None:
    html = rendered(sources)
    assert '<p class="controls switch" hidden>' in html
    assert "<script" not in html
    assert len(script("threshold.js", "pipeline.report").text.encode()) < 10_000


def steps_beside(probability_N: np.ndarray) -> list[int]:
    """Ends of the grid, and steps under and over some patches: a script one step off counts wrong."""
    under = (1000 * probability_N[::23]).astype(int)
    return [0, *under.tolist(), *(under + 1).tolist(), 999, 1000]


@pytest.mark.browser
def test_the_script_counts_as_python_does(
    browser: Any, sources: Sources, rows: pd.DataFrame, tmp_path: Path
) -> None:
    steps = steps_beside(rows["probability"].to_numpy())
    text = script("threshold.js", "pipeline.report").text
    page = tmp_path / "page.html"
    scripts = f"<script>{text}</script><script>{DRIVER % steps}</script>"
    page.write_text(
        f"<!doctype html><meta charset=utf-8><body>{rendered(sources)}{scripts}", encoding="utf-8"
    )
    with opened(browser, page) as shown:
        found = json.loads(shown.locator("pre").text_content())
    own = expected_cells(rows, rows["prediction"].to_numpy())
    at = [expected_cells(rows, (rows["probability"] > step / 1000).to_numpy().astype(int)) for step in steps]
    assert [[row[1:] for row in each["rows"]] for each in found] == [own, *at, own]
    assert found[0] == found[-1]
    assert found[0]["words"].startswith("Decision threshold 0.5, the model’s own. Worst group: ")
    worst = min((rows["label"] == rows["prediction"]).groupby(rows["group"]).mean())
    assert found[0]["words"].endswith(f"{100 * worst:.1f} %.")
    assert found[2]["words"].startswith(f"Decision threshold {steps[1] / 1000:.3f}. Worst group: ")
