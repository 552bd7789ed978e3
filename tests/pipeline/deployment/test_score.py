"""Scores of annotated slides against figures counted by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from patching.errors import ArtifactError
from pipeline.deployment.score import score, score_of_run
from pipeline.files import NOT_ESTIMABLE

CLASSES, PARTS = ("non-tumor", "tumor"), ("little tissue", "much tissue")


@pytest.fixture
def patches() -> pd.DataFrame:
    """Ten patches: 4 of tumor (3 found), 4 without (2 right), 2 between."""
    return pd.DataFrame(
        {
            "label": [1, 1, 1, 1, 0, 0, 0, 0, -1, -1],
            "prediction": [1, 1, 1, 0, 0, 0, 1, 1, 0, 1],
            "attribute": [1, 1, 0, 0, 0, 0, 1, 1, 0, 1],
            "probability": [0.9, 0.8, 0.7, 0.2, 0.1, 0.3, 0.6, 0.95, 0.4, 0.9],
        }
    )


def test_figures(patches: pd.DataFrame) -> None:
    found = score(patches, CLASSES, PARTS)
    assert (found["patches"], found["left_out"]) == (8, 2)
    assert found["confusion"] == {"TN": 2, "FP": 2, "FN": 1, "TP": 3}
    assert found["accuracy"] == 5 / 8
    assert found["sensitivity"] == 3 / 4
    assert found["specificity"] == 2 / 4
    # Pairs (tumor, other) in the right order: 0.9 and 0.8 and 0.7 beat 3 each, 0.2 beats 1.
    assert found["auroc"] == pytest.approx((3 + 3 + 3 + 1) / 16)
    assert [(group["name"], group["patches"], group["accuracy"]) for group in found["groups"]] == [
        ("non-tumor, little tissue", 2, 1.0),
        ("non-tumor, much tissue", 2, 0.0),
        ("tumor, little tissue", 2, 0.5),
        ("tumor, much tissue", 2, 1.0),
    ]
    assert (found["wga"], found["gba"]) == (0.0, 0.625)


def test_what_is_undefined_says_so(patches: pd.DataFrame) -> None:
    found = score(patches[patches["label"] == 1], CLASSES, PARTS)
    assert found["specificity"] == found["auroc"] == NOT_ESTIMABLE
    assert found["sensitivity"] == 0.75
    assert found["groups"][0] == {"name": "non-tumor, little tissue", "patches": 0, "accuracy": NOT_ESTIMABLE}
    assert found["wga"] == 0.5, "over the groups that have patches"
    nothing = score(patches[:0], CLASSES, PARTS)
    assert nothing["patches"] == 0
    assert nothing["accuracy"] == nothing["wga"] == NOT_ESTIMABLE
    assert nothing["confusion"] == {"TN": 0, "FP": 0, "FN": 0, "TP": 0}


def test_a_model_without_parts_has_no_groups(patches: pd.DataFrame) -> None:
    found = score(patches.assign(attribute=-1), CLASSES, ())
    assert (found["groups"], found["wga"]) == ([], NOT_ESTIMABLE)
    assert found["accuracy"] == 5 / 8


def test_a_run_is_scored_over_all_patches(patches: pd.DataFrame, tmp_path: Path) -> None:
    for name, rows in (("a", patches[:5]), ("b", patches[5:])):
        rows.assign(x=np.arange(len(rows))).to_parquet(tmp_path / f"{name}.parquet")
    tables = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    assert score_of_run(tables, CLASSES, PARTS) == score(patches, CLASSES, PARTS)
    with pytest.raises(ArtifactError, match=r"no file .*c\.parquet"):
        score_of_run([*tables, tmp_path / "c.parquet"], CLASSES, PARTS)
