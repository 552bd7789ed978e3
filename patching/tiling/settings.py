"""What a cohort's configuration says about tiling."""

from pydantic import Field

from patching.annotations.base import Classes
from patching.store.chunks import Codec
from patching.survey.settings import SurveySettings
from patching.tiling.labels import LabelRule


class TileSettings(SurveySettings):
    """How slides become patches."""

    label: LabelRule = LabelRule()
    """From tumor fraction to label."""
    classes: Classes
    """Annotation class, or value of a mask image -> what it means; `*` is any other."""
    quality: bool = True
    """Whether focus, brightness, clipping, pen, folds and channel statistics of each patch are measured."""
    codec: Codec = "blosc-lz4"
    """Compression of stored patches."""
    patches_per_shard: int = Field(default=256, gt=0)
    """Patches in one file of the store."""
