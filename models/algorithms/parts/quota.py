"""What algorithms share whose batches hold a chosen number of samples of every group."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.algorithms.base import AbstractAlgorithm, AlgorithmSettings, ViewT
from models.algorithms.parts.composition import Expectation
from models.algorithms.parts.plans import BatchPlan
from models.algorithms.parts.sampling import GroupStreams, Quota, Rounding, expected_samples
from models.groups import TrainGroups, require_every_group


class QuotaSettings(AlgorithmSettings):
    """Settings of an algorithm with group quotas."""

    rounding: Rounding = "stochastic"
    """How B * p(a|y) becomes a number of samples, see `models.algorithms.parts.sampling.Quota`."""


QuotaSettingsT = TypeVar("QuotaSettingsT", bound=QuotaSettings)


class AbstractResampler(AbstractAlgorithm[ViewT, QuotaSettingsT], ABC, Generic[ViewT, QuotaSettingsT]):
    """ERM on batches of K * B samples with uniform classes and a chosen p(a|y).

    Attributes:
        groups: what is drawn from; its classes share the batch equally.
        quota: of every group of a batch.
    """

    settings_type: ClassVar[type[AlgorithmSettings]] = QuotaSettings
    generator: ClassVar[int]
    """Which of the two generators spawned from the run's draws the batches: 0 as GERNE's biased batch, 1 as
    its independent less biased one. So GERNE at c = 1, beta = 0 with independent draws sees the very samples
    of group resampling. No other special case sees the same ones. Nested draws take what both batches share
    by generator 0. Class-balanced ERM, GERNE's beta = -1, knows no attributes and draws from whole classes.
    At c (beta + 1) = 1 GERNE weighs other batches, to the same expectation as group resampling."""

    def __init__(self, train: ViewT, settings: QuotaSettingsT) -> None:
        super().__init__(train, settings)
        self.groups = self.drawn_from()
        per_class = train.n_classes * settings.batch_size // self.groups.n_classes
        self.quota = Quota(self.distribution(), per_class, settings.rounding)

    @abstractmethod
    def drawn_from(self) -> TrainGroups:
        """The groups that batches are drawn from."""

    @abstractmethod
    def distribution(self) -> NDArray[np.float64]:
        """The wanted p(a|y), [K, A]."""

    def batches(self, rng: np.random.Generator) -> Iterator[BatchPlan]:
        """Yield batches of B samples per class."""
        own = rng.spawn(2)[self.generator]
        streams = GroupStreams(self.groups, own)
        while True:
            quota_KA = self.quota.round(own.random(self.groups.layout.n_classes))
            weights_N = np.repeat(self.quota.sample_weight(quota_KA), quota_KA.ravel())
            yield BatchPlan(np.concatenate(streams.draw(quota_KA)), weights_N[None])

    def expectation(self) -> Expectation:
        p_KA = self.quota.effective()
        share_N = self.groups.per_sample(p_KA / len(p_KA))
        return Expectation(share_N, self.groups.per_sample(expected_samples(self.quota)))


class AbstractGroupResampler(AbstractResampler[TrainGroups, QuotaSettingsT], ABC):
    """What draws every group equally often: p(y) = 1/K and p(a|y) = 1/A.

    Raises:
        EmptyGroupError: a group without training samples.
    """

    view = TrainGroups
    generator = 1

    def drawn_from(self) -> TrainGroups:
        return self.train

    def distribution(self) -> NDArray[np.float64]:
        require_every_group(self.train.counts_KA)
        counts_KA = self.train.counts_KA
        return np.full(counts_KA.shape, 1 / counts_KA.shape[1])
