"""The engine's task list on a dask cluster: local, at an address, or SLURM jobs.

A slide of a few shards is one task; a larger one is cut in pieces of so many, wherever a worker is free.
Workers share the file system of slides and outputs. The scheduler moves no pixels: every task returns a
few numbers.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from dask_jobqueue import SLURMCluster
from distributed import Client, KilledWorker, LocalCluster, WorkerPlugin, as_completed

from patching.errors import ConfigError, EvenpatchError
from patching.tiling.engine import (
    Begun,
    EngineSettings,
    Outcome,
    Progress,
    SlideTask,
    begin_task,
    cut_task,
    finish_task,
)
from patching.tiling.process_setup import prepare_worker
from patching.tiling.task import SlideLog

_SHARDS_PER_TASK = 4


@contextmanager
def connected(settings: EngineSettings, workers: int, timeout_seconds: int = 30) -> Iterator[Client]:
    """A client of the cluster that the settings describe; what was started here is stopped in the end.

    Raises:
        ConfigError: nothing answers at the address, or SLURM's settings are wrong.
    """
    with ExitStack() as stack:
        if settings.engine == "slurm":
            cluster: Any = stack.enter_context(slurm_cluster(settings.slurm))
            cluster.scale(jobs=workers)
        elif settings.address is None:
            cluster = stack.enter_context(
                LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    dashboard_address="127.0.0.1:0",  # a fixed port may be another run's
                    memory_limit=0,
                    silence_logs=logging.ERROR,
                )
            )
        else:
            cluster = settings.address
        try:
            client = stack.enter_context(Client(cluster, timeout=timeout_seconds))
        except OSError as error:
            raise ConfigError(
                has=f"no dask scheduler at {settings.address} ({error})",
                needs="the address of a running one, such as tcp://host:8786",
                do="start `dask scheduler`, or leave the address out for a local cluster",
            ) from error
        client.register_plugin(_Prepared())
        yield client


def tile_on(
    client: Client, tasks: Sequence[SlideTask], progress: Progress = lambda _: None
) -> Iterator[Outcome]:
    """Tile slides on a cluster; yields each outcome as it comes, as `engine.tile_cohort` does."""
    slides = [_Slide(client, task) for task in tasks]
    begun = [slide.begin() for slide in slides]
    whose = {future.key: slide for future, slide in zip(begun, slides, strict=True)}
    waiting = as_completed(begun)
    # A result that is still referred to would be computed again if its worker died.
    del begun
    for future in waiting:
        slide = whose.pop(future.key)
        try:
            outcome, following = slide.advance(future.result(), progress)
        except KilledWorker as error:
            raise EvenpatchError(
                has=f"workers that died over and over on {slide.task.row.slide_id}: {error}",
                needs="memory for one slide per worker",
                do="give the workers more memory and run the same command again: what is whole is kept",
            ) from error
        for next_future in following:
            whose[next_future.key] = slide
            waiting.add(next_future)
        future.release()
        if outcome is not None:
            yield outcome


@dataclass
class _Slide:
    """One slide on its way through begin, cut and finish."""

    client: Client
    task: SlideTask
    begun: Begun | None = None
    pieces: list[SlideLog | EvenpatchError] = field(default_factory=list)
    awaited: int = 0

    def begin(self) -> Any:
        return self._submit(begin_task, self.task, _SHARDS_PER_TASK)

    def advance(self, result: Any, progress: Progress) -> tuple[Outcome | None, list[Any]]:
        """Take a task's result: the slide's outcome, or the tasks that come next."""
        if isinstance(result, Outcome):
            if self.begun is None and result.log is not None:
                progress(result.log.cut)
            return result, []
        if isinstance(result, Begun):
            self.begun = result
            starts = range(0, len(result.shards), _SHARDS_PER_TASK)
            parts = [result.shards[start : start + _SHARDS_PER_TASK] for start in starts]
            self.awaited = len(parts)
            cuts = [self._submit(cut_task, self.task, part) for part in parts]
            return None, cuts or [self._finish()]
        self.pieces.append(result)
        self.awaited -= 1
        progress(result.cut if isinstance(result, SlideLog) else 0)
        return None, [] if self.awaited else [self._finish()]

    def _finish(self) -> Any:
        return self._submit(finish_task, self.task, self.begun, self.pieces)

    def _submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return self.client.submit(function, *arguments, pure=False)


class _Prepared(WorkerPlugin):
    """Libraries in a worker use one thread each, and keep the memory that they will use again."""

    def setup(self, worker: Any) -> None:
        prepare_worker()


def slurm_cluster(settings: dict[str, Any]) -> Any:
    """Workers that are SLURM jobs.

    Raises:
        ConfigError: settings that dask_jobqueue does not know, or lacks.
    """
    try:
        # A process for each core: one slide at a time in each, as with the other engines.
        defaults = {"scheduler_options": {"dashboard_address": ":0"}, "processes": settings.get("cores", 1)}
        return SLURMCluster(**defaults | settings)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            has=f"SLURM settings {settings} ({error})",
            needs="the arguments of dask_jobqueue.SLURMCluster, such as cores, memory, queue, walltime",
            do="correct `tile.slurm`, or the file of `--slurm`",
        ) from error
