"""The comparison of a fitted decision with a search on a grid: small, but whole."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.decisions import __main__ as benchmark
from benchmarks.decisions.grid import grid_decision
from benchmarks.decisions.rules import WAYS, Patches
from benchmarks.decisions.simulation import cohort, simulated
from benchmarks.decisions.studied import studied


def test_the_grid_finds_the_offsets_of_the_worse_class_nearest_to_none() -> None:
    logit_N = np.array([1.05, 2.05, 3.05, 4.05, -0.5, 0.5])
    label_N = np.array([0, 0, 1, 1, 0, 1])
    tissue_N = np.array([0.9, 0.9, 0.9, 0.9, 0.2, 0.2])
    decision = grid_decision(logit_N, label_N, tissue_N, 0.5)
    assert decision.offsets == (0.0, -2.1)
    assert decision.knots == (0.5,)
    one_class = grid_decision(logit_N, np.ones(6, np.int64), tissue_N, 0.5)
    assert one_class.offsets == (0.6, 0.0)


def test_every_way_is_tried_on_other_patients_than_it_is_fitted_to() -> None:
    table = simulated([4, 8], 3)
    assert table["way"].tolist() == [*WAYS] * 4
    assert (table[table["way"] == "plain"]["sd"] == 0).all()
    assert table["mean"].between(0, 1).all()
    few, more = (table[table["patients"] == n].set_index(["labels", "way"])["refused"] for n in (4, 8))
    assert few["one a patient"].eq(1).all()  # two patients have each label
    assert more["both in a patient"].eq(0).all()
    drawn = cohort(6, np.random.default_rng(0), one_label=True)
    assert [len(np.unique(drawn.label_N[drawn.patient_N == p])) for p in range(6)] == [1] * 6


def cells(folder: Path) -> None:
    """Two folds of a network whose log-odds are 3 too high where there is much tissue."""
    rng = np.random.default_rng(2)
    folder.mkdir()
    for fold in (0, 1):
        count = 400
        label_N, tissue_N = np.arange(count) % 2, rng.random(count)
        table = pd.DataFrame(
            {"patch_id": [f"s{fold}@{n}_0" for n in range(count)], "repeat": 0, "fold": fold}
        )
        table = table.assign(threshold="low", algorithm="erm", label=label_N, tissue_fraction=tissue_N)
        table["split"] = np.where(np.arange(count) < 200, "validation", "test")
        table["logit"] = rng.normal(2 * label_N - 1, 0.5) + 3 * (tissue_N > 0.4)
        table.to_parquet(folder / f"r0-f{fold}-erm-low.parquet")
        (folder / f"r0-f{fold}-erm-low.json").write_text(json.dumps({"tissue_fraction_above": 0.4}))
    index = pd.DataFrame({"patch_id": [f"s{f}@{n}_0" for f in (0, 1) for n in range(count)]})
    index["patient_id"] = [f"p{n % 8}" for n in range(len(index))]
    index.to_parquet(folder.parent / "index.parquet")


def test_a_study_is_decided_in_every_way(tmp_path: Path) -> None:
    cells(tmp_path / "cells")
    table = studied(tmp_path / "cells", tmp_path / "index.parquet").set_index("way")
    assert table["trainings"].tolist() == [2] * len(WAYS)
    assert table.loc["plain", "wga"] < 0.1
    assert (table.loc[["by_attribute", "by_attribute, grid", "by_tissue"], "wga"] > 0.85).all()
    assert table.loc["plain", ["little", "much"]].tolist() == [0, 0]
    assert table.loc["by_attribute", "much"] > 0


def test_the_report_has_both_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells(tmp_path / "cells")
    given = ["--patients", "6", "--draws", "2", "--outputs", str(tmp_path / "out")]
    given += ["--cells", str(tmp_path / "cells"), "--index", str(tmp_path / "index.parquet")]
    monkeypatch.setattr("sys.argv", ["benchmarks.decisions", *given])
    benchmark.main()
    text = (tmp_path / "out" / "report.md").read_text()
    assert text.count("| by_attribute, grid |") == 3
    assert text.count("\n| --- |") == 2
    monkeypatch.setattr("sys.argv", ["benchmarks.decisions", "--cells", "x"])
    with pytest.raises(SystemExit):
        benchmark.main()


def test_a_group_without_patches_has_no_worst_group() -> None:
    patches = Patches(np.array([1.0, -1]), np.array([1, 0]), np.array([0.9, 0.1]), np.array([0, 1]), 0.5)
    assert np.isnan(patches.worst_group(WAYS["plain"](patches)))
    assert patches.fewest_patients == 0
