"""Many slides into patches: the same task list, in this process, in local ones, or on a dask cluster.

What is finished is kept: whole slides, and whole shards of the slide in which a run was interrupted.
"""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from patching.errors import AnnotationError, EvenpatchError, MemoryShortageError, SlideError
from patching.tiling.process_setup import prepare_process, prepare_worker
from patching.tiling.receipts import (
    Key,
    key_of,
    remove_outputs,
    renew_stamps,
    state_of,
    unlink,
    write_json,
    write_receipt,
)
from patching.tiling.task import Folders, SlideLog, SlideTask
from patching.tiling.tiler import cut_slide, publish_slide, tile_slide
from patching.workers import end_with_parent

logger = logging.getLogger(__name__)
Progress = Callable[[int], None]
"""Told how many patches were written: shard by shard in this process, slide by slide from others."""
__all__ = ["Folders", "Outcome", "SlideTask", "remove_strangers", "run_task", "tile_cohort"]


class EngineSettings(BaseModel):
    """Where slides are tiled; the outputs do not depend on it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: Literal["local", "dask", "slurm"] = "local"
    """This machine's processes; a dask cluster; a dask cluster of SLURM jobs."""
    workers: int | None = Field(default=None, gt=0)
    """Threads or processes that decode (with slurm: jobs); None is the number of cores."""
    address: str | None = None
    """Of a running dask scheduler; None starts a local one."""
    slurm: dict[str, Any] = {}
    """Arguments of dask_jobqueue.SLURMCluster: cores, memory, queue, walltime, ..."""
    cache_mib: int = Field(default=384, ge=16)
    """Memory of each process for decoded tiles that several patches share."""


@dataclass(frozen=True)
class Outcome:
    """What became of a slide."""

    slide_id: str
    kept: bool = False
    """An earlier run's store was whole and up to date."""
    error: EvenpatchError | None = None
    """Why, where the slide failed."""
    log: SlideLog | None = None
    """What was done, where it was tiled now."""


def tile_cohort(
    tasks: Sequence[SlideTask], workers: int, progress: Progress = lambda _: None
) -> Iterator[Outcome]:
    """Tile slides; yields each outcome as it comes, in any order.

    Expected failures of one slide are outcomes; anything else, such as a full disk, is raised.

    Args:
        tasks: the slides.
        workers: threads that decode, in all: as many processes as there are slides for, and as many
            threads in each as are left. A single slide is tiled in this process.
        progress: told how many patches were written.
    """
    if workers == 1 or len(tasks) <= 1:
        prepare_process(workers)
        for task in tasks:
            yield run_task(task, workers, progress)
        return
    processes = min(workers, len(tasks))
    # Spawned, not forked: decoders' and TensorStore's threads do not survive a fork.
    with ProcessPoolExecutor(
        processes,
        mp_context=get_context("spawn"),
        initializer=start_worker,
        initargs=(logging.getLogger().getEffectiveLevel(),),
    ) as pool:
        for outcome in _completed(pool, tasks, workers // processes):
            progress(outcome.log.cut if outcome.log else 0)
            yield outcome


@dataclass(frozen=True)
class Begun:
    """A slide whose shards may be cut anywhere."""

    key: Key
    log: SlideLog
    shards: list[int]


def run_task(task: SlideTask, threads: int = 1, progress: Progress = lambda _: None) -> Outcome:
    """Tile one slide, unless its store is whole and up to date; finish it where that was begun."""
    done = begin_task(task, threads=threads, progress=progress)
    return done if isinstance(done, Outcome) else finish_task(task, done, [])


def begin_task(
    task: SlideTask,
    most_shards: float = math.inf,
    *,
    threads: int = 1,
    progress: Progress = lambda _: None,
) -> Outcome | Begun:
    """As `run_task`, but where more shards are to be cut, all but the patches."""
    try:
        key = key_of(task)
        state = _prepared(task, key)
        if state == "whole":
            return Outcome(task.row.slide_id, kept=True)
        log, shards = tile_slide(
            task,
            threads=threads,
            keep_part=state == "begun",
            most_shards=most_shards,
            begun=lambda: write_receipt(task, key, whole=False),
            progress=progress,
        )
    except (SlideError, AnnotationError, MemoryShortageError) as error:
        return _failed(task, error)
    return Begun(key, log, shards) if shards else _finished(task, key, log)


def cut_task(task: SlideTask, shards: Sequence[int]) -> SlideLog | EvenpatchError:
    """The second step, for some shards: what was done, or why the slide fails."""
    try:
        return cut_slide(task, shards)
    except (SlideError, MemoryShortageError) as error:
        return error


def finish_task(task: SlideTask, begun: Begun, pieces: Sequence[SlideLog | EvenpatchError]) -> Outcome:
    """The last step, when every shard was tried."""
    for piece in pieces:
        if isinstance(piece, EvenpatchError):
            return _failed(task, piece)
        begun.log.add(piece)
    publish_slide(task.folders.of(task.row.slide_id)[0])
    return _finished(task, begun.key, begun.log)


def remove_strangers(folders: Folders, slide_ids: set[str]) -> None:
    """Remove what belongs to no listed slide, and half-written files of a crashed run.

    The unfinished store of a listed slide stays: a resumed run may go on with it.
    """
    for folder, suffix in (
        (folders.stores, ".zarr"),
        (folders.overlays, ".jpg"),
        (folders.overlays, ".png"),  # of an earlier version
        (folders.receipts, ".json"),
        (folders.receipts / "logs", ".json"),
    ):
        unfinished = {f".{slide_id}{suffix}.part" for slide_id in slide_ids if suffix == ".zarr"}
        for path in sorted(folder.glob("*")) if folder.is_dir() else ():
            half = path.name.startswith(".") and path.name.endswith(".part") and path.name not in unfinished
            listed = suffix != ".png" and path.name.removesuffix(suffix) in slide_ids
            if half or (path.suffix == suffix and not listed):
                logger.info("removing %s: %s", path.name, "unfinished" if half else "its slide is not listed")
                unlink(path)


def _prepared(task: SlideTask, key: Key) -> str:
    """How far an earlier run came; what is of no use is removed, what only lacks a receipt gets it."""
    state = state_of(task, key)
    if state != "nothing":
        renew_stamps(task, key)
    if state == "published":
        write_receipt(task, key, whole=True)
        return "whole"
    if state == "nothing":
        remove_outputs(task.folders, task.row.slide_id)
    return state


def _failed(task: SlideTask, error: EvenpatchError) -> Outcome:
    remove_outputs(task.folders, task.row.slide_id)
    return Outcome(task.row.slide_id, error=error)


def _finished(task: SlideTask, key: Key, log: SlideLog) -> Outcome:
    write_json(task.folders.log(task.row.slide_id), asdict(log))
    write_receipt(task, key, whole=True)
    return Outcome(task.row.slide_id, log=log)


def start_worker(level: int) -> None:
    """Prepare a spawned process: it logs as its parent does, and ends with it."""
    logging.basicConfig(level=level, format="%(name)s: %(message)s")
    prepare_worker()
    end_with_parent()


def _completed(pool: Executor, tasks: Sequence[SlideTask], threads: int) -> Iterator[Outcome]:
    futures: list[Future[Outcome]] = [pool.submit(run_task, task, threads) for task in tasks]
    try:
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        raise EvenpatchError(
            has="a worker process that was killed, most often for want of memory",
            needs="memory for all workers at once",
            do="lower tile.workers and run the same command again: finished slides and shards are kept",
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
