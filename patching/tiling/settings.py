"""What a cohort's configuration says about tiling."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from patching.annotations.base import Kind
from patching.errors import ConfigError
from patching.grid import PatchSpec
from patching.store.chunks import Codec
from patching.tiling.labels import LabelRule
from patching.tissue.base import AbstractTissueDetector
from patching.tissue.registry import make_detector

FEWEST_MASK_PIXELS = 8
"""Per patch side."""


class TileSettings(BaseModel):
    """How slides become patches."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    patch: PatchSpec
    """Size, resolution and step of patches."""
    tissue: dict[str, Any]
    """`method`, and that method's own settings."""
    mask_pixels_per_patch: int = Field(default=16, ge=FEWEST_MASK_PIXELS)
    """At least this many tissue-mask pixels per patch side: under 8 the fractions get coarse.

    Where a finer level would have to be shrunk for them, a stored level with three quarters of them or more,
    and with 8 or more, is taken instead.
    """
    minimum_tissue_fraction: float = Field(default=0.01, ge=0, le=1)
    """Patches under it are dropped; those without any tissue always are."""
    label: LabelRule = LabelRule()
    """From tumor fraction to label."""
    classes: dict[str, Kind]
    """Annotation class, or value of a mask image -> what it means; `*` is any other."""
    quality: bool = True
    """Whether focus, brightness, clipping, pen, folds and channel statistics of each patch are measured."""
    codec: Codec = "blosc-lz4"
    """Compression of stored patches."""
    patches_per_shard: int = Field(default=256, gt=0)
    """Patches in one file of the store."""

    @property
    def detector(self) -> AbstractTissueDetector[Any]:
        """What finds tissue."""
        return make_detector(**self.tissue)

    @field_validator("classes", mode="before")
    @classmethod
    def _text_keys(cls, value: Any) -> Any:
        # YAML reads the values of mask images as numbers.
        return {str(key): kind for key, kind in value.items()} if isinstance(value, dict) else value

    @field_validator("tissue")
    @classmethod
    def _known_method(cls, value: dict[str, Any]) -> dict[str, Any]:
        try:
            make_detector(**value)
        except ConfigError as error:
            raise ValueError(f"{error.has}; needs {error.needs}") from error
        return value
