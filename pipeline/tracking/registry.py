"""Versions of one registered model: aliases, tags, and the files of a version as they are served."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from pipeline.tracking.connection import connect, model_name, tracking_uri
from pipeline.tracking.refusals import MISSING, reading, reporting

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Version:
    """A version of the registered model.

    Attributes:
        number: as MLflow counts. run_id: of the training's run.
        tags: of the version.
    """

    number: str
    run_id: str
    tags: Mapping[str, str]

    @property
    def name(self) -> str:
        """The training, as `gerne-low`, where the version says so."""
        return self.tags.get("evenpatch.run", "a model of another origin")

    @property
    def told(self) -> str:
        """For messages."""
        return f"version {self.number} ({self.name})"


class Registry:
    """The registered model of a cohort, `evenpatch-<cohort>`.

    Raises:
        RegistryError: MLflow cannot be reached, or refuses.
    """

    def __init__(self, root: Path, cohort: str) -> None:
        self.uri = tracking_uri(root)
        self.model = model_name(cohort)
        self._client = connect(root)

    def aliased(self, alias: str) -> Version | None:
        """The version an alias points to."""
        try:
            found = self._client.get_model_version_by_alias(self.model, alias)
        except MlflowException as error:
            if error.error_code in MISSING:
                return None
            with reporting(self.uri):
                raise
        return _version(found)

    def version(self, number: str) -> Version:
        """A version by its number.

        Raises:
            RegistryError: there is none.
        """
        with reporting(self.uri):
            return _version(self._client.get_model_version(self.model, number))

    def point(self, alias: str, number: str) -> None:
        """Let an alias point to a version: one step, of which others see all or nothing."""
        with reporting(self.uri):
            self._client.set_registered_model_alias(self.model, alias, number)

    def drop(self, alias: str) -> None:
        """Take an alias away."""
        with reporting(self.uri):
            self._client.delete_registered_model_alias(self.model, alias)

    def tag(self, version: Version, tags: Mapping[str, str]) -> None:
        """Set tags of a version, and of its run where that is still there."""
        with reporting(self.uri):
            for key, value in tags.items():
                self._client.set_model_version_tag(self.model, version.number, key, value)
        with self._run_of(version):
            for key, value in tags.items():
                self._client.set_tag(version.run_id, key, value)

    def untag(self, version: Version, keys: tuple[str, ...]) -> None:
        """Take tags from a version and its run, where they have them."""
        # Whoever was stopped between the two has left one that has tags which the other lacks.
        with self._run_of(version):
            of_run = self._client.get_run(version.run_id).data.tags
            for key in (key for key in keys if key in of_run):
                self._client.delete_tag(version.run_id, key)
        with reporting(self.uri):
            for key in (key for key in keys if key in version.tags):
                self._client.delete_model_version_tag(self.model, version.number, key)

    def attach(self, version: Version, path: Path, folder: str) -> None:
        """Log a file with the run of a version."""
        with reporting(self.uri):
            self._client.log_artifact(version.run_id, str(path), folder)

    def download(self, version: Version, folder: Path) -> Path:
        """The files of a version, as a server loads them: MLmodel, code/, artifacts/ and more.

        Raises:
            RegistryError: they are gone, or the store does not answer.
        """
        with reading(self.uri, f"the files of {version.told}"):
            return Path(
                mlflow.artifacts.download_artifacts(
                    f"models:/{self.model}/{version.number}", dst_path=str(folder)
                )
            )

    def run_file(self, version: Version, path: str, folder: Path) -> Path | None:
        """A file of the version's run; none where it logged no such file, or is gone."""
        parent, found = path.rpartition("/")[0], None
        with reading(self.uri, f"{path} of {version.told}"), self._run_of(version):
            known = [each.path for each in self._client.list_artifacts(version.run_id, parent)]
            if path in known:
                found = Path(self._client.download_artifacts(version.run_id, path, str(folder)))
        return found

    @contextmanager
    def _run_of(self, version: Version) -> Iterator[None]:
        """A version outlives its run, and may be of another server's: an alias moves all the same."""
        with reporting(self.uri):
            try:
                yield
            except MlflowException as error:
                if error.error_code not in MISSING:
                    raise
                logger.warning("the run of %s is not at hand: %s", version.told, error.message)


def _version(found: ModelVersion) -> Version:
    return Version(str(found.version), str(found.run_id), dict(found.tags))
