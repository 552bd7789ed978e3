"""Regions: patches of a grid that touch each other."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree


def touching_regions(locations_N2: NDArray[np.int64], reach: float) -> NDArray[np.int64]:
    """Number of the region of every patch, [N], from 0 in the order of first appearance.

    Two patches are of one region where both of their coordinates differ by at most `reach`: side by side,
    overlapping, or corner to corner on a grid whose step is no longer; and where a chain of such patches
    joins them.

    >>> touching_regions(np.array([[0, 0], [16, 16], [48, 0]]), 16).tolist()
    [0, 0, 1]
    """
    n = len(locations_N2)
    if not n:
        return np.empty(0, np.int64)
    pairs_M2 = cKDTree(locations_N2).query_pairs(reach, p=np.inf, output_type="ndarray")
    ones = np.ones(len(pairs_M2), bool)
    _, region_N = connected_components(coo_array((ones, pairs_M2.T), shape=(n, n)), directed=False)
    _, first, place_N = np.unique(region_N, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first))
    return order[place_N].astype(np.int64)
