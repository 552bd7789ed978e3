"""SUBG: every group cut to the size of the smallest."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from models.algorithms.base import AbstractAlgorithm, AlgorithmSettings
from models.algorithms.parts.composition import Expectation
from models.algorithms.parts.plans import BatchPlan
from models.algorithms.parts.sampling import passes
from models.groups import TrainGroups, require_every_group


class Subg(AbstractAlgorithm[TrainGroups, AlgorithmSettings]):
    """ERM on a subset with equal groups, drawn once (Idrissi et al., CLeaR 2022, "SUBG").

    Raises:
        EmptyGroupError: a group without training samples.
    """

    view = TrainGroups

    def __init__(self, train: TrainGroups, settings: AlgorithmSettings) -> None:
        super().__init__(train, settings)
        require_every_group(train.counts_KA)

    def batches(self, rng: np.random.Generator) -> Iterator[BatchPlan]:
        """Yield batches that pass through the subset in random order."""
        rng_subset, rng_stream = rng.spawn(2)
        return passes(balanced_subset(self.train, rng_subset), int(self.samples_per_step), rng_stream)

    def expectation(self) -> Expectation:
        equal_KA = np.full(self.train.counts_KA.shape, 1 / self.train.layout.n_groups)
        share_N = self.train.per_sample(equal_KA)
        return Expectation(share_N, share_N * self.samples_per_step)


def balanced_subset(groups: TrainGroups, rng: np.random.Generator) -> NDArray[np.int64]:
    """As many samples of every group as the smallest has, drawn without replacement; group after group."""
    layout, smallest = groups.layout, int(groups.counts_KA.min())
    cells = [(y, a) for y in range(layout.n_classes) for a in range(layout.n_attributes)]
    return np.concatenate([rng.choice(groups.members(y, a), smallest, replace=False) for y, a in cells])
