"""Settings of a decision."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

from models.networks.card import Rule


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Sensitivity(_Part):
    """Find at least this share of tumor on validation patients."""

    sensitivity: float = Field(gt=0, lt=1)


class FitSettings(_Part):
    """How a rule is fitted, calibrated, and given its threshold; all on validation patients."""

    calibration: Literal["temperature", "none"] = "temperature"
    """Of the told probability. Left out, with the reason on the card, where validation cannot carry it."""
    operating: Literal["plain", "balanced"] | Sensitivity = "plain"
    """The threshold on the told probability: `plain` 0.5; `balanced`, the largest mean of sensitivity and
    specificity; or `{sensitivity: 0.95}`, the largest threshold that still finds this share of tumor."""
    ridge: PositiveFloat = 0.1
    """Weight of the penalty that draws a rule's slope and offsets to those of `plain`, beside a weight of 1
    for each validation patient."""
    knots: int = Field(default=4, ge=2, le=10)
    """Of `by_tissue`: places between which the offset is linear."""
    minimum_patients: PositiveInt = 3
    """Validation patients that a rule needs in every group, calibration and threshold in every class."""


class DecisionSettings(FitSettings):
    """What the train stage fits."""

    rule: Rule = "plain"
    """Whether the tissue fraction has a say in the verdict, and how (docs/decision.md)."""
