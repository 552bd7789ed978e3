"""A model of the registry, fetched to disk."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException

from patching.errors import RegistryError
from pipeline.tracking.connection import connect, reporting, tracking_uri

_ALIAS = re.compile(r"models:/(?P<name>[^/@]+)@(?P<alias>[^/@]+)")
_VERSION = re.compile(r"models:/(?P<name>[^/@]+)/(?P<version>\d+)")
_SQLITE = "sqlite:///"


@dataclass(frozen=True)
class Fetched:
    """A model's own copy."""

    folder: Path
    name: str
    version: str
    """Of the registered model; "" where it is a run's."""


def fetch_model(uri: str, root: Path, kept: Path) -> Fetched:
    """Download a model, unless this version lies there already; an alias is followed once.

    Args:
        uri: as MLflow understands it.
        root: folder of mlflow.db, where no server is named by the environment.
        kept: folder for copies.

    Raises:
        RegistryError: there is no such model, or the registry does not answer.
    """
    address = tracking_uri(root)
    if address.startswith(_SQLITE) and not Path(address.removeprefix(_SQLITE)).is_file():
        raise RegistryError(
            has=f"no model registry: MLFLOW_TRACKING_URI is not set, and there is no {address}",
            needs=f"the registry that knows {uri}",
            do="set MLFLOW_TRACKING_URI to the server, name the folder of mlflow.db with `--root`, or give a "
            "model's folder",
        )
    client = connect(root)
    with reporting(address):
        name, version = _resolved(client, uri)
        folder = kept / (f"{name}-{version}" if version else re.sub(r"\W+", "-", uri))
        if not folder.is_dir():
            _download(f"models:/{name}/{version}" if version else uri, folder)
    return Fetched(folder, name or uri, version)


def _resolved(client: mlflow.MlflowClient, uri: str) -> tuple[str, str]:
    """Name and version; both empty where it is no version of a registered model."""
    if found := _ALIAS.fullmatch(uri):
        try:
            known = client.get_model_version_by_alias(found["name"], found["alias"])
        except MlflowException as error:
            raise RegistryError(
                has=f"no model {uri} ({error.message})",
                needs="a registered model with this alias",
                do="run `evenpatch register`, or correct the name",
            ) from error
        return str(known.name), str(known.version)
    found = _VERSION.fullmatch(uri)
    return (found["name"], found["version"]) if found else ("", "")


def _download(uri: str, folder: Path) -> None:
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(part))
        part.replace(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
