"""What BatchNorm sees when a step has several roles (METHOD: one forward or two)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import nn

BatchNormPolicy = Literal["union", "separate", "frozen"]
"""`union`: one forward over the samples of all roles. `separate`: one forward per role, running
statistics from the last role's only (GERNE: the less biased). `frozen`: running statistics stay."""


def train_mode(model: nn.Module, policy: BatchNormPolicy) -> None:
    """Put the model in training mode, with BatchNorm as the policy wants it."""
    model.train()
    if policy == "frozen":
        for module in _batch_norms(model):
            module.eval()


@contextmanager
def kept_statistics(model: nn.Module, *, keep: bool = True) -> Iterator[None]:
    """Batches are still normalized by their own statistics, but leave no trace in the running ones."""
    modules = _batch_norms(model) if keep else []
    tracked = [module.track_running_stats for module in modules]
    try:
        for module in modules:
            module.track_running_stats = False
        yield
    finally:
        for module, tracks in zip(modules, tracked, strict=True):
            module.track_running_stats = tracks


def has_batch_norm(model: nn.Module) -> bool:
    """Whether there is any BatchNorm in the model."""
    return bool(_batch_norms(model))


def sees_single_values(model: nn.Module, image_1CHW: torch.Tensor) -> bool:
    """Whether one sample gives a BatchNorm one value per channel, of which there is no variance.

    Args:
        model: left as it is.
        image_1CHW: as the model takes it, on any device.
    """
    single: list[bool] = []
    hooks = [
        module.register_forward_pre_hook(
            lambda _, given: single.append(given[0].numel() == given[0].shape[1])
        )
        for module in _batch_norms(model)
    ]
    training = model.training
    try:
        with torch.no_grad():
            model.eval()(image_1CHW.to(next(model.parameters()).device))
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return any(single)


def synchronize(model: nn.Module) -> None:
    """Make every BatchNorm inside the model take its statistics over all processes (torch: on GPUs only)."""
    nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]


def _batch_norms(model: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    return [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
