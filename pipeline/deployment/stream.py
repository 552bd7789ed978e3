"""Slides through the network without a store between: threads that do the schedule's steps."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from patching.damage import memory_told
from patching.errors import AnnotationError, EvenpatchError, MemoryShortageError, SlideError
from pipeline.deployment.meter import Meter
from pipeline.deployment.planning import PatchReader, SlidePlan
from pipeline.deployment.schedule import Schedule
from pipeline.deployment.steps import Batch, Fill, Job, Plan, Predict, Step

_READ_BYTES = 2**21
"""Decoded bytes of the patches that a thread reads at a time."""
OF_A_SLIDE = (SlideError, AnnotationError, MemoryShortageError)
"""Errors that are one slide's: the others go on."""


class AbstractNetwork(Protocol):
    """What is asked of a network; threads may call it at the same time."""

    def __call__(
        self, images_BHWC: NDArray[Any], tissue_fraction_B: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Probabilities of every patch [B, 2], of which as many count as there are tissue fractions."""


@dataclass(frozen=True)
class Work:
    """What is done for the slides of a run, by number; every function may be called by any thread."""

    slides: int
    plan: Callable[[int], tuple[SlidePlan, PatchReader]]
    write: Callable[[int, SlidePlan, NDArray[np.float32], NDArray[np.float32]], None]
    """Of a slide's plan, probabilities [N, 2] and quality [N, Q]; one at a time."""
    failed: Callable[[int, EvenpatchError], None]
    """One at a time."""
    patch_shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    quality: int = 0
    """Columns of quality; 0 measures none."""


def stream(
    work: Work,
    network: AbstractNetwork,
    buffers: Sequence[NDArray[Any]],
    *,
    threads: int,
    apart: int,
    meter: Meter,
) -> None:
    """Predict slides; each is written, or told to have failed.

    Args:
        work: what is done for them.
        network: what predicts.
        buffers: memory for batches.
        threads: how many work. On processors every one of them does whatever comes next, the network too.
        apart: more threads, which run the network and do nothing else, and leave it to them: for GPUs.
        meter: is told what was done.

    Raises:
        EvenpatchError: that is not one slide's, such as a full disk.
        KeyboardInterrupt: the user stopped it.
    """
    patch_bytes = int(np.prod(work.patch_shape)) * work.dtype.itemsize
    schedule = Schedule(work.slides, buffers, max(1, _READ_BYTES // patch_bytes), work.failed)
    worker = _Worker(work, network, schedule, meter)
    pool = ThreadPoolExecutor(threads + apart, thread_name_prefix="predict")
    # An error, or Ctrl-C, stops the threads before they are waited for, and then closes what they had open.
    with closing(schedule), pool, schedule.stopped_in_the_end():
        working = [pool.submit(worker.go_on, network=apart == 0, rest=True) for _ in range(threads)]
        working += [pool.submit(worker.go_on, network=True, rest=False) for _ in range(apart)]
        for future in as_completed(working):
            future.result()


@dataclass(frozen=True)
class _Worker:
    work: Work
    network: AbstractNetwork
    schedule: Schedule
    meter: Meter

    def go_on(self, *, network: bool, rest: bool) -> None:
        """Do steps until there are none."""
        for step in self.schedule.steps(network=network, rest=rest):
            self._do(step)

    def _do(self, step: Step) -> None:
        match step:
            case Predict(batch):
                with self.meter.timed("predict"):
                    self._predict(batch)
            case Fill():
                with self.meter.timed("read"):
                    self._fill(step)
            case Plan(number):
                with self.meter.timed("plan"):
                    self._plan(number)
            case _:
                with self.meter.timed("write"):
                    self._write(step.job)

    def _predict(self, batch: Batch) -> None:
        with self.meter.busy():
            probability_BK = self.network(batch.images_BHWC, batch.tissue_fraction_B)
        self.meter.predicted(batch.rows)
        self.schedule.predicted(batch, probability_BK)

    def _plan(self, number: int) -> None:
        try:
            plan, reader = self.work.plan(number)
        except OF_A_SLIDE as error:
            self.meter.planned(0)
            self.schedule.unplanned(number, error)
            return
        self.meter.planned(len(plan))
        probability_NK = np.full((len(plan), 2), np.nan, np.float32)
        quality_NQ = np.full((len(plan), self.work.quality), np.nan, np.float32)
        self.schedule.planned(Job(number, plan, reader, probability_NK, quality_NQ))

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
            self.work.write(job.number, job.plan, job.probability_NK, job.quality_NQ)
        except OF_A_SLIDE as error:
            self.schedule.written(job, error)
        else:
            self.schedule.written(job)
