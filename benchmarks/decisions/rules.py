"""What is compared: ways to decide by the same log-odds, fitted to the same validation patches."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.decisions.grid import grid_decision
from models.decisions.fitting import fit_decision
from models.decisions.settings import FitSettings
from models.networks.card import DecisionCard, Rule
from models.networks.decision import told

_ANYONE = FitSettings(minimum_patients=1, calibration="none")
"""The grid asks for nobody in particular, and neither does the fit here."""


@dataclass(frozen=True)
class Patches:
    """What a decision is fitted to or tried on."""

    logit_N: NDArray[np.float64]
    label_N: NDArray[np.int64]
    tissue_N: NDArray[np.float64]
    patient_N: NDArray[np.int64]
    above: float

    @property
    def group_N(self) -> NDArray[np.int64]:
        """2 * label + attribute."""
        return 2 * self.label_N + (self.tissue_N > self.above)

    @property
    def fewest_patients(self) -> int:
        """Of the four groups."""
        return min(len(np.unique(self.patient_N[self.group_N == g])) for g in range(4))

    def right(self, decision: DecisionCard) -> NDArray[np.bool_]:
        """Whether the verdict on every patch is right."""
        return told(decision, self.logit_N, self.tissue_N)[1] == self.label_N

    def worst_group(self, decision: DecisionCard) -> float:
        """Accuracy of the worst group; NaN where one is empty."""
        right_N = self.right(decision)
        found = [right_N[self.group_N == g] for g in range(4)]
        return min(float(right.mean()) for right in found) if all(map(len, found)) else float("nan")


def _fitted(rule: Rule) -> Callable[[Patches], DecisionCard]:
    def fit(patches: Patches) -> DecisionCard:
        return fit_decision(
            rule,
            logit_N=patches.logit_N,
            label_N=patches.label_N,
            tissue_fraction_N=patches.tissue_N,
            above=patches.above,
            patient_N=patches.patient_N,
            settings=_ANYONE,
        )

    return fit


def _searched(patches: Patches) -> DecisionCard:
    return grid_decision(patches.logit_N, patches.label_N, patches.tissue_N, patches.above)


WAYS: Final[Mapping[str, Callable[[Patches], DecisionCard]]] = {
    "plain": _fitted("plain"),
    "threshold": _fitted("threshold"),
    "by_attribute, grid": _searched,
    "by_attribute": _fitted("by_attribute"),
    "by_tissue": _fitted("by_tissue"),
}
"""By name."""
