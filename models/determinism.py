"""Random numbers that depend on the seed and the step, and on nothing that happened before."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seed_of_step(seed: int, step: int) -> int:
    """Seed of one step's augmentation and dropout, so that a resumed training draws the same."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1)[0])


def seed_of_part(step_seed: int, part: int, rank: int) -> int:
    """Seed of dropout in one part of a step; the step's own for the first part of the first process."""
    if part == rank == 0:
        return step_seed
    return int(np.random.SeedSequence([step_seed, part, rank]).generate_state(1)[0])


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Exact float32 and repeatable kernels on GPUs; random state and settings are put back afterwards."""
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32
    devices = [device] if device.type == "cuda" else []
    try:
        cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32 = True, False, False
        with torch.random.fork_rng(devices):
            yield
    finally:
        cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32 = before
