"""What methods share that train a biased network on purpose and tell by it which samples are hard: LfF, DFA.

Nam et al., "Learning from Failure: Training Debiased Classifier from Biased Classifier", NeurIPS 2020
(arXiv 2007.02561); the averages are those of its authors' code.
"""

from typing import ClassVar, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from models.algorithms.base import AlgorithmSettings
from models.algorithms.erm import AbstractErm
from models.algorithms.parts.plans import Batch
from models.groups import TrainLabels


def gce(logits_BK: torch.Tensor, label_B: torch.Tensor, q: float) -> torch.Tensor:
    """Generalized cross-entropy of every sample, [B] (Zhang and Sabuncu 2018): GCE = (1 - p_y^q) / q.

    Its gradient is p_y^q times that of cross-entropy, so that samples that are easy already weigh more; q
    towards 0 is cross-entropy itself. The authors' code of LfF and DFA has q times this gradient.
    """
    log_p_B = logits_BK.log_softmax(dim=1).gather(1, label_B[:, None])[:, 0]
    # By the logarithm: the power's own derivative is infinite where p_y is 0.
    return -torch.expm1(q * log_p_B) / q


def relative_difficulty(biased_B: torch.Tensor, debiased_B: torch.Tensor) -> torch.Tensor:
    """Weight of every sample, [B] in 0..1: W = L_biased / (L_biased + L_debiased)."""
    return biased_B / (biased_B + debiased_B + 1e-8)


class ClassNormalizedLosses:
    """A moving average of every training sample's loss, divided by the largest of its class.

    Args:
        state: of the method (`AbstractAlgorithm.state`), which holds the average, -1 where a sample was
            never seen, under `name`: so it is saved with the training.
        name: tells it from the method's other averages.
        label_N: of every training sample.
        decay: share of the old average in the new; a sample's first loss is its first average.
    """

    def __init__(
        self, state: dict[str, torch.Tensor], name: str, label_N: NDArray[np.int64], decay: float
    ) -> None:
        self.state, self.name, self.decay = state, name, decay
        self.label_N = torch.tensor(label_N)
        state[name] = torch.full((len(label_N),), -1.0)

    def update(self, losses_B: torch.Tensor, indices_B: NDArray[np.int64]) -> torch.Tensor:
        """Take in the losses of a batch; returns its averages by their class's largest, [B] in 0..1."""
        new_B = losses_B.detach().float()
        average_N = self.state[self.name].to(new_B.device)
        here_B = torch.from_numpy(indices_B).to(new_B.device)
        old_B = average_N[here_B]
        average_N[here_B] = torch.where(old_B < 0, new_B, self.decay * old_B + (1 - self.decay) * new_B)
        self.state[self.name] = average_N
        label_N = self.label_N.to(new_B.device)
        largest_K = average_N.new_zeros(int(label_N.max()) + 1).scatter_reduce(0, label_N, average_N, "amax")
        return average_N[here_B] / largest_K[label_N[here_B]].clamp(min=torch.finfo(torch.float32).tiny)


class DifficultySettings(AlgorithmSettings):
    """Settings of a method that weights samples by their relative difficulty."""

    q: float = Field(default=0.7, gt=0, le=1)
    """Of the biased part's generalized cross-entropy: the greater, the more biased."""
    decay: float = Field(default=0.7, ge=0, lt=1)
    """Of the moving averages of every sample's losses, per time that the sample is drawn."""


DifficultyT = TypeVar("DifficultyT", bound=DifficultySettings)


class AbstractDifficultyWeighted(AbstractErm[DifficultyT]):
    """What draws as ERM does and keeps averages of every sample's biased and other loss."""

    additive = False
    averages: ClassVar[tuple[str, str]]
    """Their names in the method's state."""

    def __init__(self, train: TrainLabels, settings: DifficultyT) -> None:
        super().__init__(train, settings)
        self.biased, self.other = (
            ClassNormalizedLosses(self.state, name, train.label_N, settings.decay) for name in self.averages
        )

    def difficulty(self, biased_B: torch.Tensor, other_B: torch.Tensor, batch: Batch) -> torch.Tensor:
        """W of every sample, [B], once both averages have taken in the losses of the batch."""
        indices_B = batch.plan.indices_N
        return relative_difficulty(
            self.biased.update(biased_B, indices_B), self.other.update(other_B, indices_B)
        )
