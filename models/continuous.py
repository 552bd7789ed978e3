"""Behavior along a continuous attribute, the tissue fraction: no threshold and no groups decide it.

Per label, patches are binned by quantiles of the attribute. Bins depend on labels and attribute alone, so
every method is judged on the same ones.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.metrics import GroupMetrics, checked_groups, estimable_groups, group_metrics, ratio
from models.metrics import patients_per_group as patients_per_bin
from patching.errors import GroupError

N_BINS = 5
"""Quantile bins of a label."""
_SMALLEST_VARIANCE = 1e-9


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

    def __len__(self) -> int:
        return sum(len(edges) - 1 for edges in self.edges)

    def numbers(self, label: ArrayLike, value: ArrayLike) -> NDArray[np.int64]:
        """Bin of every patch, [N]; values beyond the outer edges belong to the outer bins.

        Raises:
            GroupError: labels outside 0..K-1, arrays of different length, or values that are not finite.
        """
        value_N = _finite(value)
        label_N = checked_groups(label, len(self.edges), value_N)
        number_N = np.zeros(len(label_N), dtype=np.int64)
        first = 0
        for y, edges in enumerate(self.edges):
            own_N = label_N == y
            number_N[own_N] = first + np.searchsorted(edges[1:-1], value_N[own_N], side="right")
            first += len(edges) - 1
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
    value_N = _finite(value)
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
    label_B = np.array([place[0] for place in bins.places])
    return AttributeCurve(
        bins=bins,
        metrics=metrics,
        patients_B=patients_per_bin(bin_N, len(bins), patient),
        slope_K=slopes.metrics(np.ones((1, len(slopes.patients))))[0, 0],
        area_K=np.array([metrics.accuracy_G[label_B == y].mean() for y in range(n_classes)]),
    )


@dataclass(frozen=True)
class SlopeStatistics:
    """Per-patient sums of P patients, R repeats (seeds) and K labels, for a bootstrap of the slopes.

    Attributes:
        patients: identifiers, ascending.
        sums_PRK5: of 1, x, x², c and x·c over the tested patches; x the attribute, c whether right.
        estimable_G: labels with the minimum of patches and patients, [K].
    """

    patients: tuple[str, ...]
    sums_PRK5: NDArray[np.float64]
    estimable_G: NDArray[np.bool_]

    @property
    def count_PRG(self) -> NDArray[np.float64]:
        """Tested patches of every label."""
        counts: NDArray[np.float64] = self.sums_PRK5[..., 0]
        return counts

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the metrics in the order of `metrics`."""
        return tuple(f"slope_{y}" for y in range(len(self.estimable_G)))

    def metrics(self, weights_DP: NDArray[np.float64], /) -> NDArray[np.float64]:
        """Slope of every draw, repeat and label, [D, R, K]; NaN where undefined.

        Args:
            weights_DP: how often every patient is in a draw.
        """
        n, x, xx, c, xc = np.moveaxis(np.tensordot(weights_DP, self.sums_PRK5, axes=1), -1, 0)
        spread = n * xx - x * x
        # An attribute that does not vary leaves rounding errors here, and no slope.
        spread = np.where(spread > _SMALLEST_VARIANCE * n * n, spread, 0)
        return np.where(self.estimable_G, ratio(n * xc - x * c, spread), np.nan)


def slope_statistics(
    label: ArrayLike,
    prediction: ArrayLike,
    value: ArrayLike,
    patient: ArrayLike,
    n_classes: int,
    *,
    minimum_patches: int = 1,
    minimum_patients: int = 2,
) -> SlopeStatistics:
    """Sums per patient of N patches, predicted once or in R repeats.

    Args:
        label: true class of every patch, [N].
        prediction: predicted class, [N] or [R, N]; -1 where a repeat did not test the patch.
        value: the attribute of every patch, [N]; finite.
        patient: patient of every patch, [N].
        n_classes: how many classes there are.
        minimum_patches, minimum_patients: a label with fewer is not estimable.

    Raises:
        GroupError: arrays that do not fit, or values that are not finite.
    """
    prediction_RN, value_N = np.atleast_2d(np.asarray(prediction)), _finite(value)
    names_P, patient_N = np.unique(np.asarray(patient).astype(str), return_inverse=True)
    label_N = checked_groups(label, n_classes, prediction_RN, value_N, patient_N)
    # Counted from the middle of the values, the sums lose no digits; a slope does not see it.
    x_N = value_N - (value_N.mean() if value_N.size else 0)
    shape = (len(names_P), n_classes)
    cell_N = patient_N * n_classes + label_N
    tables = [
        [
            np.bincount(cell_N, weights=part_N * tested_N, minlength=shape[0] * shape[1]).reshape(shape)
            for right_N in [(row_N == label_N).astype(np.float64)]
            for part_N in (np.ones_like(x_N), x_N, x_N**2, right_N, x_N * right_N)
        ]
        for row_N, tested_N in zip(prediction_RN, prediction_RN >= 0, strict=True)
    ]
    seen_N = (prediction_RN >= 0).any(axis=0)
    return SlopeStatistics(
        patients=tuple(names_P.tolist()),
        sums_PRK5=np.moveaxis(np.array(tables), (0, 1), (1, 3)),
        estimable_G=estimable_groups(
            label_N[seen_N],
            n_classes,
            patient=patient_N[seen_N],
            minimum_patches=minimum_patches,
            minimum_patients=minimum_patients,
        ),
    )


def _edges(value_N: NDArray[np.float64], n_bins: int) -> NDArray[np.float64]:
    if not value_N.size:
        return np.array([0.0, 1.0])
    edges = np.unique(np.quantile(value_N, np.linspace(0, 1, n_bins + 1)))
    return edges if len(edges) > 1 else np.repeat(edges, 2)


def _finite(value: ArrayLike) -> NDArray[np.float64]:
    value_N = np.asarray(value, dtype=np.float64)
    if not np.isfinite(value_N).all():
        raise GroupError(
            has=f"{int((~np.isfinite(value_N)).sum())} of {value_N.size} values that are not finite",
            needs="the tissue fraction of every patch",
            do="leave these figures out where a cohort has no tissue fraction",
        )
    return value_N
