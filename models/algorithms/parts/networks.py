"""The networks of a training: the classifier that is wanted, and those that a method trains beside it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import nn

from models.algorithms.parts.plans import Batch
from models.networks.batchnorm import BatchNormPolicy, kept_statistics, train_mode
from models.networks.classifier import Classifier


@dataclass(frozen=True)
class Networks:
    """What a method's objective may call.

    Attributes:
        main: maps images [B, C, H, W] to logits [B, K]; in training perhaps wrapped for several processes.
        classifier: the same network, not wrapped: its parts, its head.
        companions: classifiers of the same architecture that the method trains beside it (LfF's biased
            network); they are saved with the training's state, never shipped.
        batch_norm: what BatchNorm sees where a step has several roles.
    """

    main: nn.Module
    classifier: Classifier
    companions: Mapping[str, Classifier] = field(default_factory=dict)
    batch_norm: BatchNormPolicy = "union"

    def train_mode(self) -> None:
        """Put every network in training mode."""
        for network in (self.main, *self.companions.values()):
            train_mode(network, self.batch_norm)

    def parameters(self) -> list[nn.Parameter]:
        """All trainable parameters, the main network's first."""
        modules = (self.classifier, *self.companions.values())
        return [p for module in modules for p in module.parameters() if p.requires_grad]

    def using(self, name: str) -> "Networks":
        """The companion `name` in the place of the main network."""
        return replace(self, main=self.companions[name], classifier=self.companions[name])

    def forward(self, batch: Batch) -> list[tuple[torch.Tensor, Batch]]:
        """Logits [B, K] in fp32 with the batch they belong to: in one part, or in one part per role."""
        roles = len(batch.plan.weights_RN)
        if self.batch_norm != "separate" or roles == 1:
            return [(self.main(batch.images_BCHW).float(), batch)]
        parts = []
        for role in range(roles):
            part = _only(batch, role)
            if not len(part):
                continue
            with kept_statistics(self.main, keep=role < roles - 1):
                parts.append((self.main(part.images_BCHW).float(), part))
        return parts


def _only(batch: Batch, role: int) -> Batch:
    """The samples of one role, weighing nothing in the others."""
    rows_M = np.flatnonzero(batch.plan.weights_RN[role])
    part = batch.rows(rows_M)
    weights_RN = np.zeros_like(part.plan.weights_RN)
    weights_RN[role] = part.plan.weights_RN[role]
    return replace(part, plan=replace(part.plan, weights_RN=weights_RN))
