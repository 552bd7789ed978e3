"""DFA: disentangle intrinsic from biased features, and swap the biased ones among samples.

Lee, Kim, Lee, Lee, Choo, "Learning Debiased Representation via Disentangled Feature Augmentation",
NeurIPS 2021 (arXiv 2107.01372), equations 1 to 4.
"""

import numpy as np
import torch
from pydantic import Field, NonNegativeFloat

from models.algorithms.parts.networks import Networks
from models.algorithms.parts.plans import Batch
from models.algorithms.parts.relative_difficulty import AbstractDifficultyWeighted, DifficultySettings, gce
from models.networks.backbones.disentangled import Disentangled
from models.networks.heads import features_and_logits
from patching.errors import AlgorithmError


class DfaSettings(DifficultySettings):
    """Settings of DFA."""

    lambda_dis: NonNegativeFloat = 1.0
    """Weight of the bias branch in L_dis."""
    lambda_swap: NonNegativeFloat = 1.0
    """Weight of L_swap."""
    lambda_swap_b: NonNegativeFloat = 1.0
    """Weight of the bias branch in L_swap."""
    swap_after: float = Field(default=0.2, ge=0, le=1)
    """Share of the training after which features are swapped: before it they are not disentangled yet."""


class Dfa(AbstractDifficultyWeighted[DfaSettings]):
    """L = L_dis + lambda_swap L_swap on features z = [z_i; z_b] of an intrinsic and a biased encoder:

    L_dis  = W CE(C_i(z), y)      + lambda_dis    GCE(C_b(z), y)
    L_swap = W CE(C_i(z_swap), y) + lambda_swap_b GCE(C_b(z_swap), y_swap),  z_swap = [z_i; z_b of another],

    with y_swap the other's label. Each head trains its own encoder alone, and sees the other's features as
    numbers. W is the relative difficulty as in LfF, of the cross-entropies of both heads. The shipped network
    is C_i on both encoders (`models.networks.backbones.disentangled`). The encoders are the configured
    backbone, where the paper's perceptron narrows its features to 16. GCE is the equation; the authors' code
    has a further factor q. The start of swapping is a share of the training; the authors' is 10,000 of 50,000
    steps. A step costs the passes of two encoders, which the budget in samples seen counts once, and so do
    predictions.
    """

    settings_type = DfaSettings
    assembly = "disentangled"
    averages = ("biased_N", "intrinsic_N")

    def objective(self, networks: Networks, batch: Batch) -> torch.Tensor:
        """L_dis, and L_swap once the training is that far."""
        backbone = _disentangled(networks)
        features_BD, _ = features_and_logits(networks.main, backbone, batch.images_BCHW)
        intrinsic_BD, bias_BD = features_BD.float().chunk(2, dim=1)
        label_B, own = batch.label_B, self.settings
        logits_BK, biased_BK = _heads(backbone, intrinsic_BD, bias_BD)
        losses_B = self.sample_losses(logits_BK, batch)
        weight_B = self.difficulty(self.sample_losses(biased_BK, batch), losses_B, batch)
        losses_B = weight_B * losses_B
        losses_B = losses_B + own.lambda_dis * gce(biased_BK, label_B, own.q)
        if batch.progress >= own.swap_after:
            order_B = np.random.default_rng(batch.mixing_seed).permutation(len(batch))
            other_B = torch.from_numpy(order_B).to(label_B.device)
            logits_BK, biased_BK = _heads(backbone, intrinsic_BD, bias_BD[other_B])
            swapped_B = weight_B * self.sample_losses(logits_BK, batch)
            swapped_B = swapped_B + own.lambda_swap_b * gce(biased_BK, label_B[other_B], own.q)
            losses_B = losses_B + own.lambda_swap * swapped_B
        return self.loss(losses_B, batch.plan)


def _heads(
    backbone: Disentangled, intrinsic_BD: torch.Tensor, bias_BD: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of the intrinsic and of the bias head, each with a gradient to its own features alone."""
    return (
        backbone.intrinsic_head(torch.cat([intrinsic_BD, bias_BD.detach()], dim=1)),
        backbone.bias_head(torch.cat([intrinsic_BD.detach(), bias_BD], dim=1)),
    )


def _disentangled(networks: Networks) -> Disentangled:
    backbone = networks.classifier.backbone
    if isinstance(backbone, Disentangled):
        return backbone
    raise AlgorithmError(
        has=f"DFA with a network of type {type(backbone).__name__}",
        needs="a network with two encoders",
        do="train with models.training.fit.fit, which builds it around the configured backbone",
    )
