"""Outlines of every vector format: what they share once the file is parsed."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Self, final

import numpy as np
import shapely
from numpy.typing import NDArray

from patching.annotations.base import AbstractAnnotation, Locations, Measured
from patching.annotations.frame import Frame
from patching.annotations.polygon_area import patch_fractions
from patching.annotations.rings import check_work, cut_inside, distinct, geometry_errors, parts, shared_area
from patching.annotations.roles import Role
from patching.errors import AnnotationError
from patching.geometry import Location

logger = logging.getLogger(__name__)
_TOLERATED_OUTSIDE = 0.05
"""Share of the annotated area that may stick out of the slide without a word."""
_AT_ONCE, _NEAR = 1024, 100
"""Polygons compared together, and others near each, on average, up to which they are compared."""
_CORNER_SHARE = 1 / 4
"""Share of both sides of a slide from its corner, in which outlines look as drawn at a coarser level."""


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
    def on_slide(
        cls,
        found: Mapping[Role, Sequence[shapely.Geometry]],
        frame: Frame,
        path: Path,
        *,
        usual: str,
        why: str,
    ) -> Self:
        """Put what a file holds in its place on the slide, and unite it.

        Args:
            found: outlines in the file's own coordinates.
            frame: the slide.
            path: the file.
            usual: from where its format counts.
            why: the reason, for the log.

        Raises:
            AnnotationError: everything lies outside the slide.
        """
        corner = frame.corner(usual, why, path)
        _tell_corner(found, frame, path)
        found = {role: _moved(distinct(outlines), corner) for role, outlines in found.items()}
        everything = list(chain(*found.values()))
        check_work(everything, path)
        check_place(everything, frame, path)
        tumor = united(cut_inside(found["tumor"], found["hole"], path), path)
        _tell_overlap(tumor, [*found["hole"], *found["normal"]], path)
        return cls(tumor, united(found["ignore"], path))

    def fractions(
        self, locations_N2: Locations, extent: float, kind: Measured = "tumor"
    ) -> NDArray[np.float64]:
        """See the base class."""
        return patch_fractions(self._rings[kind], locations_N2, extent)

    def outlines(self, kind: Measured = "tumor") -> tuple[NDArray[np.float64], ...]:
        """See the base class."""
        return self._rings[kind]


def united(outlines: Sequence[shapely.Geometry], path: Path) -> shapely.MultiPolygon:
    """The union of polygons.

    Raises:
        AnnotationError: the geometry library gives up on them.
    """
    with geometry_errors(path):
        polygons_N = np.array(distinct(outlines), dtype=object)
        alone_N = _alone(polygons_N)
        together = shapely.union_all(polygons_N[~alone_N])
        return shapely.MultiPolygon([*parts(polygons_N[alone_N]), *parts(together)])


def _alone(polygons_N: NDArray[np.object_]) -> NDArray[np.bool_]:
    """Which polygons meet no other, as far as that is cheaper to find than to unite them.

    Uniting is slow, and of many thousand cells few touch another; but where everything meets everything, so
    is finding it.
    """
    tree, alone_N = shapely.STRtree(polygons_N), np.zeros(len(polygons_N), np.bool_)
    pairs = 0
    for start in range(0, len(polygons_N), _AT_ONCE):
        some = polygons_N[start : start + _AT_ONCE]
        one_P, other_P = tree.query(some)
        pairs += len(one_P)
        if pairs > _NEAR * len(polygons_N):
            return np.zeros(len(polygons_N), np.bool_)
        meet_P = shapely.intersects(some[one_P], polygons_N[other_P])
        alone_N[start : start + _AT_ONCE] = np.bincount(one_P[meet_P], minlength=len(some)) == 1
    return alone_N


def check_place(outlines: Sequence[shapely.Geometry], frame: Frame, path: Path) -> None:
    """Compare where the outlines are with what was scanned; what sticks out is said in the log.

    Raises:
        AnnotationError: all of them are outside the slide.
    """
    if not outlines:
        logger.info("%s: no outline, so nothing is tumor", path.name)
        return
    x0, y0, x1, y1 = shapely.total_bounds(outlines)
    left, top, right, bottom = frame.region
    if x0 >= left and y0 >= top and x1 <= right and y1 <= bottom:
        return
    everything = united(outlines, path)
    size = frame.size
    if not shapely.area(shapely.intersection(everything, shapely.box(0, 0, size.width, size.height))):
        raise AnnotationError(
            has=f"{path.name} at x {x0:.0f} to {x1:.0f}, y {y0:.0f} to {y1:.0f}, wholly outside the slide",
            needs=f"level-0 pixels within {size.width} x {size.height}",
            do="check that the annotation belongs to this slide and is in pixels of level 0, not µm"
            + (", and from where it counts (`annotation_origin`)" if frame.moved else ""),
        )
    inside = shapely.area(shapely.intersection(everything, shapely.box(left, top, right, bottom)))
    outside = 1 - inside / shapely.area(everything)
    if outside > _TOLERATED_OUTSIDE:
        logger.warning(
            "%s: %.0f %% of the annotated area lies outside the %s%s",
            path.name,
            100 * outside,
            "slide" if frame.scanned is None else "scanned region",
            "; does it count from elsewhere (`annotation_origin`)?" if frame.moved else "",
        )


def tell_passed_over(passed: Counter[str], path: Path) -> None:
    """Say in the log what encloses no area and was therefore not used."""
    for what, count in passed.items():
        logger.warning("%s: passed over %d x %s, which encloses no area", path.name, count, what)


def _moved(outlines: Sequence[shapely.Geometry], corner: Location) -> list[shapely.Geometry]:
    if corner == Location(0, 0) or not outlines:
        return list(outlines)
    step_2 = np.array([corner.x, corner.y], np.float64)
    return list(shapely.transform(np.asarray(outlines, object), lambda points_M2: points_M2 + step_2))


def _tell_corner(found: Mapping[Role, Sequence[shapely.Geometry]], frame: Frame, path: Path) -> None:
    """Outlines of another level, or of a smaller copy of the slide, crowd into the upper left corner."""
    outlines = list(chain(*found.values()))
    if not outlines:
        return
    region = frame.scanned or frame.size
    _, _, right, bottom = shapely.total_bounds(outlines)
    if 0 < right <= region.width * _CORNER_SHARE and 0 < bottom <= region.height * _CORNER_SHARE:
        logger.warning(
            "%s: all outlines lie within %.0f x %.0f pixels of the corner of %d x %d: were they drawn at a "
            "coarser level, or on a smaller copy of the slide? Coordinates are pixels of level 0",
            path.name,
            right,
            bottom,
            region.width,
            region.height,
        )


def _tell_overlap(tumor: shapely.MultiPolygon, others: Sequence[shapely.Geometry], path: Path) -> None:
    if not others or tumor.is_empty:
        return
    count, area = shared_area(parts(tumor), others, path)
    if count:
        logger.warning(
            "%s: %d outlines of normal tissue have %.0f square pixels in common with tumor, which wins there",
            path.name,
            count,
            area,
        )


def _rings(geometry: shapely.Geometry) -> tuple[NDArray[np.float64], ...]:
    """Closed, oriented rings of all polygons: exteriors counter-clockwise, holes clockwise."""
    oriented = [shapely.orient_polygons(part) for part in parts(geometry)]
    return tuple(shapely.get_coordinates(ring) for ring in shapely.get_rings(oriented))
