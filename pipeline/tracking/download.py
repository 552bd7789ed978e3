"""A model of the registry, fetched to disk."""

import hashlib
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from patching.errors import RegistryError
from pipeline.tracking.connection import connect, local_database, tracking_uri
from pipeline.tracking.refusals import MISSING, reading

_ALIAS = re.compile(r"models:/(?P<name>[^/@]+)@(?P<alias>[^/@]+)")
_VERSION = re.compile(r"models:/(?P<name>[^/@]+)/(?P<version>\d+)")


@dataclass(frozen=True)
class Fetched:
    """A model's own copy."""

    folder: Path
    name: str
    version: str
    """Of the registered model; "" where it is a run's."""


def fetch_model(uri: str, root: Path, kept: Path) -> Fetched:
    """Download a model, unless this version lies there already; an alias is followed once.

    An address that is no version of a registered model may mean something else tomorrow: what it means is
    downloaded each time.

    Args:
        uri: as MLflow understands it.
        root: folder of mlflow.db, where no server is named by the environment.
        kept: folder for copies.

    Raises:
        RegistryError: there is no such model, or the registry does not answer.
    """
    address = tracking_uri(root)
    database = local_database(address)
    if database is not None and not database.is_file():
        raise RegistryError(
            has=f"no model registry: there is no {address}",
            needs=f"the registry that knows {uri}",
            do="set MLFLOW_TRACKING_URI to the server, name the folder of mlflow.db with `--root`, or give a "
            "model's folder",
        )
    client = connect(root)
    with reading(address, f"the files of {uri}"):
        known = _registered(client, uri)
        if known is None:
            folder = kept / re.sub(r"\W+", "-", uri)
            _download(uri, folder)
            return Fetched(folder, uri, "")
        # Another registry, or one that was begun anew, counts its versions from 1 again.
        origin = f"{known.source} {known.run_id} {known.creation_timestamp}"
        mark = hashlib.sha256(origin.encode()).hexdigest()[:12]
        folder = kept / f"{known.name}-{known.version}-{mark}"
        if not folder.is_dir():
            _download(f"models:/{known.name}/{known.version}", folder)
        return Fetched(folder, str(known.name), str(known.version))


def _registered(client: mlflow.MlflowClient, uri: str) -> ModelVersion | None:
    """What the registry knows; None where the address is no version of a registered model."""
    if found := _ALIAS.fullmatch(uri):
        try:
            return client.get_model_version_by_alias(found["name"], found["alias"])
        except MlflowException as error:
            if error.error_code not in MISSING:
                raise
            raise RegistryError(
                has=f"no model {uri} ({error.message})",
                needs="a registered model with this alias",
                do="correct name and alias, or ask who registers models (`evenpatch register` sets aliases)",
            ) from error
    found = _VERSION.fullmatch(uri)
    return client.get_model_version(found["name"], found["version"]) if found else None


def _download(uri: str, folder: Path) -> None:
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(part))
        if not any(part.iterdir()):
            # Of a folder that is gone, MLflow makes an empty one.
            raise FileNotFoundError("there are none")
        shutil.rmtree(folder, ignore_errors=True)
        part.replace(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
