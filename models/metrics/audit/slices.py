"""The worst intersections: patches of a label in one bin of one attribute and one of another."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.metrics.audit.bins import NONE, estimable_bins
from models.metrics.spread import shares_of
from models.metrics.worst_group import group_ends

_ALIKE = 0.5
"""Shared part (Jaccard) of two slices' patches from which on the second tells what the first did."""
_LOOKED_AT = 50


class Place(NamedTuple):
    """Which patches: of a label, in these bins of two attributes, by their numbers."""

    label: int
    attributes: tuple[int, int]
    bins: tuple[int, int]


@dataclass(frozen=True)
class Slice:
    """An intersection.

    Attributes:
        accuracy, low, high: with the interval over patients of this slice alone.
        surely: upper end of the interval that holds for all slices looked at together (Bonferroni); it orders
            them and is no verdict where the attributes were chosen by the same errors.
        elsewhere: accuracy of all other patches of the label.
    """

    place: Place
    accuracy: float
    low: float
    high: float
    surely: float
    patches: int
    patients: int
    elsewhere: float


def worst_slices(
    correct_N: NDArray[np.bool_],
    label_N: NDArray[np.int64],
    patient_N: NDArray[np.int64],
    bins_A: Sequence[NDArray[np.int64]],
    *,
    most: int,
    level: float,
    minimum_patches: int,
    minimum_patients: int,
) -> tuple[tuple[Slice, ...], int]:
    """The slices that are most surely bad, and how many were looked at.

    All pairs of attributes' bins within a label, with enough patches and patients. Slices are taken in the
    order of the upper ends that hold for all together, not of their accuracies: the lowest of many small ones
    is low by chance. What shares half of its patches with one
    taken before is passed over, and so is what is not below its label's other patches.

    Args:
        correct_N: whether every patch is classified correctly.
        label_N: 0 or 1.
        patient_N: number of its patient, from 0 on.
        bins_A: bins of every attribute, [N] each; NONE where a patch has no value.
        most: slices at most.
        level: of the intervals.
    """
    minimums = {"minimum_patches": minimum_patches, "minimum_patients": minimum_patients}
    tables = [
        _table(correct_N, label_N, patient_N, pair, (bins_A[pair[0]], bins_A[pair[1]]), minimums)
        for pair in combinations(range(len(bins_A)), 2)
    ]
    looked_at = sum(len(table.places) for table in tables)
    if not looked_at:
        return (), 0
    found = [each for table in tables for each in table.slices((1 - level) / 2, looked_at)]
    found = [each for each in found if each.accuracy < each.elsewhere]
    found.sort(key=lambda each: (each.surely, each.accuracy, each.place))
    taken: list[tuple[Slice, NDArray[np.bool_]]] = []
    for each in found[:_LOOKED_AT]:
        (first, second), (one, other) = each.place.attributes, each.place.bins
        own_N = (label_N == each.place.label) & (bins_A[first] == one) & (bins_A[second] == other)
        if all((own_N & known_N).sum() < _ALIKE * (own_N | known_N).sum() for _, known_N in taken):
            taken.append((each, own_N))
        if len(taken) == most:
            break
    return tuple(each for each, _ in taken), looked_at


@dataclass(frozen=True)
class _Table:
    """Sums over patients of a pair of attributes' cells."""

    places: list[Place]
    correct_PX: NDArray[np.float64]
    count_PX: NDArray[np.float64]
    of_label: NDArray[np.float64]

    def slices(self, tail: float, looked_at: int) -> list[Slice]:
        shares = shares_of(self.correct_PX[:, None], self.count_PX[:, None], np.ones(len(self.places), bool))
        low_X, high_X = group_ends(shares, tail, training=False)
        _, surely_X = group_ends(shares, tail / looked_at, training=False)
        correct_X, count_X = self.correct_PX.sum(axis=0), self.count_PX.sum(axis=0)
        found = []
        for x, place in enumerate(self.places):
            correct, count = self.of_label[place.label]
            rest = count - count_X[x]
            found.append(
                Slice(
                    place,
                    float(correct_X[x] / count_X[x]),
                    float(low_X[x]),
                    float(high_X[x]),
                    float(surely_X[x]),
                    int(count_X[x]),
                    int((self.count_PX[:, x] > 0).sum()),
                    float((correct - correct_X[x]) / rest) if rest else np.nan,
                )
            )
        return found


def _table(
    correct_N: NDArray[np.bool_],
    label_N: NDArray[np.int64],
    patient_N: NDArray[np.int64],
    attributes: tuple[int, int],
    bins: tuple[NDArray[np.int64], NDArray[np.int64]],
    minimums: dict[str, int],
) -> _Table:
    n_first, n_second = (int(bin_N.max(initial=0)) + 1 for bin_N in bins)
    n_cells, n_patients = 2 * n_first * n_second, int(patient_N.max(initial=-1)) + 1
    cell_N = (label_N * n_first + bins[0]) * n_second + bins[1]
    cell_N = np.where((bins[0] == NONE) | (bins[1] == NONE), NONE, cell_N)
    chosen_X = np.flatnonzero(estimable_bins(cell_N, n_cells, patient_N, **minimums))
    known = cell_N != NONE
    place_N = patient_N[known] * n_cells + cell_N[known]
    count_PX, correct_PX = (
        np.bincount(place_N, weights=weight_N, minlength=n_patients * n_cells).reshape(n_patients, n_cells)[
            :, chosen_X
        ]
        for weight_N in (None, correct_N[known].astype(np.float64))
    )
    labels = [(correct_N[label_N == y].sum(), (label_N == y).sum()) for y in (0, 1)]
    return _Table(
        [
            Place(
                int(x) // (n_first * n_second),
                attributes,
                (int(x) // n_second % n_first, int(x) % n_second),
            )
            for x in chosen_X
        ],
        correct_PX.astype(np.float64),
        count_PX.astype(np.float64),
        np.array(labels, dtype=np.float64),
    )
