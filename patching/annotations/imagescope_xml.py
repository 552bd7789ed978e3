"""Outlines as Aperio ImageScope writes them, and HALO in its dialect of the same XML.

Both keep layers (`Annotation`) of regions (`Region`) of points. ImageScope numbers its shapes and names
points `Vertex`; HALO spells shapes out, names points `V`, and gives rectangles and ellipses by two
opposite corners of their bounds. A region with NegativeROA="1" is a hole in the regions of its layer.
Sources: files of ImageScope 12, HALO 3, and of the MoNuSeg and HuBMAP data sets.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
import shapely
from numpy.typing import NDArray

from patching.annotations.base import UNCLASSIFIED, malformed
from patching.annotations.polygons import Outlines, no_outlines, role_of, tell_passed_over
from patching.annotations.rings import cut, ellipse, polygons, rectangle
from patching.annotations.xml_file import XmlDocument

_NUMBERED = ("polygon", "rectangle", "ellipse", "arrow", "ruler", "points")
_SPELLED = {name: name for name in (*_NUMBERED, "pin")} | {"freehand": "polygon"}
_SHAPES = {str(number): name for number, name in enumerate(_NUMBERED)} | _SPELLED
_LEAST_POINTS = {"polygon": 3, "rectangle": 2, "ellipse": 2}


def imagescope_outlines(document: XmlDocument, classes: Mapping[str, str], path: Path) -> Outlines:
    """Polygons of each role, with the holes of their layer.

    The class of a region is the first of these that the class map has: the region's text, the layer's
    name, its description, its attributes' names, its line color as #rrggbb. Rulers, arrows, pins and
    regions of too few points are passed over.

    Raises:
        AnnotationError: an unknown type of region, or a class without meaning.
    """
    found, passed = no_outlines(), Counter[str]()
    for layer in document.root.iter("Annotation"):
        own, holes = no_outlines(), list[shapely.Geometry]()
        for region in layer.iter("Region"):
            shape = _shape(region, path)
            ring_M2 = document.ring(region, "Vertices")
            if len(ring_M2) < _LEAST_POINTS.get(shape, len(ring_M2) + 1):
                passed[shape] += 1
            elif region.get("NegativeROA", "0").casefold() in ("1", "true"):
                holes += _outline(shape, ring_M2, path)
            else:
                own[role_of(list(_names(region, layer)), classes, path)] += _outline(shape, ring_M2, path)
        everyone = list(chain(*own.values()))
        for role, regions in own.items():
            found[role] += cut(regions, holes, path, among=everyone)
    tell_passed_over(passed, path)
    return found


def _shape(region: Element, path: Path) -> str:
    given = region.get("GeoShape") or region.get("Type") or "0"
    shape = _SHAPES.get(given.casefold())
    if shape is None:
        raise malformed(path, f"a region of type {given!r}")
    return shape


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
