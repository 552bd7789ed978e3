"""Diagnosis of a step: how long the roles' gradients are, and how far they agree."""

from typing import Any

import torch

from models.algorithms.base import AbstractAlgorithm
from models.batchnorm import kept_statistics
from models.networks import Networks
from models.plans import Batch


def gradient_figures(
    networks: Networks, algorithm: AbstractAlgorithm[Any, Any], batch: Batch
) -> dict[str, float]:
    """Norm of every role's gradient, and the cosine between the first and the last role's.

    For GERNE these are |g_b|, |g_lb| and cos(g_b, g_lb) of one batch. Costs a forward pass, and one
    backward pass per role; leaves no trace in BatchNorm.
    """
    networks.train_mode()
    parameters = [p for p in networks.classifier.parameters() if p.requires_grad]
    with kept_statistics(networks.main):
        parts = networks.forward(algorithm.prepared(batch))
    losses = [(algorithm.sample_losses(logits_BK, part), part) for logits_BK, part in parts]
    gradients_RP = [
        _gradient(*losses[min(role, len(losses) - 1)], role, parameters)
        for role in range(len(algorithm.roles))
    ]
    figures = {
        f"gradient_norm_{role}": float(gradient_P.norm())
        for role, gradient_P in zip(algorithm.roles, gradients_RP, strict=True)
    }
    if len(gradients_RP) > 1:
        cosine = torch.nn.functional.cosine_similarity(gradients_RP[0], gradients_RP[-1], dim=0)
        figures["gradient_cosine"] = float(cosine)
    return figures


def _gradient(
    losses_N: torch.Tensor, part: Batch, role: int, parameters: list[torch.nn.Parameter]
) -> torch.Tensor:
    weights_N = torch.as_tensor(part.plan.weights_RN[role], dtype=torch.float32, device=losses_N.device)
    role_loss = (weights_N * losses_N.float()).sum()
    return torch.cat([g.flatten() for g in torch.autograd.grad(role_loss, parameters, retain_graph=True)])
