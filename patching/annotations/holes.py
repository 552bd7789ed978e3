"""Holes that are outlines of their own: negative regions, and outlines of normal tissue inside tumor."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import shapely

from patching.annotations.rings import geometry_errors, parts


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
    alone, among = among is None, regions if among is None else among
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
    """Regions less those holes that lie wholly inside them and are smaller."""
    tree = shapely.STRtree(holes)
    left = []
    with geometry_errors(path):
        for region in regions:
            inner = [holes[i] for i in tree.query(region, predicate="covers")]
            inner = [hole for hole in inner if shapely.area(hole) < shapely.area(region)]
            left.append(shapely.difference(region, shapely.union_all(inner)) if inner else region)
    return [*parts(left)]


def shared_area(
    regions: Sequence[shapely.Geometry], others: Sequence[shapely.Geometry], path: Path
) -> tuple[int, float]:
    """How many of the others have area in common with disjoint regions, and how much, in square pixels."""
    with geometry_errors(path):
        one_P, other_P = shapely.STRtree(others).query(np.asarray(regions, object), predicate="intersects")
        common_P = shapely.area(
            shapely.intersection(np.asarray(regions, object)[one_P], np.asarray(others, object)[other_P])
        )
    return len(np.unique(other_P[common_P > 1])), float(common_P.sum())
