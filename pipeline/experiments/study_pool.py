"""The trainings of a study in processes of one thread each."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path

from rich.progress import MofNCompleteColumn, Progress

from models.networks.lean import lean_monai
from patching.errors import MemoryShortageError
from patching.workers import end_with_parent
from pipeline.artifacts import Paths
from pipeline.experiments.study_cells import Cell, train_cells


def finished(
    paths: Paths, folder: Path, jobs: Sequence[tuple[Cell, ...]], workers: int, until: float
) -> Iterator[tuple[str, ...]]:
    """Train, and give the names of the cells of each training as it ends.

    Args:
        paths: of the cohort.
        folder: of the cells.
        jobs: the cells of every training.
        workers: processes.
        until: time.monotonic, after which none is started.

    Raises:
        MemoryShortageError: a process was ended from outside.
        ConfigError, GroupError: an untrainable fold.
    """
    if not jobs:
        return
    # Longest first: a process that starts a long training last keeps the others waiting.
    waiting = sorted(jobs, key=lambda cells: len(cells[0].algorithm_settings.get("candidates", ())))
    # Whole repeats first, so that what is there can be told.
    waiting.sort(key=lambda cells: -cells[0].repeat)
    # Forked children of a process that has used torch's threads can hang.
    with (
        ProcessPoolExecutor(
            min(workers, len(jobs)), mp_context=get_context("spawn"), initializer=_begin
        ) as pool,
        Progress(*Progress.get_default_columns(), MofNCompleteColumn()) as progress,
    ):
        bar = progress.add_task("training folds", total=len(jobs))
        running: set[Future[tuple[str, ...]]] = set()
        try:
            while running or (waiting and time.monotonic() < until):
                while waiting and len(running) < workers and time.monotonic() < until:
                    running.add(pool.submit(train_cells, paths, folder, waiting.pop()))
                ended, running = wait(running, return_when=FIRST_COMPLETED)
                for future in ended:
                    progress.advance(bar)
                    yield _names(future, workers)
        finally:
            pool.shutdown(cancel_futures=True)


def _begin() -> None:
    """Of a process that trains, and does nothing else."""
    end_with_parent()
    with lean_monai():
        import_module("monai.networks.nets")


def _names(future: Future[tuple[str, ...]], workers: int) -> tuple[str, ...]:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise MemoryShortageError(
            has="a training whose process was ended from outside, as systems do where memory is short",
            needs=f"memory for {workers} trainings at a time",
            do="run the same command with fewer --workers; what is finished is kept",
        ) from error
