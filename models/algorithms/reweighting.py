"""What algorithms share that draw as ERM does and weight every sample's loss by its group."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from models.algorithms.base import AbstractAlgorithm, AlgorithmSettings, BatchPlan, Composition, SettingsT
from models.groups import TrainGroups
from models.sampling import SampleStream


class AbstractReweighter(AbstractAlgorithm[SettingsT], ABC):
    """ERM's batches; a sample of group g weighs w_g = share_g N / n_g, of n_g among N training samples.

    The weights are 1 on average over the training split, not in every batch: the step's loss is the mean of
    w_g L over its K * B samples, whose expectation is sum_g share_g L_g. Dividing by the batch's own sum of
    weights instead would pull every share towards ERM's, the more the fewer samples a rare group has.
    """

    settings_type = AlgorithmSettings
    roles = ("all",)
    coefficients = (1.0,)

    def __init__(self, groups: TrainGroups, settings: SettingsT) -> None:
        super().__init__(groups, settings)
        self.share_KA = self.shares()
        counts_KA = groups.counts_KA
        weight_KA = np.where(counts_KA > 0, self.share_KA * len(groups) / np.maximum(counts_KA, 1), 0)
        self.weight_N = weight_KA.ravel()[groups.group_N]

    @abstractmethod
    def shares(self) -> NDArray[np.float64]:
        """Share of every group in the expected loss, [K, A]; sums to 1, 0 where a group is empty."""

    @property
    def samples_per_step(self) -> float:
        return self.groups.layout.n_classes * self.settings.batch_size

    def batches(self, rng: np.random.Generator) -> Iterator[BatchPlan]:
        """Yield batches that pass through the split in random order."""
        n = int(self.samples_per_step)
        stream = SampleStream(np.arange(len(self.groups)), rng.spawn(1)[0])
        while True:
            indices_N = stream.draw(n)
            yield BatchPlan(indices_N, self.weight_N[None, indices_N] / n)

    def composition(self) -> Composition:
        p_KA = self.share_KA / self.share_KA.sum(axis=1, keepdims=True)
        drawn_KA = self.groups.counts_KA / len(self.groups) * self.samples_per_step
        return Composition(self.groups, {}, p_KA, self.share_KA, drawn_KA)
