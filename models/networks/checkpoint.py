"""A trained classifier on disk: weights in safetensors, everything else in JSON, no pickle."""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from models.data.normalization import Normalization, Transform
from models.networks.backbones.registry import make_backbone
from models.networks.classifier import Classifier
from patching.errors import CheckpointError

WEIGHTS = "model.safetensors"
CARD = "model.json"


class NormalizationCard(BaseModel):
    """See models.data.normalization.Normalization."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    transform: Transform
    mean: tuple[float, ...]
    std: tuple[float, ...]
    raw_std: tuple[float, ...]


class ModelCard(BaseModel):
    """All that is needed to use the weights, and to know where they come from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = 1
    backbone: str
    backbone_settings: dict[str, Any]
    channels: tuple[str, ...]
    """Names of the input channels, in order."""
    classes: tuple[str, ...]
    """Names of the outputs, in order; the last is the positive class."""
    normalization: NormalizationCard
    test_time_symmetries: bool
    patch: dict[str, Any]
    """The patch spec the model was trained on: size in pixels, and mpp or downsample."""
    dtype: str
    """Of the raw patches."""
    threshold: str
    """Name of the attribute's threshold."""
    counts: tuple[tuple[int, ...], ...]
    """Training patches of every group, [K, A]."""
    alpha: tuple[tuple[float, ...], ...]
    """p(a|y) of the training split, [K, A]."""
    algorithm: str
    algorithm_settings: dict[str, Any]
    train_settings: dict[str, Any]
    seed: int
    versions: dict[str, str]
    fingerprints: dict[str, str]
    """sha256 of the tables the training read."""


def save_classifier(folder: Path, classifier: Classifier, card: ModelCard) -> None:
    """Write model.safetensors and model.json into `folder`, each whole or not at all.

    The card comes last: where it is, the weights are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = {key: value.detach().cpu().contiguous() for key, value in classifier.state_dict().items()}
    # Not `save_file`: its files are readable by their owner alone.
    _write(folder / WEIGHTS, save(weights))
    _write(folder / CARD, json.dumps(card.model_dump(mode="json"), indent=2).encode() + b"\n")


def load_card(folder: Path) -> ModelCard:
    """Read model.json.

    Raises:
        CheckpointError: missing, damaged, or of another version.
    """
    path = folder / CARD
    try:
        return ModelCard.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise _unusable(path, error) from error


def load_classifier(folder: Path) -> tuple[Classifier, ModelCard]:
    """Rebuild the classifier from model.json and fill it with model.safetensors; eval mode, on the CPU.

    Raises:
        CheckpointError: a file is missing or damaged, or both are not of the same model.
    """
    card = load_card(folder)
    backbone = make_backbone(card.backbone, len(card.channels), len(card.classes), card.backbone_settings)
    told = card.normalization
    normalization = Normalization(told.transform, told.mean, told.std, told.raw_std)
    classifier = Classifier(backbone, normalization, test_time_symmetries=card.test_time_symmetries)
    try:
        classifier.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise _unusable(folder / WEIGHTS, error) from error
    return classifier.eval(), card


def _write(path: Path, content: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    part.replace(path)


def _unusable(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        has=f"{path}: {error}",
        needs=f"{WEIGHTS} and {CARD} of one training",
        do="run `evenpatch train` again, or copy both files together",
    )
