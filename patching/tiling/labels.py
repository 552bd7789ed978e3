"""From the tumor regions in a patch to its label."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from patching.annotations.base import AbstractAnnotation

DROPPED = -1
"""Label of a patch that is neither normal (0) nor tumor (1)."""


@dataclass(frozen=True)
class Judgement:
    """What an annotation says of N patches."""

    tumor_fraction_N: NDArray[np.float64]
    """Share of the whole patch that is tumor, whatever the rule."""
    label_N: NDArray[np.int8]
    """1, 0 or DROPPED."""
    ignored_fraction_N: NDArray[np.float64]
    """Share of the whole patch that is to be ignored."""


class LabelRule(BaseModel):
    """When a patch is tumor, when it is normal, and when it is dropped.

    `fraction` makes a patch tumor from `tau` on, normal up to `negative`, and drops it between.
    `any` makes it tumor wherever there is tumor, and drops none.
    `center` is `fraction` for the square in the patch's middle, with `center` times its side.

    Example: with `tau=0.5, negative=0.05` a tumor fraction of 0.5 is tumor, 0.05 normal, and 0.06 to 0.49
    are dropped. A patch of 100 px of which the left 60 px are tumor has the fraction 0.6; its middle
    of 50 px, from 25 to 75, has 35 / 50 = 0.7.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: Literal["fraction", "any", "center"] = "fraction"
    """What is compared: the whole patch, any overlap, or the central region (as in CAMELYON's patches)."""
    tau: float = Field(default=0.5, gt=0, le=1)
    """Tumor fraction from which the label is 1."""
    negative: float = Field(default=0.05, ge=0, lt=1)
    """Tumor fraction up to which the label is 0."""
    center: float = Field(default=0.5, gt=0, le=1)
    """Side of the central region, as a share of the patch's side."""
    ignore: float = Field(default=0.5, ge=0, le=1)
    """Patches covered by `ignore` outlines above this fraction are dropped."""

    @model_validator(mode="after")
    def _ordered(self) -> "LabelRule":
        if self.negative >= self.tau:
            raise ValueError(f"negative ({self.negative}) must lie under tau ({self.tau})")
        return self

    def judge(
        self, annotation: AbstractAnnotation, locations_N2: NDArray[np.int64], extent: int
    ) -> Judgement:
        """Measure every patch and label it.

        Args:
            annotation: the slide's.
            locations_N2: level-0 (x, y) of the patches' upper left corners.
            extent: side of the patches in level-0 pixels.
        """
        tumor_N = annotation.fractions(locations_N2, extent)
        ignored_N = annotation.fractions(locations_N2, extent, "ignore")
        decisive_N = tumor_N
        if self.rule == "center" and self.center < 1:
            side = self.center * extent
            corners_N2 = locations_N2.astype(np.float64) + (extent - side) / 2
            decisive_N = annotation.fractions(corners_N2, side)
        return Judgement(tumor_N, self.labels(decisive_N), ignored_N)

    def labels(self, tumor_fraction_N: NDArray[np.float64]) -> NDArray[np.int8]:
        """Label 1, 0 or DROPPED for the tumor fractions of what the rule compares, int8 [N]."""
        if self.rule == "any":
            return (tumor_fraction_N > 0).astype(np.int8)
        label_N = np.full(tumor_fraction_N.shape, DROPPED, np.int8)
        label_N[tumor_fraction_N <= self.negative] = 0
        label_N[tumor_fraction_N >= self.tau] = 1
        return label_N
