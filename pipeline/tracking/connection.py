"""The only door to MLflow: where its store lies, and a connection that is ready for use.

Without `MLFLOW_TRACKING_URI` the store is `mlflow.db` (SQLite) and `mlartifacts/` in the repository's
root. With it, everything goes to that server, artifacts included; nothing else changes.
"""

import fcntl
import logging
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import mlflow
import mlflow.db
import requests
from sqlalchemy.engine import make_url

from patching.errors import RegistryError
from pipeline.locks import Claim
from pipeline.tracking.refusals import reporting, without_secrets
from pipeline.workspace import workspace

_DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # A server that stops answering is told soon; MLflow's own seven tries take minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_AMBIENT = (
    "MLFLOW_RUN_ID",
    "MLFLOW_EXPERIMENT_ID",
    "MLFLOW_EXPERIMENT_NAME",
    "MLFLOW_ACTIVE_MODEL_ID",
    "_MLFLOW_ACTIVE_MODEL_ID",
    "MLFLOW_ENABLE_ASYNC_LOGGING",
)
"""What `mlflow run`, a notebook or a job left behind for its own run; ours know theirs."""
_LOCAL = "sqlite:///"
ANSWERS_WITHIN = (5, 15)
"""Seconds in which a server must take a connection, and begin to answer."""


def tracking_uri(root: Path) -> str:
    """The server named by the environment, else the workspace's own SQLite file."""
    return os.environ.get("MLFLOW_TRACKING_URI") or _sqlite(workspace(root) / "mlflow.db")


def local_database(uri: str) -> Path | None:
    """The file of a SQLite store; None of any other."""
    name = make_url(uri).database if uri.startswith(_LOCAL) else None
    return Path(name) if name else None


def logging_alone(root: Path) -> Claim:
    """The store for one process that logs: two at once, as queued experiments, would log a training twice.

    With a server it holds for this working tree alone.
    """
    uri = tracking_uri(root)
    database = local_database(uri) or workspace(root) / "mlflow.db"
    return Claim(database.with_name(f"{database.name}.runs.lock"), f"the runs of {without_secrets(uri)}")


def connect(root: Path) -> mlflow.MlflowClient:
    """A client of the store; a local one is created, or brought to the installed MLflow's schema.

    Raises:
        RegistryError: the store cannot be reached.
    """
    for variable, value in _DEFAULTS.items():
        os.environ.setdefault(variable, value)
    for variable in _AMBIENT:
        os.environ.pop(variable, None)
    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)
    uri = tracking_uri(root)
    with reporting(uri):
        database = local_database(uri)
        if database is not None:
            _upgrade(uri, database)
        elif uri.startswith(("http://", "https://")):
            _require_answer(uri)
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        client = mlflow.MlflowClient(uri, uri)
        client.search_experiments(max_results=1)
        return client


def model_name(cohort: str) -> str:
    """Name of a cohort's experiment and of its registered model."""
    return f"evenpatch-{cohort}"


def experiment_id(client: mlflow.MlflowClient, root: Path, cohort: str) -> str:
    """The cohort's experiment, created on first use.

    Raises:
        RegistryError: it was deleted; or the local store was moved to another folder since, and MLflow keeps
            absolute paths.
    """
    name, uri = model_name(cohort), tracking_uri(root)
    local = local_database(uri) is not None
    artifacts = (workspace(root) / "mlartifacts").as_uri() if local else None
    found = client.get_experiment_by_name(name)
    if found is None:
        return str(client.create_experiment(name, artifact_location=artifacts))
    if found.lifecycle_stage != "active":
        shown = without_secrets(uri)
        raise RegistryError(
            has=f"experiment {name} in {shown}, which was deleted",
            needs="an experiment that is there: its name stays taken, and its runs stay with it",
            do=f"restore it: `MLFLOW_TRACKING_URI='{shown}' mlflow experiments restore --experiment-id "
            f"{found.experiment_id}`; or delete it for good with `mlflow gc`, and run the command again",
        )
    if local and found.artifact_location != artifacts:
        raise RegistryError(
            has=f"experiment {name} with its artifacts in {found.artifact_location}",
            needs=f"artifacts in {artifacts}: MLflow stores absolute places, and this folder was moved",
            do="move it back, or set mlflow.db aside and run `evenpatch track` again: it logs all anew",
        )
    return str(found.experiment_id)


def _sqlite(database: Path) -> str:
    """Its address, in which the characters that mean something else there are quoted."""
    if set("?%") & set(f"{database}"):
        # MLflow would make a folder of the quoted name; seen from here, the odd part rarely shows.
        database = Path(os.path.relpath(database))
    return _LOCAL + f"{database}".replace("%", "%25").replace("?", "%3F")


def _require_answer(uri: str) -> None:
    """Ask the server once, briefly: MLflow waits two minutes for each of its tries.

    Raises:
        RegistryError: nothing answers there.
    """
    try:
        requests.head(uri, timeout=ANSWERS_WITHIN, allow_redirects=False)
    except requests.exceptions.SSLError:
        return  # MLflow has settings of its own for certificates
    except (requests.ConnectionError, requests.Timeout) as error:
        raise RegistryError(
            has=without_secrets(f"no answer of {uri} ({urlsplit(uri).hostname}: {type(error).__name__})"),
            needs="a tracking server that answers within seconds",
            do="check MLFLOW_TRACKING_URI, the server and the network; without it, the store is a local file",
        ) from error


def _upgrade(uri: str, database: Path) -> None:
    """Create or upgrade the schema while no other process of ours does: first creation races.

    Raises:
        RegistryError: nothing can be written there.
    """
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        lock = database.with_name(f"{database.name}.lock").open("w")
    except OSError as error:
        raise RegistryError(
            has=f"{database.parent}, in which nothing can be written ({error.strerror})",
            needs="a folder for MLflow's database",
            do="change the permissions, or name a server in MLFLOW_TRACKING_URI",
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # MLflow tries ten times, over minutes, to open what is no database.
        with closing(sqlite3.connect(database)) as opened:
            opened.execute("PRAGMA schema_version")
        mlflow.db.upgrade.callback(uri)
