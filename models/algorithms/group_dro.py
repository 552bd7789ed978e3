"""Group DRO: the worst group's loss, by weights of groups that follow their losses.

Sagawa, Koh, Hashimoto, Liang, "Distributionally Robust Neural Networks for Group Shifts: On the Importance
of Regularization for Worst-Case Generalization", ICLR 2020 (arXiv 1911.08731), Algorithm 1 and section 3.3.
"""

import math

import torch
from pydantic import NonNegativeFloat, PositiveFloat

from models.algorithms.parts.group_means import group_means
from models.algorithms.parts.plans import BatchPlan
from models.algorithms.parts.quota import AbstractGroupResampler, QuotaSettings
from models.groups import TrainGroups


class GroupDroSettings(QuotaSettings):
    """Settings of Group DRO."""

    step_size: PositiveFloat = 0.01
    """The paper's eta_q, of the exponentiated gradient on q; towards 0 it is group resampling."""
    adjustment: NonNegativeFloat = 0.0
    """The paper's C: small groups, whose loss generalizes worse, count C / sqrt(n_g) more."""


class GroupDro(AbstractGroupResampler[GroupDroSettings]):
    """L = sum_g q_g L'_g with L'_g = L_g + C / sqrt(n_g) and q_g <- q_g exp(eta L'_g) / sum.

    L_g is the mean loss of the group's samples in the batch, n_g its training samples. q starts uniform and
    is updated before it weights the step. A group that the batch does not hold has L_g = 0 in it, as in the
    authors' code. Groups are drawn equally often, as theirs with `--reweight_groups`, which changes how well
    L_g is known but not what is minimized. The table printed at start holds for the uniform q.

    Raises:
        EmptyGroupError: a group without training samples.
    """

    settings_type = GroupDroSettings
    additive = False

    def __init__(self, train: TrainGroups, settings: GroupDroSettings) -> None:
        super().__init__(train, settings)
        n_groups = train.layout.n_groups
        # As a logarithm: a q that had become 0 would stay 0 however the losses turn.
        self.state["log_q_G"] = torch.full((n_groups,), -math.log(n_groups))

    def loss(self, losses_N: torch.Tensor, plan: BatchPlan) -> torch.Tensor:
        """Update q, then weight the groups' adjusted losses by it."""
        group_N = torch.from_numpy(self.train.group_N[plan.indices_N]).to(losses_N.device)
        count_G = torch.from_numpy(self.train.counts_KA.ravel()).to(losses_N.device)
        mean_G = group_means(losses_N.float(), group_N, len(count_G))
        adjusted_G = mean_G + self.settings.adjustment / count_G.sqrt()
        log_q_G = self.state["log_q_G"].to(losses_N.device)
        self.state["log_q_G"] = (log_q_G + self.settings.step_size * adjusted_G.detach()).log_softmax(dim=0)
        return self.state["log_q_G"].exp() @ adjusted_G
