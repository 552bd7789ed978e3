"""Polygons of rings as files have them: each repaired by itself, less the holes in them and beside them.

A library that repairs a polygon as a whole follows the even-odd rule, by which the overlap of two holes, a
hole given twice and one outside its outline become tumor. Here a hole is a hole (RFC 7946, 3.1.6).
"""

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from patching.annotations.base import malformed
from patching.annotations.crossings import crossings, entangled, meetings

logger = logging.getLogger(__name__)
_LARGEST = 2**31
"""Level-0 pixels from which a coordinate is no place on a slide."""
_CROSSINGS = 5000
"""Meetings of an outline with itself up to which it is repaired, within seconds."""
_MEETINGS = 100_000
"""Crossings of an outline and its holes up to which they are cut, within seconds."""
_ENTANGLED = 200_000
"""The same of all outlines of a file."""
_SAGITTA = 1 / 32
"""Level-0 pixels between an ellipse and the chords that stand for it, at most."""


def polygons(rings: Sequence[NDArray[np.float64]], path: Path) -> list[shapely.Geometry]:
    """Valid polygons from one exterior and its holes, each [M, 2] (x, y), closed or not, of either winding.

    What is left is the exterior less all holes: those that overlap, repeat or contain one another, stick out,
    or lie elsewhere add nothing. A ring that crosses itself is repaired first, and said so in the log; one
    that encloses nothing is passed over.

    Raises:
        AnnotationError: no ring, one of fewer than three points, or a coordinate that is on no slide.
    """
    if not rings:
        raise malformed(path, "a polygon without outline")
    for ring_M2 in rings:
        if ring_M2.ndim != 2 or ring_M2.shape[1] != 2 or len(ring_M2) < 3:
            raise malformed(path, "an outline of fewer than three points")
        _check_range(ring_M2, path)
    polygon = shapely.Polygon(rings[0], rings[1:])
    if polygon.is_valid:
        return [polygon]
    logger.warning("%s: repaired an outline (%s)", path.name, shapely.is_valid_reason(polygon))
    exterior = _repaired(rings[0], path)
    # Copies of a hole would meet it at every point.
    once = {ring_M2.tobytes(): ring_M2 for ring_M2 in rings[1:]}.values()
    holes = [part for ring_M2 in once for part in _repaired(ring_M2, path)]
    if not holes:
        return [*exterior]
    if meetings([*exterior, *holes], _MEETINGS) > _MEETINGS:
        raise malformed(path, f"an outline and holes that cross each other more than {_MEETINGS} times")
    with geometry_errors(path):
        return [*parts(shapely.difference(shapely.union_all(exterior), shapely.union_all(holes)))]


def rectangle(points_M2: NDArray[np.float64], path: Path) -> list[shapely.Geometry]:
    """The upright rectangle around some points, of which two opposite corners are enough."""
    (x0, y0), (x1, y1) = _bounds(points_M2, path)
    return polygons([np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])], path)


def ellipse(points_M2: NDArray[np.float64], path: Path) -> list[shapely.Geometry]:
    """The ellipse inside the upright rectangle around some points, within 1/32 of a pixel."""
    low_2, high_2 = _bounds(points_M2, path)
    radius_2 = (high_2 - low_2) / 2
    count = max(64, math.ceil(math.pi * math.sqrt(radius_2.max() / (2 * _SAGITTA))))
    angle_M = np.linspace(0, 2 * math.pi, count, endpoint=False)
    circle_M2 = np.stack([np.cos(angle_M), np.sin(angle_M)], axis=-1)
    return polygons([low_2 + radius_2 * (1 + circle_M2)], path)


def cut(
    regions: Sequence[shapely.Geometry],
    holes: Sequence[shapely.Geometry],
    path: Path,
    *,
    among: Sequence[shapely.Geometry] | None = None,
) -> list[shapely.Geometry]:
    """Regions less the union of the holes that meet them.

    An island that somebody drew into a hole stays: a region that the holes cover, inside another (of those in
    `among`) that they do not cover. It is cut only by the holes that lie inside itself. Without `among` a
    hole may be tissue around a region: what one of them covers needs no other region around it.
    """
    check_work(parts([*regions, *holes]), path)
    alone, among = among is None, distinct(regions if among is None else among)
    regions, holes = distinct(regions), distinct(holes)
    tree, around = shapely.STRtree(holes), shapely.STRtree(among)
    left = []
    with geometry_errors(path):
        for region in regions:
            met = [holes[i] for i in tree.query(region, predicate="intersects")]
            inner = [hole for hole in met if shapely.covers(region, hole)]
            if len(inner) < len(met):
                outer = [hole for hole in met if not shapely.covers(region, hole)]
                larger = [among[i] for i in around.query(region, predicate="covered_by")]
                covered = alone and shapely.covers(outer, region).any()
                met = inner if covered or _is_island(region, outer, larger) else met
            left.append(shapely.difference(region, shapely.union_all(met)) if met else region)
    return [*parts(left)]


def _is_island(
    region: shapely.Geometry, outer: Sequence[shapely.Geometry], larger: Sequence[shapely.Geometry]
) -> bool:
    covering = shapely.union_all(outer)
    return bool(shapely.covers(covering, region) and not shapely.covers(covering, larger).all())


def cut_inside(
    regions: Sequence[shapely.Geometry], holes: Sequence[shapely.Geometry], path: Path
) -> list[shapely.Geometry]:
    """Regions less those holes that lie wholly inside them, or inside several together, and are smaller."""
    tree, inner = shapely.STRtree(regions), []
    with geometry_errors(path):
        for hole in distinct(holes):
            met = np.asarray(regions, object)[tree.query(hole, predicate="intersects")]
            around = shapely.union_all(met)
            if shapely.covers(around, hole) and shapely.area(hole) < shapely.area(around):
                inner.append(hole)
    return cut(regions, inner, path) if inner else list(regions)


def shared_area(
    regions: Sequence[shapely.Geometry], others: Sequence[shapely.Geometry], path: Path
) -> tuple[int, float]:
    """How many of the others overlap disjoint regions, and by how many square pixels.

    Those around a region do not count: what lies inside another outline is meant to be seen.
    """
    region_R, other_O = np.asarray(regions, object), np.asarray(others, object)
    with geometry_errors(path):
        r_P, o_P = shapely.STRtree(other_O).query(region_R, predicate="intersects")
        around_P = shapely.covers(other_O[o_P], region_R[r_P])
        around_P &= shapely.area(other_O[o_P]) > shapely.area(region_R[r_P])
        common_P = shapely.area(shapely.intersection(region_R[r_P], other_O[o_P])) * ~around_P
    return len(np.unique(o_P[common_P > 1])), float(common_P.sum())


def check_work(outlines: Sequence[shapely.Geometry], path: Path) -> None:
    """Refuse outlines that would take minutes to unite or to cut.

    Raises:
        AnnotationError: they cross each other more often than any drawing does.
    """
    if entangled(outlines, _ENTANGLED):
        raise malformed(path, f"outlines that cross each other more than {_ENTANGLED} times")


def distinct(outlines: Sequence[shapely.Geometry]) -> list[shapely.Geometry]:
    """Polygons without their copies, of which a few thousand would all meet each other."""
    return list(dict(zip(shapely.to_wkb(np.asarray(outlines, object)), outlines, strict=True)).values())


def parts(geometry: Any) -> list[shapely.Polygon]:
    """The polygons of a geometry, or of many, without the points and lines beside them."""
    found = shapely.get_parts(shapely.get_parts(np.asarray(geometry, object)))
    return [part for part in found if isinstance(part, shapely.Polygon) and not part.is_empty]


@contextmanager
def geometry_errors(path: Path) -> Iterator[None]:
    """Turn what the geometry library gives up on into an error that names the file."""
    try:
        yield
    except shapely.errors.GEOSException as error:
        raise malformed(path, f"outlines that do not fit together ({error})") from error


def _repaired(ring_M2: NDArray[np.float64], path: Path) -> list[shapely.Polygon]:
    """What a ring encloses an odd number of times."""
    polygon = shapely.Polygon(ring_M2)
    if polygon.is_valid:
        return [polygon]
    if crossings(polygon, _CROSSINGS) > _CROSSINGS:
        raise malformed(path, f"an outline that crosses itself more than {_CROSSINGS} times")
    found = parts(shapely.make_valid(polygon))
    if not found:
        logger.warning("%s: passed over an outline that encloses nothing", path.name)
    return found


def _check_range(points_M2: NDArray[np.float64], path: Path) -> None:
    if not (np.abs(points_M2) < _LARGEST).all():
        raise malformed(path, "a point that lies on no slide")


def _bounds(points_M2: NDArray[np.float64], path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if points_M2.ndim != 2 or points_M2.shape[1] != 2 or len(points_M2) < 2:
        raise malformed(path, "a shape of fewer than two points")
    _check_range(points_M2, path)
    return points_M2.min(axis=0), points_M2.max(axis=0)
