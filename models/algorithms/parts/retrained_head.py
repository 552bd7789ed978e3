"""What methods share that keep an ERM model's features and train the last layer anew."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
from pydantic import Field

from models.algorithms.base import AbstractAlgorithm
from models.algorithms.parts.composition import Expectation
from models.algorithms.parts.plans import BatchPlan
from models.algorithms.parts.two_stage import AbstractTwoStage, FirstModel, FirstStage, TwoStageSettings
from models.groups import TrainGroups


class HeadSettings(TwoStageSettings):
    """Settings of a method that trains the last layer anew."""

    first_share: float = Field(default=0.8, gt=0, lt=1)
    """Share of the budget in samples seen that the whole network gets; the last layer has the rest."""


HeadT = TypeVar("HeadT", bound=HeadSettings)


def features_by_erm(settings: HeadSettings) -> FirstStage:
    """An ERM model, chosen by the training's rule, as the ERM that it is compared with."""
    return FirstStage(algorithm_settings={"batch_size": settings.batch_size}, share=settings.first_share)


class AbstractRetrainedHead(AbstractTwoStage[TrainGroups, HeadT], ABC):
    """Learn features by ERM, freeze them, and learn the last layer anew as another method does.

    Kang et al., "Decoupling Representation and Classifier for Long-Tailed Recognition", ICLR 2020
    (arXiv 1910.09217), with groups in the place of classes, as SubpopBench has it (Yang et al., ICML 2023).
    """

    view = TrainGroups
    start = "first"
    trains = "head"

    def __init__(self, train: TrainGroups, settings: HeadT, first: FirstModel) -> None:
        super().__init__(train, settings, first)
        self.second = self.second_method()

    @classmethod
    def first_stage(cls, settings: HeadT) -> FirstStage:
        return features_by_erm(settings)

    @abstractmethod
    def second_method(self) -> AbstractAlgorithm[TrainGroups, Any]:
        """How the last layer is trained."""

    def batches(self, rng: np.random.Generator) -> Iterator[BatchPlan]:
        """Yield the second method's plans."""
        return self.second.batches(rng)

    def expectation(self) -> Expectation:
        return self.second.expectation()
