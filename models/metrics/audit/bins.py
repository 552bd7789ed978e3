"""Values of an attribute as few bins: a number's quantiles, a category's values."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

NONE = -1
"""In place of a bin: the patch has no value, or its bin is too small to judge."""


def quantile_edges(value: ArrayLike, n_bins: int) -> NDArray[np.float64]:
    """Inner edges of bins of about equally many values, [at most n_bins - 1], ascending.

    Equal edges are one, so that a value that most patches share is in one bin: it lies below its edge.

    >>> quantile_edges([0, 0, 0, 1, 2, 3, 4, 5], 4).tolist()
    [0.0, 1.5, 3.25]
    >>> quantile_edges([7, 7, 7], 4).tolist()
    []
    """
    value_N = np.asarray(value, dtype=np.float64)
    finite_N = value_N[np.isfinite(value_N)]
    if not finite_N.size:
        return np.empty(0)
    edges = np.unique(np.quantile(finite_N, np.arange(1, n_bins) / n_bins))
    inner: NDArray[np.float64] = edges[edges < finite_N.max()]
    return inner


def quantile_bins(value: ArrayLike, edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """Bin of every value, [N]; a bin holds its upper edge. NONE where the value is not finite.

    >>> quantile_bins([0, 1, 1.5, 9, np.nan], np.array([0.0, 1.5])).tolist()
    [0, 1, 1, 2, -1]
    """
    value_N = np.asarray(value, dtype=np.float64)
    bin_N = np.searchsorted(edges, np.nan_to_num(value_N), side="left")
    return np.where(np.isfinite(value_N), bin_N, NONE).astype(np.int64)


def category_bins(value: ArrayLike, numbers: Mapping[str, int]) -> NDArray[np.int64]:
    """Bin of every value by its text, [N]; NONE where it has none."""
    names_V, place_N = np.unique(np.asarray(value, dtype=str), return_inverse=True)
    number_V = np.array([numbers.get(str(name), NONE) for name in names_V], dtype=np.int64)
    return number_V[place_N]


def estimable_bins(
    bin_N: NDArray[np.int64],
    n_bins: int,
    patient_N: NDArray[np.int64],
    *,
    minimum_patches: int,
    minimum_patients: int,
) -> NDArray[np.bool_]:
    """Whether a bin has the minimum of patches and of patients, [B].

    Args:
        patient_N: number of every patch's patient, 0 to P - 1.
    """
    known = bin_N != NONE
    count_B = np.bincount(bin_N[known], minlength=n_bins)
    n_patients = int(patient_N.max(initial=-1)) + 1
    cells = np.bincount(patient_N[known] * n_bins + bin_N[known], minlength=n_patients * n_bins)
    patients_B = (cells.reshape(n_patients, n_bins) > 0).sum(axis=0)
    enough_B: NDArray[np.bool_] = count_B >= max(minimum_patches, 1)
    enough_B &= patients_B >= max(minimum_patients, 1)
    return enough_B
