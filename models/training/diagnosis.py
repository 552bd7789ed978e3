"""Diagnosis of a step: how long the roles' gradients are, and how far they agree."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import torch

from models.algorithms.base import AbstractAlgorithm
from models.algorithms.parts.networks import Networks
from models.algorithms.parts.plans import Batch
from models.networks.batchnorm import kept_statistics


def gradient_figures(
    networks: Networks,
    algorithm: AbstractAlgorithm[Any, Any],
    batches: Iterable[Batch],
    total: Callable[[torch.Tensor], torch.Tensor],
) -> dict[str, float]:
    """Norm of every role's gradient, and the cosine between the first and the last role's.

    For GERNE these are |g_b|, |g_lb| and cos(g_b, g_lb) of one batch. Costs a forward pass, and one
    backward pass per role; leaves no trace in BatchNorm.

    Args:
        networks: of the training.
        algorithm: whose roles are meant.
        batches: the parts of the step that this process has.
        total: sums over processes.
    """
    networks.train_mode()
    # Not the one wrapped for several processes: these gradients are no step's.
    alone = replace(networks, main=networks.classifier)
    gradients_RP = total(
        torch.stack([_role_gradients(alone, algorithm, batch) for batch in batches]).sum(dim=0)
    )
    figures = {
        f"gradient_norm_{role}": float(gradient_P.norm())
        for role, gradient_P in zip(algorithm.roles, gradients_RP, strict=True)
    }
    if len(gradients_RP) > 1:
        cosine = torch.nn.functional.cosine_similarity(gradients_RP[0], gradients_RP[-1], dim=0)
        figures["gradient_cosine"] = float(cosine)
    return figures


def _role_gradients(networks: Networks, algorithm: AbstractAlgorithm[Any, Any], batch: Batch) -> torch.Tensor:
    """Gradient of every role's loss in one part of the step, [R, P]."""
    parameters = [p for p in networks.classifier.parameters() if p.requires_grad]
    with kept_statistics(networks.main):
        forwarded = networks.forward(algorithm.prepared(batch))
    losses = [(algorithm.sample_losses(logits_BK, part), part) for logits_BK, part in forwarded]
    return torch.stack([_gradient(losses, role, parameters) for role in range(len(algorithm.roles))])


def _gradient(
    losses: list[tuple[torch.Tensor, Batch]], role: int, parameters: list[torch.nn.Parameter]
) -> torch.Tensor:
    gradient_P = torch.zeros(sum(p.numel() for p in parameters), device=parameters[0].device)
    for losses_N, part in losses:
        weights_N = torch.as_tensor(part.plan.weights_RN[role], dtype=torch.float32, device=losses_N.device)
        if weights_N.any():
            loss = (weights_N * losses_N.float()).sum()
            own = torch.autograd.grad(loss, parameters, retain_graph=True, materialize_grads=True)
            gradient_P += torch.cat([g.flatten() for g in own])
    return gradient_P
