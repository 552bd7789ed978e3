"""Runs and model versions of one cohort in MLflow, in the project's own terms."""

import hashlib
import io
import math
import time
from collections.abc import Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunStatus
from mlflow.entities.model_registry import ModelVersion

import models
import patching
import pipeline
from pipeline.tracking.connection import connect, experiment_id, model_name, tracking_uri
from pipeline.tracking.pages import Pages
from pipeline.tracking.refusals import reporting
from pipeline.tracking.requirements import pinned_requirements
from pipeline.tracking.served import SIGNATURE

_BATCH = 100  # of MLflow's limits on one request, the smallest
_NOTE = "mlflow.note.content"
_PAGES = "evenpatch.pages"


@dataclass(frozen=True)
class TrainingRecord:
    """What is logged of one training.

    Attributes:
        name: of the run. fingerprint: identifies its weights and figures.
        tags, version_tags: of the run, and of the model version.
        metrics: final figures by name; the first is what MLflow's pages show first.
        history: one row per validation with a `step` column. seconds: that the training took.
        files: artifacts by their folder in the run. texts: artifacts by their whole path.
        model_files: model.safetensors, model.json and evidence.json. example: input of the model.
        columns: what its columns hold, in words. dataset: name and digest of the data; tags of it.
    """

    name: str
    fingerprint: str
    tags: Mapping[str, str]
    version_tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    history: pd.DataFrame
    seconds: float
    files: tuple[tuple[str, Path], ...]
    texts: Mapping[str, str]
    model_files: Mapping[str, Path]
    example: pd.DataFrame
    columns: Mapping[str, str]
    dataset: tuple[str, str]


@dataclass(frozen=True)
class Logged:
    """Where a training is in MLflow."""

    run_id: str
    model: str
    version: str


class ModelStore:
    """The cohort's experiment and registered model, `evenpatch-<cohort>` both.

    Raises:
        RegistryError: MLflow cannot be reached, or refuses.
    """

    def __init__(self, root: Path, cohort: str) -> None:
        self.uri = tracking_uri(root)
        self.model = model_name(cohort)
        self._client = connect(root)
        with reporting(self.uri):
            self._experiment = experiment_id(self._client, root, cohort)

    def find(self, fingerprint: str) -> Logged | None:
        """The finished run of a training, with its model version."""
        with reporting(self.uri):
            for run in self._runs(fingerprint):
                versions = self._versions(f"run_id = '{run.info.run_id}'")
                if run.info.status == RunStatus.to_string(RunStatus.FINISHED) and versions:
                    return Logged(run.info.run_id, self.model, str(versions[0].version))
        return None

    def log(self, record: TrainingRecord) -> Logged:
        """Log a training and register its model; what an interrupted call left of it goes first.

        The run starts as long ago as the training took, so that its duration is the training's own.
        """
        with reporting(self.uri):
            self._discard(record.fingerprint)
            ended = time.time()
            created = self._client.create_run(
                self._experiment,
                start_time=_milliseconds(ended - record.seconds),
                tags=dict(record.tags),
                run_name=record.name,
            )
            run_id: str = created.info.run_id
            # A logged model belongs to the active run.
            with mlflow.start_run(run_id=run_id, log_system_metrics=False):
                self._log_values(run_id, record)
                self._log_artifacts(run_id, record)
                registered = self._register(record, self._log_model(record))
            self._client.set_terminated(run_id, end_time=_milliseconds(ended))
        return Logged(run_id, self.model, str(registered.version))

    def describe(self, logged: Logged, pages: Pages) -> bool:
        """Write descriptions and tags where they are not those already; says whether it did."""
        digest = hashlib.sha256(repr(pages).encode()).hexdigest()
        with reporting(self.uri):
            if self._client.get_run(logged.run_id).data.tags.get(_PAGES) == digest:
                return False
            self._client.update_registered_model(self.model, pages.model)
            self._client.update_model_version(self.model, logged.version, pages.version)
            self._client.set_tag(logged.run_id, _NOTE, pages.run)
            for key, value in pages.shared_tags.items():
                self._client.set_registered_model_tag(self.model, key, value)
            for key, value in pages.tags.items():
                self._client.set_model_version_tag(self.model, logged.version, key, value)
                self._client.set_tag(logged.run_id, key, value)
            self._client.set_tag(logged.run_id, _PAGES, digest)
        return True

    def refresh(self, logged: Logged, key: str, digest: str, folder: str, path: Path) -> bool:
        """Log a file, or a folder under its name, again if its digest differs from the run's tag `key`.

        Says whether it did.
        """
        with reporting(self.uri):
            if self._client.get_run(logged.run_id).data.tags.get(key) == digest:
                return False
            self._client.log_artifact(logged.run_id, str(path), folder)
            self._client.set_tag(logged.run_id, key, digest)
        return True

    def figures(self, logged: Logged) -> dict[str, float]:
        """Final metrics of a run."""
        with reporting(self.uri):
            found: dict[str, float] = self._client.get_run(logged.run_id).data.metrics
        return found

    def _runs(self, fingerprint: str) -> list[mlflow.entities.Run]:
        return list(
            self._client.search_runs([self._experiment], f"tags.`evenpatch.fingerprint` = '{fingerprint}'")
        )

    def _versions(self, condition: str) -> list[ModelVersion]:
        return list(self._client.search_model_versions(f"name = '{self.model}' and {condition}"))

    def _discard(self, fingerprint: str) -> None:
        for run in self._runs(fingerprint):
            for left in self._versions(f"run_id = '{run.info.run_id}'"):
                self._client.delete_model_version(self.model, left.version)
            self._client.delete_run(run.info.run_id)

    def _log_values(self, run_id: str, record: TrainingRecord) -> None:
        params = [Param(name, value) for name, value in record.params.items()]
        metrics = [Metric(name, value, 0, 0) for name, value in record.metrics.items()]
        metrics += history_metrics(record.history)
        for start in range(0, max(len(params), len(metrics)), _BATCH):
            part = slice(start, start + _BATCH)
            self._client.log_batch(run_id, metrics=metrics[part], params=params[part])
        name, digest = record.dataset
        data = Dataset(name=name, digest=digest[:36], source_type="evenpatch", source=f"sha256:{digest}")
        self._client.log_inputs(run_id, [DatasetInput(data, [InputTag("mlflow.data.context", "training")])])

    def _log_artifacts(self, run_id: str, record: TrainingRecord) -> None:
        for folder, path in record.files:
            self._client.log_artifact(run_id, str(path), folder)
        for name, text in record.texts.items():
            self._client.log_text(run_id, text, name)

    def _log_model(self, record: TrainingRecord) -> str:
        packages = [Path(str(package.__file__)).parent for package in (patching, models, pipeline)]
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(packages[-1] / "tracking" / "served_entry.py"),
            artifacts={name: str(path) for name, path in record.model_files.items()},
            # evenpatch's own code travels along, so that the model also runs where it is not installed.
            code_paths=[str(folder) for folder in packages],
            signature=SIGNATURE,
            input_example=record.example,
            metadata={"columns": dict(record.columns)},
            pip_requirements=pinned_requirements(),
        )
        return str(logged.model_uri)

    def _register(self, record: TrainingRecord, model_uri: str) -> ModelVersion:
        # MLflow announces every version on stderr, whatever its log level.
        with redirect_stderr(io.StringIO()):
            return mlflow.register_model(
                model_uri, self.model, await_registration_for=60, tags=dict(record.version_tags)
            )


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def history_metrics(history: pd.DataFrame) -> list[Metric]:
    """`history/<column>` by step, without what is not estimable, as WGA where attributes are not known."""
    return [
        Metric(f"history/{name}", float(value), 0, int(row["step"]))
        for row in history.to_dict("records")
        for name, value in row.items()
        if name != "step" and math.isfinite(value)
    ]
