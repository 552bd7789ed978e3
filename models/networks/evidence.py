"""How well a trained model does, as far as is known: the content of evidence.json, which travels with it."""

import json
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, model_validator

from models.networks.card import ModelCard
from patching.errors import CheckpointError
from patching.sealing import sealed, unsealed

EVIDENCE = "evidence.json"
STUDY, UNTESTED = "study", "none"
"""Splits of evidence from models trained alike (`Evidence.split`), and of none."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Estimate(_Part):
    """A figure with its interval over patients."""

    value: float | None
    """None where it is not estimable."""
    low: float | None = None
    high: float | None = None
    """Ends of the interval; None where there is none."""
    level: float | None = Field(default=None, gt=0, lt=1)
    """Coverage of this interval; that of a group is after Bonferroni's correction."""

    @model_validator(mode="after")
    def _whole_interval(self) -> Self:
        if len({end is None for end in (self.low, self.high, self.level)}) > 1:
            raise ValueError("give low, high and level, or none of them")
        return self


class GroupEvidence(_Part):
    """One group of tested patches: those of a class, with one value of the attribute."""

    label: NonNegativeInt
    """Number of the class."""
    attribute: NonNegativeInt
    """Number of the attribute's value."""
    accuracy: Estimate
    patches: NonNegativeInt
    patients: NonNegativeInt


class Evidence(_Part):
    """How a model did on patients that it was not trained on, or how models did that were trained alike."""

    schema_version: Literal[1] = 1
    training: str
    """Name of the training run."""
    cohort: str
    description: str
    """Of the cohort, in a sentence."""
    split: str
    """Whose patches were predicted; those of `test` decided nothing. `study`: a cross-validation by patient
    of models trained alike, on parts of the patients that this one was trained on. `none`: nobody's."""
    chosen: str
    """How the weights were chosen, in words."""
    patches: NonNegativeInt
    patients: NonNegativeInt
    groups: tuple[GroupEvidence, ...]
    """Every group of the attribute, also those that are not estimable."""
    figures: dict[str, Estimate]
    """`wga`, `gba`, `average`, `worst_class`, `auroc` and what else was at hand."""
    intended_use: str
    limits: tuple[str, ...]
    """What it must not be used for, or is not known of it; a sentence each."""


def save_evidence(folder: Path, evidence: Evidence) -> None:
    """Write evidence.json beside the weights, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{EVIDENCE}.part"
    told = json.dumps(sealed(evidence.model_dump(mode="json")), indent=2, ensure_ascii=False)
    part.write_text(told + "\n", encoding="utf-8")
    part.replace(folder / EVIDENCE)


def load_evidence(folder: Path, card: ModelCard) -> Evidence | None:
    """Read evidence.json; None where a model has none, as a training that was not tracked.

    Raises:
        CheckpointError: damaged, of another version, or with other groups than the card's.
    """
    path = folder / EVIDENCE
    try:
        content = unsealed(path.read_bytes())
        evidence = Evidence.model_validate_json(json.dumps(content))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _unusable(path, str(error)) from error
    layout = len(card.classes), len(card.attribute.names)
    for group in evidence.groups:
        if group.label >= layout[0] or group.attribute >= layout[1]:
            raise _unusable(path, f"a group of class {group.label} and attribute {group.attribute}")
    return evidence


def _unusable(path: Path, what: str) -> CheckpointError:
    return CheckpointError(
        has=f"{path}: {what}",
        needs="the figures that `evenpatch track` wrote for this model, or no such file",
        do="fetch the model again, or remove the file: verdicts in weak groups are not marked then",
    )
