"""Empirical risk minimization: every training sample counts the same."""

from collections.abc import Iterator

import numpy as np

from models.algorithms.base import AbstractAlgorithm, AlgorithmSettings, SettingsT
from models.algorithms.parts.composition import Expectation
from models.algorithms.parts.first_model import FirstModel
from models.algorithms.parts.plans import BatchPlan
from models.algorithms.parts.sampling import passes
from models.groups import TrainLabels


class AbstractErm(AbstractAlgorithm[TrainLabels, SettingsT]):
    """What draws as ERM does: K * B samples uniformly from the training split, without attributes.

    Attributes:
        copies_N: how many times every sample is in the set that is passed through.
    """

    view = TrainLabels

    def __init__(self, train: TrainLabels, settings: SettingsT, first: FirstModel | None = None) -> None:
        super().__init__(train, settings, first)
        self.copies_N = np.ones(len(train), np.int64)

    def batches(self, rng: np.random.Generator) -> Iterator[BatchPlan]:
        """Yield batches that pass through the set in random order; one may hold copies of a sample."""
        members_M = np.repeat(np.arange(len(self.train)), self.copies_N)
        return passes(members_M, int(self.samples_per_step), rng.spawn(1)[0])

    def expectation(self) -> Expectation:
        share_N = self.copies_N / self.copies_N.sum()
        return Expectation(share_N, share_N * self.samples_per_step)


class Erm(AbstractErm[AlgorithmSettings]):
    """Batches of K * B samples, drawn uniformly from the training split (Vapnik 1992)."""
