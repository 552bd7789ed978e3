"""Empirical risk minimization: every training sample counts the same."""

from collections.abc import Iterator

import numpy as np

from models.algorithms.base import AbstractAlgorithm, AlgorithmSettings, BatchPlan, Composition
from models.sampling import SampleStream


class Erm(AbstractAlgorithm[AlgorithmSettings]):
    """Batches of K * B samples, drawn uniformly from the training split (Vapnik 1992)."""

    settings_type = AlgorithmSettings
    roles = ("all",)
    coefficients = (1.0,)

    @property
    def samples_per_step(self) -> float:
        return self.groups.layout.n_classes * self.settings.batch_size

    def batches(self, rng: np.random.Generator) -> Iterator[BatchPlan]:
        """Yield batches that pass through the split in random order."""
        n = int(self.samples_per_step)
        stream = SampleStream(np.arange(len(self.groups)), rng.spawn(1)[0])
        weights_RN = np.full((1, n), 1 / n)
        while True:
            yield BatchPlan(stream.draw(n), weights_RN)

    def composition(self) -> Composition:
        share_KA = self.groups.counts_KA / len(self.groups)
        return Composition(self.groups, {}, self.groups.alpha_KA, share_KA, share_KA * self.samples_per_step)
