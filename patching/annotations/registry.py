"""Chooses the annotation class by what a slide has."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from patching.annotations.base import AbstractAnnotation
from patching.annotations.geojson import GeoJsonAnnotation
from patching.annotations.mask import MaskAnnotation
from patching.annotations.slide_label import SlideLabel
from patching.errors import AnnotationError
from patching.geometry import Size


class _Loader(Protocol):
    def __call__(self, path: Path, *, size: Size, classes: Mapping[str, str]) -> AbstractAnnotation: ...


FORMATS: dict[str, _Loader] = {
    ".geojson": GeoJsonAnnotation.load,
    ".json": GeoJsonAnnotation.load,
    ".png": MaskAnnotation.load,
    ".tif": MaskAnnotation.load,
    ".tiff": MaskAnnotation.load,
}


def load_annotation(
    path: Path | None, *, label: int | None, size: Size, classes: Mapping[str, str]
) -> AbstractAnnotation:
    """The slide's annotation: a file by its suffix, else the slide's label.

    Args:
        path: annotation file, which wins over the label.
        label: 0 or 1 for the whole slide.
        size: the slide at level 0.
        classes: class name (or mask value) -> tumor, normal or ignore.

    Raises:
        MissingFileError: no such file.
        AnnotationError: neither file nor label, an unknown suffix, or a bad file.
    """
    if path is None:
        if label is None:
            raise AnnotationError(
                has="a slide with neither annotation nor label",
                needs="one of them",
                do="fill the annotation or the label column of slides.csv",
            )
        return SlideLabel(label)
    load = FORMATS.get(path.suffix.lower())
    if load is None:
        raise AnnotationError(
            has=f"an annotation {path.name}",
            needs=f"one of {', '.join(FORMATS)}",
            do="export it from QuPath as GeoJSON, or as a mask image",
        )
    return load(path, size=size, classes=classes)
