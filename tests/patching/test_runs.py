"""Runs are filled by any thread, written in order, and stop when one of them fails."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from patching.runs import Filled, Run, RunQueue, runs_of


class Shard:
    """Stands for a shard's file: notes what comes."""

    def __init__(self, number: int, likely_bytes: int, told: list[Any]) -> None:
        self.number, self.likely_bytes, self.told = number, likely_bytes, told

    def append(self, chunks: list[int]) -> None:
        self.told.append((self.number, tuple(chunks)))

    def close(self) -> None:
        self.told.append((self.number, "closed"))

    def abort(self) -> None:
        self.told.append((self.number, "aborted"))


class Memory:
    """Stands for a ChunkBuffer: holds what a run was filled with."""

    content: list[int]

    def chunks(self, count: int) -> list[int]:
        assert len(self.content) == count
        return self.content


class Store:
    """Stands for a StoreWriter: three shards of seven rows, the last of four."""

    patch_bytes = 10

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.quality: dict[int, int] = {}
        self.likely: list[int] = []

    def rows(self, shard: int) -> range:
        return range(shard * 7, min(shard * 7 + 7, 18))

    def shard_file(self, shard: int, likely_bytes: int) -> Shard:
        self.likely.append(likely_bytes)
        return Shard(shard, likely_bytes, self.told)

    def write_quality(self, shard: int, quality_NQ: np.ndarray) -> None:
        self.quality[shard] = len(quality_NQ)


def filled(run: Run, memory: Memory) -> Filled:
    memory.content = list(run.rows)
    return Filled(run, memory, np.zeros((len(run.rows), 2), np.float32))  # type: ignore[arg-type]


def queue_of(store: Store, threads: int, progress: Callable[[int], None]) -> RunQueue:
    runs = runs_of(store, [0, 2], 3)  # type: ignore[arg-type]
    memory = [Memory() for _ in range(threads + 2)]
    return RunQueue(store, runs, memory, progress, set_aside=True)  # type: ignore[arg-type]


def test_runs_are_parts_of_the_shards_asked_for() -> None:
    runs = list(runs_of(Store(), [0, 2], 3))  # type: ignore[arg-type]
    assert [(run.number, run.shard, run.start, run.last) for run in runs] == [
        (0, 0, 0, False),
        (1, 0, 3, False),
        (2, 0, 6, True),
        (3, 2, 7, False),
        (4, 2, 10, True),
    ]
    assert [row for run in runs for row in run.rows] == [*range(7), *range(14, 18)]


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_they_are_written_in_order_whoever_is_first(threads: int) -> None:
    store, written = Store(), []
    queue = queue_of(store, threads, written.append)

    def work() -> None:
        while (taken := queue.take()) is not None:
            run, memory = taken
            time.sleep(0.02 if run.number % 2 == 0 else 0)  # every other one is overtaken
            queue.put(filled(run, memory))  # type: ignore[arg-type]

    with ThreadPoolExecutor(threads) as pool:
        for future in [pool.submit(work) for _ in range(threads)]:
            future.result()
    rows = [(0, (0, 1, 2)), (0, (3, 4, 5)), (0, (6,)), (0, "closed")]
    assert store.told == [*rows, (2, (14, 15, 16)), (2, (17,)), (2, "closed")]
    assert (written, store.quality, store.likely) == ([7, 4], {0: 7, 2: 4}, [70, 40])


def test_when_one_fails_the_others_take_no_more() -> None:
    store = Store()
    queue = queue_of(store, 2, lambda _: None)
    waiting = threading.Event()

    def fail() -> None:
        queue.take()
        waiting.wait(5)
        raise OSError("broken")

    def hoard() -> None:
        while queue.take() is not None:  # takes all memory, then waits for more
            waiting.set()

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(fail), pool.submit(hoard)]
        with pytest.raises(OSError, match="broken"), queue.stopped_in_the_end():
            futures[0].result()
    assert futures[1].result(timeout=5) is None
    assert queue.take() is None


def test_what_is_not_whole_is_aborted() -> None:
    store = Store()
    queue = queue_of(store, 1, lambda _: None)
    taken = queue.take()
    assert taken is not None
    queue.put(filled(*taken))  # type: ignore[arg-type]
    queue.abort()
    assert store.told == [(0, (0, 1, 2)), (0, "aborted")]
