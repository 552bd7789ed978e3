"""Outlines as QuPath exports them: GeoJSON in level-0 pixels."""

import json
import logging
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, Literal, Self, final

import numpy as np
import shapely
from numpy.typing import NDArray

from patching.annotations.base import AbstractAnnotation, checked_file, kind_of, mask_shape
from patching.annotations.polygon_area import cell_areas, patch_fractions
from patching.errors import AnnotationError
from patching.geometry import Size

logger = logging.getLogger(__name__)
UNCLASSIFIED = "unclassified"
"""Class name of an outline without classification."""
_LARGEST = 2**31
"""Level-0 pixels from which a coordinate is no place on a slide."""
_TOLERATED_OUTSIDE = 0.05
"""Share of the annotated area that may stick out of the slide without a word."""
_WITHOUT_AREA = ("Point", "MultiPoint", "LineString", "MultiLineString")


@final
class GeoJsonAnnotation(AbstractAnnotation):
    """Polygons with holes, each of a class; of overlapping outlines tumor wins over normal.

    Args:
        tumor: the union of all tumor outlines, level-0 pixels.
        ignore: the union of all outlines to ignore.
    """

    def __init__(self, tumor: shapely.Geometry, ignore: shapely.Geometry) -> None:
        self._rings = {"tumor": _rings(tumor), "ignore": _rings(ignore)}

    @classmethod
    def load(cls, path: Path, *, size: Size, classes: Mapping[str, str]) -> Self:
        """Read a FeatureCollection, a bare list of features, or one feature.

        Invalid polygons are repaired and said so in the log; points and lines are passed over.

        Raises:
            AnnotationError: not JSON, not GeoJSON, a geometry that is neither polygon, line nor point, a
                class without meaning, or wholly outside the slide.
        """
        found: dict[str, list[shapely.Geometry]] = {"tumor": [], "normal": [], "ignore": []}
        for feature in _features(_parse(checked_file(path)), path):
            kind = kind_of(_class_name(feature), classes, path)
            found[kind].extend(_polygons(feature.get("geometry"), path))
        _check_place(shapely.union_all(list(chain(*found.values()))), size, path)
        return cls(shapely.union_all(found["tumor"]), shapely.union_all(found["ignore"]))

    def fractions(
        self, locations_N2: NDArray[np.int64], extent: int, kind: Literal["tumor", "ignore"] = "tumor"
    ) -> NDArray[np.float64]:
        """See the base class."""
        return patch_fractions(self._rings[kind], locations_N2, extent)

    def coverage(self, size: Size, downsample: float) -> NDArray[np.float32]:
        """See the base class."""
        height, width = mask_shape(size, downsample)
        x_edges, y_edges = (np.arange(n + 1, dtype=np.float64) * downsample for n in (width, height))
        areas = cell_areas(self._rings["tumor"], x_edges, y_edges)
        return np.clip(areas / downsample**2, 0, 1).astype(np.float32)

    def outlines(self) -> tuple[NDArray[np.float64], ...]:
        """See the base class."""
        return self._rings["tumor"]


def _parse(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise AnnotationError(
            has=f"{path.name}, which is not JSON: {error}",
            needs="GeoJSON as QuPath exports it",
            do="export the annotation again",
        ) from error


def _features(content: Any, path: Path) -> Iterator[dict[str, Any]]:
    if isinstance(content, dict):
        content = content.get("features") if content.get("type") == "FeatureCollection" else [content]
    if not isinstance(content, list):
        raise _malformed(path, "no list of features")
    for feature in content:
        if not isinstance(feature, dict) or feature.get("type") != "Feature":
            raise _malformed(path, "an entry that is not a Feature")
        yield feature


def _class_name(feature: dict[str, Any]) -> str:
    properties = feature.get("properties")
    classification = properties.get("classification") if isinstance(properties, dict) else None
    if not isinstance(classification, dict):
        return UNCLASSIFIED
    # QuPath writes a class of several parts as a list, and shows it as "Tumor: Positive".
    names = classification.get("names", [classification.get("name")])
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        return UNCLASSIFIED
    return ": ".join(names)


def _polygons(geometry: Any, path: Path) -> list[shapely.Geometry]:
    """Valid polygons of one GeoJSON geometry."""
    if not isinstance(geometry, dict):
        raise _malformed(path, "a feature without geometry")
    kind, coordinates = geometry.get("type"), geometry.get("coordinates")
    if kind == "Polygon":
        return _valid(_polygon(coordinates, path), path)
    if kind == "MultiPolygon" and isinstance(coordinates, list):
        return [part for rings in coordinates for part in _valid(_polygon(rings, path), path)]
    if kind not in _WITHOUT_AREA:
        raise _malformed(path, f"a geometry {kind}" if kind != "MultiPolygon" else "an empty MultiPolygon")
    logger.warning("%s: a %s encloses no area and is passed over", path.name, kind)
    return []


def _polygon(rings: Any, path: Path) -> shapely.Polygon:
    try:
        outlines = [np.asarray([point[:2] for point in ring], np.float64) for ring in rings]
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise _malformed(path, f"coordinates that are not numbers ({error})") from error
    for ring_M2 in outlines:
        if ring_M2.ndim != 2 or ring_M2.shape[1] != 2 or len(ring_M2) < 3:
            raise _malformed(path, "an outline of fewer than three points")
        if not (np.abs(ring_M2) < _LARGEST).all():
            raise _malformed(path, "a point that lies on no slide")
    if not outlines:
        raise _malformed(path, "a polygon without outline")
    return shapely.Polygon(outlines[0], outlines[1:])


def _valid(polygon: shapely.Polygon, path: Path) -> list[shapely.Geometry]:
    if polygon.is_valid:
        return [polygon]
    logger.warning("%s: repaired an outline (%s)", path.name, shapely.is_valid_reason(polygon))
    parts = shapely.get_parts(shapely.get_parts(shapely.make_valid(polygon)))
    return [part for part in parts if part.geom_type == "Polygon"]


def _check_place(everything: shapely.Geometry, size: Size, path: Path) -> None:
    if shapely.is_empty(everything):
        logger.info("%s: no outline, so nothing is tumor", path.name)
        return
    slide = shapely.box(0, 0, size.width, size.height)
    if not shapely.intersects(everything, slide):
        x0, y0, x1, y1 = shapely.bounds(everything)
        raise AnnotationError(
            has=f"{path.name} at x {x0:.0f} to {x1:.0f}, y {y0:.0f} to {y1:.0f}, wholly outside the slide",
            needs=f"level-0 pixels within {size.width} x {size.height}",
            do="check that the annotation belongs to this slide and is in pixels, not µm",
        )
    outside = 1 - shapely.area(shapely.intersection(everything, slide)) / shapely.area(everything)
    if outside > _TOLERATED_OUTSIDE:
        logger.warning("%s: %.0f %% of the annotated area lies outside the slide", path.name, 100 * outside)


def _rings(geometry: shapely.Geometry) -> tuple[NDArray[np.float64], ...]:
    """Closed, oriented rings of all polygons: exteriors counter-clockwise, holes clockwise."""
    polygons = [part for part in shapely.get_parts(geometry) if part.geom_type == "Polygon"]
    oriented = [shapely.orient_polygons(polygon) for polygon in polygons]
    return tuple(shapely.get_coordinates(ring) for ring in shapely.get_rings(oriented))


def _malformed(path: Path, what: str) -> AnnotationError:
    return AnnotationError(
        has=f"{path.name} with {what}",
        needs="GeoJSON features with Polygon or MultiPolygon geometry",
        do="export the annotation again from QuPath (Export objects as GeoJSON)",
    )
