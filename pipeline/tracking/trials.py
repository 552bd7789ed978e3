"""Trials of a search in MLflow: one run for the search, one child run for every training of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Param, RunStatus

from pipeline.tracking.connection import connect, experiment_id, tracking_uri
from pipeline.tracking.refusals import reporting

_KEY = "evenpatch.search_key"
_IDENTITY = "evenpatch.search"
_PARENT = "mlflow.parentRunId"


class TrialStore:
    """The runs of one search in the cohort's experiment; what is logged already is left alone.

    Args:
        root: of the repository.
        cohort: whose experiment.
        name: of the parent run.
        identity: of the search: the same one goes on in the same parent run.

    Raises:
        RegistryError: MLflow cannot be reached, or refuses.
    """

    def __init__(self, root: Path, cohort: str, name: str, identity: str) -> None:
        self._uri, self._client = tracking_uri(root), connect(root)
        with reporting(self._uri):
            self._experiment = experiment_id(self._client, root, cohort)
            found = self._client.search_runs([self._experiment], f"tags.`{_IDENTITY}` = '{identity}'")
            if found:
                self.run_id = str(found[0].info.run_id)
                self._client.update_run(self.run_id, RunStatus.to_string(RunStatus.RUNNING))
            else:
                tags = {_IDENTITY: identity}
                self.run_id = self._client.create_run(self._experiment, tags=tags, run_name=name).info.run_id
            children = self._client.search_runs(
                [self._experiment], f"tags.`{_PARENT}` = '{self.run_id}'", max_results=50_000
            )
            self._logged = {
                run.data.tags.get(_KEY)
                for run in children
                if run.info.status != RunStatus.to_string(RunStatus.RUNNING)
            }

    def log(self, key: str, record: Mapping[str, Any]) -> None:
        """Log a training as a child run, once; one that failed ends as FAILED, with the reason as a tag."""
        if key in self._logged:
            return
        tags = {_PARENT: self.run_id, _KEY: key, "evenpatch.failure": record["failure"][:5000]}
        with reporting(self._uri):
            run_id = self._client.create_run(self._experiment, tags=tags, run_name=key).info.run_id
            self._log(run_id, record)
            status = RunStatus.FAILED if record["failure"] else RunStatus.FINISHED
            self._client.set_terminated(run_id, RunStatus.to_string(status))
        self._logged.add(key)

    def finish(self, best: Mapping[str, Any], files: tuple[Path, ...]) -> None:
        """End the parent run with the best trial's figures and the search's files."""
        with reporting(self._uri):
            for setting in best["settings"]:
                # Parameters cannot change, and a search that goes on may find another best.
                self._client.set_tag(self.run_id, f"evenpatch.best.{setting}", str(best["settings"][setting]))
            self._client.log_batch(self.run_id, metrics=_metrics(best))
            for path in files:
                self._client.log_artifact(self.run_id, str(path), "tune")
            self._client.set_terminated(self.run_id)

    def _log(self, run_id: str, record: Mapping[str, Any]) -> None:
        params = [Param(name, str(value)) for name, value in record["settings"].items()]
        self._client.log_batch(run_id, metrics=_metrics(record), params=params)


def _metrics(record: Mapping[str, Any]) -> list[Metric]:
    figures = {**record["figures"], "position": record["position"], "seconds": record["seconds"]}
    return [Metric(name, value, 0, 0) for name, value in figures.items() if value is not None]
