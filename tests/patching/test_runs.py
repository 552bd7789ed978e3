"""Runs are filled by any thread, written in order, and stop when one of them fails."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from patching.tiling.runs import Filled, Run, RunQueue, runs_of


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
    runs = runs_of([(shard, store.rows(shard)) for shard in (0, 2)], 3)
    memory = [Memory() for _ in range(threads + 1)]
    return RunQueue(store, runs, memory, progress, set_aside=True)  # type: ignore[arg-type]


def test_runs_are_parts_of_the_shards_asked_for() -> None:
    first, second = runs_of([(0, range(7)), (2, range(14, 18))], 3)
    assert [(run.shard, run.number, run.start) for run in first] == [(0, 0, 0), (0, 1, 3), (0, 2, 6)]
    assert [(run.shard, run.number, run.start) for run in second] == [(2, 0, 7), (2, 1, 10)]
    assert [row for run in (*first, *second) for row in run.rows] == [*range(7), *range(14, 18)]


def test_threads_have_a_shard_each_as_long_as_there_is_one() -> None:
    queue = queue_of(Store(), 4, lambda _: None)
    one, other = queue.take(None), queue.take(None)
    assert one is not None
    assert other is not None
    assert (one[0].shard, other[0].shard) == (0, 2)
    again = queue.take(other[0])
    assert again is not None
    assert (again[0].shard, again[0].number) == (2, 1)
    helping = queue.take(again[0])
    assert helping is not None
    assert (helping[0].shard, helping[0].number) == (0, 1)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_they_are_written_in_order_whoever_is_first(threads: int) -> None:
    store, written = Store(), []
    queue = queue_of(store, threads, written.append)

    def work() -> None:
        run = None
        while (taken := queue.take(run)) is not None:
            run, memory = taken
            time.sleep(0.02 if run.number % 2 == 0 else 0)  # every other one is overtaken
            queue.put(filled(run, memory))  # type: ignore[arg-type]

    with ThreadPoolExecutor(threads) as pool:
        for future in [pool.submit(work) for _ in range(threads)]:
            future.result()
    rows = [(0, (0, 1, 2)), (0, (3, 4, 5)), (0, (6,)), (0, "closed")]
    assert [told for told in store.told if told[0] == 0] == rows
    assert [told for told in store.told if told[0] == 2] == [(2, (14, 15, 16)), (2, (17,)), (2, "closed")]
    assert (sorted(written), store.quality, sorted(store.likely)) == ([4, 7], {0: 7, 2: 4}, [40, 70])


def test_when_one_fails_the_others_take_no_more() -> None:
    store = Store()
    queue = queue_of(store, 2, lambda _: None)
    waiting = threading.Event()

    def fail() -> None:
        queue.take(None)
        waiting.wait(5)
        raise OSError("broken")

    def hoard() -> None:
        while queue.take(None) is not None:  # takes all memory, then waits for more
            waiting.set()

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(fail), pool.submit(hoard)]
        with pytest.raises(OSError, match="broken"), queue.stopped_in_the_end():
            futures[0].result()
    assert futures[1].result(timeout=5) is None
    assert queue.take(None) is None


def test_what_is_not_whole_is_aborted() -> None:
    store = Store()
    queue = queue_of(store, 1, lambda _: None)
    taken = queue.take(None)
    assert taken is not None
    queue.put(filled(*taken))  # type: ignore[arg-type]
    queue.abort()
    assert store.told == [(0, (0, 1, 2)), (0, "aborted")]
