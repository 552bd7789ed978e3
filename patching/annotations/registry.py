"""Chooses the annotation class by what a slide has."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol
from xml.etree.ElementTree import Element

from patching.annotations.asap_xml import asap_names, asap_outlines
from patching.annotations.base import OTHERS, AbstractAnnotation, Kind, deciding_name, kind_of
from patching.annotations.frame import Frame
from patching.annotations.geojson import geojson_names, load_geojson
from patching.annotations.imagescope_xml import imagescope_names, imagescope_outlines
from patching.annotations.mask import MaskAnnotation, mask_values
from patching.annotations.polygons import PolygonAnnotation
from patching.annotations.roles import Outlines, no_outlines, with_qupath
from patching.annotations.slide_label import SlideLabel
from patching.annotations.xml_file import XmlDocument, read_xml
from patching.errors import AnnotationError
from patching.geometry import Location, Size

_CORNER = Location(0, 0)


class _Loader(Protocol):
    def __call__(self, path: Path, *, frame: Frame, classes: Mapping[str, str]) -> AbstractAnnotation: ...


class _Dialect(NamedTuple):
    outlines: Callable[[XmlDocument, Mapping[str, str], Path], Outlines]
    names: Callable[[XmlDocument, Path], Iterator[list[str]]]


_ASAP = _Dialect(asap_outlines, asap_names)
XML_DIALECTS: dict[tuple[str, str], _Dialect] = {
    ("ASAP_Annotations", "Annotation"): _ASAP,
    ("Annotations", "Region"): _Dialect(imagescope_outlines, imagescope_names),
    ("Annotations", "Coordinates"): _ASAP,
}
"""Root element, and an element below it -> parsers. A file of a known root without outlines is empty."""


def _load_xml(path: Path, *, frame: Frame, classes: Mapping[str, str]) -> PolygonAnnotation:
    """Read XML of whatever dialect; what it is, its content tells and not its suffix.

    Raises:
        AnnotationError: of no known dialect, or as `read_xml` and the dialect's parser say.
    """
    document = read_xml(path)
    dialect = _dialect(document, path)
    found = dialect.outlines(document, classes, path) if dialect else no_outlines()
    return PolygonAnnotation.on_slide(
        found, frame, path, usual="slide", why="as ASAP, HALO and ImageScope write"
    )


def _xml_names(path: Path) -> Iterator[list[str]]:
    document = read_xml(path)
    dialect = _dialect(document, path)
    return dialect.names(document, path) if dialect else iter(())


def _dialect(document: XmlDocument, path: Path) -> _Dialect | None:
    """None of a file without outlines."""
    root = document.root
    if root.tag not in {tag for tag, _ in XML_DIALECTS}:
        raise AnnotationError(
            has=f"{path.name} with the root element <{root.tag}>",
            needs="<ASAP_Annotations> of ASAP, or <Annotations> of HALO or Aperio ImageScope",
            do="export it from the viewer again, or from QuPath as GeoJSON",
        )
    known = (each for (tag, below), each in XML_DIALECTS.items() if tag == root.tag and _holds(root, below))
    return next(known, None)


def _holds(root: Element, below: str) -> bool:
    return next(root.iter(below), None) is not None


FORMATS: dict[str, _Loader] = {
    ".geojson": load_geojson,
    ".json": load_geojson,
    ".xml": _load_xml,
    ".annotations": _load_xml,
    ".png": MaskAnnotation.load,
    ".tif": MaskAnnotation.load,
    ".tiff": MaskAnnotation.load,
}


def value_classes(path: Path, classes: Mapping[str, str]) -> dict[int, Kind | None] | None:
    """As `mask_values` of a mask; of any other annotation nothing."""
    return mask_values(path, classes) if FORMATS.get(path.suffix.lower()) == MaskAnnotation.load else {}


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


def outline_classes(path: Path, classes: Mapping[str, str]) -> Counter[tuple[str, Kind | None]]:
    """How many outlines of a file go by which name of theirs, and what that means; nothing of a mask.

    Args:
        path: annotation file.
        classes: class name -> tumor, normal or ignore.

    Returns:
        counts by name, the first one where the map has none of them, and kind; None is a class without
        meaning, which `load_annotation` refuses.

    Raises:
        MissingFileError: no such file.
        AnnotationError: an unknown suffix, or a bad file.
    """
    drawn = FORMATS.get(path.suffix.lower()) is load_geojson
    known = with_qupath(classes) if drawn else classes
    if not drawn and FORMATS.get(path.suffix.lower()) is not _load_xml:
        return Counter()
    found = Counter[tuple[str, Kind | None]]()
    for names in geojson_names(path) if drawn else _xml_names(path):
        name = deciding_name(names, known)
        kind = kind_of(names, known, path) if name is not None or OTHERS in known else None
        found[names[0] if name is None else name, kind] += 1
    return found
