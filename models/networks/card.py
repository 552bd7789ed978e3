"""What a trained classifier must be fed, and where it comes from: the content of model.json."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from models.data.normalization import Transform

CARD_SCHEMA = 3


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


class DecisionCard(_Part):
    """From probability to class; versioned, because rules that use more than the probability are to come."""

    version: Literal[1] = 1
    rule: Literal["plain"] = "plain"
    threshold: float = Field(default=0.5, gt=0, lt=1)
    """A patch is tumor where the probability of tumor exceeds it."""
    calibration: None = None
    """What turns scores into calibrated probabilities; none yet."""


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

    schema_version: Literal[3] = 3
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
