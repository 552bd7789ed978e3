"""Tracking: once and completely, wherever it runs."""

import json
import shutil
from argparse import Namespace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from models.networks.card_file import load_card
from patching.errors import ArtifactError, BusyError, RegistryError
from pipeline.artifacts import Paths
from pipeline.cards.study_evidence import evidence_of
from pipeline.config import Context
from pipeline.files import file_fingerprint
from pipeline.flattening import flat, metrics_of
from pipeline.locks import held
from pipeline.stages import track
from pipeline.tracking.connection import connect, experiment_id, logging_alone, tracking_uri
from pipeline.tracking.models import ModelStore, history_metrics
from pipeline.workspace import workspace


@pytest.fixture
def client(tracked_cohort: Context) -> mlflow.MlflowClient:
    return connect(tracked_cohort.paths.root)


def receipts(context: Context) -> list[dict[str, str]]:
    return json.loads(context.paths.tracked.read_text())["runs"]


def test_a_second_call_changes_nothing(tracked_cohort: Context, client: mlflow.MlflowClient) -> None:
    before, receipt = client.search_model_versions("name = 'evenpatch-toy'"), receipts(tracked_cohort)
    track.run(tracked_cohort, Namespace())
    assert receipts(tracked_cohort) == receipt
    assert [v.version for v in client.search_model_versions("name = 'evenpatch-toy'")] == [
        v.version for v in before
    ]
    assert len(before) == len(receipt) == 3


def test_of_two_at_once_one_waits_and_finds_all_logged(
    tracked_cohort: Context, client: mlflow.MlflowClient
) -> None:
    before = client.search_model_versions("name = 'evenpatch-toy'")
    with held([logging_alone(tracked_cohort.paths.root)], "track"):
        with pytest.raises(BusyError, match="evenpatch track"):
            track.run(tracked_cohort, Namespace(wait=0))
        # A queued experiment works in a copy of the tree, and logs to the same store.
        copy = tracked_cohort.paths.root / ".dvc" / "tmp" / "exps" / "tmpab12"
        assert logging_alone(copy) == logging_alone(tracked_cohort.paths.root)
    track.run(tracked_cohort, Namespace(wait=0))
    assert client.search_model_versions("name = 'evenpatch-toy'") == before


def test_what_others_left_in_the_environment_changes_nothing(
    tracked_cohort: Context, client: mlflow.MlflowClient
) -> None:
    # The fixture tracks with runs, experiments and models of somebody else in the environment.
    assert [each.name for each in client.search_experiments()] == ["evenpatch-toy", "Default"]
    found = client.search_runs([experiment_id(client, tracked_cohort.paths.root, "toy")])
    assert sorted(run.info.run_id for run in found) == sorted(
        each["mlflow_run_id"] for each in receipts(tracked_cohort)
    )
    assert {run.info.status for run in found} == {"FINISHED"}
    assert not [name for run in found for name in run.data.metrics if name.startswith("system/")]


def test_what_is_not_estimable_is_no_metric_of_the_history() -> None:
    history = pd.DataFrame({"step": [3, 6], "validation_wga": [np.nan, np.nan], "train_loss": [0.5, np.nan]})
    found = [(metric.key, metric.step, metric.value) for metric in history_metrics(history)]
    assert found == [("history/train_loss", 3, 0.5)]


def test_a_run_holds_parameters_figures_history_and_files(
    tracked_cohort: Context, client: mlflow.MlflowClient
) -> None:
    logged = next(r for r in receipts(tracked_cohort) if r["run"] == "gerne-high")
    run = client.get_run(logged["mlflow_run_id"])
    metrics = json.loads((tracked_cohort.paths.evaluation("gerne-high") / "metrics.json").read_text())
    assert run.data.params["train_settings.selection"] == "worst_group"
    assert run.data.metrics["test/wga"] == metrics["test"]["wga"]
    assert run.data.metrics["test/wga/low"] == metrics["test"]["intervals"]["wga"]["low"]
    assert (
        run.data.metrics["validation/group_2/accuracy"]
        == metrics["validation"]["groups"]["group_2"]["accuracy"]
    )
    steps = client.get_metric_history(logged["mlflow_run_id"], "history/validation_wga")
    assert [(m.step, m.value) for m in steps] == [(10, 0.1), (20, 0.6), (30, 0.5)]
    assert run.data.tags["evenpatch.threshold"] == "high"
    assert run.inputs.dataset_inputs[0].dataset.name == "toy"
    files = {
        f.path
        for d in ("plots", "evaluation", "training", "report")
        for f in client.list_artifacts(run.info.run_id, d)
    }
    assert {
        "plots/curves.svg",
        "evaluation/metrics.json",
        "training/composition.json",
        "report/report.html",
    } <= files
    version = client.get_model_version("evenpatch-toy", logged["version"])
    assert float(version.tags["evenpatch.validation_wga"]) == metrics["validation"]["wga"]


def test_the_files_beside_the_report_go_with_the_run_they_are_of(
    tracked_cohort: Context, client: mlflow.MlflowClient
) -> None:
    found = {}
    for receipt in receipts(tracked_cohort):
        names = [each.path for each in client.list_artifacts(receipt["mlflow_run_id"], "report/exports")]
        found[receipt["run"]] = names
    assert found["gerne-low"] == ["report/exports/metrics.json", "report/exports/slides"]
    assert [name for name, names in found.items() if names] == ["gerne-low"]
    tags = client.get_run(receipts(tracked_cohort)[0]["mlflow_run_id"]).data.tags
    assert "evenpatch.report" in tags


def test_what_an_interrupted_call_left_is_replaced(
    tracked_cohort: Context, client: mlflow.MlflowClient
) -> None:
    store = ModelStore(tracked_cohort.paths.root, tracked_cohort.cohort)
    left = client.create_run(
        experiment_id(client, tracked_cohort.paths.root, "toy"), tags={"evenpatch.fingerprint": "f" * 64}
    )
    assert store.find("f" * 64) is None
    store._discard("f" * 64)
    assert client.get_run(left.info.run_id).info.lifecycle_stage == "deleted"


def test_both_cards_lie_beside_the_report_of_every_run(
    tracked_cohort: Context, client: mlflow.MlflowClient
) -> None:
    for receipt in receipts(tracked_cohort):
        names = {each.path for each in client.list_artifacts(receipt["mlflow_run_id"], "report")}
        assert {"report/report.html", "report/model_card.md", "report/data_card.md"} <= names
        tags = client.get_run(receipt["mlflow_run_id"]).data.tags
        assert tags["evenpatch.data_card"] == file_fingerprint([tracked_cohort.paths.cards[1]])


def test_a_new_report_replaces_the_old_one(tracked_cohort: Context) -> None:
    store = ModelStore(tracked_cohort.paths.root, tracked_cohort.cohort)
    logged = store.find(receipts(tracked_cohort)[0]["fingerprint"])
    assert logged is not None
    assert store.refresh(logged, "evenpatch.report", "new", "report", tracked_cohort.paths.report)
    assert not store.refresh(logged, "evenpatch.report", "new", "report", tracked_cohort.paths.report)


def test_the_shortcut_checks_go_with_every_run(tracked_cohort: Context, client: mlflow.MlflowClient) -> None:
    file = tracked_cohort.paths.shortcuts / "shortcuts.json"
    file.parent.mkdir(parents=True)
    file.write_text('{"found": 1}')
    track.run(tracked_cohort, Namespace())
    for receipt in receipts(tracked_cohort):
        (found,) = client.list_artifacts(receipt["mlflow_run_id"], "shortcuts")
        assert found.path == "shortcuts/shortcuts.json"


def test_nothing_trained_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no evaluated training"):
        track.run(Context("small", Paths(tmp_path, "small"), tmp_path / "configs"), Namespace())


def test_an_evaluation_without_figures_is_not_logged(tracked_cohort: Context, tmp_path: Path) -> None:
    shutil.copytree(tracked_cohort.paths.root, tmp_path, dirs_exist_ok=True)
    paths = Paths(tmp_path, tracked_cohort.cohort)
    (paths.evaluation("gerne-high") / "metrics.json").write_text("{}\n")
    evidence = evidence_of(tracked_cohort, "gerne-high", load_card(paths.training("gerne-high")))
    with pytest.raises(ArtifactError, match="no figures in it"):
        track.training_record(paths, "gerne-high", "digest", evidence)


def test_a_moved_store_is_told(tracked_cohort: Context, tmp_path: Path, client: mlflow.MlflowClient) -> None:
    with pytest.raises(RegistryError, match="this folder was moved"):
        experiment_id(client, tmp_path, "toy")


def test_experiments_in_temporary_copies_log_to_the_workspace(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    copy = tmp_path / "repo" / ".dvc" / "tmp" / "exps" / "tmpab12"
    (copy / "deeper").mkdir(parents=True)
    assert workspace(copy) == workspace(copy / "deeper") == tmp_path / "repo"
    assert workspace(tmp_path / "repo") == tmp_path / "repo"
    assert tracking_uri(copy) == f"sqlite:///{tmp_path / 'repo' / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server")
    assert tracking_uri(copy) == "http://server"


def test_figures_that_are_not_estimable_are_left_out() -> None:
    content = {"test": {"wga": "not estimable", "groups": {"group_0": {"accuracy": 0.5, "patches": 7}}}}
    assert metrics_of(content) == {"test/group_0/accuracy": 0.5, "test/group_0/patches": 7.0}
    assert flat({"a": {"b": [1]}, "c": None}) == {"a.b": [1], "c": None}
