"""What an annotation is: which part of a slide is tumor, and which part to ignore."""

import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator

from patching.errors import AnnotationError, MissingFileError

Kind = Literal["tumor", "normal", "ignore"]
Measured = Literal["tumor", "ignore"]
"""The kinds whose share of a patch matters; the rest of a slide is normal."""
Locations = NDArray[np.int64] | NDArray[np.float64]
UNCLASSIFIED = "unclassified"
"""Class name of an outline without classification."""
OTHERS = "*"
"""Key of the class map that stands for every class not named."""
MAX_BYTES = 128 * 2**20


def _text_keys(value: Any) -> Any:
    """YAML reads the values of mask images as numbers."""
    if not isinstance(value, dict):
        return value
    if strange := [key for key in value if not isinstance(key, str) and type(key) is not int]:
        raise ValueError(f"the class {strange[0]!r} is no name: quote it")
    # A cohort's own spelling of a class wins over the defaults', which stand before it.
    last = {_folded(str(key)): str(key) for key in value}
    return {str(key): kind for key, kind in value.items() if last[_folded(str(key))] == str(key)}


Classes = Annotated[dict[str, Kind], BeforeValidator(_text_keys)]
"""Of settings: annotation class, or value of a mask image -> what it means; `*` is any other."""


class AbstractAnnotation(ABC):
    """Tumor and ignored regions of one slide, in level-0 pixels."""

    warnings: tuple[str, ...] = ()
    """What may be meant otherwise than it was read, in words."""

    @abstractmethod
    def fractions(
        self, locations_N2: Locations, extent: float, kind: Measured = "tumor"
    ) -> NDArray[np.float64]:
        """Share of each patch's area that is of this kind, float64 [N], exact to 1e-9.

        Args:
            locations_N2: level-0 (x, y) of the patches' upper left corners; need not be whole.
            extent: side of the patches in level-0 pixels.
            kind: which regions to measure.
        """

    @abstractmethod
    def outlines(self, kind: Measured = "tumor") -> tuple[NDArray[np.float64], ...]:
        """Closed outlines of the regions of this kind, holes included, each [M, 2] level-0 (x, y)."""


def kind_of(names: Sequence[str], classes: Mapping[str, str], path: Path) -> Kind:
    """Look a class up in the cohort's map, whatever the case of its letters and the space around it.

    Args:
        names: what the outline is called, from the most to the least specific; the first that the map
            knows counts.
        classes: class -> kind.
        path: the file, for the error.

    Raises:
        AnnotationError: the map has none of the names, nor `*`.
    """
    folded = {_folded(key): value for key, value in classes.items()}
    name = deciding_name(names, classes)
    value = folded.get(OTHERS if name is None else _folded(name))
    for kind in get_args(Kind):
        if kind == value:
            return cast(Kind, kind)
    raise AnnotationError(
        has=f"the class {' or '.join(map(repr, names))} in {path.name}",
        needs=f"a class of the map ({', '.join(classes)}), meaning tumor, normal or ignore",
        do="add it to `classes` (tiling: of `tile:` in the cohort; predicting: of the `--scoring` file), or "
        "map `*` to say what all other classes mean",
    )


def deciding_name(names: Sequence[str], classes: Mapping[str, str]) -> str | None:
    """The first of the names that the class map has, None where it has none of them."""
    folded = {_folded(key) for key in classes}
    return next((name for name in names if _folded(name) in folded), None)


def _folded(name: str) -> str:
    """A name without what nobody sees: case, white space around it, and how letters are composed."""
    return unicodedata.normalize("NFC", name).strip().casefold()


def malformed(path: Path, what: str) -> AnnotationError:
    """The error for a file that parses but is not what it should be."""
    return AnnotationError(
        has=f"{path.name} with {what}",
        needs="polygons of at least three points, in level-0 pixels",
        do="export the annotation again from the viewer it was drawn in (see docs/annotations.md)",
    )


def checked_file(path: Path) -> Path:
    """The path, if it is a file of acceptable size.

    Raises:
        MissingFileError: no such file.
        AnnotationError: larger than 128 MiB, or empty.
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
