"""From the tumor fraction of a patch to its label."""

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

DROPPED = -1
"""Label of a patch that is neither normal (0) nor tumor (1)."""


class LabelRule(BaseModel):
    """A patch is tumor from `tau` on, normal up to `negative`, and dropped between.

    Example: `tau=0.5, negative=0.05` makes 0.5 tumor, 0.05 normal, and drops 0.06 to 0.49.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tau: float = Field(default=0.5, gt=0, le=1)
    """Tumor fraction of the patch area from which its label is 1."""
    negative: float = Field(default=0.05, ge=0, lt=1)
    """Tumor fraction up to which its label is 0."""
    ignore: float = Field(default=0.5, ge=0, le=1)
    """Patches covered by `ignore` outlines above this fraction are dropped."""

    @model_validator(mode="after")
    def _ordered(self) -> "LabelRule":
        if self.negative >= self.tau:
            raise ValueError(f"negative ({self.negative}) must lie under tau ({self.tau})")
        return self

    def labels(self, tumor_fraction_N: NDArray[np.float64]) -> NDArray[np.int8]:
        """Label 1, 0 or DROPPED of every patch, int8 [N]."""
        label_N = np.full(tumor_fraction_N.shape, DROPPED, np.int8)
        label_N[tumor_fraction_N <= self.negative] = 0
        label_N[tumor_fraction_N >= self.tau] = 1
        return label_N
