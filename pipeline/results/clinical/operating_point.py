"""Whether probabilities are what they say, and what every threshold makes of them: of one training."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.metrics.accuracy import ratio
from models.metrics.clinical.thresholds import N_STEPS, net_benefit, steps_exceeded, threshold_steps, told_at
from models.metrics.intervals import Interval, bootstrap, patient_statistics
from pipeline.results.bootstrap import BootstrapSettings

N_BINS = 10
"""Bins of a reliability diagram, of one width."""
ACTED_AT = np.arange(10, N_STEPS, 10)
"""Steps of the decision curve: thresholds of 1 to 99 %."""


@dataclass(frozen=True)
class ReliabilityBin:
    """Patches of like probability.

    Attributes:
        low, high: of the bin, which holds its lower end; the last holds 1 too.
        mean: probability; NaN without patches.
        share: of tumor among them; intervals of all bins hold together.
    """

    low: float
    high: float
    patches: int
    patients: int
    mean: float
    share: Interval


def reliability_of(rows: pd.DataFrame, settings: BootstrapSettings) -> tuple[ReliabilityBin, ...]:
    """Share of tumor in every bin of the predicted probability (Murphy and Winkler 1977), over patients.

    Args:
        rows: patches with label, probability (none NaN) and patient_id.
        settings: minimums, draws and level.
    """
    edges, probability_N = np.arange(N_BINS + 1) / N_BINS, rows["probability"].to_numpy(np.float64)
    bin_N = np.searchsorted(edges[1:-1], probability_N, side="right")
    ones_N, patient_N = np.ones(len(rows), np.int64), rows["patient_id"].to_numpy()
    # A patch counts as right where it is tumor: the accuracy of a bin is its share of tumor.
    sums = patient_statistics(ones_N, rows["label"], bin_N, patient_N, N_BINS, **settings.minimums())
    shares = bootstrap(sums, **settings.drawn)
    count_B = np.bincount(bin_N, minlength=N_BINS)
    mean_B = ratio(np.bincount(bin_N, weights=probability_N, minlength=N_BINS), count_B)
    return tuple(
        ReliabilityBin(
            low=float(edges[b]),
            high=float(edges[b + 1]),
            patches=int(count_B[b]),
            patients=len(np.unique(patient_N[bin_N == b])),
            mean=float(mean_B[b]),
            share=shares[f"group_{b}"],
        )
        for b in range(N_BINS)
    )


@dataclass(frozen=True)
class ThresholdCounts:
    """Patches of every group above every threshold of a grid; G groups, label * A + attribute.

    Attributes:
        exceeded_GX: see models.metrics.clinical.thresholds.steps_exceeded.
        own_G: told as tumor by the model itself, whose threshold need not be on the grid.
        size_G: patches.
    """

    exceeded_GX: NDArray[np.int64]
    own_G: NDArray[np.int64]
    size_G: NDArray[np.int64]

    @classmethod
    def of(cls, rows: pd.DataFrame, n_groups: int) -> "ThresholdCounts":
        """Of patches with group, probability (none NaN) and prediction."""
        group_N = rows["group"].to_numpy(np.int64)
        told_N = rows["prediction"].to_numpy(np.int64) == 1
        return cls(
            steps_exceeded(rows["probability"], group_N, n_groups),
            np.bincount(group_N[told_N], minlength=n_groups),
            np.bincount(group_N, minlength=n_groups),
        )

    @property
    def told_GT(self) -> NDArray[np.int64]:
        """Told as tumor at every threshold of the grid, [G, N_STEPS + 1]."""
        return told_at(self.exceeded_GX)

    def net_benefits(self, groups: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of the model and of acting on everything, at ACTED_AT, [T] each.

        Args:
            groups: numbers of those of label 0 and of label 1, as one attribute value has them; see `of_all`.
        """
        rest, tumor = groups
        n, at_T = int(self.size_G[[rest, tumor]].sum()), threshold_steps()[ACTED_AT]
        told_GT = self.told_GT[:, ACTED_AT]
        return (
            net_benefit(told_GT[tumor], told_GT[rest], n, at_T),
            net_benefit(self.size_G[tumor], self.size_G[rest], n, at_T),
        )

    def own_benefit(self, groups: tuple[int, int], threshold: float) -> float:
        """Of the model at its own threshold, which need not be on the grid; `groups` as in `net_benefits`."""
        rest, tumor = groups
        n = int(self.size_G[[rest, tumor]].sum())
        return float(net_benefit(self.own_G[tumor], self.own_G[rest], n, np.array([threshold]))[0])

    def of_all(self) -> "ThresholdCounts":
        """The same of two groups: all patches of label 0, and all of label 1."""
        exceeded_2X = self.exceeded_GX.reshape(2, -1, self.exceeded_GX.shape[1]).sum(axis=1)
        return ThresholdCounts(
            exceeded_2X, *(each.reshape(2, -1).sum(axis=1) for each in (self.own_G, self.size_G))
        )


def tenths(part: int, whole: int) -> str:
    """A share in percent with one digit, halves up, by whole numbers: a script writes it alike.

    >>> tenths(1, 16), tenths(2, 3)
    ('6.3', '66.7')
    """
    found = (2000 * part + whole) // (2 * whole)
    return f"{found // 10}.{found % 10}"
