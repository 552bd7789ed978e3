"""The only door to MLflow: where its store lies, and a connection that is ready for use.

Without `MLFLOW_TRACKING_URI` the store is `mlflow.db` (SQLite) and `mlartifacts/` in the repository's
root. With it, everything goes to that server, artifacts included; nothing else changes.
"""

import fcntl
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
import mlflow.db
from mlflow.exceptions import MlflowException

from patching.disk_space import full_disk
from patching.errors import RegistryError

_DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # A server that is not there is told within half a minute; MLflow's own seven tries take minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}

MISSING = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST")
"""A missing alias or a deleted run is the first, a missing version, model or run the second; all else is a
store that fails."""
_SECRET = re.compile(r"(?<=[^/]//)[^/\s]*@")


def without_secrets(text: str) -> str:
    """Text with addresses in it, without their users and passwords.

    >>> without_secrets("no answer of https://me:word@server/api")
    'no answer of https://server/api'
    """
    return _SECRET.sub("", text)


def workspace(root: Path) -> Path:
    """The user's own working tree.

    `dvc exp run --temp` and `--queue` run stages in a copy under `.dvc/tmp/exps/` that is deleted
    afterwards; what is logged there would be lost with it.
    """
    here = root.resolve()
    for folder in here.parents:
        if (folder.parent.name, folder.name) == ("tmp", "exps") and folder.parent.parent.name == ".dvc":
            return folder.parents[2]
    return here


def tracking_uri(root: Path) -> str:
    """The server named by the environment, else the workspace's own SQLite file."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{workspace(root) / 'mlflow.db'}"


def connect(root: Path) -> mlflow.MlflowClient:
    """A client of the store; a local one is created, or brought to the installed MLflow's schema.

    Raises:
        RegistryError: the store cannot be reached.
    """
    for variable, value in _DEFAULTS.items():
        os.environ.setdefault(variable, value)
    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)
    uri = tracking_uri(root)
    if uri.startswith("sqlite:///"):
        _upgrade(uri)
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    with reporting(uri):
        client = mlflow.MlflowClient(uri, uri)
        client.search_experiments(max_results=1)
        return client


@contextmanager
def reporting(uri: str) -> Iterator[None]:
    """Turn MLflow's refusals into a `RegistryError`."""
    try:
        yield
    except MlflowException as error:
        raise RegistryError(
            has=without_secrets(f"MLflow at {uri}: {error.message}"),
            needs="a tracking store that answers",
            do="check MLFLOW_TRACKING_URI and the server, or unset it to use the local SQLite file",
        ) from error


@contextmanager
def reading(uri: str, what: str) -> Iterator[None]:
    """Turn what keeps the store's files from being read into a `RegistryError`; not so a full disk."""
    try:
        with reporting(uri):
            yield
    except OSError as error:
        if full_disk(error, Path()) is not error:
            raise
        raise RegistryError(
            has=without_secrets(f"{what} in {uri}: {error}"),
            needs="files that can be read",
            do="look for them in the store (mlartifacts/ of a local one), or track the training again",
        ) from error


def model_name(cohort: str) -> str:
    """Name of a cohort's experiment and of its registered model."""
    return f"evenpatch-{cohort}"


def experiment_id(client: mlflow.MlflowClient, root: Path, cohort: str) -> str:
    """The cohort's experiment, created on first use.

    Raises:
        RegistryError: the local store was moved to another folder since; MLflow keeps absolute paths.
    """
    name = model_name(cohort)
    local = tracking_uri(root).startswith("sqlite:///")
    artifacts = (workspace(root) / "mlartifacts").as_uri() if local else None
    found = client.get_experiment_by_name(name)
    if found is None:
        return str(client.create_experiment(name, artifact_location=artifacts))
    if local and found.artifact_location != artifacts:
        raise RegistryError(
            has=f"experiment {name} with its artifacts in {found.artifact_location}",
            needs=f"artifacts in {artifacts}: MLflow stores absolute places, and this folder was moved",
            do="move it back, or set mlflow.db aside and run `evenpatch track` again: it logs all anew",
        )
    return str(found.experiment_id)


def _upgrade(uri: str) -> None:
    """Create or upgrade the schema while no other process of ours does: first creation races."""
    database = Path(uri.removeprefix("sqlite:///"))
    database.parent.mkdir(parents=True, exist_ok=True)
    with database.with_name(f"{database.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        mlflow.db.upgrade.callback(uri)
