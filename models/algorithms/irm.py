"""Invariant risk minimization (IRMv1): one classifier that is optimal in every environment.

Arjovsky, Bottou, Gulrajani, Lopez-Paz, "Invariant Risk Minimization", 2019 (arXiv 1907.02893), section 3.1
and appendix D.
"""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import NonNegativeFloat, NonNegativeInt

from models.algorithms.parts.group_means import group_means
from models.algorithms.parts.networks import Networks
from models.algorithms.parts.plans import Batch
from models.algorithms.parts.quota import AbstractResampler, QuotaSettings
from models.groups import GroupLayout, TrainGroups
from patching.errors import EmptyGroupError


class IrmSettings(QuotaSettings):
    """Settings of IRM."""

    penalty_weight: NonNegativeFloat = 100.0
    """The paper's lambda, after `anneal_steps`."""
    anneal_steps: NonNegativeInt = 500
    """Steps over which the penalty weighs 1, so that there is something to be invariant."""
    estimate: Literal["halves", "square"] = "halves"
    """Of the squared gradient: the product of the gradients of two halves of the environment's samples, which
    is right on average over batches and may be negative (appendix D), or the square of all their gradient."""


class Irm(AbstractResampler[TrainGroups, IrmSettings]):
    """L = mean_e R_e + lambda mean_e |d R_e(w f) / d w at w = 1|^2; the environments e are attribute values.

    R_e is the mean cross-entropy over the environment's samples in the batch, w a dummy scale of the logits.
    Environments are drawn equally often, with their classes as they are: to balance the classes inside would
    take away how they differ. Where lambda is above 1, all of L is divided by it, as in the authors' code.

    Raises:
        EmptyGroupError: an attribute value without training samples.
    """

    settings_type = IrmSettings
    view = TrainGroups
    generator = 1
    additive = False

    def __init__(self, train: TrainGroups, settings: IrmSettings) -> None:
        super().__init__(train, settings)
        self.state["steps"] = torch.tensor(0)

    def drawn_from(self) -> TrainGroups:
        environments = GroupLayout(1, self.train.layout.n_attributes)
        return TrainGroups(environments, np.zeros_like(self.train.label_N), self.train.attribute_N)

    def distribution(self) -> NDArray[np.float64]:
        counts_1E = self.groups.counts_KA
        if not counts_1E.all():
            raise EmptyGroupError(
                has=f"no training sample with attribute {np.flatnonzero(counts_1E[0] == 0).tolist()}",
                needs="at least one training sample of every attribute value, which is an environment",
                do="drop the attribute value, move the threshold, or gather data",
            )
        return np.full(counts_1E.shape, 1 / counts_1E.shape[1])

    def objective(self, networks: Networks, batch: Batch) -> torch.Tensor:
        """Risk and penalty of the batch, by the derivative of every sample's loss to its logits' scale."""
        ((logits_BK, _),) = networks.forward(batch)
        scale_B = torch.ones(len(batch), device=logits_BK.device, requires_grad=True)
        losses_B = self.sample_losses(scale_B[:, None] * logits_BK, batch)
        (slope_B,) = torch.autograd.grad(losses_B.sum(), scale_B, create_graph=True)
        environment_B = torch.from_numpy(self.train.attribute_N[batch.plan.indices_N]).to(logits_BK.device)
        risk = group_means(losses_B, environment_B, self.train.layout.n_attributes).mean()
        weight = self._advance()
        return (risk + weight * self.penalty(slope_B, environment_B)) / max(weight, 1.0)

    def penalty(self, slope_B: torch.Tensor, environment_B: torch.Tensor) -> torch.Tensor:
        """Mean over the environments of the squared derivative of their risk.

        Args:
            slope_B: derivative of every sample's loss to the scale.
            environment_B: int64. Of every environment, the 1st, 3rd, ... sample of the batch are one half.
        """
        n_environments = self.train.layout.n_attributes
        if self.settings.estimate == "square":
            return group_means(slope_B, environment_B, n_environments).square().mean()
        place_B = (environment_B[:, None] == environment_B).tril(diagonal=-1).sum(dim=1)
        half_B = 2 * environment_B + place_B % 2
        return group_means(slope_B, half_B, 2 * n_environments).reshape(-1, 2).prod(dim=1).mean()

    def _advance(self) -> float:
        """Weight of the penalty in this step; counts the step."""
        annealed = int(self.state["steps"]) >= self.settings.anneal_steps
        self.state["steps"] = self.state["steps"] + 1
        return self.settings.penalty_weight if annealed else 1.0
