"""What BatchNorm sees when a step has several roles (METHOD: one forward or two)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch
from torch import nn

from models.algorithms.base import BatchPlan

BatchNormPolicy = Literal["union", "separate", "frozen"]
"""`union`: one forward over the samples of all roles. `separate`: one forward per role, running
statistics from the last role's only (GERNE: the less biased). `frozen`: running statistics stay."""

Losses = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Part = tuple[torch.Tensor, BatchPlan]


def train_mode(model: nn.Module, policy: BatchNormPolicy) -> None:
    """Put the model in training mode, with BatchNorm as the policy wants it."""
    model.train()
    if policy == "frozen":
        for module in _batch_norms(model):
            module.eval()


def forward_parts(
    model: nn.Module, losses: Losses, images_BCHW: torch.Tensor, plan: BatchPlan, policy: BatchNormPolicy
) -> list[Part]:
    """Per-sample losses of a step, in one part, or in one part per role.

    Args:
        losses: maps images and their positions in the batch to per-sample losses.
        images_BCHW: the samples of `plan`, in its order.

    Returns:
        Losses with the plan they belong to; the step's loss is the sum of the algorithm's over the parts.
    """
    everything = torch.arange(len(images_BCHW))
    if policy != "separate" or len(plan.weights_RN) == 1:
        return [(losses(images_BCHW, everything), plan)]
    parts = []
    for role in range(len(plan.weights_RN)):
        here_B = plan.weights_RN[role] != 0
        rows = everything[torch.from_numpy(here_B)]
        with _kept_statistics(model, keep=role < len(plan.weights_RN) - 1):
            part_losses = losses(images_BCHW[rows.to(images_BCHW.device)], rows)
        parts.append((part_losses, _only(plan, role, here_B)))
    return parts


def _only(plan: BatchPlan, role: int, here_B: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> BatchPlan:
    weights_RN = np.zeros((len(plan.weights_RN), int(here_B.sum())))
    weights_RN[role] = plan.weights_RN[role, here_B]
    return BatchPlan(plan.indices_N[here_B], weights_RN)


@contextmanager
def _kept_statistics(model: nn.Module, *, keep: bool) -> Iterator[None]:
    modules = _batch_norms(model) if keep else []
    momenta = [module.momentum for module in modules]
    try:
        for module in modules:
            # Batches are still normalized by their own statistics, but leave no trace.
            module.momentum = 0.0
        yield
    finally:
        for module, momentum in zip(modules, momenta, strict=True):
            module.momentum = momentum


def _batch_norms(model: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    return [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
