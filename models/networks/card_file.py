"""model.json: a model's card on disk, with checksums of its own content and of the weights beside it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from models.networks.card import CARD_SCHEMA, ModelCard
from patching.errors import CheckpointError
from patching.sealing import checksum, opened, parsed, sealed

WEIGHTS = "model.safetensors"
CARD = "model.json"
_OF_WEIGHTS = "weights_checksum"
_SAME_TISSUE = 3
"""Schema since which tissue is found as now."""


def load_card(folder: Path) -> ModelCard:
    """Read model.json.

    Raises:
        CheckpointError: missing, damaged, or of another version.
    """
    return _card_and_checksum(folder)[0]


def card_and_weights(folder: Path) -> tuple[ModelCard, bytes]:
    """The card, and the content of model.safetensors.

    Raises:
        CheckpointError: a file is missing or damaged, or they were not written together.
    """
    card, told = _card_and_checksum(folder)
    path = folder / WEIGHTS
    try:
        content = path.read_bytes()
    except OSError as error:
        raise unusable(path, error) from error
    if told is not None and checksum(content) != told:
        raise unusable(path, f"damaged, or not the weights that {CARD} was written with")
    return card, content


def _card_and_checksum(folder: Path) -> tuple[ModelCard, str | None]:
    """The card, and the checksum of its weights; None where it is of a version that kept none."""
    path = folder / CARD
    try:
        content = parsed(path.read_bytes())
        # Another version may seal otherwise: that it is another one goes first.
        _require_schema(path, content)
        content = opened(content)
    except OSError as error:
        raise unusable(path, error) from error
    except ValueError as error:
        raise unusable(path, f"damaged: {error}") from error
    told = content.pop(_OF_WEIGHTS, None)
    try:
        # Not of the parsed content: JSON's lists stand for tuples.
        return ModelCard.model_validate_json(json.dumps(content)), told
    except ValidationError as error:
        raise unusable(path, error) from error


def card_bytes(card: ModelCard, weights: str) -> bytes:
    """The file's content.

    Args:
        card: of the model.
        weights: their checksum.
    """
    told = sealed({**card.model_dump(mode="json"), _OF_WEIGHTS: weights})
    return json.dumps(told, indent=2).encode() + b"\n"


def unusable(path: Path, error: Exception | str) -> CheckpointError:
    """The error for a card or weights that are damaged, or not of one training."""
    return CheckpointError(
        has=f"{path}: {error}",
        needs=f"{WEIGHTS} and {CARD} of one training",
        do="run `evenpatch train` again, or copy both files together",
    )


def _require_schema(path: Path, content: Mapping[str, Any]) -> None:
    found = content.get("schema_version")
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
