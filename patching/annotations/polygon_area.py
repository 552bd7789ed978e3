"""Exact area of polygons in the cells of a rectilinear grid, without rasterizing."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def cell_areas(rings: Sequence[Floats], x_edges: Floats, y_edges: Floats) -> Floats:
    """Area that oriented rings enclose in every cell, float64 [rows, columns].

    By Green's theorem the area is a sum over boundary segments, as in scan-line font rendering with
    exact coverage: cut every segment at the grid's lines, so that each piece lies in one cell; a piece
    that spans dy covers, with its sign, everything to its right in its row.

    Args:
        rings: closed [M, 2] outlines (x, y), exteriors counter-clockwise and holes clockwise in
            a plane with y upwards, as `shapely.orient_polygons` gives them.
        x_edges: increasing cell borders [columns + 1].
        y_edges: increasing cell borders [rows + 1].
    """
    rows, columns = len(y_edges) - 1, len(x_edges) - 1
    if not rings:
        return np.zeros((rows, columns))
    start = np.concatenate([ring[:-1] for ring in rings])
    stop = np.concatenate([ring[1:] for ring in rings])
    a, b = _pieces(start, stop, x_edges, y_edges)
    x, y = (a + b).T / 2
    inside = (y > y_edges[0]) & (y < y_edges[-1])
    dy, x, y = (a - b)[inside, 1], np.clip(x[inside], x_edges[0], x_edges[-1]), y[inside]
    row = np.searchsorted(y_edges, y, "right") - 1
    column = np.clip(np.searchsorted(x_edges, x, "right") - 1, 0, columns - 1)
    cell = row * columns + column
    own = np.bincount(cell, dy * (x_edges[column + 1] - x), rows * columns).reshape(rows, columns)
    span = np.bincount(cell, dy, rows * columns).reshape(rows, columns)
    left = np.cumsum(span, axis=1) - span
    area: Floats = own + left * np.diff(x_edges)
    return area


def _pieces(start: Floats, stop: Floats, x_edges: Floats, y_edges: Floats) -> tuple[Floats, Floats]:
    """Cut segments at all grid lines; both ends of every piece, [P, 2] each."""
    everyone = np.arange(len(start))
    cuts = [(everyone, np.zeros(len(start))), (everyone, np.ones(len(start)))]
    cuts += [_crossings(start[:, axis], stop[:, axis], e) for axis, e in enumerate((x_edges, y_edges))]
    segment = np.concatenate([cut[0] for cut in cuts])
    t = np.concatenate([cut[1] for cut in cuts])
    order = np.lexsort((t, segment))
    segment, t = segment[order], t[order, None]
    point = start[segment] * (1 - t) + stop[segment] * t
    same = segment[1:] == segment[:-1]
    return point[:-1][same], point[1:][same]


def _crossings(start: Floats, stop: Floats, edges: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Segment number and parameter in 0..1 of every crossing with the lines `edges` of one axis."""
    first = np.searchsorted(edges, np.minimum(start, stop), "right")
    count = np.maximum(np.searchsorted(edges, np.maximum(start, stop), "left") - first, 0)
    segment = np.repeat(np.arange(len(start)), count)
    rank = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    line = edges[first[segment] + rank]
    return segment, (line - start[segment]) / (stop[segment] - start[segment])


def patch_fractions(
    rings: Sequence[Floats], locations_N2: NDArray[np.int64] | Floats, extent: float
) -> Floats:
    """Share of each square patch that the rings enclose, float64 [N], exact for any stride.

    The grid's lines are the patches' own borders, so every patch is a whole number of cells.
    """
    if not len(locations_N2):
        return np.zeros(0)
    edges = [np.unique(np.concatenate([a, a + extent])).astype(np.float64) for a in locations_N2.T]
    area = cell_areas(rings, *edges)
    table = np.zeros((area.shape[0] + 1, area.shape[1] + 1))
    area.cumsum(0).cumsum(1, out=table[1:, 1:])
    (x0, y0), (x1, y1) = (
        [np.searchsorted(e, corner_N2[:, axis]) for axis, e in enumerate(edges)]
        for corner_N2 in (locations_N2, locations_N2 + extent)
    )
    covered = table[y1, x1] - table[y0, x1] - table[y1, x0] + table[y0, x0]
    # Rounding leaves -0.0, which tables would show.
    return np.clip(np.round(covered / float(extent) ** 2, 9), 0.0, 1.0) + 0.0
