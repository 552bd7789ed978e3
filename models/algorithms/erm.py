"""Empirical risk minimization: every training sample counts the same."""

from collections.abc import Iterator

import numpy as np

from models.algorithms.base import AbstractAlgorithm, AlgorithmSettings, SettingsT
from models.algorithms.parts.composition import Expectation
from models.algorithms.parts.plans import BatchPlan
from models.algorithms.parts.sampling import passes
from models.groups import TrainLabels


class AbstractErm(AbstractAlgorithm[TrainLabels, SettingsT]):
    """What draws as ERM does: K * B samples uniformly from the training split, without attributes."""

    view = TrainLabels

    def batches(self, rng: np.random.Generator) -> Iterator[BatchPlan]:
        """Yield batches that pass through the split in random order."""
        return passes(np.arange(len(self.train)), int(self.samples_per_step), rng.spawn(1)[0])

    def expectation(self) -> Expectation:
        share_N = np.full(len(self.train), 1 / len(self.train))
        return Expectation(share_N, share_N * self.samples_per_step)


class Erm(AbstractErm[AlgorithmSettings]):
    """Batches of K * B samples, drawn uniformly from the training split (Vapnik 1992)."""

    settings_type = AlgorithmSettings
