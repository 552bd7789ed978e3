"""One training in several processes (torchrun): how they come together, and what they cannot do."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from models.algorithms.base import AbstractAlgorithm
from models.data.dataset import AbstractPatches, SelectedPatches
from models.networks.batchnorm import has_batch_norm, synchronize
from models.networks.classifier import Classifier
from models.training.optimization import precision
from models.training.settings import TrainSettings
from patching.errors import ConfigError

CHUNK = 256
"""Patches of one prediction."""


def process_count() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first_process() -> bool:
    """Whether this process is the only one, or the one that writes and speaks for all."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def one_of_several() -> Iterator[None]:
    """Around all that a process of several does: only the first speaks of what is no error."""
    if not is_first_process():
        logging.getLogger().setLevel(logging.ERROR)
    yield
    # Left out where an error passed: a process that failed alone cannot wait for the others.
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def make_accelerator(settings: TrainSettings) -> Accelerator:
    """The device of this process, its precision, and its place among the processes."""
    return Accelerator(cpu=settings.device == "cpu", mixed_precision=precision(settings))


def leave_buffers(network: nn.Module) -> None:
    """Spare forward passes an exchange of buffers: BatchNorm is frozen or synchronized, they are equal."""
    if isinstance(network, DistributedDataParallel):
        network.broadcast_buffers = False


def check_divisible(
    name: str,
    algorithm: AbstractAlgorithm[Any, Any] | type[AbstractAlgorithm[Any, Any]],
    settings: TrainSettings,
) -> None:
    """Check that a step may be computed in parts, where the settings or several processes make it so.

    Raises:
        ConfigError: the algorithm needs its batch in one piece.
    """
    if algorithm.additive and not algorithm.companions:
        return
    if process_count() == 1 and settings.micro_batch is None:
        return
    beside = f"trains {', '.join(algorithm.companions)} beside the classifier"
    raise ConfigError(
        has=f"{name}, which {beside if algorithm.companions else 'does not minimize a sum over samples'}, "
        f"in {process_count()} process(es) with micro_batch: {settings.micro_batch or 'null'}",
        needs="its batch in one piece",
        do="train it in one process with micro_batch: null",
    )


def check_batch_norm(classifier: Classifier, settings: TrainSettings, accelerator: Accelerator) -> None:
    """Make BatchNorm see the samples of all processes, where there are several and it is not frozen.

    Raises:
        ConfigError: it cannot.
    """
    if accelerator.num_processes == 1 or settings.batch_norm == "frozen":
        return
    on_gpu = accelerator.device.type == "cuda"
    if settings.batch_norm == "separate" or (has_batch_norm(classifier) and not on_gpu):
        raise ConfigError(
            has=f"batch_norm: {settings.batch_norm} in {accelerator.num_processes} processes on "
            f"{accelerator.device.type}",
            needs="BatchNorm over the samples of all processes, which torch has on GPUs alone",
            do="set batch_norm: frozen (with weights to start from), or batch_norm: union on GPUs, "
            "or train in one process",
        )
    synchronize(classifier)


def total(accelerator: Accelerator, value: float) -> float:
    """Sum over all processes."""
    if accelerator.num_processes == 1:
        return value
    return float(summed(accelerator, torch.tensor(value, dtype=torch.float64, device=accelerator.device)))


def summed(accelerator: Accelerator, values: torch.Tensor) -> torch.Tensor:
    """Elementwise sum over all processes, the same in each."""
    return torch.as_tensor(accelerator.reduce(values, reduction="sum"))


def check_agreement(accelerator: Accelerator, step: int) -> None:
    """Check that every process goes on at the same step.

    Raises:
        ConfigError: they do not see the same saved state.
    """
    if total(accelerator, step) != step * accelerator.num_processes:
        raise ConfigError(
            has=f"a saved training at step {step} in process {accelerator.process_index}, not in all",
            needs="one outputs folder for all processes",
            do="put the repository on a file system that all machines share",
        )


def predict_logits(
    accelerator: Accelerator, classifier: Classifier, patches: AbstractPatches
) -> NDArray[np.float32]:
    """Logits [N, K] of all patches in every process, each of which predicts its share of them."""
    if accelerator.num_processes == 1:
        return classifier.predict_logits(patches.chunks(CHUNK))
    own_M = np.array_split(np.arange(len(patches)), accelerator.num_processes)[accelerator.process_index]
    # Without a share, one patch still tells the number of classes.
    own_MK = classifier.predict_logits(
        SelectedPatches(patches, own_M if len(own_M) else np.arange(1)).chunks(CHUNK)
    )
    logits_NK = torch.zeros(len(patches), own_MK.shape[1])
    logits_NK[torch.from_numpy(own_M)] = torch.from_numpy(own_MK[: len(own_M)])
    # The others' zeros change no logit.
    everyones: NDArray[np.float32] = summed(accelerator, logits_NK.to(accelerator.device)).cpu().numpy()
    return everyones
