"""What decides which places of a slide are patches, labelled or not."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from patching.errors import ConfigError
from patching.grid import PatchSpec
from patching.tissue.base import AbstractTissueDetector
from patching.tissue.registry import make_detector

FEWEST_MASK_PIXELS = 8
"""Per patch side."""


class SurveySettings(BaseModel):
    """Patches and tissue of a slide; nothing of labels and stores."""

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
    minimum_covered_fraction: float = Field(default=0.0, ge=0, le=1)
    """Patches of whose area less exists are dropped; those without a pixel that exists always are."""

    @property
    def detector(self) -> AbstractTissueDetector[Any]:
        """What finds tissue."""
        return make_detector(**self.tissue)

    @property
    def tissue_in_full(self) -> dict[str, Any]:
        """`method` with all its settings, those that are left out above too."""
        return {"method": self.tissue["method"], **self.detector.settings.model_dump(mode="json")}

    @field_validator("tissue")
    @classmethod
    def _known_method(cls, value: dict[str, Any]) -> dict[str, Any]:
        try:
            make_detector(**value)
        except ConfigError as error:
            raise ValueError(f"{error.has}; needs {error.needs}") from error
        return value
