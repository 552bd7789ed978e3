"""Outlines as QuPath writes them: GeoJSON in level-0 pixels.

QuPath exports rectangles as polygons of four corners, and ellipses as polygons too, with a member
`isEllipse` beside the coordinates that makes QuPath draw the ellipse inside their bounds again. Brush
strokes of several parts are MultiPolygons; objects below others may be nested as `childObjects`.
Source: QuPath's own writer, versions 0.2 to 0.6.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from patching.annotations.base import checked_file, kind_of
from patching.annotations.polygons import (
    UNCLASSIFIED,
    PolygonAnnotation,
    ellipse,
    malformed,
    no_outlines,
    polygons,
    tell_passed_over,
)
from patching.damage import Foreign
from patching.errors import AnnotationError
from patching.geometry import Size

_WITHOUT_AREA = ("Point", "MultiPoint", "LineString", "MultiLineString")
_FRAMES = frozenset({"root", "PathRootObject", "tmaCore", "tma_core", "TMACoreObject"})
"""Objects that hold others and, unclassified, say nothing themselves."""


def load_geojson(path: Path, *, size: Size, classes: Mapping[str, str]) -> PolygonAnnotation:
    """Read a FeatureCollection, a bare list of features, or one feature.

    Annotations, detections and cells all count, each as its class says; of a cell it is the outline of
    the cell, not of its nucleus. An object without classification goes by its name, if the class map has
    it, else by `unclassified`. Invalid polygons are repaired and said so in the log; points and lines are
    passed over. Of overlapping outlines tumor wins over normal.

    Raises:
        AnnotationError: not JSON, not GeoJSON, a geometry that is neither polygon, line nor point, a
            class without meaning, or wholly outside the slide.
    """
    found, passed = no_outlines(), Counter[str]()
    for feature in _features(_parse(checked_file(path)), path):
        names = _names(feature)
        if names[0] == UNCLASSIFIED and _object_type(feature) in _FRAMES:
            passed[str(_object_type(feature))] += 1
            continue
        outlines = _outlines(feature.get("geometry"), passed, path)
        found[kind_of(names, classes, path)].extend(outlines)
    tell_passed_over(passed, path)
    return PolygonAnnotation.on_slide(found, size, path)


def _parse(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError, OSError) as error:
        raise AnnotationError(
            has=f"{path.name}, which is not JSON or cannot be read: {error}",
            needs="GeoJSON as QuPath exports it",
            do="export the annotation again (Export objects as GeoJSON, not compressed)",
        ) from error


def _features(content: Any, path: Path) -> Iterator[dict[str, Any]]:
    """Every feature and, nested in them, their children."""
    if isinstance(content, dict):
        content = content.get("features") if content.get("type") == "FeatureCollection" else [content]
    if not isinstance(content, list):
        raise malformed(path, "no list of features")
    waiting = content[::-1]
    while waiting:
        feature = waiting.pop()
        if not isinstance(feature, dict) or feature.get("type") != "Feature":
            raise malformed(path, "an entry that is not a Feature")
        yield feature
        children = _properties(feature).get("childObjects")
        waiting += children[::-1] if isinstance(children, list) else []


def _properties(feature: dict[str, Any]) -> dict[str, Any]:
    properties = feature.get("properties")
    return properties if isinstance(properties, dict) else {}


def _object_type(feature: dict[str, Any]) -> str | None:
    """QuPath's kind of object; version 0.2 wrote it as the feature's id."""
    properties = _properties(feature)
    value = properties.get("objectType", properties.get("object_type", feature.get("id")))
    return value if isinstance(value, str) else None


def _names(feature: dict[str, Any]) -> list[str]:
    """The class, or what stands for it: `unclassified` and the object's own name."""
    properties = _properties(feature)
    classification = properties.get("classification")
    if isinstance(classification, str) and classification:
        return [classification]
    if isinstance(classification, dict):
        # QuPath writes a class of several parts as a list, and shows it as "Tumor: Positive".
        parts = classification.get("names", [classification.get("name")])
        if isinstance(parts, list) and parts and all(isinstance(part, str) and part for part in parts):
            return [": ".join(parts)]
    name = properties.get("name")
    return [UNCLASSIFIED, name] if isinstance(name, str) and name else [UNCLASSIFIED]


def _outlines(geometry: Any, passed: Counter[str], path: Path) -> list[shapely.Geometry]:
    """Valid polygons of a GeoJSON geometry, however deep its collections are nested."""
    found: list[shapely.Geometry] = []
    waiting = [geometry]
    while waiting:
        geometry = waiting.pop()
        if not isinstance(geometry, dict):
            raise malformed(path, "a feature without geometry")
        kind, coordinates = geometry.get("type"), geometry.get("coordinates")
        if kind == "GeometryCollection" and isinstance(geometry.get("geometries"), list):
            waiting += geometry["geometries"][::-1]
        elif kind == "Polygon":
            found += _polygon(coordinates, geometry.get("isEllipse") is True, path)
        elif kind == "MultiPolygon" and isinstance(coordinates, list):
            found += [part for rings in coordinates for part in _polygon(rings, False, path)]
        elif kind in _WITHOUT_AREA:
            passed[kind] += 1
        else:
            raise malformed(path, f"a geometry {kind}" + (" without parts" if coordinates is None else ""))
    return found


def _polygon(rings: Any, is_ellipse: bool, path: Path) -> list[shapely.Geometry]:
    outlines = [_ring(ring, path) for ring in rings] if isinstance(rings, list) else []
    if is_ellipse and outlines:
        return ellipse(outlines[0], path)
    return polygons(outlines, path)


def _ring(ring: Any, path: Path) -> NDArray[np.float64]:
    if not isinstance(ring, list) or not all(isinstance(point, list) for point in ring):
        raise malformed(path, "coordinates that are not numbers")
    return _numbers(path, np.asarray, [point[:2] for point in ring], np.float64)


def _no_numbers(path: Path, what: str) -> AnnotationError:
    return malformed(path, f"coordinates that are not numbers ({what})")


_numbers = Foreign(_no_numbers)
