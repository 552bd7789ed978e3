"""The evaluate stage: predictions and figures of validation and test."""

import json
import shutil
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from models.data.normalization import Normalization
from models.groups import GroupLayout
from models.metrics.intervals import Interval
from models.networks.backbones.registry import make_backbone
from models.networks.card import AttributeCard, ModelCard, NormalizationCard, TrainingRanges
from models.networks.card_file import CARD
from models.networks.checkpoint import load_classifier, save_classifier
from models.networks.classifier import Classifier
from patching.errors import CheckpointError
from patching.store.reading import PatchStore
from pipeline.artifacts import PREDICTIONS
from pipeline.config import Context
from pipeline.files import NOT_ESTIMABLE
from pipeline.flattening import metrics_of
from pipeline.results.profiles.operating import operating_of
from pipeline.stages import evaluate
from pipeline.stages.evaluate import EvaluateSettings, split_metrics
from pipeline.training.patches import table_fingerprints
from pipeline.yaml_file import load_yaml

SIDE = 32


@pytest.fixture
def context(trainable_cohort: Context) -> Context:
    """A cohort with a model that nobody trained."""
    paths = trainable_cohort.paths
    normalization = Normalization("none", (2000.0, 2000.0), (1000.0, 1000.0), (1000.0, 1000.0))
    card = ModelCard(
        backbone="densenet_slim",
        backbone_settings={},
        channels=("CARS", "SHG"),
        classes=("non-tumor", "tumor"),
        normalization=NormalizationCard(
            transform="none",
            mean=normalization.mean_C,
            std=normalization.std_C,
            raw_std=normalization.raw_std_C,
        ),
        test_time_symmetries=False,
        patch={"size": SIDE},
        dtype="uint16",
        brightfield=False,
        tissue=None,
        attribute=AttributeCard(names=("little tissue", "much tissue"), above=0.5),
        ranges=TrainingRanges(tissue_fraction=None, mpp=None, quality={}),
        threshold="low",
        counts=((1, 1), (1, 1)),
        alpha=((0.5, 0.5), (0.5, 0.5)),
        algorithm="erm",
        algorithm_settings={},
        train_settings={},
        seed=0,
        versions={},
        fingerprints=table_fingerprints(paths, "low"),
    )
    classifier = Classifier(make_backbone("densenet_slim", 2, 2), normalization)
    save_classifier(paths.training("erm-low"), classifier, card)
    return trainable_cohort


def run(
    context: Context, seed: int | None = None, name: str = "erm-low"
) -> tuple[pd.DataFrame, dict[str, Any]]:
    evaluate.run(context, Namespace(algorithm="erm", threshold="low", seed=seed))
    folder = context.paths.evaluation(name)
    return pd.read_parquet(folder / "predictions.parquet"), json.loads((folder / "metrics.json").read_text())


def test_predicts_every_validation_and_test_patch(context: Context) -> None:
    predictions, metrics = run(context)
    assert tuple(predictions.columns) == PREDICTIONS
    index = pd.read_parquet(context.paths.index)
    splits = pd.read_csv(context.paths.splits, dtype={"patient_id": str})
    wanted = index.merge(splits, on="patient_id").query("split != 'train'")
    assert predictions["patch_id"].tolist() == wanted["patch_id"].tolist()
    assert predictions["split"].tolist() == wanted["split"].tolist()
    assert (predictions["group"] == 2 * predictions["label"] + predictions["attribute"]).all()
    assert ((predictions["probability"] > 0.5) == (predictions["prediction"] == 1)).all()
    assert metrics["test"]["patches"] == (predictions["split"] == "test").sum()
    classifier, _ = load_classifier(context.paths.training("erm-low"))
    row = wanted.iloc[-7]
    patch_1HWC = PatchStore.open(context.paths.store(row["slide_id"])).read([row["store_row"]])
    expected = classifier.predict_proba(patch_1HWC)[0, 1]
    assert predictions["probability"].iloc[-7] == pytest.approx(expected, abs=1e-6)


def test_figures_follow_from_the_predictions(context: Context) -> None:
    predictions, metrics = run(context)
    test = predictions[predictions["split"] == "test"]
    right = (test["label"] == test["prediction"]).groupby(test["group"])
    for group, accuracy in right.mean().items():
        assert metrics["test"]["groups"][f"group_{group}"]["accuracy"] in (
            pytest.approx(accuracy),
            NOT_ESTIMABLE,
        )
        assert metrics["test"]["groups"][f"group_{group}"]["patches"] == right.size()[group]
    assert metrics["test"]["average"] == pytest.approx((test["label"] == test["prediction"]).mean())
    interval = metrics["test"]["intervals"]["average"]
    assert interval["low"] <= metrics["test"]["average"] <= interval["high"]


def test_figures_along_the_tissue_follow_from_the_predictions(context: Context) -> None:
    predictions, metrics = run(context)
    index = pd.read_parquet(context.paths.index).set_index("patch_id")
    tissue, patient = index["tissue_fraction"], index["patient_id"]
    test = predictions[predictions["split"] == "test"].assign(right=lambda t: t["label"] == t["prediction"])
    test["tissue"] = tissue[test["patch_id"]].to_numpy()
    found = metrics["test"]["tissue_fraction"]
    lowest = []
    for label, part in test.groupby("label"):
        bins = list(found[f"label_{label}"]["bins"].values())
        assert [(each["low"], each["high"]) for each in bins] == [(i / 10, (i + 1) / 10) for i in range(10)]
        assert sum(each["patches"] for each in bins) == len(part)
        for each in bins[:-1]:
            inside = part[(part["tissue"] >= each["low"]) & (part["tissue"] < each["high"])]
            assert (each["correct"], each["patches"]) == (inside["right"].sum(), len(inside))
            assert each["patients"] == inside["patch_id"].map(patient).nunique()
            assert ("interval" in each) == (each["accuracy"] != NOT_ESTIMABLE)
        slope = np.polyfit(part["tissue"], part["right"].astype(float), 1)[0]
        assert found[f"label_{label}"]["slope"] == pytest.approx(slope, abs=1e-9)
        lowest += [each["accuracy"] for each in bins if each["accuracy"] != NOT_ESTIMABLE]
    assert found["worst_bin"]["accuracy"] == min(lowest, default=NOT_ESTIMABLE)


def test_another_seed_is_a_run_of_its_own(context: Context) -> None:
    shutil.copytree(context.paths.training("erm-low"), context.paths.training("erm-low-s7"))
    assert run(context, 7, "erm-low-s7")[1] == run(context)[1]


def test_a_model_is_not_judged_on_other_splits(context: Context) -> None:
    splits = pd.read_csv(context.paths.splits, dtype=str)
    splits["split"] = splits["split"].iloc[::-1].to_numpy()
    splits.to_csv(context.paths.splits, index=False)
    with pytest.raises(CheckpointError, match=r"splits\.csv"):
        run(context)


def test_missing_training_is_a_checkpoint_error(context: Context) -> None:
    (context.paths.training("erm-low") / CARD).unlink()
    with pytest.raises(CheckpointError, match="evenpatch train"):
        run(context)


def predictions_of(patients: list[str], group: list[int], right: list[int]) -> pd.DataFrame:
    label = np.array(group) // 2
    prediction = np.where(right, label, 1 - label)
    columns = {"patient_id": patients, "label": label, "group": group, "prediction": prediction}
    return pd.DataFrame(columns | {"probability": prediction * 0.8 + 0.1})


def test_small_groups_are_not_estimable_and_out_of_the_worst() -> None:
    patients = ["a", "b"] * 6 + ["a"] * 4
    group = [0] * 4 + [1] * 2 + [2] * 6 + [3] * 4
    right = [1, 1, 1, 0] + [0, 0] + [1, 0, 1, 0, 1, 1] + [0] * 4
    settings = EvaluateSettings(minimum_patches=3, minimum_patients=2, draws=50)
    found = split_metrics(predictions_of(patients, group, right), settings)
    groups = [found["groups"][f"group_{g}"] for g in range(4)]
    # Group 1 has too few patches, group 3 only one patient.
    assert found["groups_judged"] == 2
    assert [each["accuracy"] for each in groups] == [0.75, NOT_ESTIMABLE, pytest.approx(4 / 6), NOT_ESTIMABLE]
    assert [each["patches"] for each in groups] == [4, 2, 6, 4]
    assert [each["patients"] for each in groups] == [2, 2, 2, 1]
    assert found["wga"] == pytest.approx(4 / 6)
    assert found["gba"] == pytest.approx((0.75 + 4 / 6) / 2)
    assert "group_1" not in found["intervals"]
    assert "tissue_fraction" not in found
    json.dumps(found, allow_nan=False)


def test_too_small_bins_of_tissue_are_not_estimable() -> None:
    table = predictions_of(["a", "b"] * 10, [0] * 10 + [2] * 10, [1] * 19 + [0])
    table["tissue_fraction"] = np.repeat([0.05, 0.15, 0.25, 0.35, 0.45], 2).tolist() * 2
    found = split_metrics(table, EvaluateSettings(minimum_patches=2, minimum_patients=2, draws=10))
    worst = found["tissue_fraction"]["worst_bin"]
    assert [worst[key] for key in ("label", "bin", "low", "high")] == [1, 4, 0.4, 0.5]
    assert [worst[key] for key in ("accuracy", "patches", "patients")] == [0.5, 2, 2]
    assert found["tissue_fraction"]["label_0"]["bins"]["bin_9"] == {
        "low": 0.9, "high": 1, "accuracy": NOT_ESTIMABLE, "correct": 0, "patches": 0, "patients": 0,
    }  # fmt: skip
    assert found["tissue_fraction"]["label_1"]["mean"] == pytest.approx(0.9)
    assert found["tissue_fraction"]["label_1"]["bins_judged"] == 5
    few = split_metrics(table, EvaluateSettings(minimum_patches=3, minimum_patients=2, draws=10))
    assert few["tissue_fraction"]["worst_bin"] == {"accuracy": NOT_ESTIMABLE}
    assert few["tissue_fraction"]["label_0"]["mean"] == NOT_ESTIMABLE
    assert few["tissue_fraction"]["label_0"]["slope"] == 0
    json.dumps(few, allow_nan=False)
    missing = split_metrics(table.assign(tissue_fraction=np.nan), EvaluateSettings(draws=10))
    assert "tissue_fraction" not in missing


def test_probabilities_and_verdicts_are_told_per_group_and_value() -> None:
    """Two patients; group 0 right on 3 of 4 patches, 1 on 1 of 2, 2 on 2 of 6, and 3 has one patient."""
    patients = ["a", "b"] * 6 + ["a"] * 4
    group = [0] * 4 + [1] * 2 + [2] * 6 + [3] * 4
    right = [1, 1, 1, 0] + [1, 0] + [1, 0, 1, 0, 0, 0] + [1] * 4
    table = predictions_of(patients, group, right)
    found = split_metrics(table, EvaluateSettings(minimum_patches=2, minimum_patients=2, draws=50))
    # A probability is 0.1 from what is told, 0.9 from what is not.
    near, far = 0.1**2, 0.9**2
    assert found["brier"] == pytest.approx((10 * near + 6 * far) / 16)
    assert found["sensitivity"] == pytest.approx(6 / 10)
    assert found["specificity"] == pytest.approx(4 / 6)
    groups = [found["groups"][f"group_{g}"] for g in range(4)]
    assert groups[0]["brier"] == pytest.approx((3 * near + far) / 4)
    assert groups[0]["ece"] == pytest.approx((3 * 0.1 + 0.9) / 4)
    assert groups[2]["ece"] == pytest.approx((2 * 0.1 + 4 * 0.9) / 6)
    assert (
        groups[2]["intervals"]["brier"]["low"]
        <= groups[2]["brier"]
        <= groups[2]["intervals"]["brier"]["high"]
    )
    assert (groups[3]["brier"], groups[3]["ece"], groups[3]["intervals"]) == (
        NOT_ESTIMABLE,
        NOT_ESTIMABLE,
        {},
    )
    little, much = found["attributes"]["attribute_0"], found["attributes"]["attribute_1"]
    assert (little["sensitivity"], little["specificity"]) == (pytest.approx(2 / 6), 0.75)
    assert (much["sensitivity"], much["specificity"]) == (NOT_ESTIMABLE, 0.5)
    assert little["brier"] == pytest.approx((5 * near + 5 * far) / 10)
    # Of 0.1 are three of group 0 and four of group 2, the rest is of 0.9; each value is one bin.
    assert little["ece"] == pytest.approx((abs(7 * 0.1 - 4) + abs(3 * 0.9 - 2)) / 10)
    assert 0 < little["ece_by_chance"] < little["ece"]
    assert set(little["intervals"]) == {"brier", "sensitivity", "specificity"}
    assert set(much["intervals"]) == {"brier", "specificity"}
    assert {"brier", "sensitivity", "specificity"} < set(found["intervals"])
    json.dumps(found, allow_nan=False)
    told = metrics_of({"test": found})
    assert told["test/attributes/attribute_0/brier/low"] == little["intervals"]["brier"]["low"]
    assert "test/group_3/brier" not in told


def test_areas_within_attribute_values_are_told() -> None:
    """Of value 0, probabilities rank all pairs right but ties; of value 1 one label is missing."""
    table = predictions_of(["a", "b"] * 8, [0] * 4 + [1] * 4 + [2] * 4 + [1] * 4, [1] * 16)
    found = split_metrics(table, EvaluateSettings(minimum_patches=2, draws=50))
    assert (found["auroc_0"], found["auroc_1"], found["auroc_within"]) == (1, NOT_ESTIMABLE, NOT_ESTIMABLE)
    assert "auroc_0" in found["intervals"]
    assert found["wga"] == 1
    assert "wga_cross_fitted" in found


def test_only_two_classes_have_probabilities_to_be_judged() -> None:
    table = predictions_of(["a", "b"] * 6, [0] * 4 + [2] * 4 + [4] * 4, [1] * 12).assign(
        label=np.repeat([0, 1, 2], 4), prediction=np.repeat([0, 1, 2], 4)
    )
    found = split_metrics(table, EvaluateSettings(minimum_patches=2, draws=10), GroupLayout(3, 2))
    assert found["wga"] == 1
    assert not {"brier", "ece", "sensitivity", "attributes"} & set(found)
    known = {f"group_{g}": Interval(1, 1, 1, 0.95, 0, 0) for g in range(6)}
    classes = {name: known[name] for name in list(known)[:3]}
    assert operating_of(table, table["probability"], known, classes, EvaluateSettings()) == ()


def test_nothing_is_estimable_without_enough_of_anything() -> None:
    found = split_metrics(predictions_of(["a"], [0], [1]), EvaluateSettings(draws=10))
    assert (found["wga"], found["gba"], found["auroc"]) == (NOT_ESTIMABLE,) * 3
    json.dumps(found, allow_nan=False)


def test_shipped_settings_are_valid_and_complete(repository: Path) -> None:
    content = load_yaml(repository / "configs" / "evaluate.yaml")
    EvaluateSettings.model_validate(content)
    assert set(content) == set(EvaluateSettings.model_fields)


def test_the_log_shows_three_digits() -> None:
    assert evaluate.shown(2 / 3) == "0.667"
    assert evaluate.shown(NOT_ESTIMABLE) == NOT_ESTIMABLE
