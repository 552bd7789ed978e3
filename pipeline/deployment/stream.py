"""Slides through the network without a store between: threads that do the schedule's steps."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from patching.damage import memory_told
from patching.errors import AnnotationError, EvenpatchError, MemoryShortageError, SlideError
from pipeline.deployment.planning import PatchReader, SlidePlan
from pipeline.deployment.schedule import Fill, Job, Plan, Predict, Schedule, Step

_READ_BYTES = 2**21
"""Decoded bytes of the patches that a thread reads at a time."""
OF_A_SLIDE = (SlideError, AnnotationError, MemoryShortageError)
"""Errors that are one slide's: the others go on."""


class AbstractNetwork(Protocol):
    """What is asked of a network; threads may call it at the same time."""

    batch_size: int

    def __call__(self, images_BHWC: NDArray[Any]) -> NDArray[np.float32]:
        """Probability of tumor of every patch [B]."""


@dataclass(frozen=True)
class Work:
    """What is done for the slides of a run, by number; every function may be called by any thread."""

    slides: int
    plan: Callable[[int], tuple[SlidePlan, PatchReader]]
    write: Callable[[int, SlidePlan, NDArray[np.float32], NDArray[np.float32]], None]
    """Of a slide's plan, probability [N] and quality [N, Q]; one at a time."""
    failed: Callable[[int, EvenpatchError], None]
    """One at a time."""
    patch_shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    quality: int = 0
    """Columns of quality; 0 measures none."""


@dataclass
class Meter:
    """What a run has done so far."""

    patches: int = 0
    slides: int = 0
    planned: int = 0
    """Patches of the slides that were planned."""
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STEPS, 0.0))
    """That threads spent on each kind of step."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, step: str, seconds: float, *, patches: int = 0, slides: int = 0, planned: int = 0) -> None:
        """A step is done."""
        with self._lock:
            self.seconds[step] += seconds
            self.patches += patches
            self.slides += slides
            self.planned += planned


STEPS = ("plan", "fill", "predict", "write")


def stream(
    work: Work,
    network: AbstractNetwork,
    buffers: Sequence[NDArray[Any]],
    *,
    threads: int,
    apart: bool,
    meter: Meter,
) -> None:
    """Predict slides; each is written, or told to have failed.

    Args:
        work: what is done for them.
        network: what predicts.
        buffers: memory for batches.
        threads: how many work. On processors every one of them does whatever comes next, the network too.
        apart: whether the network gets one more thread of its own, which does nothing else: for GPUs.
        meter: is told what was done.

    Raises:
        EvenpatchError: that is not one slide's, such as a full disk.
        KeyboardInterrupt: the user stopped it.
    """
    patch_bytes = int(np.prod(work.patch_shape)) * work.dtype.itemsize
    schedule = Schedule(work.slides, buffers, max(1, _READ_BYTES // patch_bytes), work.failed)
    worker = _Worker(work, network, schedule, meter)
    roles = [{"network": not apart, "rest": True}] * threads
    roles += [{"network": True, "rest": False}] * apart
    started = [
        threading.Thread(target=worker.go_on, kwargs=role, name=f"predict-{number}", daemon=True)
        for number, role in enumerate(roles)
    ]
    for thread in started:
        thread.start()
    try:
        for thread in started:
            thread.join()
    except KeyboardInterrupt:
        schedule.stop()
        for thread in started:
            thread.join()
    schedule.raise_error()


@dataclass(frozen=True)
class _Worker:
    work: Work
    network: AbstractNetwork
    schedule: Schedule
    meter: Meter

    def go_on(self, *, network: bool, rest: bool) -> None:
        """Do steps until there are none."""
        try:
            for step in self.schedule.steps(network=network, rest=rest):
                self._do(step)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits for all of them
            self.schedule.stop(error)

    def _do(self, step: Step) -> None:
        start = time.perf_counter()
        match step:
            case Predict(batch):
                probability_B = self.network(batch.images_BHWC)
                self.meter.add("predict", time.perf_counter() - start, patches=batch.rows)
                self.schedule.predicted(batch, probability_B)
            case Fill():
                self._fill(step)
                self.meter.add("fill", time.perf_counter() - start)
            case Plan(number):
                planned = self._plan(number)
                self.meter.add("plan", time.perf_counter() - start, planned=planned)
            case _:
                self._write(step.job)
                self.meter.add("write", time.perf_counter() - start, slides=1)

    def _plan(self, number: int) -> int:
        try:
            plan, reader = self.work.plan(number)
        except OF_A_SLIDE as error:
            self.schedule.unplanned(number, error)
            return 0
        probability_N = np.full(len(plan), np.nan, np.float32)
        quality_NQ = np.full((len(plan), self.work.quality), np.nan, np.float32)
        self.schedule.planned(Job(number, plan, reader, probability_N, quality_NQ))
        return len(plan)

    def _fill(self, fill: Fill) -> None:
        part, images_BHWC = fill.part, fill.batch.images_BHWC
        job = part.job
        try:
            with memory_told(job.plan.row.slide_id):
                for row, patch in enumerate(part.patches, part.row):
                    job.reader.read(patch, images_BHWC[row])
                    if self.work.quality:
                        job.quality_NQ[patch] = job.reader.measure(images_BHWC[row])
        except OF_A_SLIDE as error:
            self.schedule.filled(fill, error)
        else:
            self.schedule.filled(fill)

    def _write(self, job: Job) -> None:
        try:
            self.work.write(job.number, job.plan, job.probability_N, job.quality_NQ)
        except OF_A_SLIDE as error:
            self.schedule.written(job, error)
        else:
            self.schedule.written(job)
