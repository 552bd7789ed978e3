"""Diagnosis of a step: how long the roles' gradients are, and how far they agree."""

from collections.abc import Sequence
from typing import Any

import torch

from models.algorithms.base import AbstractAlgorithm
from models.batchnorm import Part


def gradient_figures(
    parts: Sequence[Part], algorithm: AbstractAlgorithm[Any], parameters: Sequence[torch.nn.Parameter]
) -> dict[str, float]:
    """Norm of every role's gradient, and the cosine between the first and the last role's.

    For GERNE these are |g_b|, |g_lb| and cos(g_b, g_lb) of one batch. Costs one backward pass per role;
    the graph stays for the training's own.
    """
    gradients_RP = [
        _gradient(parts[min(role, len(parts) - 1)], role, parameters) for role in range(len(algorithm.roles))
    ]
    figures = {
        f"gradient_norm_{role}": float(gradient_P.norm())
        for role, gradient_P in zip(algorithm.roles, gradients_RP, strict=True)
    }
    if len(gradients_RP) > 1:
        cosine = torch.nn.functional.cosine_similarity(gradients_RP[0], gradients_RP[-1], dim=0)
        figures["gradient_cosine"] = float(cosine)
    return figures


def _gradient(part: Part, role: int, parameters: Sequence[torch.nn.Parameter]) -> torch.Tensor:
    losses_N, plan = part
    weights_N = torch.as_tensor(plan.weights_RN[role], dtype=torch.float32, device=losses_N.device)
    role_loss = (weights_N * losses_N.float()).sum()
    return torch.cat([g.flatten() for g in torch.autograd.grad(role_loss, parameters, retain_graph=True)])
