"""Outlines as Aperio ImageScope writes them, and HALO in its dialect of the same XML.

Both keep layers (`Annotation`) of regions (`Region`) of points. ImageScope numbers its shapes and names
points `Vertex`; HALO spells shapes out, names points `V`, and gives rectangles and ellipses by two
opposite corners of their bounds. A region with NegativeROA="1" is a hole in the regions of its layer.
Sources: files of ImageScope 12, HALO 3, and of the MoNuSeg and HuBMAP data sets.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
import shapely
from numpy.typing import NDArray

from patching.annotations.base import UNCLASSIFIED, malformed
from patching.annotations.polygons import tell_passed_over
from patching.annotations.rings import cut, ellipse, polygons, rectangle
from patching.annotations.roles import Outlines, Roles, no_outlines
from patching.annotations.xml_file import XmlDocument

logger = logging.getLogger(__name__)
_NUMBERED = ("polygon", "rectangle", "ellipse", "arrow", "ruler", "points")
_SPELLED = {name: name for name in (*_NUMBERED, "pin")} | {"freehand": "polygon"}
_SHAPES = {str(number): name for number, name in enumerate(_NUMBERED)} | _SPELLED
_NEGATIVE = {"": False, "0": False, "false": False, "1": True, "true": True}
_SHOWN = 40
_LEAST_POINTS = {"polygon": 3, "rectangle": 2, "ellipse": 2}


def imagescope_outlines(document: XmlDocument, classes: Mapping[str, str], path: Path) -> Outlines:
    """Polygons of each role, with the holes of their layer.

    The class of a region is the first of these that the class map has: the region's text, the layer's
    name, its description, its attributes' names, its line color as #rrggbb. Rulers, arrows, pins and
    regions of too few points are passed over.

    Raises:
        AnnotationError: an unknown type of region, or a class without meaning.
    """
    found, passed, roles = no_outlines(), Counter[str](), Roles(classes, path)
    for layer in document.root.iter("Annotation"):
        own, holes = no_outlines(), list[shapely.Geometry]()
        for region in layer.iter("Region"):
            shape = _shape(region, path)
            ring_M2 = document.ring(region, "Vertices")
            if len(ring_M2) < _LEAST_POINTS.get(shape, len(ring_M2) + 1):
                passed[shape] += 1
            elif _is_hole(region, path):
                holes += _outline(shape, ring_M2, path)
            else:
                own[roles.of(list(_names(region, layer)))] += _outline(shape, ring_M2, path)
        everyone = list(chain(*own.values()))
        if holes and not everyone:
            logger.warning(
                "%s: the %d negative regions of the layer %r cut nothing, because it has no others",
                path.name,
                len(holes),
                layer.get("Name", ""),
            )
        for role, regions in own.items():
            found[role] += cut(regions, holes, path, among=everyone)
    tell_passed_over(passed, path)
    return found


def imagescope_names(document: XmlDocument, path: Path) -> Iterator[list[str]]:
    """What every region with an area is called, as `imagescope_outlines` looks it up; without holes.

    Raises:
        AnnotationError: an unknown type of region.
    """
    for layer in document.root.iter("Annotation"):
        for region in layer.iter("Region"):
            least = _LEAST_POINTS.get(_shape(region, path))
            enough = least is not None and len(document.ring(region, "Vertices")) >= least
            if enough and not _is_hole(region, path):
                yield list(_names(region, layer))


def _shape(region: Element, path: Path) -> str:
    given = region.get("GeoShape") or region.get("Type") or "0"
    shape = _SHAPES.get(given.casefold())
    if shape is None:
        raise malformed(path, f"a region of type {given!r}")
    return shape


def _is_hole(region: Element, path: Path) -> bool:
    given = region.get("NegativeROA", "")
    meaning = _NEGATIVE.get(given.strip().casefold())
    if meaning is None:
        raise malformed(path, f"a region of NegativeROA {given[:_SHOWN]!r}, which is neither 0 nor 1")
    return meaning


def _outline(shape: str, ring_M2: NDArray[np.float64], path: Path) -> list[shapely.Geometry]:
    if shape == "ellipse":
        return ellipse(ring_M2, path)
    if shape == "rectangle" and len(ring_M2) == 2:
        return rectangle(ring_M2, path)
    return polygons([ring_M2], path)


def _names(region: Element, layer: Element) -> Iterator[str]:
    attributes = layer.findall("Attributes/Attribute")
    described = [attribute.get("Value", "") for attribute in attributes]
    named = [attribute.get("Name", "") for attribute in attributes if attribute.get("Name") != "Description"]
    names = [name for name in (region.get("Text", ""), layer.get("Name", ""), *described, *named) if name]
    yield from names or [UNCLASSIFIED]
    color = layer.get("LineColor", "")
    if color.isdecimal() and len(color) < 9:
        # A Windows color: red is the lowest of three bytes.
        yield "#" + (int(color) & 0xFFFFFF).to_bytes(3, "little").hex()
