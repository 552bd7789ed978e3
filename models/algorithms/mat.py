"""MAT: logits shifted by what models that have not seen a sample say of it.

Bayat, Pezeshki, Dohmatob, Lopez-Paz, Vincent, "The Pitfalls of Memorization: When Memorization Hurts
Generalization", ICLR 2025 (arXiv 2412.07684), section 3.
"""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import PositiveFloat, PositiveInt

from models.algorithms.erm import AbstractErm
from models.algorithms.parts.first_model import FirstModel, FirstStage
from models.algorithms.parts.plans import Batch
from models.algorithms.parts.two_stage import TwoStageSettings
from models.groups import TrainLabels, conditional_distribution


class MatSettings(TwoStageSettings):
    """Settings of MAT."""

    temperature: PositiveFloat = 0.1
    """Divides the held-out logits; towards 0 only their argmax counts."""
    folds: PositiveInt = 2
    """Every sample is scored by a first model that never saw its patient; 1, for data without patients,
    scores samples that the model was trained on, which MAT is meant to avoid."""


class Mat(AbstractErm[MatSettings]):
    """Cross-entropy of f(x) + ln p_ho(.|x), so that f need not learn again what held-out models know.

    p_ho(y|x) = sum_k p(y | k) p(k|x), with p(k|x) the softmax of the held-out logits by the temperature,
    and p(y | k) = sum of p(k|x) over samples of class y, divided by that over all: predictions calibrated by
    the labels they meet. The authors count p(y | k) anew in every batch; here it is counted once, over the
    training split. Their first models are a pair that is trained on halves of the samples and flips labels
    towards its partner's predictions (XRM); ours are trained by ERM on halves of the patients and chosen by
    average accuracy, as what is rare should not decide. Where they say nothing, MAT is balanced softmax.

    Raises:
        EmptyGroupError: a class without training samples.
    """

    settings_type = MatSettings

    def __init__(self, train: TrainLabels, settings: MatSettings, first: FirstModel) -> None:
        super().__init__(train, settings, first)
        conditional_distribution(train.counts_K[:, None])  # an empty class is an error
        self.shift_NK = held_out_shift(first.logits_NK, train.label_N, settings.temperature)

    @classmethod
    def first_stage(cls, settings: MatSettings) -> FirstStage:
        return replace(settings.erm_first, selection="average", folds=settings.folds)

    def sample_losses(self, logits_BK: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Cross-entropy [B] of the shifted logits."""
        shift_BK = torch.from_numpy(self.shift_NK[batch.plan.indices_N]).to(logits_BK)
        return super().sample_losses(logits_BK + shift_BK, batch)


def held_out_shift(
    logits_NK: NDArray[np.float32], label_N: NDArray[np.int64], temperature: float
) -> NDArray[np.float64]:
    """ln p_ho(y|x) of every sample and class, [N, K]; see `Mat`.

    Args:
        logits_NK: of models that have not seen the samples.
        label_N: labels of the samples.
        temperature: divides the logits.
    """
    said_NK = torch.from_numpy(logits_NK).double().div(temperature).softmax(dim=1).numpy()
    own_NK = np.eye(logits_NK.shape[1])[label_N]
    joint_KK = said_NK.T @ own_NK
    given_KK = joint_KK / np.maximum(joint_KK.sum(axis=1, keepdims=True), 1e-12)
    # As in the authors' code, so that a class that is never met does not become impossible.
    shift_NK: NDArray[np.float64] = np.log(said_NK @ given_KK + 1e-6)
    return shift_NK
