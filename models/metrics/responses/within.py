"""Means and slopes of a prediction over the steps of an intervention, from sums per patient.

The slope is that of a least-squares fit with a level of its own for every patch (fixed effects): x and y
are counted from the patch's means, so that what patches differ in has no say.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.metrics.accuracy import checked_groups, estimable_groups, ratio
from models.metrics.slopes import SlopeStatistics, finite_values


@dataclass(frozen=True)
class MeanStatistics:
    """Per-patient sums of P patients, R repeats and G parts, for a bootstrap of the parts' means.

    Attributes:
        sums_PRG, count_PRG: of a value that is a share, 0 to 1, and of the rows it is of.
        estimable_G: parts with the minimum of patches and patients.
    """

    patients: tuple[str, ...]
    sums_PRG: NDArray[np.float64]
    count_PRG: NDArray[np.float64]
    estimable_G: NDArray[np.bool_]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the metrics in the order of `metrics`."""
        return tuple(f"mean_{g}" for g in range(len(self.estimable_G)))

    def metrics(self, weights_DP: NDArray[np.float64], /) -> NDArray[np.float64]:
        """Mean of every draw, repeat and part, [D, R, G]; NaN where undefined.

        Args:
            weights_DP: how often every patient is in a draw.
        """
        sums_DRG, count_DRG = (
            np.tensordot(weights_DP, part_PRG, axes=1) for part_PRG in (self.sums_PRG, self.count_PRG)
        )
        return np.where(self.estimable_G, ratio(sums_DRG, count_DRG), np.nan)


def mean_statistics(
    value: ArrayLike,
    part: ArrayLike,
    patient: ArrayLike,
    n_parts: int,
    *,
    minimum_patches: int = 1,
    minimum_patients: int = 2,
) -> MeanStatistics:
    """Sums per patient of a share in every part (step) of the rows.

    Args:
        value: 0 to 1, [N]; finite.
        part, patient: number of the part, and patient of every row, [N].
        n_parts: how many parts there are.
        minimum_patches, minimum_patients: a part with fewer rows or patients is not estimable.

    Raises:
        GroupError: arrays that do not fit, or values that are not finite.
    """
    value_N = finite_values(value)
    names_P, patient_N = np.unique(np.asarray(patient).astype(str), return_inverse=True)
    part_N = checked_groups(part, n_parts, value_N, patient_N)
    (count_PG,), (sums_PG,) = (
        _tables(patient_N, part_N, [each], (len(names_P), n_parts))
        for each in (np.ones_like(value_N), value_N)
    )
    return MeanStatistics(
        patients=tuple(names_P.tolist()),
        sums_PRG=sums_PG[:, None],
        count_PRG=count_PG[:, None],
        estimable_G=estimable_groups(
            part_N,
            n_parts,
            patient=patient_N,
            minimum_patches=minimum_patches,
            minimum_patients=minimum_patients,
        ),
    )


def within_slopes(
    value: ArrayLike,
    at: ArrayLike,
    patch: ArrayLike,
    part: ArrayLike,
    patient: ArrayLike,
    n_parts: int,
    *,
    minimum_patches: int = 1,
    minimum_patients: int = 2,
) -> SlopeStatistics:
    """Sums per patient for the slope of a value within patches, in every part.

    Args:
        value: of every row, a patch at one step, [N]; finite.
        at: where on the axis the row lies, [N]; finite.
        patch: which patch it is of, [N]; a patch is of one part and one patient.
        part, patient: number of the part, and patient, [N].
        n_parts: how many parts there are; `slope_<part>` are the metrics.
        minimum_patches, minimum_patients: a part with fewer is not estimable.

    Raises:
        GroupError: arrays that do not fit, or values that are not finite.
    """
    value_N, at_N = finite_values(value), finite_values(at)
    names_P, patient_N = np.unique(np.asarray(patient).astype(str), return_inverse=True)
    _, first_U, patch_N = np.unique(np.asarray(patch).astype(str), return_index=True, return_inverse=True)
    part_N = checked_groups(part, n_parts, value_N, at_N, patch_N, patient_N)
    y_N, x_N = (each_N - _means(each_N, patch_N)[patch_N] for each_N in (value_N, at_N))
    columns = (np.ones_like(x_N), x_N, x_N**2, y_N, x_N * y_N)
    return SlopeStatistics(
        patients=tuple(names_P.tolist()),
        sums_PRK5=np.stack(_tables(patient_N, part_N, columns, (len(names_P), n_parts)), axis=-1)[:, None],
        estimable_G=estimable_groups(
            part_N[first_U],
            n_parts,
            patient=patient_N[first_U],
            minimum_patches=minimum_patches,
            minimum_patients=minimum_patients,
        ),
    )


def _means(value_N: NDArray[np.float64], unit_N: NDArray[np.int64]) -> NDArray[np.float64]:
    return ratio(np.bincount(unit_N, value_N), np.bincount(unit_N))


def _tables(
    patient_N: NDArray[np.int64],
    part_N: NDArray[np.int64],
    columns: Sequence[NDArray[np.float64]],
    shape: tuple[int, int],
) -> list[NDArray[np.float64]]:
    """Every column summed over the rows of each patient and part, [P, G] each."""
    cell_N = patient_N * shape[1] + part_N
    sums = (np.bincount(cell_N, each_N, shape[0] * shape[1]) for each_N in columns)
    return [each.astype(np.float64).reshape(shape) for each in sums]
