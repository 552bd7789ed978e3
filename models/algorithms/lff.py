"""LfF: a network learns from the failures of a biased one.

Nam, Cha, Ahn, Lee, Shin, "Learning from Failure: Training Debiased Classifier from Biased Classifier",
NeurIPS 2020 (arXiv 2007.02561), Algorithm 1.
"""

import torch

from models.algorithms.parts.networks import Networks
from models.algorithms.parts.plans import Batch
from models.algorithms.parts.relative_difficulty import AbstractDifficultyWeighted, DifficultySettings, gce


class LffSettings(DifficultySettings):
    """Settings of LfF."""


class Lff(AbstractDifficultyWeighted[LffSettings]):
    """L = GCE(biased) + W CE(main) with W = L_b / (L_b + L_d), a sample's relative difficulty.

    L_b and L_d are the sample's cross-entropies under the biased and the main (debiased) network, each a
    moving average over its visits divided by the greatest average in its class, as in the authors' code. The
    biased network trains beside the main one and hands it nothing but W. The authors' code has a further
    factor q in the biased network's loss; here it is the paper's equation. A step costs the passes of two
    networks, which the budget in samples seen counts once.
    """

    settings_type = LffSettings
    companions = ("biased",)
    averages = ("biased_N", "debiased_N")

    def objective(self, networks: Networks, batch: Batch) -> torch.Tensor:
        """Loss of both networks; W is a number to both."""
        ((biased_BK, _),) = networks.using("biased").forward(batch)
        ((logits_BK, _),) = networks.forward(batch)
        losses_B = self.sample_losses(logits_BK, batch)
        weight_B = self.difficulty(self.sample_losses(biased_BK, batch), losses_B, batch)
        biased_B = gce(biased_BK, batch.label_B, self.settings.q)
        return self.loss(biased_B + weight_B * losses_B, batch.plan)
