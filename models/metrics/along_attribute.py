"""Behavior along an attribute that is a share, the tissue fraction: no threshold and no groups decide it.

Bins have one width, whatever the label, the method, the threshold or the cohort: a failure where there are
few patches is not averaged away, as it is in bins of equal counts, and figures of several cohorts are of the
same tissue. What too few patches or patients stand behind is not estimable, and its count is told.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.metrics.accuracy import checked_groups
from models.metrics.intervals import Interval, PatientSums, bootstrap, patient_statistics
from models.metrics.slopes import finite_values, slope_statistics
from patching.errors import GroupError

N_BINS = 10
"""Bins from 0 to 1, each 0.1 wide."""
_ROUNDING = 1e-6
"""How far a share may lie outside 0 to 1: those of single precision do."""


@dataclass(frozen=True)
class AttributeBins:
    """Bins of one width from 0 to 1, of every label; bin numbers b run through the labels, label 0 first.

    A bin holds its lower edge; the last one of a label holds 1 too.
    """

    n_classes: int
    n_bins: int = N_BINS

    @property
    def edges(self) -> NDArray[np.float64]:
        """Of every label's bins, ascending, one more than these."""
        # Quotients, so that 0.3 is the number that one writes, and in the bin that it begins.
        edges: NDArray[np.float64] = np.arange(self.n_bins + 1) / self.n_bins
        return edges

    @property
    def places(self) -> tuple[tuple[int, float, float], ...]:
        """Label, lower and upper edge of every bin, [B]."""
        ranges = tuple(pairwise(self.edges.tolist()))
        return tuple((label, low, high) for label in range(self.n_classes) for low, high in ranges)

    def of_label(self, label: int) -> range:
        """Numbers of a label's bins, in ascending order of the attribute."""
        return range(label * self.n_bins, (label + 1) * self.n_bins)

    def __len__(self) -> int:
        return self.n_classes * self.n_bins

    def numbers(self, label: ArrayLike, value: ArrayLike) -> NDArray[np.int64]:
        """Bin of every patch, [N].

        >>> AttributeBins(2).numbers([0, 0, 1], [0.05, 0.3, 1.0]).tolist()
        [0, 3, 19]

        Raises:
            GroupError: labels outside 0..K-1, arrays of different length, or values that are no shares.
        """
        value_N = _shares(value)
        label_N = checked_groups(label, self.n_classes, value_N)
        return label_N * self.n_bins + np.searchsorted(self.edges[1:-1], value_N, side="right")


@dataclass(frozen=True)
class AttributeCurve:
    """One method's accuracy along the attribute, with intervals over patients.

    Attributes:
        bins: of every label.
        interval_B: accuracy of every bin, with intervals that hold for all estimable bins together; NaN where
            a bin is not estimable.
        correct_B, count_B: correct and all patches of every bin, also where it is not estimable; means over
            the repeats.
        patients_B: patients of every bin.
        slope_K: per label the least-squares slope of being right on the attribute, in accuracy per unit;
            0 for a method that does not use it. NaN where too few, or where the attribute does not vary.
    """

    bins: AttributeBins
    interval_B: tuple[Interval, ...]
    correct_B: NDArray[np.float64]
    count_B: NDArray[np.float64]
    patients_B: NDArray[np.int64]
    slope_K: NDArray[np.float64]

    @property
    def accuracy_B(self) -> NDArray[np.float64]:
        """Share of correct patches of every bin; NaN where not estimable."""
        return np.array([interval.estimate for interval in self.interval_B])

    @property
    def estimable_B(self) -> NDArray[np.bool_]:
        """Whether a bin has the minimum of patches and patients."""
        return np.isfinite(self.accuracy_B)

    @property
    def worst_bin(self) -> int | None:
        """Number of the estimable bin of the lowest accuracy, of any label; the first of equals."""
        return int(np.nanargmin(self.accuracy_B)) if self.estimable_B.any() else None

    @property
    def mean_K(self) -> NDArray[np.float64]:
        """Per label the mean accuracy of its estimable bins: each tenth of the attribute that can be judged
        counts the same, however many patches it has. NaN where a label has none."""
        of_label = [self.accuracy_B[self.bins.of_label(y)] for y in range(self.bins.n_classes)]
        known = [accuracy[np.isfinite(accuracy)] for accuracy in of_label]
        return np.array([accuracy.mean() if accuracy.size else np.nan for accuracy in known])


def attribute_curve(
    label: ArrayLike,
    prediction: ArrayLike,
    value: ArrayLike,
    n_classes: int,
    *,
    patient: ArrayLike,
    n_bins: int = N_BINS,
    minimum_patches: int = 1,
    minimum_patients: int = 2,
    n_draws: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> AttributeCurve:
    """Accuracy of N patches along an attribute, predicted once or in R repeats.

    Args:
        label: true class of every patch, [N].
        prediction: predicted class, [N] or [R, N]; -1 where a repeat did not test the patch.
        value: the attribute of every patch, [N]; a share, 0 to 1.
        n_classes: how many classes there are.
        patient: patient of every patch, [N].
        n_bins: of every label.
        minimum_patches, minimum_patients: a bin, and for the slope a label, with fewer is not estimable.
        n_draws, level, seed: of the intervals, see `models.metrics.intervals.bootstrap`.

    Raises:
        GroupError: arrays that do not fit, or values that are no shares.
    """
    bins = AttributeBins(n_classes, n_bins)
    minimum = {"minimum_patches": minimum_patches, "minimum_patients": minimum_patients}
    statistics = patient_statistics(
        label, prediction, bins.numbers(label, value), patient, len(bins), **minimum
    )
    found = bootstrap(statistics, n_draws=n_draws, level=level, seed=seed)
    slopes = slope_statistics(label, prediction, value, patient, n_classes, **minimum)
    count_B, patients_B = sizes_of(statistics)
    return AttributeCurve(
        bins=bins,
        interval_B=tuple(found[f"group_{b}"] for b in range(len(bins))),
        correct_B=statistics.correct_PRG.sum(axis=0).mean(axis=0),
        count_B=count_B,
        patients_B=patients_B,
        slope_K=slopes.metrics(np.ones((1, len(slopes.patients))))[0].mean(axis=0),
    )


def sizes_of(statistics: PatientSums) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Patches of every group or bin, a mean over the repeats, and patients that hold some; both [G]."""
    count_PRG = statistics.count_PRG
    return count_PRG.sum(axis=0).mean(axis=0), (count_PRG > 0).any(axis=1).sum(axis=0)


def _shares(value: ArrayLike) -> NDArray[np.float64]:
    value_N = finite_values(value)
    if value_N.size and (value_N.min() < -_ROUNDING or value_N.max() > 1 + _ROUNDING):
        raise GroupError(
            has=f"values from {value_N.min():g} to {value_N.max():g}",
            needs="shares from 0 to 1, as the tissue fraction is",
            do="divide percentages by 100",
        )
    return value_N
