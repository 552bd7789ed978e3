"""The slope of accuracy on a continuous attribute, per label, from sums per patient."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.metrics.accuracy import checked_groups, estimable_groups, ratio
from patching.errors import GroupError

_SMALLEST_VARIANCE = 1e-9


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
    prediction_RN, value_N = np.atleast_2d(np.asarray(prediction)), finite_values(value)
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


def finite_values(value: ArrayLike) -> NDArray[np.float64]:
    """An attribute as float64.

    Raises:
        GroupError: a value is not finite.
    """
    value_N = np.asarray(value, dtype=np.float64)
    if not np.isfinite(value_N).all():
        raise GroupError(
            has=f"{int((~np.isfinite(value_N)).sum())} of {value_N.size} values that are not finite",
            needs="the tissue fraction of every patch",
            do="leave these figures out where a cohort has no tissue fraction",
        )
    return value_N
