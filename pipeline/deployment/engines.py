"""Where a run's slides are predicted: in this process, or one slide a task on a dask cluster.

What is finished is kept, slide by slide; the outputs do not depend on where they were made.
"""

import ctypes
import logging
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from patching.errors import AnnotationError, EvenpatchError
from patching.manifest import SlideRow
from patching.tiling.engine import EngineSettings
from patching.tiling.process_setup import prepare_process
from pipeline.deployment.meter import Meter
from pipeline.deployment.network import Compared
from pipeline.deployment.predicting import Outcome, Run, Task, predict_slides
from pipeline.deployment.receipts import forget, is_whole, key_of, remove_halves

logger = logging.getLogger(__name__)
_M_ARENA_MAX = -8  # glibc's malloc.h
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def tasks_of(run: Run, rows: Sequence[SlideRow]) -> tuple[list[Task], list[Outcome]]:
    """Slides that are to be predicted, and what became of the others.

    What is left of the former, by a run that was killed or made of something else, is removed.

    Raises:
        ConfigError: a folder of a slide's name is there, and no run wrote it.
    """
    remove_halves(run.out, [row.slide_id for row in rows])
    tasks: list[Task] = []
    settled: list[Outcome] = []
    for row in rows:
        try:
            key = key_of(row, run.model.digest, run.settings, run.model.card)
        except AnnotationError as error:
            forget(run.out, row.slide_id)
            settled.append(Outcome(row.slide_id, error=error))
            continue
        if is_whole(run.out, row.slide_id, key):
            settled.append(Outcome(row.slide_id, kept=True))
        else:
            forget(run.out, row.slide_id)
            tasks.append(Task(row, key))
    return tasks, settled


def predict_all(
    run: Run, tasks: Sequence[Task], engine: EngineSettings, meter: Meter, told: Callable[[Outcome], None]
) -> None:
    """Predict slides where the settings say.

    Args:
        run: with what, and where to.
        tasks: the slides.
        engine: where; its `workers` are threads here, and processes elsewhere.
        meter: is told what was done.
        told: gets every slide's outcome, by one thread at a time.

    Raises:
        EvenpatchError: that is not one slide's, such as a full disk.
    """
    if not tasks:
        return
    workers = engine.workers or usable_cores()
    if engine.engine == "local":
        prepare()
        predict_slides(run, tasks, workers, meter, told)
        return
    from distributed import KilledWorker, as_completed  # takes a second that others need not wait

    from patching.tiling.cluster import connected

    logging.getLogger("distributed").setLevel(logging.WARNING)  # it tells every connection
    with connected(engine, min(workers, len(tasks))) as client:
        futures = [client.submit(predict_one, run, task, pure=False) for task in tasks]
        try:
            for future in as_completed(futures):
                outcome, patches, compared = future.result()
                meter.predicted(patches)
                meter.compared(compared)
                meter.finished()
                told(outcome)
        except KilledWorker as error:
            raise EvenpatchError(
                has=f"workers that died over and over: {error}",
                needs="memory for one slide per worker",
                do="give the workers more memory and run the same command again: what is whole is kept",
            ) from error


def predict_one(run: Run, task: Task) -> tuple[Outcome, int, Compared | None]:
    """One slide, in a worker: what became of it, its patches, and what an inexact network changed."""
    prepare()
    outcomes: list[Outcome] = []
    meter = Meter(1)
    predict_slides(run, [task], 1, meter, outcomes.append)
    return outcomes[0], meter.patches, meter.difference


def prepare() -> None:
    """Let every thread of ours be the only one of its work, and threads share what memory they free.

    Libraries' own threads would cost more than they give beside others; and each thread's own heap would keep
    what it freed.
    """
    torch.set_num_threads(1)
    prepare_process()
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_ARENA_MAX, 2)


def usable_cores() -> int:
    """Cores that this process may use: those it is bound to, within its group's share of time."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, period = (*_QUOTA.read_text().split(), "")[:2] if _QUOTA.is_file() else ("max", "")
    return bound if quota == "max" else max(1, min(bound, math.ceil(int(quota) / int(period))))
