"""How often an outline meets itself: the work that its repair takes grows with the square of that."""

import numpy as np
import shapely

_AT_ONCE = 256
"""Edges compared together: bounds memory where every edge meets every other."""


def crossings(polygon: shapely.Polygon, limit: int) -> int:
    """Pairs of edges that meet other than as neighbors, counted until there are more than `limit`."""
    corners_M2, ring_M = shapely.get_coordinates(shapely.get_rings(polygon), return_index=True)
    inside_ring = ring_M[1:] == ring_M[:-1]
    edges = shapely.linestrings(np.stack([corners_M2[:-1], corners_M2[1:]], axis=1)[inside_ring])
    tree, met = shapely.STRtree(edges), 0
    for start in range(0, len(edges), _AT_ONCE):
        some = edges[start : start + _AT_ONCE]
        # An edge meets itself and its two neighbors.
        met += tree.query(some, predicate="intersects").shape[1] - 3 * len(some)
        if met > 2 * limit:
            break
    return max(met, 0) // 2
