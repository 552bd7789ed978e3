"""Whether probabilities are what they say: the expected calibration error, and what chance makes of it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from models.metrics.accuracy import checked_groups

N_BINS = 10
"""Bins of equal counts."""


class CalibrationError(NamedTuple):
    """The expected calibration error of one set of probabilities.

    Attributes:
        error: mean distance, over the patches, of a bin's mean probability from its share of label 1; NaN
            without patches.
        by_chance: about what `error` would be with the same probabilities if every one was right and the
            patches were independent. Those of one patient are not: by chance it is more then.
    """

    error: float
    by_chance: float


def calibration_error(label: ArrayLike, probability: ArrayLike, *, n_bins: int = N_BINS) -> CalibrationError:
    """Expected calibration error of N patches of two classes, in bins of equal counts.

    Bins hold equally many patches, in the order of their probability (Nixon et al., CVPR workshops 2019,
    adaptive calibration error; Roelofs et al., AISTATS 2022, find it less biased than bins of equal width);
    patches of one probability share a bin. A mean of distances is never below 0, so that few patches a bin
    make it too large: `by_chance` where the probabilities are right, 0.14 of 50 patches in a simulation, 0.05
    of 400 and 0.03 of 1,000.

    Args:
        label: 0 or 1 of every patch, [N].
        probability: P(label = 1), [N].
        n_bins: at most so many bins.

    Raises:
        GroupError: arrays of different length, or labels that are not 0 or 1.
    """
    probability_N = np.asarray(probability, dtype=np.float64)
    label_N = checked_groups(label, 2, probability_N)
    if not label_N.size:
        return CalibrationError(np.nan, np.nan)
    ordered_N = np.sort(probability_N)
    bin_N = np.searchsorted(ordered_N, probability_N, side="left") * n_bins // len(label_N)
    beyond_B = np.bincount(bin_N, weights=probability_N - label_N, minlength=n_bins)
    variance_B = np.bincount(bin_N, weights=probability_N * (1 - probability_N), minlength=n_bins)
    # A sum of this variance lies sqrt(2 / pi) standard deviations from 0 on average, where it is normal.
    distance_B, expected_B = np.abs(beyond_B), np.sqrt(2 / np.pi * variance_B)
    return CalibrationError(*(float(each_B.sum() / len(label_N)) for each_B in (distance_B, expected_B)))
