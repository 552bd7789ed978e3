"""Outlines as QuPath writes them: GeoJSON in level-0 pixels.

QuPath exports rectangles as polygons of four corners, and ellipses as polygons too, with a member
`isEllipse` beside the coordinates that makes QuPath draw the ellipse inside their bounds again. Brush
strokes of several parts are MultiPolygons; objects below others may be nested as `childObjects`.
Source: QuPath's own writer, versions 0.2 to 0.6.
"""

import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from patching.annotations.base import UNCLASSIFIED, checked_file, malformed
from patching.annotations.frame import Frame
from patching.annotations.polygons import PolygonAnnotation, tell_passed_over
from patching.annotations.rings import ellipse, polygons
from patching.annotations.roles import Role, Roles, no_outlines, with_qupath
from patching.damage import Foreign
from patching.errors import AnnotationError
from patching.numbers import number

logger = logging.getLogger(__name__)
_WITHOUT_AREA = ("Point", "MultiPoint", "LineString", "MultiLineString")
_GEOMETRIES = (*_WITHOUT_AREA, "Polygon", "MultiPolygon", "GeometryCollection")
_FRAMES = frozenset({"root", "PathRootObject", "tmaCore", "tma_core", "TMACoreObject"})
"""Objects that hold others and, unclassified, say nothing themselves."""
_MEANT = frozenset({"class", "class_name", "label", "category", "type"})
"""Properties by which other programs mean the class."""
_SHOWN = 80
_PLANES_TOLD = 20
_MEASURED = ("detection", "cell", "tile")
"""Objects that a program found, thousands of them: nobody drew them into tumor as holes."""


def load_geojson(path: Path, *, frame: Frame, classes: Mapping[str, str]) -> PolygonAnnotation:
    """Read a FeatureCollection, a bare list of features, one feature or one geometry.

    Annotations, detections and cells all count, each as its class says; of a cell it is the outline of
    the cell, not of its nucleus. An object without classification goes by its name, if the class map has
    it, else by `unclassified`. Invalid polygons are repaired and said so in the log; points, lines and
    objects without geometry are passed over. An annotation of a class that means normal is a hole where it
    lies wholly inside a tumor outline; where they only overlap, tumor wins. QuPath's own classes need not be
    in the class map (`with_qupath`).

    Raises:
        AnnotationError: not JSON, not GeoJSON, a geometry that is neither polygon, line nor point, a
            class without meaning, or wholly outside the slide.
    """
    found, roles = no_outlines(), Roles(with_qupath(classes), path)
    passed, planes, elsewhere = Counter[str](), Counter[str](), Counter[str]()
    for feature in _features(_parse(checked_file(path)), path):
        names, what = _names(feature, path), _object_type(feature)
        if names[0] == UNCLASSIFIED and what in _FRAMES:
            passed[str(what)] += 1
            continue
        geometry = feature.get("geometry")
        outlines = _outlines(geometry, passed, path)
        found[_role(roles.of(names), what)].extend(outlines)
        planes[_plane(geometry)] += bool(outlines)
        if names == [UNCLASSIFIED]:
            elsewhere.update(_MEANT.intersection(_properties(feature)))
    tell_passed_over(passed, path)
    _tell_elsewhere(elsewhere, path)
    _tell_planes(planes, path)
    return PolygonAnnotation.on_slide(found, frame, path, usual="bounds", why="as QuPath exports")


def geojson_names(path: Path) -> Iterator[list[str]]:
    """What every object is called, as `load_geojson` looks it up.

    Raises:
        AnnotationError: as `load_geojson`, of all but geometries and classes.
    """
    for feature in _features(_parse(checked_file(path)), path):
        names = _names(feature, path)
        if names[0] != UNCLASSIFIED or _object_type(feature) not in _FRAMES:
            yield names


def _role(role: Role, what: str | None) -> Role:
    measured = what is not None and any(word in what.casefold() for word in _MEASURED)
    return "aside" if measured and role in ("hole", "normal") else role


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
    if isinstance(content, dict) and content.get("type") in _GEOMETRIES:
        content = {"type": "Feature", "geometry": content}
    if isinstance(content, dict):
        content = content.get("features") if content.get("type") == "FeatureCollection" else [content]
    if not isinstance(content, list):
        raise malformed(path, "no list of features")
    waiting = content[::-1]
    while waiting:
        feature = waiting.pop()
        if isinstance(feature, dict) and feature.get("type") == "FeatureCollection":
            waiting += _list(feature.get("features"))[::-1]
            continue
        if not isinstance(feature, dict) or feature.get("type") != "Feature":
            raise malformed(path, "an entry that is not a Feature")
        yield feature
        waiting += _list(_properties(feature).get("childObjects"))[::-1]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _properties(feature: dict[str, Any]) -> dict[str, Any]:
    properties = feature.get("properties")
    return properties if isinstance(properties, dict) else {}


def _object_type(feature: dict[str, Any]) -> str | None:
    """QuPath's kind of object; version 0.2 wrote it as the feature's id."""
    properties = _properties(feature)
    value = properties.get("objectType", properties.get("object_type", feature.get("id")))
    return value if isinstance(value, str) else None


def _names(feature: dict[str, Any], path: Path) -> list[str]:
    """The class, or what stands for it: `unclassified` and the object's own name."""
    properties = _properties(feature)
    told = properties.get("classification")
    # QuPath writes a class of several parts as a list, and shows it as "Tumor: Positive".
    value = told.get("names", told.get("name")) if isinstance(told, dict) else told
    named = value if isinstance(value, list) else [value]
    if not all(part is None or isinstance(part, str) for part in named):
        raise malformed(path, f"a classification {str(told)[:_SHOWN]}, which is no name")
    if classified := ": ".join(part for part in named if part):
        return [classified]
    name = properties.get("name")
    return [UNCLASSIFIED, name] if isinstance(name, str) and name else [UNCLASSIFIED]


def _plane(geometry: Any) -> str:
    """The plane of a stack that an object was drawn on, where it is not the first one."""
    plane = geometry.get("plane") if isinstance(geometry, dict) else None
    numbers = {axis: plane.get(axis) for axis in ("z", "t")} if isinstance(plane, dict) else {}
    return ", ".join(f"{axis} {value}" for axis, value in numbers.items() if value not in (None, 0))


def _tell_elsewhere(elsewhere: Counter[str], path: Path) -> None:
    """Other programs have other names for what QuPath calls the classification."""
    for name, count in elsewhere.items():
        logger.warning(
            "%s: %d objects without a classification have the property %r, which is not read; if it is the "
            "class, call it `classification`",
            path.name,
            count,
            name,
        )


def _tell_planes(planes: Counter[str], path: Path) -> None:
    """Outlines of another plane than the one that is read may not fit to it."""
    for plane, count in list(planes.items())[:_PLANES_TOLD]:
        if plane and count:
            logger.warning(
                "%s: %d objects were drawn on the plane %s of the stack; they count whatever plane is read",
                path.name,
                count,
                plane,
            )


def _outlines(geometry: Any, passed: Counter[str], path: Path) -> list[shapely.Geometry]:
    """Valid polygons of a GeoJSON geometry, however deep its collections are nested."""
    found: list[shapely.Geometry] = []
    waiting = [geometry]
    while waiting:
        geometry = waiting.pop()
        if geometry is None:
            passed["object without geometry"] += 1
            continue
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
    if is_ellipse and len(outlines) == 1:
        return ellipse(outlines[0], path)
    return polygons(outlines, path)


def _ring(ring: Any, path: Path) -> NDArray[np.float64]:
    if not isinstance(ring, list) or not all(isinstance(point, list) for point in ring):
        raise malformed(path, "coordinates that are not numbers")
    points = [point[:2] for point in ring]
    point_M2 = _by_numpy(path, np.asarray, points)
    if point_M2.dtype.kind in "iuf":
        return point_M2.astype(np.float64)
    return _by_numpy(
        path, np.asarray, [[_in_digits(value, path) for value in point] for point in points], np.float64
    )


def _in_digits(value: Any, path: Path) -> float | int:
    """Some write numbers as text; NumPy would make numbers of what else there may be."""
    read = number(value) if isinstance(value, str) else value
    if isinstance(read, (float, int)) and not isinstance(read, bool):
        return read
    raise malformed(path, f"coordinates that are not numbers ({str(value)[:_SHOWN]!r})")


def _no_numbers(path: Path, what: str) -> AnnotationError:
    return malformed(path, f"coordinates that are not numbers ({what})")


_by_numpy = Foreign(_no_numbers)
