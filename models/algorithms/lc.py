"""LC: logits corrected by how often a class meets what a biased network takes it for.

Liu, Zhang, Sekhar, Wu, Singhal, Fernandez-Granda, "Avoiding Spurious Correlations via Logit Correction",
ICLR 2023 (arXiv 2212.01433), equations 7 to 11 and 13.
"""

from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat

from models.algorithms.base import AlgorithmSettings
from models.algorithms.erm import AbstractErm
from models.algorithms.parts.networks import Networks
from models.algorithms.parts.plans import Batch
from models.algorithms.parts.relative_difficulty import gce
from models.groups import TrainLabels

MixUp = Literal["minority", "every", "none"]
"""`minority`: the paper's equation 13. `every`: the authors' code. `none`: no images are mixed."""


class LcSettings(AlgorithmSettings):
    """Settings of LC."""

    q: float = Field(default=0.7, gt=0, le=1)
    """Of the biased network's generalized cross-entropy: the greater, the more biased."""
    decay: float = Field(default=0.9, ge=0, lt=1)
    """Of the moving average of P(y, a), per step."""
    temperature: PositiveFloat = 1.0
    """Divides the biased network's logits where they stand for P(a|x)."""
    biased_weight: PositiveFloat = 1.0
    """Of the biased network's loss; with SGD a factor on its learning rate."""
    mixup: MixUp = "minority"
    """Group MixUp; images that are mixed have another tissue area, see `Lc`."""


class Lc(AbstractErm[LcSettings]):
    """Cross-entropy of f(x) + ln P(., a_x), with the biased network's prediction for the attribute a_x.

    The attribute has as many values as there are classes. P(a|x) is the softmax of a network trained by
    generalized cross-entropy beside the main one, a_x its argmax, and P(y, a) the moving average of the
    batches' mean of 1[y_i = y] P(a|x_i). It starts as P(y) / K: by then LC is balanced softmax.

    Group MixUp: a sample whose a_x is not its label is in the minority. It is mixed, in raw pixels, with a
    random majority sample of its label, at a share of 1/2 to 1 for itself; P(., a) is mixed alike. The
    authors' code mixes every sample instead, with a minority sample that has 1/2 to 1 (`mixup: every`). The
    tissue area of a mixed patch lies between those of its sources, so that it has no attribute of its own;
    the correction uses the sources' a_x, never that of the mixture. `mixup: none` leaves images alone.

    A step costs the passes of two networks, which the budget in samples seen counts once.
    """

    settings_type = LcSettings
    companions = ("biased",)
    additive = False

    def __init__(self, train: TrainLabels, settings: LcSettings) -> None:
        super().__init__(train, settings)
        share_K = torch.from_numpy(train.counts_K / len(train)).float()
        self.state["joint_KK"] = (share_K[:, None] / train.n_classes).repeat(1, train.n_classes)

    def objective(self, networks: Networks, batch: Batch) -> torch.Tensor:
        """Loss of both networks; the biased one sees the images as they are."""
        ((biased_BK, _),) = networks.using("biased").forward(batch)
        prior_BK = self.prior(biased_BK.detach(), batch.label_B)
        minority_B = biased_BK.detach().argmax(dim=1) != batch.label_B
        mixed, prior_BK = self.mixed(batch, prior_BK, minority_B.cpu().numpy())
        ((logits_BK, _),) = networks.forward(mixed)
        # As in the authors' code, so that a pair that was never met does not forbid its class.
        losses_B = self.sample_losses(logits_BK + (prior_BK + 1e-4).log(), batch)
        gce_B = gce(biased_BK, batch.label_B, self.settings.q)
        return self.loss(losses_B + self.settings.biased_weight * gce_B, batch.plan)

    def prior(self, biased_BK: torch.Tensor, label_B: torch.Tensor) -> torch.Tensor:
        """P(y, a_x) of every sample's own attribute and every class y, [B, K]; updates the moving average.

        Args:
            biased_BK: logits of the biased network, without gradients.
            label_B: int64.
        """
        attribute_BK = (biased_BK / self.settings.temperature).softmax(dim=1)
        own_BK = torch.nn.functional.one_hot(label_B, biased_BK.shape[1]).to(attribute_BK.dtype)
        now_KK = own_BK.T @ attribute_BK / len(label_B)
        self.state["joint_KK"] = now_KK.lerp(self.state["joint_KK"].to(now_KK.device), self.settings.decay)
        return self.state["joint_KK"].T[biased_BK.argmax(dim=1)]

    def mixed(
        self, batch: Batch, prior_BK: torch.Tensor, minority_B: NDArray[np.bool_]
    ) -> tuple[Batch, torch.Tensor]:
        """Batch and priors after Group MixUp; labels stay, because partners have the same."""
        if self.settings.mixup == "none":
            return batch, prior_BK
        rng = np.random.default_rng(batch.mixing_seed)
        every = self.settings.mixup == "every"
        partner_B, own_B = partners(batch.label_B.cpu().numpy(), minority_B, rng, every=every)
        images = batch.images_BCHW
        other_B = torch.from_numpy(partner_B).to(images.device)
        share_B1 = torch.from_numpy(own_B).to(images)[:, None]
        images = images[other_B].lerp(images, share_B1[:, :, None, None])
        return replace(batch, images_BCHW=images), prior_BK[other_B].lerp(prior_BK, share_B1)


def partners(
    label_B: NDArray[np.int64], minority_B: NDArray[np.bool_], rng: np.random.Generator, *, every: bool
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Whom every sample is mixed with, and its own share in the mixture; 1 where it is not mixed.

    Args:
        label_B: labels.
        minority_B: samples that the biased network is wrong about.
        rng: of the step.
        every: mix every sample with one of the minority, not the minority with the majority.
    """
    partner_B, own_B = np.arange(len(label_B)), np.ones(len(label_B))
    for y in np.unique(label_B):
        of_class_B = label_B == y
        rows_M = np.flatnonzero(of_class_B if every else of_class_B & minority_B)
        pool_M = np.flatnonzero(of_class_B & (minority_B if every else ~minority_B))
        if pool_M.size:
            partner_B[rows_M] = rng.choice(pool_M, len(rows_M))
            own_B[rows_M] = rng.uniform(*((0.0, 0.5) if every else (0.5, 1.0)), len(rows_M))
    return partner_B, own_B
