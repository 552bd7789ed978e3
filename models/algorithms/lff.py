"""LfF: a network learns from the failures of a biased one.

Nam, Cha, Ahn, Lee, Shin, "Learning from Failure: Training Debiased Classifier from Biased Classifier",
NeurIPS 2020 (arXiv 2007.02561), Algorithm 1.
"""

import torch
from pydantic import Field

from models.algorithms.base import AlgorithmSettings
from models.algorithms.erm import AbstractErm
from models.algorithms.parts.networks import Networks
from models.algorithms.parts.plans import Batch
from models.algorithms.parts.relative_difficulty import ClassNormalizedLosses, gce, relative_difficulty
from models.groups import TrainLabels


class LffSettings(AlgorithmSettings):
    """Settings of LfF."""

    q: float = Field(default=0.7, gt=0, le=1)
    """Of the biased network's generalized cross-entropy: the greater, the more biased."""
    decay: float = Field(default=0.7, ge=0, lt=1)
    """Of the moving averages of every sample's losses, per time that the sample is drawn."""


class Lff(AbstractErm[LffSettings]):
    """L = GCE(biased) + W CE(main) with W = L_b / (L_b + L_d), a sample's relative difficulty.

    L_b and L_d are the sample's cross-entropies under the biased and the main (debiased) network, each a
    moving average over its visits divided by the greatest average in its class, as in the authors' code. The
    biased network trains beside the main one and hands it nothing but W. The authors' code has a further
    factor q in the biased network's loss; here it is the paper's equation. A step costs the passes of two
    networks, which the budget in samples seen counts once.
    """

    settings_type = LffSettings
    companions = ("biased",)
    additive = False

    def __init__(self, train: TrainLabels, settings: LffSettings) -> None:
        super().__init__(train, settings)
        self.biased_losses, self.debiased_losses = (
            ClassNormalizedLosses(self.state, name, train.label_N, settings.decay)
            for name in ("biased_N", "debiased_N")
        )

    def objective(self, networks: Networks, batch: Batch) -> torch.Tensor:
        """Loss of both networks; W is a number to both."""
        ((biased_BK, _),) = networks.using("biased").forward(batch)
        ((logits_BK, _),) = networks.forward(batch)
        losses_B, indices_B = self.sample_losses(logits_BK, batch), batch.plan.indices_N
        weight_B = relative_difficulty(
            self.biased_losses.update(self.sample_losses(biased_BK, batch), indices_B),
            self.debiased_losses.update(losses_B, indices_B),
        )
        biased_B = gce(biased_BK, batch.label_B, self.settings.q)
        return self.loss(biased_B + weight_B * losses_B, batch.plan)
