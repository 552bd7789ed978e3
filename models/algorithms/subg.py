"""SUBG: every group cut to the size of the smallest."""

from collections.abc import Iterator

import numpy as np

from models.algorithms.base import AbstractAlgorithm, AlgorithmSettings, BatchPlan, Composition
from models.groups import TrainGroups
from models.sampling import SampleStream


class Subg(AbstractAlgorithm[AlgorithmSettings]):
    """ERM on a subset with equal groups, drawn once (Idrissi et al., CLeaR 2022, "SUBG").

    Raises:
        EmptyGroupError: a group without training samples.
    """

    settings_type = AlgorithmSettings
    roles = ("all",)
    coefficients = (1.0,)

    def __init__(self, groups: TrainGroups, settings: AlgorithmSettings) -> None:
        super().__init__(groups, settings)
        groups.require_every_group()

    @property
    def samples_per_step(self) -> float:
        return self.groups.layout.n_classes * self.settings.batch_size

    def batches(self, rng: np.random.Generator) -> Iterator[BatchPlan]:
        """Yield batches that pass through the subset in random order."""
        layout, smallest = self.groups.layout, int(self.groups.counts_KA.min())
        rng_subset, rng_stream = rng.spawn(2)
        cells = [(y, a) for y in range(layout.n_classes) for a in range(layout.n_attributes)]
        kept = [rng_subset.choice(self.groups.members(y, a), smallest, replace=False) for y, a in cells]
        n = int(self.samples_per_step)
        stream, weights_RN = SampleStream(np.concatenate(kept), rng_stream), np.full((1, n), 1 / n)
        while True:
            yield BatchPlan(stream.draw(n), weights_RN)

    def composition(self) -> Composition:
        shape, n_groups = self.groups.counts_KA.shape, self.groups.layout.n_groups
        share_KA = np.full(shape, 1 / n_groups)
        return Composition(
            self.groups, {}, np.full(shape, 1 / shape[1]), share_KA, share_KA * self.samples_per_step
        )
