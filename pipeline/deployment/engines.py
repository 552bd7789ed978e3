"""Where a run's slides are predicted: here, in a process for each GPU, or one slide a task on a dask cluster.

What is finished is kept, slide by slide; the outputs do not depend on where they were made.
"""

import ctypes
import logging
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import torch

from patching.errors import AnnotationError, EvenpatchError
from patching.manifest import SlideRow
from patching.tiling.engine import EngineSettings, start_worker
from patching.tiling.process_setup import prepare_process
from pipeline.deployment.meter import Meter
from pipeline.deployment.network import Compared
from pipeline.deployment.predicting import Outcome, PredictSettings, Run, Task, predict_slides
from pipeline.deployment.receipts import forget, is_whole, key_of, remove_halves

logger = logging.getLogger(__name__)
_M_ARENA_MAX = -8  # glibc's malloc.h
_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_HANDFUL = 8
"""Slides, at most, that a GPU's process is given at a time: enough that batches cross them, few enough that
all processes end together."""


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
    if engine.engine == "local" and len(gpus := usable_gpus(run.settings)) > 1 and len(tasks) > 1:
        _predict_on(gpus, run, tasks, workers, meter, told)
        return
    if engine.engine == "local":
        prepare()
        predict_slides(run, tasks, workers, meter, told)
        return
    from distributed import KilledWorker
    from distributed import as_completed as as_done  # takes a second that others need not wait

    from patching.tiling.cluster import connected

    logging.getLogger("distributed").setLevel(logging.WARNING)  # it tells every connection
    with connected(engine, min(workers, len(tasks))) as client:
        futures = [client.submit(predict_some, run, [task], 1, pure=False) for task in tasks]
        try:
            for future in as_done(futures):
                _tell(future.result(), meter, told)
        except KilledWorker as error:
            raise EvenpatchError(
                has=f"workers that died over and over: {error}",
                needs="memory for one slide per worker",
                do="give the workers more memory and run the same command again: what is whole is kept",
            ) from error


@dataclass(frozen=True)
class Done:
    """What a process did with the slides it was given."""

    outcomes: tuple[Outcome, ...]
    patches: int
    compared: Compared | None
    """What an inexact network changed."""


def predict_some(run: Run, tasks: Sequence[Task], threads: int) -> Done:
    """Some slides, in another process."""
    prepare()
    outcomes: list[Outcome] = []
    meter = Meter(len(tasks))
    predict_slides(run, tasks, threads, meter, outcomes.append)
    return Done(tuple(outcomes), meter.patches, meter.difference)


def _tell(done: Done, meter: Meter, told: Callable[[Outcome], None]) -> None:
    meter.predicted(done.patches)
    meter.compared(done.compared)
    for outcome in done.outcomes:
        meter.finished()
        told(outcome)


def usable_gpus(settings: PredictSettings) -> list[str]:
    """GPUs that a run may use, as `CUDA_VISIBLE_DEVICES` names them; none where it computes on processors."""
    if settings.device == "cpu" or settings.runtime == "onnx":
        return []
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    count = torch.cuda.device_count()
    return named[:count] if named else [str(number) for number in range(count)]


def _predict_on(
    gpus: Sequence[str],
    run: Run,
    tasks: Sequence[Task],
    threads: int,
    meter: Meter,
    told: Callable[[Outcome], None],
) -> None:
    """A process for each GPU: threads of a single one would wait for each other's Python."""
    spawn = get_context("spawn")
    free = spawn.SimpleQueue()
    for gpu in gpus:
        free.put(gpu)
    each = max(1, threads // len(gpus))
    handful = max(1, min(_HANDFUL, len(tasks) // len(gpus)))
    parts = [tasks[first : first + handful] for first in range(0, len(tasks), handful)]
    level = logging.getLogger().getEffectiveLevel()
    with ProcessPoolExecutor(len(gpus), spawn, initializer=take_gpu, initargs=(free, level)) as pool:
        futures = [pool.submit(predict_some, run, part, each) for part in parts]
        try:
            for future in as_completed(futures):
                _tell(future.result(), meter, told)
        except BrokenProcessPool as error:
            raise EvenpatchError(
                has="a process of a GPU that was killed, most often for want of memory",
                needs="memory for all processes at once",
                do="lower `--workers` and run the same command again: what is whole is kept",
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def take_gpu(free: "SimpleQueue[str]", level: int) -> None:
    """Let a new process see one of the GPUs alone; before anything else, since CUDA looks only once."""
    os.environ["CUDA_VISIBLE_DEVICES"] = free.get()
    start_worker(level)


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
