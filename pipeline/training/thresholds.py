"""Settings of the attribute stage, which the study shares."""

from pydantic import Field

from models.data.attributes import ThresholdRule
from pipeline.config import Settings


class AttributeSettings(Settings):
    """Settings of the attribute stage."""

    thresholds: dict[str, ThresholdRule] = Field(min_length=1)
    """Thresholds by name; a quantile looks at training patients only."""
    bins: int = Field(default=20, ge=2, le=200)
    """Bins of the histogram."""
