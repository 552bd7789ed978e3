"""Who does what next: slides are planned, read into batches, predicted and written, all at the same time.

Any number of threads ask for a step, do it, and tell. Full batches go first, since they free memory; then
finished slides, which free more; then the planning of the next slides, so that batches are never short of
patches; then reading. Nothing waits in a queue without bound: there are as many batches as buffers, and no
slide is planned while others wait to be read or written.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from patching.errors import EvenpatchError
from pipeline.deployment.steps import Batch, Fill, Job, Part, Plan, Predict, Step, Write

AHEAD = 2
"""Slides that are planned and wait for their turn to be read."""
_UNWRITTEN = 4
"""Predicted slides that may wait to be written before no more are planned."""


class Schedule:
    """Hands out steps to threads.

    Args:
        slides: how many.
        buffers: memory for batches [B, H, W, C]; at least two more than threads that run the network.
        run: patches that a thread reads at a time.
        failed: told the number and error of each slide that fails, by one thread at a time.
    """

    def __init__(
        self,
        slides: int,
        buffers: Sequence[NDArray[np.generic]],
        run: int,
        failed: Callable[[int, EvenpatchError], None],
    ) -> None:
        self._waiting = deque(range(slides))
        self._run, self._failed = run, failed
        self._free = list(buffers)
        self._changed = threading.Condition()
        self._planning = self._alive = 0
        self._unread: deque[Job] = deque()
        self._reading: list[Job] = []
        self._open: Batch | None = None
        self._ready: deque[Batch] = deque()
        self._predicted: deque[Job] = deque()
        self._writing = False
        self._stopped = False

    def steps(self, *, network: bool, rest: bool) -> Iterator[Step]:
        """What a thread is to do, one after the other, until all is done.

        Args:
            network: whether it runs the network.
            rest: whether it does all the rest.
        """
        while True:
            with self._changed:
                while (step := self._next(network=network, rest=rest)) is None and not self._over:
                    self._changed.wait()
            if step is None:
                return
            yield step

    @contextmanager
    def stopped_in_the_end(self) -> Iterator[None]:
        """Threads that are still at it when the block ends, by an error or Ctrl-C, begin no other step."""
        try:
            yield
        finally:
            with self._changed:
                self._stopped = True
                self._changed.notify_all()

    def close(self) -> None:
        """Close the slides that are still open, once no thread is at work."""
        for job in self._reading:
            job.reader.close()
        self._reading.clear()

    def planned(self, job: Job) -> None:
        """A slide's patches are known."""
        with self._changed:
            self._planning -= 1
            job.left = len(job.plan)
            if job.left:
                self._reading.append(job)
                self._unread.append(job)
            else:
                job.reader.close()
                self._predicted.append(job)
            self._changed.notify_all()

    def unplanned(self, number: int, error: EvenpatchError) -> None:
        """A slide cannot be planned."""
        with self._changed:
            self._planning -= 1
            self._alive -= 1
            self._failed(number, error)
            self._changed.notify_all()

    def filled(self, fill: Fill, error: EvenpatchError | None = None) -> None:
        """Patches are read, or their slide fails."""
        job, batch = fill.part.job, fill.batch
        with self._changed:
            job.reading -= 1
            batch.filled += len(fill.part.patches)
            self._close_full(batch)
            if error is not None and not job.failed:
                job.failed = True
                self._failed(job.number, error)
                if job in self._unread:
                    self._unread.remove(job)
            if job.reading == 0 and (job.failed or job.next == len(job.plan)):
                job.reader.close()
                self._reading.remove(job)
                self._alive -= job.failed
            self._changed.notify_all()

    def predicted(self, batch: Batch, probability_BK: NDArray[np.float32]) -> None:
        """A batch has its probabilities."""
        with self._changed:
            for part in batch.parts:
                rows = slice(part.row, part.row + len(part.patches))
                part.job.probability_NK[part.patches.start : part.patches.stop] = probability_BK[rows]
                part.job.left -= len(part.patches)
                if part.job.left == 0 and not part.job.failed:
                    self._predicted.append(part.job)
            self._free.append(batch.images_BHWC)
            self._changed.notify_all()

    def written(self, job: Job, error: EvenpatchError | None = None) -> None:
        """A slide's files are there, or could not be written."""
        with self._changed:
            self._writing = False
            self._alive -= 1
            if error is not None:
                self._failed(job.number, error)
            self._changed.notify_all()

    @property
    def _over(self) -> bool:
        return self._stopped or not (self._waiting or self._alive)

    def _next(self, *, network: bool, rest: bool) -> Step | None:
        if self._over:
            return None
        if network and self._ready:
            return Predict(self._ready.popleft())
        if not rest:
            return None
        if self._predicted and not self._writing:
            self._writing = True
            return Write(self._predicted.popleft())
        if self._waiting and self._may_plan():
            self._planning += 1
            self._alive += 1
            return Plan(self._waiting.popleft())
        if self._unread:
            return self._fill()
        if not self._planning:
            self._close_last()
            if network and self._ready:
                return Predict(self._ready.popleft())
        return None

    def _may_plan(self) -> bool:
        return self._planning + len(self._unread) <= AHEAD and len(self._predicted) < _UNWRITTEN

    def _fill(self) -> Fill | None:
        if self._open is None:
            if not self._free:
                return None
            self._open = Batch(self._free.pop())
        batch, job = self._open, self._unread[0]
        count = min(self._run, len(job.plan) - job.next, len(batch.images_BHWC) - batch.rows)
        part = Part(job, range(job.next, job.next + count), batch.rows)
        batch.parts.append(part)
        batch.rows += count
        job.next += count
        job.reading += 1
        if job.next == len(job.plan):
            self._unread.popleft()
        if batch.rows == len(batch.images_BHWC):
            batch.closed, self._open = True, None
        return Fill(batch, part)

    def _close_last(self) -> None:
        """No slide has patches to read, and none is being planned: what the batch holds is all it gets."""
        if self._open is not None:
            batch, self._open = self._open, None
            batch.closed = True
            self._close_full(batch)
            self._changed.notify_all()

    def _close_full(self, batch: Batch) -> None:
        """Hand a batch to the network once its last row is filled."""
        if batch.closed and batch.filled == batch.rows:
            self._ready.append(batch)
