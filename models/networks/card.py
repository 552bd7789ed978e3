"""What a trained classifier must be fed, and where it comes from: the content of model.json."""

from itertools import pairwise
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from models.data.transforms import Transform

CARD_SCHEMA = 4

Rule = Literal["plain", "threshold", "by_attribute", "by_tissue"]
"""How the tissue fraction has a say in the verdict; docs/decision.md says when to choose which."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NormalizationCard(_Part):
    """See models.data.normalization.Normalization."""

    transform: Transform
    mean: tuple[float, ...]
    std: tuple[float, ...]
    raw_std: tuple[float, ...]


class Range(_Part):
    """Smallest and largest value that occurred in training."""

    low: float
    high: float


class TissueCard(_Part):
    """How the tissue of training slides was found; the attribute is defined by nothing else."""

    settings: dict[str, Any]
    """`method` with all its settings."""
    mask_pixels_per_patch: int
    """Tissue-mask pixels per patch side that were asked for."""
    minimum_fraction: float
    """Patches under it were left out, and are not predicted either."""
    minimum_covered_fraction: float = 0.0
    """The same for the share of a patch that exists."""


class AttributeCard(_Part):
    """The attribute that groups are made of."""

    names: tuple[str, ...]
    """Of its values, in order."""
    above: float | None
    """A patch whose tissue fraction exceeds it has value 1; None where tissue does not make the attribute."""


class FittedCard(_Part):
    """What a part of the decision was fitted on: validation patches, and nothing else."""

    how: str
    """In words: what is minimized or chosen, with which weights."""
    patients: int = Field(gt=0)
    patches: int = Field(gt=0)


class CalibrationCard(FittedCard):
    """From the rule's log-odds to the told probability: they are divided by a temperature."""

    temperature: float = Field(gt=0, allow_inf_nan=False)
    """Over 1 the network was too sure."""


class DecisionCard(_Part):
    """From the network's log-odds z and the tissue fraction t to probability and class (docs/decision.md).

    probability = sigmoid((slope * z + offset(t)) / temperature); tumor where it exceeds `threshold`.

    Raises:
        ValueError: offsets and knots that are not those of the rule.
    """

    version: Literal[2] = 2
    rule: Rule = "plain"
    slope: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Of the network's log-odds: more log-odds are never less probable."""
    offsets: tuple[FiniteFloat, ...] = ()
    """`plain`: none. `threshold`: one. `by_attribute`: of patches up to the knot, and above it. `by_tissue`:
    at every knot, linear between two of them, constant beyond the last ones."""
    knots: tuple[FiniteFloat, ...] = ()
    """Tissue fractions, ascending; one of `by_attribute`, the attribute's threshold."""
    fitted: FittedCard | None = None
    """What slope and offsets stand on; None where nothing was fitted."""
    calibration: CalibrationCard | None = None
    """None where the probability is the rule's own."""
    uncalibrated: str = "not asked for"
    """Why there is no calibration; empty where there is one."""
    threshold: float = Field(default=0.5, gt=0, lt=1)
    """A patch is tumor where its told probability exceeds it."""
    operating: FittedCard | None = None
    """What the threshold stands on; None where it is the plain 0.5."""

    @model_validator(mode="after")
    def _fits_the_rule(self) -> Self:
        offsets, knots = len(self.offsets), len(self.knots)
        wanted = {
            "plain": (0, 0),
            "threshold": (1, 0),
            "by_attribute": (2, 1),
            "by_tissue": (max(knots, 2),) * 2,
        }
        if (offsets, knots) != wanted[self.rule]:
            raise ValueError(f"{offsets} offsets at {knots} knots do not make the rule {self.rule}")
        if any(low >= high for low, high in pairwise(self.knots)):
            raise ValueError("knots ascend")
        if self.rule == "plain" and self.slope != 1:
            raise ValueError("the rule plain leaves the slope at 1")
        if (self.calibration is None) != bool(self.uncalibrated):
            raise ValueError("give a calibration, or why there is none")
        return self


class TrainingRanges(_Part):
    """Between which values the training patches lay."""

    tissue_fraction: Range | None
    """None where images were imported without one."""
    mpp: Range | None
    """µm per pixel of the patches; None where no slide told its pixel size."""
    quality: dict[str, Range]
    """Per column of patching.survey.quality that was measured: focus, light, mean and spread of channels."""


class ModelCard(_Part):
    """All that is needed to use the weights, and to know where they come from."""

    schema_version: Literal[4] = 4
    backbone: str
    backbone_settings: dict[str, Any]
    channels: tuple[str, ...]
    """Names of the input channels, in order."""
    brightfield: bool
    """Whether they are red, green, blue of transmitted light; else they are intensities."""
    classes: tuple[str, ...]
    """Names of the outputs, in order; the last is the positive class."""
    normalization: NormalizationCard
    test_time_symmetries: bool
    patch: dict[str, Any]
    """The patch spec the model was trained on: size in pixels, mpp or downsample, step, rule at the edge."""
    dtype: str
    """Of the raw patches."""
    white: float | None = None
    """Value of full light, the largest among training slides; None where nobody knows."""
    tissue: TissueCard | None
    """None where images were imported: slides cannot be predicted then."""
    attribute: AttributeCard
    decision: DecisionCard = DecisionCard()
    ranges: TrainingRanges
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
