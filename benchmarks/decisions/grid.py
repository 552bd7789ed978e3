"""The search that the fit replaces: an offset per attribute value, by the worse class on validation."""

import numpy as np
from numpy.typing import NDArray

from models.networks.card import DecisionCard

OFFSETS = np.arange(-80, 81) / 10
"""Those that are tried."""


def grid_decision(
    logit_N: NDArray[np.float64], label_N: NDArray[np.int64], tissue_N: NDArray[np.float64], above: float
) -> DecisionCard:
    """The rule `by_attribute` of the best offsets of a grid; of equals the one nearest to 0.

    Patches weigh alike, whosever they are; a class that is not there counts as right.
    """
    above_N = tissue_N > above
    offsets = [_best(logit_N[above_N == value], label_N[above_N == value]) for value in (False, True)]
    return DecisionCard(rule="by_attribute", offsets=(offsets[0], offsets[1]), knots=(above,))


def _best(logit_M: NDArray[np.float64], label_M: NDArray[np.int64]) -> float:
    right_OM = (logit_M + OFFSETS[:, None] > 0) == label_M
    worse_O = np.min([_mean(right_OM[:, label_M == k]) for k in (0, 1)], axis=0)
    best = OFFSETS[worse_O == worse_O.max()]
    return float(best[np.argmin(np.abs(best))])


def _mean(right_OM: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Accuracy at every offset."""
    return right_OM.mean(axis=1) if right_OM.size else np.ones(len(right_OM))
