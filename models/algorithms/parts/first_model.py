"""First models: what a two-stage method asks of one, and what it gets."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.metrics.selection import SelectionRule
from models.networks.classifier import Classifier, softmax


@dataclass(frozen=True)
class FirstStage:
    """The first training, as its differences from the configured one.

    Attributes:
        algorithm: how the first model is trained, a key of the registry.
        algorithm_settings: of it.
        share: of the budget in samples seen; the second training has the rest, so that two stages cost
            what one costs.
        learning_rate: factor on the training's.
        weight_decay: factor on the training's.
        selection: rule that keeps its best state; none: the training's.
        judged_on: the split that rule looks at. `training` is for a model that shall show the training
            split's bias, where the validation split does not have it.
        folds: above 1, training samples are scored by models that never saw their patient. Every one of
            them passes through its own samples as often as one first model through all: together they cost
            folds - 1 times this stage's share, which is above the budget from 3 folds on.
        held_out: share of the training patients that the first model does not see; none where patients
            are not known.
    """

    algorithm: str = "erm"
    algorithm_settings: Mapping[str, Any] = field(default_factory=dict)
    share: float = 0.5
    learning_rate: float = 1.0
    weight_decay: float = 1.0
    selection: SelectionRule | None = None
    judged_on: Literal["validation", "training"] = "validation"
    folds: int = 1
    held_out: float = 0.0


@dataclass(frozen=True)
class FirstModel:
    """A trained first model and what it says of the training split.

    Attributes:
        classifier: its best state; with folds, of the first fold.
        logits_NK: of every training sample, without augmentation; out of fold where folds are asked for.
        unseen_N: training samples that it was not trained on.
    """

    classifier: Classifier
    logits_NK: NDArray[np.float32]
    unseen_N: NDArray[np.bool_]

    @property
    def prediction_N(self) -> NDArray[np.int64]:
        """Predicted class of every training sample."""
        predicted_N: NDArray[np.int64] = self.logits_NK.argmax(axis=1).astype(np.int64)
        return predicted_N

    def own_class_probability(self, label_N: NDArray[np.int64]) -> NDArray[np.float64]:
        """Softmax probability of every sample's own class, float64."""
        probability_NK = softmax(self.logits_NK)
        own_N: NDArray[np.float64] = probability_NK[np.arange(len(label_N)), label_N].astype(np.float64)
        return own_N
