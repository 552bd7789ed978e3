"""What an annotation is: which part of a slide is tumor, and which part to ignore."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from patching.errors import AnnotationError, MissingFileError
from patching.geometry import Size

Kind = Literal["tumor", "normal", "ignore"]
OTHERS = "*"
"""Key of the class map that stands for every class not named."""
MAX_BYTES = 256 * 2**20


class AbstractAnnotation(ABC):
    """Tumor and ignored regions of one slide, in level-0 pixels."""

    @abstractmethod
    def fractions(
        self, locations_N2: NDArray[np.int64], extent: int, kind: Literal["tumor", "ignore"] = "tumor"
    ) -> NDArray[np.float64]:
        """Share of each patch's area that is of this kind, float64 [N], exact.

        Args:
            locations_N2: level-0 (x, y) of the patches' corners.
            extent: side of the patches in level-0 pixels.
            kind: which regions to measure.
        """

    @abstractmethod
    def coverage(self, size: Size, downsample: float) -> NDArray[np.float32]:
        """Tumor share of each pixel of a mask of the slide.

        Args:
            size: the slide at level 0.
            downsample: level-0 pixels per mask pixel.

        Returns:
            float32 [ceil(height / downsample), ceil(width / downsample)] in 0..1.
        """

    @abstractmethod
    def outlines(self) -> tuple[NDArray[np.float64], ...]:
        """Closed outlines of the tumor regions, holes included, each [N, 2] level-0 (x, y)."""


def mask_shape(size: Size, downsample: float) -> tuple[int, int]:
    """Height and width of a mask that covers the slide."""
    return int(np.ceil(size.height / downsample)), int(np.ceil(size.width / downsample))


def kind_of(name: str, classes: Mapping[str, str], path: Path) -> Kind:
    """Look a class up in the cohort's map, whatever the case of its letters.

    Raises:
        AnnotationError: the map has neither the class nor `*`.
    """
    folded = {key.casefold(): value for key, value in classes.items()}
    value = folded.get(name.casefold(), folded.get(OTHERS))
    for kind in get_args(Kind):
        if kind == value:
            return cast(Kind, kind)
    raise AnnotationError(
        has=f"the class {name!r} in {path.name}",
        needs=f"a class of the map ({', '.join(classes)}), meaning tumor, normal or ignore",
        do="add it to tile.classes of the cohort, or map `*` to say what all other classes mean",
    )


def checked_file(path: Path) -> Path:
    """The path, if it is a file of acceptable size.

    Raises:
        MissingFileError: no such file.
        AnnotationError: larger than 256 MiB, or empty.
    """
    if not path.is_file():
        raise MissingFileError(
            has=f"no annotation file {path}",
            needs="the file named in the annotation column",
            do="correct slides.csv, or fetch the file",
        )
    size = path.stat().st_size
    if not 0 < size <= MAX_BYTES:
        raise AnnotationError(
            has=f"{path.name} with {size} bytes",
            needs=f"1 to {MAX_BYTES} bytes",
            do="export the annotation again, simplified or at a lower resolution",
        )
    return path
