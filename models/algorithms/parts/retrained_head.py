"""What methods share that keep an ERM model's features and train the last layer anew."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import numpy as np
from pydantic import Field

from models.algorithms.base import AbstractAlgorithm, ViewT
from models.algorithms.parts.composition import Expectation
from models.algorithms.parts.first_model import FirstModel, FirstStage
from models.algorithms.parts.plans import BatchPlan
from models.algorithms.parts.two_stage import TwoStageSettings


class HeadSettings(TwoStageSettings):
    """Settings of a method that trains the last layer anew."""

    first_share: float = Field(default=0.8, gt=0, lt=1)
    """Share of the budget in samples seen that the whole network gets; the last layer has the rest."""


HeadT = TypeVar("HeadT", bound=HeadSettings)


class AbstractRetrainedHead(AbstractAlgorithm[ViewT, HeadT], ABC, Generic[ViewT, HeadT]):
    """Learn features by ERM, freeze them, and learn the last layer anew as another method does.

    Kang et al., "Decoupling Representation and Classifier for Long-Tailed Recognition", ICLR 2020
    (arXiv 1910.09217), with groups in the place of classes, as SubpopBench has it (Yang et al., ICML 2023).
    """

    start = "first"
    trains = "head"

    def __init__(self, train: ViewT, settings: HeadT, first: FirstModel) -> None:
        super().__init__(train, settings, first)
        self.second = self.second_method()

    @classmethod
    def first_stage(cls, settings: HeadT) -> FirstStage:
        """The ERM that the method is compared with, chosen by the training's rule."""
        return settings.erm_first

    @abstractmethod
    def second_method(self) -> AbstractAlgorithm[ViewT, Any]:
        """How the last layer is trained."""

    def batches(self, rng: np.random.Generator) -> Iterator[BatchPlan]:
        """Yield the second method's plans."""
        return self.second.batches(rng)

    def expectation(self) -> Expectation:
        return self.second.expectation()
