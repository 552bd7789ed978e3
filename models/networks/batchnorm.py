"""What BatchNorm sees when a step has several roles (METHOD: one forward or two)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

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


def synchronize(model: nn.Module) -> None:
    """Make every BatchNorm inside the model take its statistics over all processes (torch: on GPUs only)."""
    nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]


def _batch_norms(model: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    return [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
