"""What algorithms share that draw as ERM does and weight every sample's loss by its group."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from models.algorithms.base import AbstractAlgorithm, SettingsT, ViewT
from models.algorithms.parts.composition import Expectation
from models.algorithms.parts.plans import BatchPlan
from models.algorithms.parts.sampling import passes


class AbstractReweighter(AbstractAlgorithm[ViewT, SettingsT], ABC):
    """ERM's batches; a sample of group g weighs w_g = share_g N / n_g, of n_g among N training samples.

    The weights are 1 on average over the training split, not in every batch: the step's loss is the mean of
    w_g L over its K * B samples, whose expectation is sum_g share_g L_g. Dividing by the batch's own sum of
    weights instead would pull every share towards ERM's, the more the fewer samples a rare group has.
    """

    def __init__(self, train: ViewT, settings: SettingsT) -> None:
        super().__init__(train, settings)
        self.share_N = self.shares()
        self.weight_N = self.share_N * len(train)

    @abstractmethod
    def shares(self) -> NDArray[np.float64]:
        """Share of every training sample in the expected loss, [N]; sums to 1."""

    def batches(self, rng: np.random.Generator) -> Iterator[BatchPlan]:
        """Yield batches that pass through the split in random order."""
        everything = np.arange(len(self.train))
        for plan in passes(everything, int(self.samples_per_step), rng.spawn(1)[0]):
            yield BatchPlan(plan.indices_N, plan.weights_RN * self.weight_N[plan.indices_N])

    def expectation(self) -> Expectation:
        drawn_N = np.full(len(self.train), self.samples_per_step / len(self.train))
        return Expectation(self.share_N, drawn_N)
