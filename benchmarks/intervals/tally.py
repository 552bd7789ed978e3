"""What is counted of intervals: how often they hold the truth, their width, and what they say falsely."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike


@dataclass
class Tally:
    """Of one figure, made in one way, over cohorts.

    Attributes:
        told: intervals there are; without ends there is none.
        holding: of these, that hold the truth.
        above, below: of these, that lie above and below it.
        better, worse: of these, that lie above and below 0.
        width: sum of their widths.
        missing: cohorts without an interval.
    """

    told: int = 0
    holding: int = 0
    above: int = 0
    below: int = 0
    better: int = 0
    worse: int = 0
    width: float = 0.0
    missing: int = 0

    def add(self, low: ArrayLike, high: ArrayLike, truth: float) -> None:
        """Count intervals of one truth."""
        low_C, high_C = np.atleast_1d(np.asarray(low, float)), np.atleast_1d(np.asarray(high, float))
        there_C = np.isfinite(low_C) & np.isfinite(high_C)
        low_C, high_C = low_C[there_C], high_C[there_C]
        self.told += len(low_C)
        self.missing += int((~there_C).sum())
        self.above += int((low_C > truth).sum())
        self.below += int((high_C < truth).sum())
        self.holding += int(((low_C <= truth) & (truth <= high_C)).sum())
        self.better += int((low_C > 0).sum())
        self.worse += int((high_C < 0).sum())
        self.width += float((high_C - low_C).sum())

    def record(self) -> dict[str, float]:
        """Shares of the intervals, and their mean width."""
        n = max(self.told, 1)
        return {
            "coverage": self.holding / n,
            "above": self.above / n,
            "below": self.below / n,
            "better": self.better / n,
            "worse": self.worse / n,
            "width": self.width / n,
            "missing": self.missing / max(self.told + self.missing, 1),
        }


@dataclass
class Mean:
    """Of a number over cohorts, without NaN."""

    values: list[float] = field(default_factory=list)

    def add(self, value: float) -> None:
        if np.isfinite(value):
            self.values.append(float(value))

    @property
    def mean(self) -> float:
        return float(np.mean(self.values)) if self.values else float("nan")
