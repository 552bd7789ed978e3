"""Behavior along a continuous attribute, the tissue fraction: no threshold and no groups decide it.

Per label, patches are binned by quantiles of the attribute. Bins depend on labels and attribute alone, so
every method is judged on the same ones.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.metrics.accuracy import GroupMetrics, checked_groups, group_metrics
from models.metrics.accuracy import patients_per_group as patients_per_bin
from models.metrics.slopes import finite_values, slope_statistics

N_BINS = 5
"""Quantile bins of a label."""


@dataclass(frozen=True)
class AttributeBins:
    """Bins of every label; bin numbers b run through the labels, label 0 first.

    Attributes:
        edges: of each of the K labels, ascending, one more than it has bins. A bin holds its lower edge;
            the last one of a label holds its upper edge too.
    """

    edges: tuple[NDArray[np.float64], ...]

    @property
    def places(self) -> tuple[tuple[int, float, float], ...]:
        """Label, lower and upper edge of every bin, [B]."""
        return tuple(
            (label, low, high)
            for label, edges in enumerate(self.edges)
            for low, high in pairwise(edges.tolist())
        )

    def of_label(self, label: int) -> range:
        """Numbers of a label's bins, in ascending order of the attribute."""
        first = sum(len(edges) - 1 for edges in self.edges[:label])
        return range(first, first + len(self.edges[label]) - 1)

    def __len__(self) -> int:
        return sum(len(edges) - 1 for edges in self.edges)

    def numbers(self, label: ArrayLike, value: ArrayLike) -> NDArray[np.int64]:
        """Bin of every patch, [N]; values beyond the outer edges belong to the outer bins.

        Raises:
            GroupError: labels outside 0..K-1, arrays of different length, or values that are not finite.
        """
        value_N = finite_values(value)
        label_N = checked_groups(label, len(self.edges), value_N)
        number_N = np.zeros(len(label_N), dtype=np.int64)
        for y, edges in enumerate(self.edges):
            own_N, first = label_N == y, self.of_label(y).start
            number_N[own_N] = first + np.searchsorted(edges[1:-1], value_N[own_N], side="right")
        return number_N


def attribute_bins(
    label: ArrayLike, value: ArrayLike, n_classes: int, *, n_bins: int = N_BINS
) -> AttributeBins:
    """Quantile bins of every label's patches; fewer where values tie, one of 0 to 1 for a label without any.

    >>> attribute_bins([0, 0, 0, 1, 1], [0.1, 0.2, 0.4, 0.5, 0.5], 2, n_bins=2).places
    ((0, 0.1, 0.2), (0, 0.2, 0.4), (1, 0.5, 0.5))

    Raises:
        GroupError: as `AttributeBins.numbers`.
    """
    value_N = finite_values(value)
    label_N = checked_groups(label, n_classes, value_N)
    return AttributeBins(tuple(_edges(value_N[label_N == y], n_bins) for y in range(n_classes)))


@dataclass(frozen=True)
class AttributeCurve:
    """One method's accuracy along the attribute.

    Attributes:
        bins: the quantile bins.
        metrics: of the bins as groups: accuracy_G and its like are [B]; `wga` is the worst bin's accuracy.
        patients_B: patients of every bin.
        slope_K: per label the least-squares slope of being right on the attribute, in accuracy per unit;
            0 for a method that does not use it. NaN where too few, or where the attribute does not vary.
        area_K: per label the mean accuracy over its bins, which is the area under accuracy against the
            quantile of the attribute; NaN unless every bin is estimable.
    """

    bins: AttributeBins
    metrics: GroupMetrics
    patients_B: NDArray[np.int64]
    slope_K: NDArray[np.float64]
    area_K: NDArray[np.float64]

    @property
    def worst_bin(self) -> int | None:
        """Number of the estimable bin of the lowest accuracy; the first of equals."""
        if not self.metrics.estimable_G.any():
            return None
        return int(np.nanargmin(self.metrics.accuracy_G))


def attribute_curve(
    label: ArrayLike,
    prediction: ArrayLike,
    value: ArrayLike,
    n_classes: int,
    *,
    patient: ArrayLike,
    n_bins: int = N_BINS,
    minimum_patches: int = 1,
    minimum_patients: int = 1,
) -> AttributeCurve:
    """Accuracy of N patches along an attribute.

    Args:
        label, prediction: true and predicted class, [N].
        value: the attribute of every patch, [N]; finite.
        n_classes: how many classes there are.
        patient: patient of every patch, [N].
        n_bins: quantile bins of a label.
        minimum_patches, minimum_patients: a bin, and for the slope a label, with fewer is not estimable.

    Raises:
        GroupError: arrays that do not fit, or values that are not finite.
    """
    bins = attribute_bins(label, value, n_classes, n_bins=n_bins)
    bin_N = bins.numbers(label, value)
    minimum = {"minimum_patches": minimum_patches, "minimum_patients": minimum_patients}
    metrics = group_metrics(label, prediction, bin_N, len(bins), patient=patient, **minimum)
    slopes = slope_statistics(label, prediction, value, patient, n_classes, **minimum)
    return AttributeCurve(
        bins=bins,
        metrics=metrics,
        patients_B=patients_per_bin(bin_N, len(bins), patient),
        slope_K=slopes.metrics(np.ones((1, len(slopes.patients))))[0, 0],
        area_K=np.array([metrics.accuracy_G[bins.of_label(y)].mean() for y in range(n_classes)]),
    )


def _edges(value_N: NDArray[np.float64], n_bins: int) -> NDArray[np.float64]:
    if not value_N.size:
        return np.array([0.0, 1.0])
    edges = np.unique(np.quantile(value_N, np.linspace(0, 1, n_bins + 1)))
    return edges if len(edges) > 1 else np.repeat(edges, 2)
