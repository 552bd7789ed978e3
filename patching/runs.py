"""Runs: the unit of work of cutting, filled by any thread and written in order.

A run is a few patches, whose bytes are still in the processor's cache when they are written. The order makes
the same files of the same patches whatever the number of threads. No thread waits for its turn to write:
one whose run is not next leaves it to the thread that writes, and goes on.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patching.sharding import ChunkBuffer, ShardFile
from patching.store_writer import StoreWriter


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive rows of one shard, and where among those to be cut they begin."""

    number: int
    shard: int
    rows: range
    start: int
    last: bool
    """Of its shard."""


@dataclass(frozen=True, slots=True)
class Filled:
    """A run whose patches are encoded."""

    run: Run
    buffer: ChunkBuffer
    quality_NQ: NDArray[np.float32]


def runs_of(writer: StoreWriter, shards: Sequence[int], length: int) -> Iterator[Run]:
    """Some shards of a store in runs of `length` patches, the last of a shard with fewer."""
    number = start = 0
    for shard in shards:
        rows = writer.rows(shard)
        for first in range(rows.start, rows.stop, length):
            part = range(first, min(first + length, rows.stop))
            yield Run(number, shard, part, start, part.stop == rows.stop)
            number, start = number + 1, start + len(part)


class RunQueue:
    """Hands out runs and memory, and writes what was filled, in order.

    Args:
        writer: the store.
        runs: in order, numbered from 0.
        memory: for runs; one more than threads, or they wait for each other.
        progress: told the number of patches of every shard that was written.
        set_aside: whether the room of plain patches is taken on the disk beforehand.
    """

    def __init__(
        self,
        writer: StoreWriter,
        runs: Iterable[Run],
        memory: Sequence[ChunkBuffer],
        progress: Callable[[int], None],
        *,
        set_aside: bool,
    ) -> None:
        self._writer, self._progress, self._set_aside = writer, progress, set_aside
        self._runs, self._free = iter(runs), list(memory)
        self._changed = threading.Condition()
        self._filled: dict[int, Filled] = {}
        self._next = 0
        self._writing = self._stopped = False
        self._quality: list[NDArray[np.float32]] = []
        self._file: ShardFile | None = None

    def take(self) -> tuple[Run, ChunkBuffer] | None:
        """The next run and memory for it; None where there is none, or the work has stopped."""
        with self._changed:
            # The run that is written next has its memory already, so that there will be some.
            self._changed.wait_for(lambda: self._free or self._stopped)
            run = None if self._stopped else next(self._runs, None)
            return None if run is None else (run, self._free.pop())

    def put(self, filled: Filled) -> None:
        """Take a filled run, and write it with all that follow, unless another thread is writing."""
        with self._changed:
            self._filled[filled.run.number] = filled
            if self._writing:
                return
            self._writing = True
        while (ready := self._ready()) is not None:
            self._write(ready)
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
        """Leave nothing of a shard that is not whole."""
        if self._file is not None:
            self._file.abort()

    def _ready(self) -> Filled | None:
        with self._changed:
            filled = self._filled.pop(self._next, None)
            self._writing = filled is not None
            self._next += self._writing
            return filled

    def _write(self, filled: Filled) -> None:
        run = filled.run
        if self._file is None:
            nbytes = len(self._writer.rows(run.shard)) * self._writer.patch_bytes
            self._file = self._writer.shard_file(run.shard, nbytes if self._set_aside else 0)
        self._file.append(filled.buffer.chunks(len(run.rows)))
        self._quality.append(filled.quality_NQ)
        if run.last:
            quality_NQ = np.concatenate(self._quality)
            self._writer.write_quality(run.shard, quality_NQ)
            self._file.close()
            self._file = None
            self._quality.clear()
            self._progress(len(quality_NQ))
