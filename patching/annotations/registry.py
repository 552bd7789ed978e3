"""Chooses the annotation class by what a slide has."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from patching.annotations.asap_xml import asap_outlines
from patching.annotations.base import AbstractAnnotation
from patching.annotations.frame import Frame
from patching.annotations.geojson import load_geojson
from patching.annotations.imagescope_xml import imagescope_outlines
from patching.annotations.mask import MaskAnnotation
from patching.annotations.polygons import PolygonAnnotation
from patching.annotations.roles import Outlines, no_outlines
from patching.annotations.slide_label import SlideLabel
from patching.annotations.xml_file import XmlDocument, read_xml
from patching.errors import AnnotationError
from patching.geometry import Location, Size

_CORNER = Location(0, 0)


class _Loader(Protocol):
    def __call__(self, path: Path, *, frame: Frame, classes: Mapping[str, str]) -> AbstractAnnotation: ...


XML_DIALECTS: dict[tuple[str, str], Callable[[XmlDocument, Mapping[str, str], Path], Outlines]] = {
    ("ASAP_Annotations", "Annotation"): asap_outlines,
    ("Annotations", "Region"): imagescope_outlines,
    ("Annotations", "Coordinates"): asap_outlines,
}
"""Root element, and an element below it -> parser. A file of a known root without outlines is empty."""


def _load_xml(path: Path, *, frame: Frame, classes: Mapping[str, str]) -> PolygonAnnotation:
    """Read XML of whatever dialect; what it is, its content tells and not its suffix.

    Raises:
        AnnotationError: of no known dialect, or as `read_xml` and the dialect's parser say.
    """
    document = read_xml(path)
    root = document.root
    if root.tag not in {tag for tag, _ in XML_DIALECTS}:
        raise AnnotationError(
            has=f"{path.name} with the root element <{root.tag}>",
            needs="<ASAP_Annotations> of ASAP, or <Annotations> of HALO or Aperio ImageScope",
            do="export it from the viewer again, or from QuPath as GeoJSON",
        )
    parsers = [
        parse
        for (tag, below), parse in XML_DIALECTS.items()
        if tag == root.tag and next(root.iter(below), None) is not None
    ]
    found = parsers[0](document, classes, path) if parsers else no_outlines()
    return PolygonAnnotation.on_slide(
        found, frame, path, usual="slide", why="as ASAP, HALO and ImageScope write"
    )


FORMATS: dict[str, _Loader] = {
    ".geojson": load_geojson,
    ".json": load_geojson,
    ".xml": _load_xml,
    ".annotations": _load_xml,
    ".png": MaskAnnotation.load,
    ".tif": MaskAnnotation.load,
    ".tiff": MaskAnnotation.load,
}


def load_annotation(
    path: Path | None,
    *,
    label: int | None,
    size: Size,
    classes: Mapping[str, str],
    bounds: Location = _CORNER,
    scanned: Size | None = None,
    origin: str | None = None,
) -> AbstractAnnotation:
    """The slide's annotation: a file by its suffix, else the slide's label.

    Args:
        path: annotation file, which wins over the label.
        label: 0 or 1 for the whole slide.
        size: the slide at level 0.
        classes: class name (or mask value) -> tumor, normal or ignore.
        bounds: where the slide's scanned region begins.
        scanned: how large that region is, where it is told.
        origin: from where the file counts, the `slide` or its `bounds`; None is the format's way, which is
            told in the log of a slide where it matters.

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
            do="export it from QuPath as GeoJSON (not compressed), or as a mask image",
        )
    return load(path, frame=Frame(size, bounds, scanned, origin), classes=classes)
