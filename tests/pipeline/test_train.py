"""The train stage: from stores and tables to a run's folder."""

import json
import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from models.algorithms.registry import ALGORITHMS
from models.decisions.fitting import fit_decision
from models.decisions.settings import DecisionSettings, FitSettings
from models.networks.card import Rule
from models.networks.checkpoint import load_classifier
from models.networks.decision import told
from patching.errors import ArtifactError, ConfigError, EmptyGroupError
from pipeline.artifacts import Paths, run_name
from pipeline.cli import main
from pipeline.config import Context
from pipeline.stages import evaluate, train
from pipeline.training.layout import read_tissue_threshold
from pipeline.training.settings import TrainStage
from pipeline.yaml_file import load_yaml

SIDE = 32
QUICK = {"epochs": 0.3, "backbone": "densenet_slim", "device": "cpu", "minimum_validation_patches": 1}


@pytest.fixture
def context(trainable_cohort: Context) -> Context:
    """A cohort ready for training, with settings of seconds."""
    file = trainable_cohort.configs / "cohorts" / "small.yaml"
    content = yaml.safe_load(file.read_text())
    content["train"] = QUICK
    content["algorithms"] = {"gerne": {"candidates": [{"beta": 0.5}, {"beta": 1.0}]}}
    file.write_text(yaml.safe_dump(content))
    return trainable_cohort


def run(context: Context, algorithm: str = "gerne", threshold: str = "low", seed: int | None = None) -> Path:
    train.run(context, Namespace(algorithm=algorithm, threshold=threshold, seed=seed))
    return context.paths.training(run_name(algorithm, threshold, seed))


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def test_writes_the_whole_run(context: Context, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run(context)
    names = ["composition.json", "history.csv", "model.json", "model.safetensors", "run.json"]
    assert sorted(path.name for path in folder.iterdir()) == names
    classifier, card = load_classifier(folder)
    assert (card.channels, card.classes, card.dtype) == (("CARS", "SHG"), ("non-tumor", "tumor"), "uint16")
    assert (card.patch["size"], card.algorithm, card.threshold) == (SIDE, "gerne", "low")
    groups = read(context.paths.groups)["thresholds"]["low"]
    assert [list(row) for row in card.counts] == groups["counts"]["train"]
    np.testing.assert_allclose(card.alpha, groups["alpha"])
    assert set(card.fingerprints) == {"index.parquet", "splits.csv", "low.parquet"}
    assert classifier.predict_proba(np.zeros((2, SIDE, SIDE, 2), np.uint16)).shape == (2, 2)
    record = read(folder / "run.json")
    assert record["n_trials"] == 2
    assert [trial["override"] for trial in record["trials"]] == [{"beta": 0.5}, {"beta": 1.0}]
    assert record["algorithm_settings"]["beta"] == record["trials"][record["chosen"]]["override"]["beta"]
    history = pd.read_csv(folder / "history.csv")
    assert record["best_epoch"] in history["epoch"].tolist()
    assert {"train_loss", "validation_wga", "validation_gba", "samples_seen"} <= set(history.columns)
    composition = read(folder / "composition.json")
    assert len(composition["groups"]) == 4
    assert sum(row["share"] for row in composition["groups"]) == pytest.approx(1)
    out = capsys.readouterr().out
    assert "p_less_biased" in out
    assert "2 trial(s)" in out
    assert card.decision.calibration is not None
    assert f"temperature {card.decision.calibration.temperature:.3g}" in out
    assert not (context.paths.outputs / "interrupted" / "gerne-low").exists()


def test_the_same_seed_gives_the_same_model(context: Context) -> None:
    folder = run(context, "erm")
    first = {
        name: (folder / name).read_bytes() for name in ("model.safetensors", "history.csv", "model.json")
    }
    run(context, "erm")
    assert first == {name: (folder / name).read_bytes() for name in first}


def test_another_seed_is_a_run_of_its_own(context: Context, capsys: pytest.CaptureFixture[str]) -> None:
    settings, other = run(context, "erm"), run(context, "erm", seed=5)
    assert (settings.name, other.name) == ("erm-low", "erm-low-s5")
    assert [read(folder / "run.json")["seed"] for folder in (settings, other)] == [0, 5]
    assert read(settings / "run.json")["train_settings"] == read(other / "run.json")["train_settings"]
    assert (settings / "model.safetensors").read_bytes() != (other / "model.safetensors").read_bytes()
    arguments = ["train", "--cohort", "small", "--root", str(context.paths.root), "--seed", "-1"]
    assert main(arguments) == 2
    assert "seed = -1" in capsys.readouterr().err


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_trains_with_its_shipped_settings(context: Context, algorithm: str) -> None:
    assert (run(context, algorithm, "high") / "model.json").is_file()


def test_streams_what_does_not_fit_in_memory(context: Context) -> None:
    inside = load_classifier(run(context, "erm"))[0].state_dict()
    file = context.configs / "train.yaml"
    file.write_text(yaml.safe_dump(load_yaml(file) | {"memory_limit_gib": 1e-6}))
    outside = load_classifier(run(context, "erm"))[0].state_dict()
    assert all(torch.equal(inside[key], outside[key]) for key in inside)


def test_an_interrupted_training_goes_on(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = (run(context) / "model.safetensors").read_bytes()
    save = train.save_classifier

    def stop(*args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "save_classifier", stop)
    with pytest.raises(KeyboardInterrupt):
        run(context)
    kept = context.paths.outputs / "interrupted" / "gerne-low"
    assert len(list(kept.iterdir())) == 2
    monkeypatch.setattr(train, "save_classifier", save)
    assert (run(context) / "model.safetensors").read_bytes() == expected
    assert not kept.exists()


def test_settings_of_an_earlier_training_never_stand_beside_other_weights(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run(context, "erm")
    assert read(folder / "run.json")["settings"]

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "_write_records", killed)
    with pytest.raises(KeyboardInterrupt):
        run(context, "erm")
    assert (folder / "model.safetensors").is_file()
    assert not (folder / "run.json").exists()


def test_unknown_threshold_is_named(context: Context) -> None:
    with pytest.raises(ArtifactError, match="middle"):
        run(context, threshold="middle")


def test_patches_newer_than_their_attributes_are_refused(context: Context) -> None:
    index = pd.read_parquet(context.paths.index)
    index.loc[3, "patch_id"] = "s0@99_99"
    index.to_parquet(context.paths.index, index=False)
    with pytest.raises(ArtifactError, match="s0@99_99"):
        run(context)


def test_empty_group_and_unknown_key_end_with_code_2(
    context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", "--cohort", "small", "--root", str(context.paths.root), "--algorithm", "gerne"]
    table = pd.read_parquet(context.paths.attribute_table("low"))
    table.loc[table["group"] == 1, ["attribute", "group"]] = 0
    table.to_parquet(context.paths.attribute_table("low"), index=False)
    assert main(arguments) == 2
    assert EmptyGroupError.__name__ in capsys.readouterr().err
    (context.configs / "train.yaml").write_text("epoch: 3\n")
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert ConfigError.__name__ in error
    assert "epoch = 3" in error


def decide_by(context: Context, **decision: Any) -> None:
    file = context.configs / "cohorts" / "small.yaml"
    content = yaml.safe_load(file.read_text())
    content["train"] = QUICK | {"decision": decision}
    file.write_text(yaml.safe_dump(content))


@pytest.mark.parametrize("rule", ["plain", "by_tissue"])
def test_a_decision_is_fitted_to_validation_and_applied_as_fitted(context: Context, rule: Rule) -> None:
    decide_by(context, rule=rule, ridge=20, operating="balanced", minimum_patients=2)
    decision = load_classifier(run(context, "erm"))[1].decision
    evaluate.run(context, Namespace(algorithm="erm", threshold="low", seed=None))
    predictions = pd.read_parquet(context.paths.evaluation("erm-low") / "predictions.parquet")
    known = pd.read_parquet(context.paths.index)[["patch_id", "patient_id", "tissue_fraction"]]
    rows = predictions.merge(known, on="patch_id")
    probability_N, prediction_N = told(decision, rows["logit"], rows["tissue_fraction"])
    np.testing.assert_array_equal(rows["probability"], probability_N)
    np.testing.assert_array_equal(rows["prediction"], prediction_N)
    own = rows[rows["split"] == "validation"]
    expected = fit_decision(
        rule,
        logit_N=own["logit"],
        label_N=own["label"],
        tissue_fraction_N=own["tissue_fraction"],
        above=read_tissue_threshold(context.paths.attribute_table("low")),
        patient_N=own["patient_id"],
        settings=FitSettings(ridge=20, operating="balanced", minimum_patients=2),
    )
    assert decision.rule == rule
    assert decision.operating == expected.operating is not None
    found, wanted = (
        [card.slope, *card.offsets, *card.knots, card.threshold] for card in (decision, expected)
    )
    assert found == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize(
    ("decision", "train_settings", "said"),
    [
        ({"rule": "by_attribute", "minimum_patients": 99}, {}, "99 or more"),
        ({"rule": "threshold", "minimum_patients": 1}, {"attributes": "nowhere"}, "attributes: nowhere"),
        ({"operating": {"sensitivity": 1.5}}, {}, "sensitivity = 1.5"),
    ],
)
def test_a_decision_that_cannot_be_fitted_is_refused_before_the_training(
    context: Context,
    monkeypatch: pytest.MonkeyPatch,
    decision: dict[str, Any],
    train_settings: dict[str, Any],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    decide_by(context, **decision)
    file = context.configs / "train.yaml"
    file.write_text(yaml.safe_dump(load_yaml(file) | train_settings))
    monkeypatch.delattr(train, "fit")
    arguments = ["train", "--cohort", "small", "--root", str(context.paths.root), "--algorithm", "erm"]
    assert main(arguments) == 2
    assert said in capsys.readouterr().err


def test_an_attribute_that_tissue_does_not_make_has_the_plain_rule_alone(context: Context) -> None:
    path = context.paths.attribute_table("low")
    pd.read_parquet(path).to_parquet(path, index=False)  # without its threshold
    decide_by(context, rule="by_tissue", minimum_patients=1)
    with pytest.raises(ConfigError, match="an attribute that tissue does not make"):
        run(context, "erm")


def test_shipped_settings_are_valid_and_complete(repository: Path) -> None:
    content = load_yaml(repository / "configs" / "train.yaml")
    TrainStage.model_validate(content)
    assert set(content) == set(TrainStage.model_fields)
    assert set(content["decision"]) == set(DecisionSettings.model_fields)
    assert TrainStage.model_validate(content).decision == DecisionSettings()


def test_starting_weights_are_resolved_against_the_root(tmp_path: Path) -> None:
    stage = TrainStage.model_validate({"weights": "weights/start.safetensors"})
    assert stage.training(Paths(tmp_path, "small")).weights == tmp_path / "weights" / "start.safetensors"


def launch(processes: int, command: list[str], root: Path) -> subprocess.CompletedProcess[str]:
    """A command of Python in several processes."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return subprocess.run(
        [*torchrun, f"--nproc-per-node={processes}", *command],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_two_processes_train_and_one_writes(context: Context, repository: Path) -> None:
    options = ["--root", str(context.paths.root), "--cohort", "small", "--algorithm", "gerne"]
    file = context.configs / "cohorts" / "small.yaml"
    content = load_yaml(file) | {"train": QUICK | {"batch_norm": "frozen"}}
    file.write_text(yaml.safe_dump(content))
    alone = run(context)
    expected = pd.read_csv(alone / "history.csv")
    (alone / "history.csv").unlink()
    (alone / "model.safetensors").unlink()
    ran = launch(2, ["-m", "pipeline.cli", "train", *options], repository)
    assert ran.returncode == 0, ran.stderr
    names = ["composition.json", "history.csv", "model.json", "model.safetensors", "run.json"]
    assert sorted(path.name for path in alone.iterdir()) == names
    found = pd.read_csv(alone / "history.csv")
    pd.testing.assert_frame_equal(found, expected, rtol=1e-3)
    load_classifier(alone)
    assert ran.stdout.count("chosen by the validation patients") == 1
    assert ran.stdout.count("decides by the rule plain") == 1
    assert ran.stdout.count("what the batches are made of") == 2  # two candidates
    assert ran.stderr.count("training and") == 1


def test_a_verb_that_knows_no_other_processes_is_refused_in_several(
    context: Context, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable, value in (("WORLD_SIZE", "2"), ("RANK", "0")):
        monkeypatch.setenv(variable, value)
    assert main(["attribute", "--root", str(context.paths.root), "--cohort", "small"]) == 2
    assert "by itself" in capsys.readouterr().err
