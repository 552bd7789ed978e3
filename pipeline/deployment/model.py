"""The model of a run: where its files lie, what they tell, and by what it is known again."""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from models.networks.card import ModelCard
from models.networks.card_file import CARD, WEIGHTS, load_card
from models.networks.evidence import EVIDENCE, Evidence, load_evidence
from models.networks.fitting import survey_settings, trained_spec
from patching.errors import CheckpointError
from pipeline.files import file_fingerprint
from pipeline.provenance import version_of
from pipeline.training.layout import NamedLayout

_URI = re.compile(r"[a-z][a-z0-9+.-]+:/")
_INSIDE = "artifacts"
"""Folder of a model as MLflow keeps it."""


@dataclass(frozen=True)
class Model:
    """A trained model on disk."""

    folder: Path
    """With weights and card."""
    card: ModelCard
    evidence: Evidence | None
    name: str
    version: str
    """In the registry; "" where it comes from a folder."""
    digest: str
    """SHA-256 over its files."""

    @property
    def layout(self) -> NamedLayout:
        """Names of classes and of the parts of the tissue fractions; none where tissue makes no groups."""
        attribute = self.card.attribute
        return NamedLayout(self.card.classes, () if attribute.above is None else attribute.names)

    @property
    def changed_versions(self) -> tuple[str, ...]:
        """Packages that are installed in another version than the training's."""
        return tuple(
            f"{name} {version_of(name)}, trained with {version}"
            for name, version in self.card.versions.items()
            if version_of(name) not in (version, "unknown")
        )


def find_model(uri: str, root: Path, kept: Path) -> Model:
    """Read a model's card and evidence; one of a registry is fetched first.

    Args:
        uri: a folder with model.json and model.safetensors, or a name that MLflow knows
            (`models:/<name>@<alias>`, `models:/<name>/<version>`, `runs:/<id>/model`). An alias is followed
            once, here.
        root: folder of mlflow.db, where no server is named by the environment.
        kept: folder for models that are fetched, each under its name and version.

    Raises:
        CheckpointError: no such folder, its files are damaged or of another version, or the model was not
            trained on slides.
        RegistryError: the registry has no such model, or does not answer.
    """
    if _URI.match(uri):
        _require_spelling(uri)
        from pipeline.tracking.download import fetch_model  # MLflow takes seconds

        fetched = fetch_model(uri, root, kept)
        return _read(fetched.folder, fetched.name, fetched.version)
    return _read(Path(uri), Path(uri).resolve().name, "")


def _require_spelling(uri: str) -> None:
    scheme, _, rest = uri.partition(":/")
    for meant in get_close_matches(scheme, ("models", "runs"), n=1, cutoff=0.7):
        if scheme != meant:
            raise CheckpointError(
                has=f"the address {uri}",
                needs="models:/NAME@ALIAS, models:/NAME/VERSION, runs:/ID/model, or a folder",
                do=f"did you mean {meant}:/{rest}?",
            )


def _read(folder: Path, name: str, version: str) -> Model:
    # In full: other machines may be told to read it.
    places = (folder.resolve(), folder.resolve() / _INSIDE)
    found = next((each for each in places if (each / CARD).is_file()), None)
    if found is None:
        raise CheckpointError(
            has=f"{folder} without {CARD}",
            needs=f"a folder with {CARD} and {WEIGHTS}, or a model's address such as models:/NAME@champion",
            do="name a folder that `evenpatch train` wrote (outputs/<cohort>/train/<run>)",
        )
    card = load_card(found)
    if len(card.classes) != 2:
        raise CheckpointError(
            has=f"a model of {len(card.classes)} classes ({', '.join(card.classes)})",
            needs="two: without tumor, and with",
            do="train on slides with tumor labels",
        )
    _check(card, found / CARD)
    evidence = load_evidence(found, card)
    files = [found / file for file in (WEIGHTS, CARD, EVIDENCE) if (found / file).is_file()]
    return Model(found, card, evidence, name, version, file_fingerprint(files))


def _check(card: ModelCard, path: Path) -> None:
    """Check once what every slide would fail for."""
    try:
        survey_settings(card, trained_spec(card))
        np.dtype(card.dtype)
    except (ValidationError, TypeError) as error:
        raise CheckpointError(
            has=f"{path}: {error}",
            needs="patches, tissue and pixels as `evenpatch train` tells them",
            do="fetch the model again, or use the version of evenpatch that wrote it",
        ) from error
