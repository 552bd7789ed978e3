"""The train stage where attributes are known in validation alone, or nowhere."""

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from models.networks.checkpoint import load_classifier
from patching.errors import AlgorithmError, ConfigError
from pipeline.artifacts import run_name
from pipeline.config import Context
from pipeline.stages import train

QUICK = {"epochs": 1, "backbone": "densenet_slim", "device": "cpu", "minimum_validation_patches": 1}


def run(context: Context, algorithm: str, **changes: Any) -> Path:
    file = context.configs / "cohorts" / "small.yaml"
    content = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump(content | {"train": QUICK | changes}))
    train.run(context, Namespace(algorithm=algorithm, threshold="low", seed=None))
    return context.paths.training(run_name(algorithm, "low", None))


@pytest.mark.parametrize("algorithm", ["erm", "gerne_unknown"])
def test_a_run_without_attributes_is_written(trainable_cohort: Context, algorithm: str) -> None:
    folder = run(trainable_cohort, algorithm, attributes="nowhere")
    record = json.loads((folder / "run.json").read_text())
    assert record["train_settings"]["attributes"] == "nowhere"
    figures = record["validation"]
    assert (figures["wga"], figures["gba"]) == ("not estimable", "not estimable")
    assert isinstance(figures["worst_class"], float)
    assert isinstance(figures["class_balanced"], float)
    assert not [key for key in figures if key.startswith("accuracy_g")]
    history = pd.read_csv(folder / "history.csv")
    assert history["validation_wga"].isna().all()
    assert history["validation_worst_class"].notna().all()
    assert not [column for column in history.columns if "oracle" in column]
    _, card = load_classifier(folder)
    assert card.train_settings["attributes"] == "nowhere"
    # Who evaluates the run knows the groups; the table is of them, and no method saw it.
    assert len(json.loads((folder / "composition.json").read_text())["groups"]) == 4


def test_figures_of_groups_are_there_where_validation_has_them(trainable_cohort: Context) -> None:
    folder = run(trainable_cohort, "erm", attributes="validation_only")
    figures = json.loads((folder / "run.json").read_text())["validation"]
    assert isinstance(figures["wga"], float)
    assert "accuracy_g3" in figures


def test_what_the_regime_does_not_allow_is_told_and_nothing_written(trainable_cohort: Context) -> None:
    with pytest.raises(AlgorithmError, match="algorithm gerne, and training patches without attributes"):
        run(trainable_cohort, "gerne", attributes="validation_only")
    with pytest.raises(ConfigError, match="selection: worst_group"):
        run(trainable_cohort, "erm", attributes="nowhere", selection="worst_group")
    assert not trainable_cohort.paths.training("erm-low").exists()
    assert not trainable_cohort.paths.training("gerne-low").exists()
