"""A trained classifier on disk: weights in safetensors, everything else in JSON, no pickle."""

import json
from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from models.data.normalization import Normalization
from models.networks.backbones.registry import make_backbone
from models.networks.card import CARD_SCHEMA, ModelCard
from models.networks.classifier import Classifier
from patching.errors import CheckpointError

WEIGHTS = "model.safetensors"
CARD = "model.json"
_SAME_TISSUE = 3
"""Schema since which tissue is found as now."""


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
        text = path.read_bytes()
        content = json.loads(text)
    except (OSError, ValueError) as error:
        raise _unusable(path, error) from error
    _require_schema(path, content)
    try:
        # Not of the parsed content: JSON's lists stand for tuples.
        return ModelCard.model_validate_json(json.dumps(content))
    except ValidationError as error:
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


def _require_schema(path: Path, content: object) -> None:
    found = content.get("schema_version") if isinstance(content, dict) else None
    if not isinstance(found, int) or found == CARD_SCHEMA:
        return
    if found > CARD_SCHEMA:
        why, do = "the one that this version reads", "use the version of evenpatch that wrote it"
    elif found >= _SAME_TISSUE:
        why = "a decision fitted on validation patients, which older models lack"
        do = "run `evenpatch train` again"
    else:
        why = (
            "tissue was found otherwise before, and new slides would show the model other tissue fractions "
            "than its training did"
        )
        do = "run `evenpatch tile` and then `evenpatch train` again"
    raise CheckpointError(has=f"{path} of schema {found}", needs=f"schema {CARD_SCHEMA}: {why}", do=do)


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
