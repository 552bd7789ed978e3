"""Outlines of every vector format: what they share once the file is parsed."""

import logging
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, Self, final

import numpy as np
import shapely
from numpy.typing import NDArray

from patching.annotations.base import AbstractAnnotation, Kind, Locations, Measured
from patching.annotations.crossings import crossings
from patching.annotations.polygon_area import patch_fractions
from patching.errors import AnnotationError
from patching.geometry import Size

logger = logging.getLogger(__name__)
UNCLASSIFIED = "unclassified"
"""Class name of an outline without classification."""
Outlines = dict[Kind, list[shapely.Geometry]]
"""Valid polygons of each kind."""
_LARGEST = 2**31
"""Level-0 pixels from which a coordinate is no place on a slide."""
_TOLERATED_OUTSIDE = 0.05
"""Share of the annotated area that may stick out of the slide without a word."""
_CROSSINGS = 5000
"""Meetings of an outline with itself up to which it is repaired, within seconds."""
_SAGITTA = 1 / 32
"""Level-0 pixels between an ellipse and the chords that stand for it, at most."""


@final
class PolygonAnnotation(AbstractAnnotation):
    """Polygons with holes.

    Args:
        tumor: the union of all tumor outlines, level-0 pixels.
        ignore: the union of all outlines to ignore.
    """

    def __init__(self, tumor: shapely.Geometry, ignore: shapely.Geometry) -> None:
        self._rings = {"tumor": _rings(tumor), "ignore": _rings(ignore)}

    @classmethod
    def on_slide(cls, found: Mapping[Kind, Sequence[shapely.Geometry]], size: Size, path: Path) -> Self:
        """Unite what a file holds; where outlines of tumor and normal overlap, tumor wins.

        Raises:
            AnnotationError: everything lies outside the slide.
        """
        check_place(list(chain(*found.values())), size, path)
        return cls(united(found["tumor"], path), united(found["ignore"], path))

    def fractions(
        self, locations_N2: Locations, extent: float, kind: Measured = "tumor"
    ) -> NDArray[np.float64]:
        """See the base class."""
        return patch_fractions(self._rings[kind], locations_N2, extent)

    def outlines(self, kind: Measured = "tumor") -> tuple[NDArray[np.float64], ...]:
        """See the base class."""
        return self._rings[kind]


def no_outlines() -> Outlines:
    """An empty list for each kind."""
    return {"tumor": [], "normal": [], "ignore": []}


def polygons(rings: Sequence[NDArray[np.float64]], path: Path) -> list[shapely.Geometry]:
    """Valid polygons from one exterior and its holes, each [M, 2] (x, y), closed or not.

    An invalid outline (one that crosses itself, a hole outside) is repaired and said so in the log.

    Raises:
        AnnotationError: no ring, one of fewer than three points, or a coordinate that is on no slide.
    """
    if not rings:
        raise malformed(path, "a polygon without outline")
    for ring_M2 in rings:
        if ring_M2.ndim != 2 or ring_M2.shape[1] != 2 or len(ring_M2) < 3:
            raise malformed(path, "an outline of fewer than three points")
        _check_range(ring_M2, path)
    return _valid(shapely.Polygon(rings[0], rings[1:]), path)


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
    regions: Sequence[shapely.Geometry], holes: Sequence[shapely.Geometry], path: Path
) -> list[shapely.Geometry]:
    """Regions less the holes in them.

    A hole cuts every region that it meets, but a smaller one that lies wholly inside it, which is an
    island that somebody drew into the hole.
    """
    tree = shapely.STRtree(holes)
    left = []
    with _geometry_errors(path):
        for region in regions:
            met = [holes[i] for i in tree.query(region, predicate="intersects")]
            cutting = [hole for hole in met if not _is_island(region, hole)]
            left.append(shapely.difference(region, shapely.union_all(cutting)) if cutting else region)
    return [region for region in left if not shapely.is_empty(region)]


def united(outlines: Sequence[shapely.Geometry], path: Path) -> shapely.MultiPolygon:
    """The union of polygons.

    Raises:
        AnnotationError: the geometry library gives up on them.
    """
    with _geometry_errors(path):
        polygons_N = np.array(outlines, dtype=object)
        meeting = shapely.STRtree(polygons_N).query(polygons_N, predicate="intersects")[0]
        # Uniting is slow, and of many thousand cells few touch another.
        alone_N = np.bincount(meeting, minlength=len(polygons_N)) == 1
        together = shapely.union_all(polygons_N[~alone_N])
        return shapely.MultiPolygon([*_parts(polygons_N[alone_N]), *_parts(together)])


def check_place(outlines: Sequence[shapely.Geometry], size: Size, path: Path) -> None:
    """Compare where the outlines are with the slide's bounds; what sticks out is said in the log.

    Raises:
        AnnotationError: all of them are outside.
    """
    if not outlines:
        logger.info("%s: no outline, so nothing is tumor", path.name)
        return
    x0, y0, x1, y1 = shapely.total_bounds(outlines)
    if x0 >= 0 and y0 >= 0 and x1 <= size.width and y1 <= size.height:
        return
    everything = united(outlines, path)
    inside = shapely.area(shapely.intersection(everything, shapely.box(0, 0, size.width, size.height)))
    if not inside:
        raise AnnotationError(
            has=f"{path.name} at x {x0:.0f} to {x1:.0f}, y {y0:.0f} to {y1:.0f}, wholly outside the slide",
            needs=f"level-0 pixels within {size.width} x {size.height}",
            do="check that the annotation belongs to this slide and is in pixels, not µm",
        )
    outside = 1 - inside / shapely.area(everything)
    if outside > _TOLERATED_OUTSIDE:
        logger.warning("%s: %.0f %% of the annotated area lies outside the slide", path.name, 100 * outside)


def tell_passed_over(passed: Counter[str], path: Path) -> None:
    """Say in the log what encloses no area and was therefore not used."""
    for what, count in passed.items():
        logger.warning("%s: passed over %d x %s, which encloses no area", path.name, count, what)


def malformed(path: Path, what: str) -> AnnotationError:
    """The error for a file that parses but is not what it should be."""
    return AnnotationError(
        has=f"{path.name} with {what}",
        needs="polygons of at least three points, in level-0 pixels",
        do="export the annotation again from the viewer it was drawn in (see docs/annotations.md)",
    )


def _valid(polygon: shapely.Polygon, path: Path) -> list[shapely.Geometry]:
    if polygon.is_valid:
        return [polygon]
    if crossings(polygon, _CROSSINGS) > _CROSSINGS:
        raise malformed(path, f"an outline that crosses itself more than {_CROSSINGS} times")
    logger.warning("%s: repaired an outline (%s)", path.name, shapely.is_valid_reason(polygon))
    return [*_parts(shapely.make_valid(polygon))]


def _is_island(region: shapely.Geometry, hole: shapely.Geometry) -> bool:
    return bool(shapely.area(region) < shapely.area(hole) and shapely.covers(hole, region))


@contextmanager
def _geometry_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except shapely.errors.GEOSException as error:
        raise malformed(path, f"outlines that do not fit together ({error})") from error


def _check_range(points_M2: NDArray[np.float64], path: Path) -> None:
    if not (np.abs(points_M2) < _LARGEST).all():
        raise malformed(path, "a point that lies on no slide")


def _bounds(points_M2: NDArray[np.float64], path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    _check_range(points_M2, path)
    return points_M2.min(axis=0), points_M2.max(axis=0)


def _rings(geometry: shapely.Geometry) -> tuple[NDArray[np.float64], ...]:
    """Closed, oriented rings of all polygons: exteriors counter-clockwise, holes clockwise."""
    oriented = [shapely.orient_polygons(part) for part in _parts(geometry)]
    return tuple(shapely.get_coordinates(ring) for ring in shapely.get_rings(oriented))


def _parts(geometry: Any) -> list[shapely.Polygon]:
    """The polygons of a geometry, or of many, without the points and lines beside them."""
    parts = shapely.get_parts(shapely.get_parts(geometry))
    return [part for part in parts if isinstance(part, shapely.Polygon)]
