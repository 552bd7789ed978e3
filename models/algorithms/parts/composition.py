"""What a method makes of the groups: the table printed at start and stored with every run."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.groups import TrainGroups


@dataclass(frozen=True)
class Expectation:
    """What a method does with every training sample, on average over steps; a method that sees no
    attributes can tell this too.

    Attributes:
        share_N: share of the sample in the expected loss; sums to 1. GERNE's may be negative.
        samples_N: expected forward passes of the sample per step.
        p_by_role: p(a|y) [K, A] of every role's batch by the true groups, where the method aims at some.
    """

    share_N: NDArray[np.float64]
    samples_N: NDArray[np.float64]
    p_by_role: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


@dataclass(frozen=True)
class Composition:
    """An expectation by groups, [K, A] each.

    Attributes:
        groups: of the training split; gives count and alpha.
        p_by_role: p(a|y) of every role's batch, where there are several roles.
        p_KA: the p(a|y) trained on, in expectation and as far as rounding keeps it.
        share_KA: share of the group in the expected loss; sums to 1.
        samples_KA: expected forward passes of the group per step.
    """

    groups: TrainGroups
    p_by_role: Mapping[str, NDArray[np.float64]]
    p_KA: NDArray[np.float64]
    share_KA: NDArray[np.float64]
    samples_KA: NDArray[np.float64]

    def rows(self) -> list[dict[str, str | int | float]]:
        """One row per group: group, count, alpha, p_<role>, p_trained, share, samples_per_step."""
        columns = {
            "alpha": self.groups.alpha_KA,
            **{f"p_{role}": p_KA for role, p_KA in self.p_by_role.items()},
            "p_trained": self.p_KA,
            "share": self.share_KA,
            "samples_per_step": self.samples_KA,
        }
        counts_G = self.groups.counts_KA.ravel().tolist()
        names = self.groups.layout.names
        return [
            {"group": name, "count": count, **{key: float(values.flat[g]) for key, values in columns.items()}}
            for g, (name, count) in enumerate(zip(names, counts_G, strict=True))
        ]


def composition(expectation: Expectation, groups: TrainGroups) -> Composition:
    """Sum an expectation over the true groups, which the method itself need not know."""
    share_KA = groups.summed(expectation.share_N)
    of_class_K1 = share_KA.sum(axis=1, keepdims=True)
    p_KA = np.divide(share_KA, of_class_K1, out=np.zeros_like(share_KA), where=of_class_K1 != 0)
    samples_KA = groups.summed(expectation.samples_N)
    return Composition(groups, expectation.p_by_role, p_KA, share_KA, samples_KA)
