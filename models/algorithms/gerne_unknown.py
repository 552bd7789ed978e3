"""GERNE with unknown attributes: pseudo-groups from what a biased model finds hard.

Asaad, Shadaydeh, Denzler, "Gradient Extrapolation for Debiased Representation Learning",
ICCV 2025 (arXiv 2503.13236), section 4.2 and Algorithm 2.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt

from models.algorithms.base import AbstractAlgorithm
from models.algorithms.gerne import Gerne, GerneSettings
from models.algorithms.parts.composition import Expectation
from models.algorithms.parts.first_model import FirstModel, FirstStage
from models.algorithms.parts.plans import BatchPlan
from models.algorithms.parts.two_stage import TwoStageSettings
from models.groups import TrainLabels
from patching.errors import EmptyGroupError


class GerneUnknownSettings(GerneSettings, TwoStageSettings):
    """Settings of GERNE with unknown attributes."""

    t: float = Field(default=0.1, gt=0, lt=1)
    """Share of every class that counts as hard; at most 1/2 where no attributes are known for validation."""
    folds: PositiveInt = 1
    """Above 1, every sample is scored by a biased model that never saw its patient."""
    biased_learning_rate: PositiveFloat = 0.1
    """Factor on the training's, for the biased model: slow, so that it learns what is easy."""
    biased_weight_decay: PositiveFloat = 2.0
    """Factor on the training's, for the biased model."""


class GerneUnknown(AbstractAlgorithm[TrainLabels, GerneUnknownSettings]):
    """GERNE on pseudo-attributes: 0 is easy, 1 is hard for the biased model.

    The biased model is trained on class-uniform biased batches and chosen by class-balanced accuracy.

    Raises:
        EmptyGroupError: t leaves a pseudo-group empty.
        BetaBoundsError: as `Gerne`.
    """

    settings_type = GerneUnknownSettings
    view = TrainLabels

    def __init__(self, train: TrainLabels, settings: GerneUnknownSettings, first: FirstModel) -> None:
        super().__init__(train, settings, first)
        own_N = first.own_class_probability(train.label_N)
        own_settings = settings.model_dump(include=set(GerneSettings.model_fields))
        pseudo = train.divided(hard_samples(own_N, train.label_N, settings.t))
        self.known_case = Gerne(pseudo, GerneSettings.model_validate(own_settings))
        self.roles, self.coefficients = self.known_case.roles, self.known_case.coefficients

    @classmethod
    def first_stage(cls, settings: GerneUnknownSettings) -> FirstStage:
        return replace(
            settings.erm_first,
            algorithm="class_balanced",
            algorithm_settings={"batch_size": settings.batch_size, "rounding": settings.rounding},
            learning_rate=settings.biased_learning_rate,
            weight_decay=settings.biased_weight_decay,
            selection="class_balanced",
            folds=settings.folds,
        )

    @property
    def strata_N(self) -> NDArray[np.int64]:
        return self.known_case.strata_N

    @property
    def samples_per_step(self) -> float:
        return self.known_case.samples_per_step

    def batches(self, rng: np.random.Generator) -> Iterator[BatchPlan]:
        """Yield the plans of the known case."""
        return self.known_case.batches(rng)

    def expectation(self) -> Expectation:
        """The known case's, without its p(a|y), which is of pseudo-attributes."""
        return replace(self.known_case.expectation(), p_by_role={})


def hard_samples(
    own_class_probability_N: NDArray[np.float64], label_N: NDArray[np.int64], t: float
) -> NDArray[np.int64]:
    """Pseudo-attribute of every sample: 1 for the floor(t |X_y|) of each class with the lowest probability
    of their own class, of equal ones the first in the split's order; else 0 (GERNE, sec. 4.2).

    >>> hard_samples(np.array([0.9, 0.2, 0.2, 0.8]), np.array([0, 0, 0, 0]), t=0.3).tolist()
    [0, 1, 0, 0]

    Raises:
        EmptyGroupError: a class of which no sample is hard, or none easy.
    """
    hard_N = np.zeros(len(label_N), dtype=np.int64)
    for y in np.unique(label_N):
        members_M = np.flatnonzero(label_N == y)
        # Rounded, so that 0.29 * 100 is 29 in spite of its last digit.
        n_hard = int(np.floor(round(t * len(members_M), 9)))
        if not 0 < n_hard < len(members_M):
            raise EmptyGroupError(
                has=f"t = {t:g} and {len(members_M)} training samples of label {y}: {n_hard} of them hard",
                needs="at least one hard and one easy sample of every class",
                do=f"set t from {1 / len(members_M):.3g} to below 1, or gather data of that class",
            )
        order_M = np.argsort(own_class_probability_N[members_M], kind="stable")
        hard_N[members_M[order_M[:n_hard]]] = 1
    return hard_N
