"""Methods as a newcomer would write them, for the tests that walk the table: they inherit nothing that would
make them pass."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from models.algorithms.base import AbstractAlgorithm, AlgorithmSettings
from models.algorithms.class_balanced import ClassBalanced
from models.algorithms.parts.composition import Expectation
from models.algorithms.parts.first_model import FirstModel, FirstStage
from models.algorithms.parts.plans import BatchPlan
from models.algorithms.parts.quota import QuotaSettings
from models.algorithms.parts.retrained_head import AbstractRetrainedHead, HeadSettings
from models.algorithms.parts.sampling import passes
from models.groups import TrainLabels


class ErrorsTwiceSettings(AlgorithmSettings):
    share: float = 0.5


class ErrorsTwice(AbstractAlgorithm[TrainLabels, ErrorsTwiceSettings]):
    """Two stages, labels alone: goes on from the first model with its errors drawn twice."""

    settings_type = ErrorsTwiceSettings
    view = TrainLabels
    start = "first"

    def __init__(self, train: TrainLabels, settings: ErrorsTwiceSettings, first: FirstModel) -> None:
        super().__init__(train, settings, first)
        errors_M = np.flatnonzero(first.prediction_N != train.label_N)
        self.pool_M = np.concatenate([np.arange(len(train)), errors_M])

    @classmethod
    def first_stage(cls, settings: ErrorsTwiceSettings) -> FirstStage:
        return FirstStage(algorithm_settings={"batch_size": settings.batch_size}, share=settings.share)

    def batches(self, rng: np.random.Generator) -> Iterator[BatchPlan]:
        return passes(self.pool_M, int(self.samples_per_step), rng.spawn(1)[0])

    def expectation(self) -> Expectation:
        share_N = np.bincount(self.pool_M, minlength=len(self.train)) / len(self.pool_M)
        return Expectation(share_N, share_N * self.samples_per_step)


class BlindHead(AbstractRetrainedHead[TrainLabels, HeadSettings]):
    """The last layer anew on uniform classes: a head that is retrained without attributes."""

    settings_type = HeadSettings
    view = TrainLabels

    def second_method(self) -> ClassBalanced:
        return ClassBalanced(self.train, QuotaSettings(batch_size=self.settings.batch_size))


NEWCOMERS: dict[str, type[AbstractAlgorithm[Any, Any]]] = {
    "errors_twice": ErrorsTwice,
    "blind_head": BlindHead,
}
