"""Runs: the unit of work of cutting, filled by any thread and written in order.

A run is a few patches, whose bytes are still in the processor's cache when they are written. Each thread has
a shard of its own as long as there are enough, so that threads seldom want the same tile of the slide at the
same time; in the end they help each other. Runs of a shard are written in order, which makes the same files
of the same patches whatever the number of threads. No thread waits for its turn to write: one whose run is
not next leaves it to the thread that writes, and goes on.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from patching.store.chunks import ChunkBuffer
from patching.store.shards import ShardFile
from patching.store.writing import StoreWriter


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive rows of one shard."""

    shard: int
    number: int
    """Of the run in its shard, from 0."""
    rows: range
    start: int
    """Where among all rows to be cut it begins."""


@dataclass(frozen=True, slots=True)
class Filled:
    """A run whose patches are encoded."""

    run: Run
    buffer: ChunkBuffer
    quality_NQ: NDArray[np.float32]


@dataclass
class _Shard:
    """Runs that wait, runs that are filled but not next, and the file with those before."""

    waiting: deque[Run]
    filled: dict[int, Filled] = field(default_factory=dict)
    next: int = 0
    """Number of the run that is written next."""
    writing: bool = False
    """Whether a thread is at it."""
    file: ShardFile | None = None
    quality: list[NDArray[np.float32]] = field(default_factory=list)


def runs_of(rows_of_shards: Sequence[tuple[int, range]], length: int) -> Iterator[list[Run]]:
    """Each shard's rows in runs of `length`, the last one with fewer.

    Args:
        rows_of_shards: number of each shard, and its rows.
        length: patches of a run.
    """
    start = 0
    for shard, rows in rows_of_shards:
        parts = [rows[first : first + length] for first in range(0, len(rows), length)]
        yield [Run(shard, n, part, start + n * length) for n, part in enumerate(parts)]
        start += len(rows)


class RunQueue:
    """Hands out runs and memory, and writes what was filled.

    Args:
        writer: the store.
        runs: of each shard.
        memory: for runs; more than threads, or they wait for each other.
        progress: told the number of patches of every shard that was written, by one thread at a time.
        set_aside: whether the room of plain patches is taken on the disk beforehand.
    """

    def __init__(
        self,
        writer: StoreWriter,
        runs: Iterator[list[Run]],
        memory: Sequence[ChunkBuffer],
        progress: Callable[[int], None],
        *,
        set_aside: bool,
    ) -> None:
        self._writer, self._progress, self._set_aside = writer, progress, set_aside
        self._shards = {each[0].shard: _Shard(deque(each)) for each in runs if each}
        self._fresh = deque(self._shards.values())
        self._free = list(memory)
        self._changed, self._telling = threading.Condition(), threading.Lock()
        self._stopped = False

    def take(self, last: Run | None) -> tuple[Run, ChunkBuffer] | None:
        """A run and memory for it; None where there is none, or the work has stopped.

        Args:
            last: the run that this thread took before.
        """
        with self._changed:
            # Runs that are written next have their memory already, so that there will be some.
            self._changed.wait_for(lambda: self._free or self._stopped)
            shard = None if self._stopped else self._chosen(last)
            return None if shard is None else (shard.waiting.popleft(), self._free.pop())

    def put(self, filled: Filled) -> None:
        """Take a filled run, and write it with all that follow, unless another thread is writing."""
        shard = self._shards[filled.run.shard]
        with self._changed:
            shard.filled[filled.run.number] = filled
            if shard.writing:
                return
            shard.writing = True
        while (ready := self._ready(shard)) is not None:
            self._write(shard, ready)
            with self._changed:
                self._free.append(ready.buffer)
                self._changed.notify()

    @contextmanager
    def stopped_in_the_end(self) -> Iterator[None]:
        """Threads that are still at it when the block ends, by an error or Ctrl-C, take no more runs."""
        try:
            yield
        finally:
            with self._changed:
                self._stopped = True
                self._changed.notify_all()

    def abort(self) -> None:
        """Leave nothing of shards that are not whole."""
        for shard in self._shards.values():
            if shard.file is not None:
                shard.file.abort()

    def _chosen(self, last: Run | None) -> _Shard | None:
        """The thread's own shard, else one that nobody began, else that with most left to do."""
        if last is not None and self._shards[last.shard].waiting:
            return self._shards[last.shard]
        if self._fresh:
            return self._fresh.popleft()
        left = [shard for shard in self._shards.values() if shard.waiting]
        return max(left, key=lambda shard: len(shard.waiting), default=None)

    def _ready(self, shard: _Shard) -> Filled | None:
        with self._changed:
            filled = shard.filled.pop(shard.next, None)
            shard.writing = filled is not None
            shard.next += shard.writing
            return filled

    def _write(self, shard: _Shard, filled: Filled) -> None:
        number = filled.run.shard
        rows = self._writer.rows(number)
        if shard.file is None:
            nbytes = len(rows) * self._writer.patch_bytes
            shard.file = self._writer.shard_file(number, nbytes if self._set_aside else 0)
        shard.file.append(filled.buffer.chunks(len(filled.run.rows)))
        shard.quality.append(filled.quality_NQ)
        if filled.run.rows.stop == rows.stop:
            self._writer.write_quality(number, np.concatenate(shard.quality))
            shard.file.close()
            shard.file = None
            shard.quality.clear()
            with self._telling:
                self._progress(len(rows))
