"""The next steps' patches: dealt out to processes and parts, each group and role evenly; then read and
augmented in the background while the network works on this step's."""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.algorithms.parts.plans import BatchPlan
from models.data.augment import Augmenter
from models.data.dataset import LabelledPatches
from models.determinism import seed_of_step
from models.networks.batchnorm import sees_single_values
from models.training.settings import TrainSettings
from patching.errors import AlgorithmError, ConfigError

MOST_AHEAD = 8


@dataclass(frozen=True)
class Sharing:
    """How a step's samples are dealt out; without arguments, all to one process at once.

    The samples are sorted by their stratum (group) and the roles that they serve, then dealt like cards: of
    every group, two processes get numbers that differ by one at most, and so do two parts of a step.

    Attributes:
        strata_N: group of every training sample.
        rank: of this process, from 0.
        processes: how many there are.
        micro_batch: samples of one forward pass, at most; none: all that the process has.
    """

    strata_N: NDArray[np.int64]
    rank: int = 0
    processes: int = 1
    micro_batch: int | None = None

    def parts(self, plan: BatchPlan) -> list[NDArray[np.int64]]:
        """Positions in the plan, ascending, of every part of this process; equally many parts in all.

        Raises:
            AlgorithmError: fewer samples than processes.
        """
        count = self._count(len(plan))
        hands = count * self.processes
        bits_R = 2 ** np.arange(len(plan.weights_RN))
        served_N = bits_R @ (plan.weights_RN != 0)
        order_N = np.lexsort((served_N, self.strata_N[plan.indices_N]))
        # The part is the slower digit of the hand: a process's hands together are a hand of a deal to
        # processes alone.
        return [np.sort(order_N[part * self.processes + self.rank :: hands]) for part in range(count)]

    def _count(self, samples: int) -> int:
        if samples < self.processes:
            raise AlgorithmError(
                has=f"a step of {samples} samples, and {self.processes} processes",
                needs="at least one sample for every process",
                do="raise the algorithm's batch_size, or start fewer processes",
            )
        share = -(-samples // self.processes)
        wanted = -(-share // (self.micro_batch or share))
        # A process with one sample less than others still needs one for each of its parts.
        return min(wanted, samples // self.processes)


@dataclass(frozen=True)
class LoadedPart:
    """Samples of one forward pass, in the host's memory.

    Attributes:
        plan: which samples they are, with the weights that they have in the step.
        images_NHWC: augmented raw pixels, float32.
        label_N: int64.
    """

    plan: BatchPlan
    images_NHWC: torch.Tensor
    label_N: NDArray[np.int64]


@dataclass(frozen=True)
class LoadedStep:
    """What this process needs for one step.

    Attributes:
        number: of the step, from 0.
        seed: of all that is random in it.
        plan: of the whole step, other processes' samples included.
        parts: this process's samples.
    """

    number: int
    seed: int
    plan: BatchPlan
    parts: tuple[LoadedPart, ...]


@dataclass(frozen=True)
class Loader:
    """Reads and augments.

    Attributes:
        data: the training split.
        augmenter: of its patches.
        sharing: which samples this process takes.
        seed: of the training.
        ahead: steps that are prepared ahead, each in a thread of its own; 0: none, and no threads.
        pinned: whether a GPU may copy from the images while it computes.
    """

    data: LabelledPatches
    augmenter: Augmenter
    sharing: Sharing
    seed: int
    ahead: int = 0
    pinned: bool = False

    def load(self, number: int, plan: BatchPlan) -> LoadedStep:
        """One step; the same whenever and in whichever thread it is called."""
        seed = seed_of_step(self.seed, number)
        parts = tuple(self._part(plan, rows_M, seed) for rows_M in self.sharing.parts(plan))
        return LoadedStep(number, seed, plan, parts)

    @contextmanager
    def steps(self, plans: Iterable[BatchPlan], first: int) -> Iterator[Iterator[LoadedStep]]:
        """The loaded steps of `plans` in their order, numbered from `first`.

        What cannot be read fails when its turn comes. The threads end with the context.
        """
        numbered = enumerate(plans, first)
        if not self.ahead:
            yield (self.load(*each) for each in numbered)
            return
        executor = ThreadPoolExecutor(self.ahead, thread_name_prefix="load")
        try:
            yield self._prefetched(executor, numbered)
        finally:
            executor.shutdown(cancel_futures=True)

    def _prefetched(
        self, executor: ThreadPoolExecutor, numbered: Iterator[tuple[int, BatchPlan]]
    ) -> Iterator[LoadedStep]:
        waiting: deque[Future[LoadedStep]] = deque()
        for each in islice(numbered, self.ahead):
            waiting.append(executor.submit(self.load, *each))
        while waiting:
            loaded = waiting.popleft().result()
            for each in islice(numbered, 1):
                waiting.append(executor.submit(self.load, *each))
            yield loaded

    def _part(self, plan: BatchPlan, rows_M: NDArray[np.int64], seed: int) -> LoadedPart:
        part = plan.rows(rows_M)
        images_MHWC = self.augmenter(self.data.images.read(part.indices_N), seed, rows_M)
        images = torch.from_numpy(images_MHWC)
        return LoadedPart(
            part, images.pin_memory() if self.pinned else images, self.data.label_N[part.indices_N]
        )


def check_forward_passes(
    classifier: nn.Module, load: Loader, plan: BatchPlan, settings: TrainSettings
) -> None:
    """Check that every forward pass of a step gives BatchNorm a variance.

    Args:
        classifier: the network.
        load: of its training.
        plan: of a step.
        settings: of the training.

    Raises:
        ConfigError: a pass of one sample, of whose maps one pixel is left.
    """
    if settings.batch_norm == "frozen" or load.sharing.processes > 1:  # these see all processes' samples
        return
    sizes = {size for part in load.sharing.parts(plan) for size in _passes(plan.rows(part), settings)}
    if 1 not in sizes:
        return
    image_NHWC = torch.from_numpy(load.data.images.read(plan.indices_N[:1]).astype(np.float32))
    if not sees_single_values(classifier, image_NHWC.permute(0, 3, 1, 2)):
        return
    height, width = image_NHWC.shape[1:3]
    raise ConfigError(
        has=f"a forward pass of one sample (micro_batch: {settings.micro_batch or 'null'}, steps of "
        f"{len(plan)}), of whose {height} x {width} pixels the network makes maps of 1 x 1",
        needs="two samples at least: BatchNorm divides by the spread of what it sees",
        do="raise micro_batch, or the algorithm's batch_size; or start from weights with batch_norm: frozen",
    )


def _passes(part: BatchPlan, settings: TrainSettings) -> list[int]:
    """Samples of every forward pass of a part (`Networks.forward`)."""
    if settings.batch_norm != "separate" or len(part.weights_RN) == 1:
        return [len(part)]
    return [int(served) for served in (part.weights_RN != 0).sum(axis=1)]


def steps_ahead(settings: TrainSettings, device: torch.device, processes: int) -> int:
    """`prefetch`; where not set, as many as leave a core to each process on a GPU, and none on a CPU, whose
    cores the network needs."""
    if settings.prefetch is not None:
        return settings.prefetch
    cores = (os.cpu_count() or 1) // processes
    return max(1, min(MOST_AHEAD, cores - 1)) if device.type == "cuda" else 0
