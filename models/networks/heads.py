"""The last layer of a backbone, and the features in front of it."""

import torch
from torch import nn


def head_name(backbone: nn.Module) -> str:
    """Name of the last linear layer in the order of definition, which gives the logits."""
    linears: list[str] = [name for name, module in backbone.named_modules() if isinstance(module, nn.Linear)]
    return linears[-1]


def head_of(backbone: nn.Module) -> nn.Linear:
    """The last linear layer itself."""
    return [module for module in backbone.modules() if isinstance(module, nn.Linear)][-1]


def take_head(backbone: nn.Module) -> int:
    """Take the last linear layer away, so that the backbone gives features [B, D]; returns D."""
    width = head_of(backbone).in_features
    parent, _, name = head_name(backbone).rpartition(".")
    setattr(backbone.get_submodule(parent), name, nn.Identity())
    return width


def features_and_logits(
    model: nn.Module, backbone: nn.Module, images_BCHW: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Features [B, D] that enter the last layer, and logits [B, K].

    Args:
        model: what is called; holds `backbone`.
        backbone: whose last linear layer is meant.
    """
    seen: list[torch.Tensor] = []

    def keep(_module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        seen.append(inputs[0])

    handle = head_of(backbone).register_forward_pre_hook(keep)
    try:
        logits_BK = model(images_BCHW)
    finally:
        handle.remove()
    return seen[-1], logits_BK


def only_head(backbone: nn.Module, seed: int) -> None:
    """Freeze everything but the last layer, which starts anew (Kang et al., ICLR 2020)."""
    for parameter in backbone.parameters():
        parameter.requires_grad_(False)
    head = head_of(backbone)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head.reset_parameters()
    for parameter in head.parameters():
        parameter.requires_grad_(True)
