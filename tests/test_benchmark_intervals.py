"""The simulation of intervals: its truth, its cohorts, and that its tables say what was counted."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from benchmarks.intervals import __main__ as benchmark
from benchmarks.intervals.cohorts import SETTINGS, Setting, draw, truth_of
from benchmarks.intervals.ranked import true_aurocs
from benchmarks.intervals.tally import Tally
from models.metrics.accuracy import auroc


def test_the_truth_is_what_many_patients_show() -> None:
    setting = Setting("uneven", 1.5, (0.95, 0.55, 0.35, 0.9), (0.6,) * 4, repeats=2, training_sd=0.5)
    rng = np.random.default_rng(0)
    logit_NG = np.log(np.array(setting.first) / (1 - np.array(setting.first)))
    training_NG = 0.5 * rng.standard_normal((400, 4))
    chance_TPG = expit(logit_NG + training_NG[:, None] + 1.5 * rng.standard_normal((400, 500, 1)))
    truth = truth_of(setting.first, setting)
    assert truth.accuracy_G == pytest.approx(chance_TPG.mean(axis=(0, 1)), abs=0.012)
    assert truth.wga == pytest.approx(chance_TPG.mean(axis=1).min(axis=1).mean(), abs=0.012)
    still = truth_of(setting.first, setting.trained(1, 0.0))
    assert still.wga == still.accuracy_G.min() > truth.wga


def test_cohorts_are_of_one_label_a_patient_and_correlated_methods() -> None:
    cohort = draw(SETTINGS[0], 300, 20, np.random.default_rng(0))
    assert (cohort.count_CPG[:, ::2, 2:] == 0).all()
    assert (cohort.count_CPG[:, 1::2, :2] == 0).all()
    assert cohort.count_CPG.mean(axis=(0, 1)) == pytest.approx([10.5, 4.5, 4.5, 10.5], abs=0.15)
    first, second = (
        right[:, ::2, 0, 0] / np.maximum(cohort.count_CPG[:, ::2, 0], 1)
        for right in (cohort.first_CPRG, cohort.second_CPRG)
    )
    assert first.mean() == pytest.approx(truth_of(SETTINGS[0].first, SETTINGS[0]).accuracy_G[0], abs=0.015)
    assert 0.3 < np.corrcoef(first.ravel(), second.ravel())[0, 1] < 0.65


def test_the_true_aurocs_are_those_of_many_patients() -> None:
    rng = np.random.default_rng(1)
    label_N, attribute_N = rng.integers(0, 2, 60_000), rng.random(60_000)
    attribute_N = (attribute_N < np.where(label_N == 1, 0.7, 0.3)).astype(int)
    score_N = np.array([-0.8, 0.3, -0.1, 1.0])[2 * label_N + attribute_N] + np.sqrt(2) * rng.standard_normal(
        60_000
    )
    true = true_aurocs()
    assert true["auroc"] == pytest.approx(auroc(label_N, score_N), abs=0.008)
    for a in (0, 1):
        own = attribute_N == a
        assert true[f"auroc_{a}"] == pytest.approx(auroc(label_N[own], score_N[own]), abs=0.012)
    assert true["auroc_within"] < true["auroc"]


def test_a_tally_counts_sides_and_what_is_missing() -> None:
    tally = Tally()
    tally.add([0.1, -0.3, 0.25, np.nan, -0.4], [0.3, -0.1, 0.5, 0.2, 0.4], 0.2)
    assert tally.record() == pytest.approx(
        {
            "coverage": 0.5,
            "above": 0.25,
            "below": 0.25,
            "better": 0.5,
            "worse": 0.25,
            "width": 0.3625,
            "missing": 0.2,
        }
    )


def test_it_writes_its_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"SIZES": (10, 20), "TRAINED_SIZES": (20,), "REPEATS": (2,), "QUICK": 6}.items():
        monkeypatch.setattr(benchmark, name, value)
    monkeypatch.setattr(sys, "argv", ["benchmarks.intervals", "--quick", "--outputs", str(tmp_path)])
    benchmark.main()
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["cohorts"] == 6
    told = (tmp_path / "report.md").read_text()
    first = results["patients"][0]
    assert (
        f"| one worst group | 10 | {first['ours']['first wga']['coverage']:.3f}" in told
        or first["ours"]["second wga"]["coverage"] < first["ours"]["first wga"]["coverage"]
    )
    assert told.count("**shown**") == len(SETTINGS)
    assert {cell["setting"] for cell in results["trainings"]} == {"one worst group", "pshg-like"}
    assert all(cell["ours"]["first wga"]["missing"] == 0 for cell in results["patients"])
