"""How often outlines meet: the work that their repair takes, which grows with the square of their edges."""

import math
from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray

_AT_ONCE = 256
"""Edges compared together: bounds memory where every edge meets every other."""


def crossings(polygon: shapely.Polygon, limit: int) -> int:
    """Pairs of edges that meet other than as neighbors, counted until there are more than `limit`."""
    edges = _edges([polygon])
    tree, met = shapely.STRtree(edges), 0
    for start in range(0, len(edges), _AT_ONCE):
        some = edges[start : start + _AT_ONCE]
        # An edge meets itself and its two neighbors.
        met += tree.query(some, predicate="intersects").shape[1] - 3 * len(some)
        if met > 2 * limit:
            break
    return max(met, 0) // 2


def meetings(polygons: Sequence[shapely.Geometry], limit: int) -> int:
    """Pairs of edges of valid polygons that cross between their ends, counted until more than `limit`."""
    edges = _edges(polygons)
    tree, met = shapely.STRtree(edges), 0
    for start in range(0, len(edges), _AT_ONCE):
        met += tree.query(edges[start : start + _AT_ONCE], predicate="crosses").shape[1]
        if met > 2 * limit:
            break
    return met // 2


def entangled(outlines: Sequence[shapely.Geometry], limit: int) -> bool:
    """Whether polygons cross each other more than so often, of those long enough for any two to do so."""
    polygons_N = np.asarray(outlines, object)
    long_N = polygons_N[shapely.get_num_coordinates(polygons_N) > math.isqrt(limit)]
    return len(long_N) > 1 and meetings(list(long_N), limit) > limit


def _edges(polygons: Sequence[shapely.Geometry]) -> NDArray[np.object_]:
    corners_M2, ring_M = shapely.get_coordinates(shapely.get_rings(polygons), return_index=True)
    inside_ring = ring_M[1:] == ring_M[:-1]
    edges: NDArray[np.object_] = shapely.linestrings(
        np.stack([corners_M2[:-1], corners_M2[1:]], axis=1)[inside_ring]
    )
    return edges
