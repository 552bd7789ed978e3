"""What is measured, each in a process of its own (`benchmarks.tiling.child`): steps of a training, and the
same network on images that are on the device already."""

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from models.algorithms.base import AbstractAlgorithm
from models.data.dataset import MemoryPatches, PatchData
from models.data.normalization import Normalization
from models.determinism import deterministic
from models.groups import GroupLayout, TrainGroups
from models.metrics.selection import Judge
from models.training.loop import Trainer
from models.training.making import make_algorithm
from models.training.settings import TrainSettings
from models.training.setup import new_classifier

Measure = Callable[[], dict[str, Any]]
LAYOUT = GroupLayout(2, 2)
CHANNELS = 3
# Nine patches of ten have the attribute of their label, as in the phantom.
COUNTS = np.array([[0.45, 0.05], [0.05, 0.45]])


def training(
    *,
    backbone: str,
    side: int,
    samples: int,
    steps: int,
    device: str,
    algorithm: str,
    settings: dict[str, Any],
    **changes: Any,
) -> Measure:
    """Steps of evenpatch's own training: read, augment, forward, backward, update.

    Args:
        backbone: a key of the registry.
        side: of the patches, in pixels.
        samples: wanted of a step, whatever the method.
        steps: of one turn.
        device: as in the training's settings.
        algorithm: a key of the registry.
        settings: of the algorithm, without its batch size.
        changes: of the training's settings.
    """
    _use_all_cores()
    data = _patches(side, max(4 * samples, 256))
    method = equal_samples(algorithm, settings, data, samples)
    trainer = _trainer(backbone, device, data, method, changes)
    plans, done = method.batches(np.random.default_rng(0)), 0

    def measure() -> dict[str, Any]:
        nonlocal done
        waited, seen = 0.0, 0
        with _clocked(trainer) as clock, trainer.load.steps(plans, done) as loaded:
            for _ in range(steps):
                before = time.perf_counter()
                each = next(loaded)
                waited += time.perf_counter() - before
                trainer.step(each)
                seen += len(each.plan)
        done += steps
        return clock | {"patches": seen, "steps": steps, "waited": waited}

    return measure


def network_alone(
    *, backbone: str, side: int, samples: int, steps: int, device: str, **changes: Any
) -> Measure:
    """The same network, precision and optimizer on one batch that lies on the device: nothing is loaded."""
    _use_all_cores()
    data = _patches(side, max(samples, 256))
    method = equal_samples("erm", {}, data, samples)
    trainer = _trainer(backbone, device, data, method, changes)
    count = int(method.samples_per_step)
    where = trainer.accelerator.device
    pixels_NHWC = data.images.read(np.arange(count)).astype(np.float32)
    images_BCHW = torch.from_numpy(pixels_NHWC).permute(0, 3, 1, 2).to(where)
    label_B = torch.from_numpy(data.label_N[:count]).to(where)
    trainer.networks.train_mode()

    def measure() -> dict[str, Any]:
        with _clocked(trainer) as clock:
            for _ in range(steps):
                loss = torch.nn.functional.cross_entropy(trainer.networks.main(images_BCHW).float(), label_B)
                trainer.accelerator.backward(loss)
                trainer.optimizer.step()
                trainer.optimizer.zero_grad()
        return clock | {"patches": steps * count, "steps": steps, "waited": 0.0}

    return measure


def equal_samples(
    algorithm: str, settings: dict[str, Any], data: PatchData, samples: int
) -> AbstractAlgorithm[Any, Any]:
    """The algorithm with the batch size that comes nearest to so many samples of a step."""
    groups = TrainGroups(LAYOUT, data.label_N, data.attribute_N)
    made = [
        make_algorithm(algorithm, settings | {"batch_size": size}, groups) for size in range(1, samples + 1)
    ]
    return min(made, key=lambda each: abs(each.samples_per_step - samples))


def _patches(side: int, n: int) -> PatchData:
    rng = np.random.default_rng(0)
    counts_G = np.round(COUNTS.ravel() * n).astype(int)
    group_N = rng.permutation(np.repeat(np.arange(4), counts_G))
    images_NHWC = rng.integers(0, 4096, (len(group_N), side, side, CHANNELS), dtype=np.uint16)
    return PatchData(MemoryPatches(images_NHWC), group_N // 2, group_N % 2, np.full(len(group_N), 0.5))


def _trainer(
    backbone: str, device: str, data: PatchData, method: AbstractAlgorithm[Any, Any], changes: dict[str, Any]
) -> Trainer:
    settings = TrainSettings.model_validate({"backbone": backbone, "device": device, "epochs": 1e6} | changes)
    normalization = Normalization("none", (2048.0,) * CHANNELS, (1182.0,) * CHANNELS, (1182.0,) * CHANNELS)
    classifier = new_classifier(normalization, settings, CHANNELS, 2, seed=0)
    return Trainer(classifier, method, data.labelled, Judge(data, LAYOUT, "auto", 1, 1), settings, seed=0)


def _use_all_cores() -> None:
    # The child is bound to its cores, and its environment allows one thread.
    torch.set_num_threads(len(os.sched_getaffinity(0)))


@contextmanager
def _clocked(trainer: Trainer) -> Iterator[dict[str, Any]]:
    """Seconds, and what the device's memory held at most."""
    found: dict[str, Any] = {"seconds": math.nan, "device_mib": math.nan}
    on_gpu = trainer.accelerator.device.type == "cuda"
    with deterministic(trainer.accelerator.device):
        if on_gpu:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        started, worked = time.perf_counter(), time.process_time()
        yield found
        if on_gpu:
            torch.cuda.synchronize()
            found["device_mib"] = torch.cuda.max_memory_allocated() / 2**20
        found["seconds"] = time.perf_counter() - started
        found["cpu_seconds"] = time.process_time() - worked
