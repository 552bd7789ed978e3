"""What a run of `predict` knows of one slide once its last patch has its probability."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patching.geometry import Location, Mpp, Size

PATCHES = ("x", "y", "tissue_fraction", "covered_fraction", "probability", "prediction", "attribute", "note")
"""Columns of every slide's patches."""
ANNOTATED = ("tumor_fraction", "label")
"""Columns more where the slide is annotated."""


@dataclass(frozen=True)
class SlidePrediction:
    """One slide, predicted; lengths in level-0 pixels."""

    slide_id: str
    image: tuple[str, ...]
    """Names of its files, without folders."""
    size: Size
    bounds: Location
    """Where QuPath's frame begins: openslide.bounds-x and -y, else (0, 0)."""
    mpp: Mpp | None
    extent: int
    """Side of a patch."""
    stride: int
    """Step of the grid; `shift` puts the last places nearer to their neighbors."""
    classes: tuple[str, str]
    """Names; the last is tumor."""
    patches: pd.DataFrame
    """Columns PATCHES, and ANNOTATED where the slide is annotated; in the grid's order.

    x and y are the patch's corner, probability is that of tumor, prediction the number of a class, attribute
    the part of the tissue fractions that the patch lies in (-1: the model knows no parts), note says why not
    to rely on it ("" is no reason; several are joined by "; ", each may name details after a colon), label
    is 1 for tumor, 0 for none, -1 for neither.
    """
    thumbnail_HW3: NDArray[np.uint8]
    """The whole slide, any scale."""
    tissue_HW: NDArray[np.bool_]
    tissue_downsample: float
    """Level-0 pixels per pixel of the tissue mask."""
    outlines: tuple[NDArray[np.float64], ...]
    """The annotation's rings [N, 2]; none where there is no annotation."""
    warnings: tuple[str, ...]

    @cached_property
    def locations_N2(self) -> NDArray[np.int64]:
        """Corners (x, y) of the patches."""
        return np.stack([self.patches[name].to_numpy(np.int64) for name in ("x", "y")], axis=1)

    @cached_property
    def probability_N(self) -> NDArray[np.float64]:
        """Probability of tumor of every patch."""
        return self.patches["probability"].to_numpy(np.float64)

    @cached_property
    def tumor_N(self) -> NDArray[np.bool_]:
        """Whether each patch is predicted as tumor."""
        number_N = self.patches["prediction"].to_numpy(np.int64)
        return np.asarray(number_N == len(self.classes) - 1, np.bool_)

    @cached_property
    def notes(self) -> list[str]:
        """Why not to rely on each patch."""
        return self.patches["note"].tolist()

    @property
    def annotated(self) -> bool:
        """Whether patches have labels to be scored against."""
        return "label" in self.patches
