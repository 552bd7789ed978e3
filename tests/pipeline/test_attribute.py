"""Thresholds, groups and association figures; and the stage."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from models.data.attributes import ThresholdRule, attribute_table, cramers_v, tissue_histogram
from patching.errors import EmptyGroupError
from pipeline.artifacts import ATTRIBUTES, SPLITS, Paths
from pipeline.cli import main
from pipeline.files import read_table

# Training: label 0 has tissue 0.1 0.2 0.3 0.7, label 1 has 0.4 0.6 0.8 0.9.
PATCHES = pd.DataFrame(
    {
        "patch_id": [f"s@{x}_0" for x in range(11)],
        "patient_id": ["a", "a", "b", "b", "a", "b", "b", "b", "v", "v", "t"],
        "label": [0, 0, 0, 0, 1, 1, 1, 1, 0, 1, 1],
        "tissue_fraction": [0.1, 0.2, 0.3, 0.7, 0.4, 0.6, 0.8, 0.9, 0.99, 0.98, 0.97],
        "split": ["train"] * 8 + ["validation"] * 2 + ["test"],
    }
)


def test_groups_by_hand() -> None:
    table, figures = attribute_table(
        PATCHES, {"low": ThresholdRule(quantile=0.5), "high": ThresholdRule(value=0.6)}
    )
    assert tuple(table.columns) == ATTRIBUTES
    assert len(table) == 22
    low, high = (table[table["threshold"] == name] for name in ("low", "high"))
    # The median of the training patches is 0.5; validation and test do not move it.
    assert figures["low"]["value"] == pytest.approx(0.5)
    assert low["group"].tolist() == [0, 0, 0, 1, 2, 3, 3, 3, 1, 3, 3]
    # 0.6 is not above 0.6.
    assert high["attribute"].tolist() == [0, 0, 0, 1, 0, 0, 1, 1, 1, 1, 1]
    content = figures["low"]
    assert content["counts"] == {
        "train": [[3, 1], [1, 3]],
        "validation": [[0, 1], [0, 1]],
        "test": [[0, 0], [0, 1]],
    }
    assert content["patients"]["train"] == [[2, 1], [1, 1]]
    assert content["alpha"] == [[0.75, 0.25], [0.25, 0.75]]
    assert content["p_attribute"]["validation"] == [[0, 1], [0, 1]]
    assert content["p_attribute"]["test"] is None
    assert content["cramers_v"] == {"train": pytest.approx(0.5), "validation": None, "test": None}
    assert content["how"] == "0.5 quantile of the training patients' patches"
    assert figures["high"]["how"] == "fixed number"


def test_thresholds_never_see_validation_or_test() -> None:
    rules = {"low": ThresholdRule(quantile=0.55)}
    changed = PATCHES.copy()
    changed.loc[8:, "tissue_fraction"] = [0.0, 0.01, 0.02]
    before, after = (attribute_table(patches, rules)[1]["low"]["value"] for patches in (PATCHES, changed))
    assert before == after


def test_an_empty_training_group_is_named() -> None:
    with pytest.raises(
        EmptyGroupError, match=r"threshold low at tissue fraction 0\.75: .*label 0, attribute 1"
    ):
        attribute_table(PATCHES, {"low": ThresholdRule(value=0.75)})


def training_of(tissue_fraction: list[float]) -> pd.DataFrame:
    """Training patches of alternating labels."""
    count = len(tissue_fraction)
    columns = {"patch_id": [f"s@{x}_0" for x in range(count)], "patient_id": "a", "split": "train"}
    return pd.DataFrame(columns | {"label": np.arange(count) % 2, "tissue_fraction": tissue_fraction})


FULL = [1.0] * 63 + np.random.default_rng(0).random(37).tolist()


@pytest.mark.parametrize(
    ("patches", "rule", "told"),
    [
        # Of 100 patches 63 are full: from the 0.37 quantile on, the threshold is 1.
        (FULL, {"quantile": 0.5}, "1, which none is above: 63 % of the training patches are full of tissue"),
        ([0.2, 0.3, 0.8, 0.6, 0.7], {"value": 0.85}, "0.85, which none is above: 20 % of the training"),
        (
            [0.2, 0.3, 0.8, 0.6, 0.7],
            {"quantile": 0.99},
            "0.796: no training sample with label 1, attribute 1",
        ),
        ([0.2, 0.3, 0.8, 0.6, 0.7], {"value": 0.1}, "no training sample with label 0, attribute 0"),
    ],
)
def test_a_threshold_that_parts_nothing_is_told_with_one_that_does(
    patches: list[float], rule: dict[str, float], told: str
) -> None:
    training = training_of(patches)
    with pytest.raises(EmptyGroupError, match=told) as caught:
        attribute_table(training, {"mine": ThresholdRule.model_validate(rule)})
    found = re.search(r"set `attribute\.thresholds\.mine\.(quantile|value)` to ([0-9.]+)", caught.value.do)
    assert found
    assert found[1] in rule
    better = ThresholdRule.model_validate({found[1]: float(found[2])})
    assert np.min(attribute_table(training, {"mine": better})[1]["mine"]["counts"]["train"]) > 0


def test_every_threshold_that_parts_nothing_is_told_at_once() -> None:
    rules = {"low": ThresholdRule(quantile=0.3), "high": ThresholdRule(quantile=0.6)}
    with pytest.raises(EmptyGroupError) as caught:
        attribute_table(training_of(FULL), rules | {"fixed": ThresholdRule(quantile=0.7)})
    assert "thresholds.high.quantile` to 0.37" in caught.value.do
    assert "thresholds.fixed.quantile` to 0.37" in caught.value.do
    assert "low" not in caught.value.has


@pytest.mark.parametrize("patches", [[1.0] * 8, [0.1, 0.9] * 4])
def test_where_no_threshold_parts_both_labels_none_is_proposed(patches: list[float]) -> None:
    with pytest.raises(EmptyGroupError) as caught:
        attribute_table(training_of(patches), {"mine": ThresholdRule(quantile=0.5)})
    assert "set `attribute" not in caught.value.do
    assert ("tile.mask_pixels_per_patch" in caught.value.do) == (patches[0] == 1)


@pytest.mark.parametrize(
    "wrong", [{}, {"quantile": 0.5, "value": 0.5}, {"quantile": 1.0}, {"value": 1.5}, {"median": True}]
)
def test_a_threshold_is_one_rule(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ThresholdRule.model_validate(wrong)


def test_cramers_v_by_hand() -> None:
    assert cramers_v([[5, 0], [0, 7]]) == pytest.approx(1)
    assert cramers_v([[2, 4], [3, 6]]) == pytest.approx(0, abs=1e-12)
    # chi2 of [[3, 1], [1, 3]] is 2 with n = 8: V = 0.5.
    assert cramers_v([[3, 1], [1, 3]]) == pytest.approx(0.5)
    assert cramers_v([[4, 0, 0], [0, 3, 2]]) == pytest.approx(1)
    assert np.isnan(cramers_v([[3, 0], [4, 0]]))


def test_the_histogram_counts_every_patch_once() -> None:
    histogram = tissue_histogram(PATCHES[PATCHES["split"] == "train"], bins=5)
    assert histogram.columns.tolist() == ["low", "high", "label", "count"]
    assert histogram["count"].tolist() == [1, 2, 0, 1, 0, 0, 0, 1, 1, 2]
    assert histogram["high"].iloc[4] == 1
    full = pd.DataFrame({"label": [1, 1], "tissue_fraction": [0.0, 1.0]})
    assert tissue_histogram(full, bins=7)["count"].sum() == 2


def test_the_stage_writes_the_same_bytes_again(small_cohort: Paths) -> None:
    arguments = ["--cohort", small_cohort.cohort, "--root", str(small_cohort.root)]
    assert main(["split", *arguments]) == 0
    tables = [small_cohort.attribute_table(name) for name in ("low", "high")]
    files = (*tables, small_cohort.groups, small_cohort.histogram)
    contents = []
    for _ in range(2):
        assert main(["attribute", *arguments]) == 0
        contents.append([path.read_bytes() for path in files])
        for path in files:
            path.unlink()
    assert contents[0] == contents[1]


def test_the_stage_covers_every_patch_at_every_threshold(small_cohort: Paths) -> None:
    arguments = ["--cohort", small_cohort.cohort, "--root", str(small_cohort.root)]
    assert main(["split", *arguments]) == 0
    assert main(["attribute", *arguments]) == 0
    index = pd.read_parquet(small_cohort.index)
    groups = json.loads(small_cohort.groups.read_text())["thresholds"]
    for name in ("low", "high"):
        joined = pd.read_parquet(small_cohort.attribute_table(name)).merge(
            index, on="patch_id", validate="1:1"
        )
        assert len(joined) == len(index)
        above = joined["tissue_fraction"] > groups[name]["value"]
        assert (joined["attribute"] == above).all()
        assert (joined["group"] == 2 * joined["label"] + above).all()
        assert np.sum(list(groups[name]["counts"].values())) == len(index)
    assert groups["low"]["value"] < groups["high"]["value"]


def test_a_threshold_does_not_touch_the_others_table(small_cohort: Paths) -> None:
    arguments = ["--cohort", small_cohort.cohort, "--root", str(small_cohort.root)]
    config = small_cohort.root / "configs" / "attribute.yaml"
    assert main(["split", *arguments]) == 0
    config.write_text("thresholds: {low: {quantile: 0.4}, high: {quantile: 0.6}}\n")
    assert main(["attribute", *arguments]) == 0
    before = small_cohort.attribute_table("low").read_bytes()
    config.write_text("thresholds: {low: {quantile: 0.4}, higher: {quantile: 0.7}}\n")
    assert main(["attribute", *arguments]) == 0
    assert small_cohort.attribute_table("low").read_bytes() == before
    assert small_cohort.attribute_table("higher").is_file()
    assert not small_cohort.attribute_table("high").exists()


def test_new_patients_need_a_new_split(small_cohort: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--cohort", small_cohort.cohort, "--root", str(small_cohort.root)]
    assert main(["split", *arguments]) == 0
    splits = small_cohort.splits.read_text().splitlines(keepends=True)
    small_cohort.splits.write_text("".join(splits[:-1]))
    assert main(["attribute", *arguments]) == 2
    assert "splits.csv with no split of patient" in capsys.readouterr().err


def test_an_unknown_key_is_an_error(small_cohort: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    config = small_cohort.root / "configs" / "attribute.yaml"
    config.write_text(config.read_text() + "threshold: 0.5\n")
    assert main(["attribute", "--cohort", small_cohort.cohort, "--root", str(small_cohort.root)]) == 2
    assert "threshold = 0.5" in capsys.readouterr().err


def test_groups_that_are_not_tested_are_told(small_cohort: Paths, caplog: pytest.LogCaptureFixture) -> None:
    arguments = ["--cohort", small_cohort.cohort, "--root", str(small_cohort.root)]
    assert main(["split", *arguments]) == 0
    assert main(["attribute", *arguments]) == 0
    assert "the test has no patch" not in caplog.text
    tested = read_table(small_cohort.splits, SPLITS, "split").query("split == 'test'")["patient_id"]
    index = pd.read_parquet(small_cohort.index)
    gone = index["patient_id"].isin(tested) & (index["label"] == 0) & (index["tissue_fraction"] > 0.45)
    index[~gone].to_parquet(small_cohort.index, index=False)
    assert main(["attribute", *arguments]) == 0
    assert "high: the test has no patch of non-tumor, much tissue; `make study COHORT=small`" in caplog.text
