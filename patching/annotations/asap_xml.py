"""Outlines as ASAP writes them, and with it CAMELYON16 and CAMELYON17.

The format knows no holes. Instead one draws a second outline of another group over the first: in
CAMELYON16 the groups `Tumor`, `_0` and `_1` are tumor, and `_2` or `Exclusion` is what to take out of
it. Hence the rule of this format only: **an outline whose class means normal cuts a hole into the tumor
outlines that it overlaps**, but not into those that lie wholly inside it (islands of tumor, or a tumor in an
outline of the tissue around it). An outline to ignore cuts nothing.
Source: files of ASAP 1.8 to 2.1.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
import shapely
from numpy.typing import NDArray

from patching.annotations.base import UNCLASSIFIED, malformed
from patching.annotations.polygons import tell_passed_over
from patching.annotations.rings import cut, parts, polygons
from patching.annotations.roles import Outlines, Roles, no_outlines
from patching.annotations.xml_file import XmlDocument

logger = logging.getLogger(__name__)
_WITH_AREA = ("polygon", "spline", "rectangle")
_WITHOUT_AREA = ("dot", "pointset", "measurement", "none")
_NO_GROUP = ("", "none")


def asap_outlines(document: XmlDocument, classes: Mapping[str, str], path: Path) -> Outlines:
    """Polygons of each role; the points of a spline are joined by straight lines.

    The class of an outline is its group; a group that the class map lacks goes by the group that it is
    part of, and so on; after them counts the outline's own name. Dots and point sets are passed over.

    Raises:
        AnnotationError: an unknown type of outline, or a class without meaning.
    """
    found, passed, roles = no_outlines(), Counter[str](), Roles(classes, path)
    for names, ring_M2 in _named(document, passed, path):
        role = roles.of(names)
        outline = polygons([ring_M2], path)
        if role == "tumor":
            # One that crosses itself stays one: a lobe of it inside a hole is no island.
            found["tumor"].append(shapely.MultiPolygon(parts(outline)))
        else:
            found["aside" if role in ("normal", "hole") else role].extend(outline)
    tell_passed_over(passed, path)
    left = cut(found["tumor"], found["aside"], path)
    _tell_cut(found["tumor"], left, path)
    return found | {"tumor": left}


def asap_names(document: XmlDocument, path: Path) -> Iterator[list[str]]:
    """What every outline is called, as `asap_outlines` looks it up.

    Raises:
        AnnotationError: an unknown type of outline.
    """
    return (names for names, _ in _named(document, Counter[str](), path))


def _named(
    document: XmlDocument, passed: Counter[str], path: Path
) -> Iterator[tuple[list[str], NDArray[np.float64]]]:
    """Names and points of what has an area; `passed` counts the others by their type."""
    parents = {group.get("Name", ""): group.get("PartOfGroup", "") for group in document.root.iter("Group")}
    for annotation in document.root.iter("Annotation"):
        shape = annotation.get("Type", "Polygon")
        if shape.casefold() not in (*_WITH_AREA, *_WITHOUT_AREA):
            raise malformed(path, f"an annotation of type {shape!r}")
        ring_M2 = document.ring(annotation, "Coordinates")
        if shape.casefold() in _WITHOUT_AREA or len(ring_M2) < 3:
            passed[shape] += 1
        else:
            yield list(_names(annotation, parents)), ring_M2


def _tell_cut(tumor: Sequence[shapely.Geometry], left: Sequence[shapely.Geometry], path: Path) -> None:
    """What takes most of a tumor out of it may be meant as the tissue around it."""
    before, after = float(shapely.area(tumor).sum()), float(shapely.area(left).sum())
    if after < before / 2:
        logger.warning(
            "%s: outlines of normal tissue take %.0f %% of the area outlined as tumor out of it",
            path.name,
            100 * (1 - after / before),
        )


def _names(annotation: Element, parents: Mapping[str, str]) -> Iterator[str]:
    group = annotation.get("PartOfGroup", "")
    if group.casefold() in _NO_GROUP:
        yield UNCLASSIFIED
    seen: set[str] = set()
    while group.casefold() not in _NO_GROUP and group not in seen:
        yield group
        seen.add(group)
        group = parents.get(group, "")
    if annotation.get("Name"):
        yield annotation.get("Name", "")
