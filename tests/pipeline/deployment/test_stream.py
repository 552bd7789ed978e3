"""The stream of slides: every patch once, whatever fails and whoever works, and no waiting for ever."""

import threading
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from patching.errors import DiskSpaceError, EvenpatchError, UnreadableSlideError
from pipeline.deployment.meter import Meter
from pipeline.deployment.stream import Work, stream

BATCH = 8
pytestmark = pytest.mark.timeout(60)


def refused(what: str) -> UnreadableSlideError:
    return UnreadableSlideError(has=what, needs="a whole one", do="mend it")


@dataclass
class FakeRow:
    slide_id: str


@dataclass
class FakePlan:
    """A slide of so many patches; patch n of slide s has the pixel 200 s + n, and as much for its tissue."""

    number: int
    patches: int

    @property
    def tissue_fraction_N(self) -> NDArray[np.float64]:
        return whole(self.number, self.patches).astype(np.float64)

    @property
    def row(self) -> FakeRow:
        return FakeRow(f"slide-{self.number}")

    def __len__(self) -> int:
        return self.patches


@dataclass
class FakeReader:
    number: int
    fails_at: int | None
    run: "FakeRun"
    closed: int = 0

    def read(self, patch: int, out_HWC: NDArray[Any]) -> None:
        assert not self.closed
        if patch == self.fails_at:
            raise refused(f"patch {patch}")
        with self.run.lock:
            self.run.reads.append((self.number, patch))
        out_HWC[...] = 200 * self.number + patch

    def measure(self, patch_HWC: NDArray[Any]) -> NDArray[np.float32]:
        return np.full(1, patch_HWC.max(), np.float32)

    def close(self) -> None:
        self.closed += 1


@dataclass
class FakeRun:
    """Slides by their numbers of patches; the numbers of those that fail, and where."""

    sizes: tuple[int, ...]
    unplannable: tuple[int, ...] = ()
    unreadable: dict[int, int] = field(default_factory=dict)
    unwritable: tuple[int, ...] = ()
    defect: BaseException | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)
    reads: list[tuple[int, int]] = field(default_factory=list)
    readers: list[FakeReader] = field(default_factory=list)
    written: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    failures: dict[int, str] = field(default_factory=dict)
    batches: int = 0
    most_open: int = 0

    def __call__(
        self, images_BHWC: NDArray[Any], tissue_fraction_B: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        with self.lock:
            self.batches += 1
        pixel_B = images_BHWC[:, 0, 0, 0].astype(np.float32)
        # A patch that could not be read leaves its row as it was.
        if not self.unreadable:
            np.testing.assert_array_equal(pixel_B[: len(tissue_fraction_B)], tissue_fraction_B)
        return np.stack([-pixel_B, pixel_B], axis=1)

    def plan(self, number: int) -> tuple[Any, Any]:
        if number in self.unplannable:
            raise refused("the plan")
        reader = FakeReader(number, self.unreadable.get(number), self)
        with self.lock:
            self.readers.append(reader)
            self.most_open = max(self.most_open, sum(not each.closed for each in self.readers))
        return FakePlan(number, self.sizes[number]), reader

    def write(
        self, number: int, plan: Any, probability_NK: NDArray[np.float32], quality_NQ: NDArray[np.float32]
    ) -> None:
        if self.defect is not None:
            raise self.defect
        if number in self.unwritable:
            raise refused("the files")
        np.testing.assert_array_equal(probability_NK[:, 0], -probability_NK[:, 1])
        np.testing.assert_array_equal(quality_NQ[:, 0], probability_NK[:, 1])
        self.written[number] = probability_NK[:, 1]

    def failed(self, number: int, error: EvenpatchError) -> None:
        assert number not in self.failures
        self.failures[number] = error.has

    def go(self, threads: int, apart: int, buffers: int | None = None) -> Meter:
        work: Any = Work(
            len(self.sizes), self.plan, self.write, self.failed, (1, 2, 1), np.dtype(np.uint16), quality=1
        )
        memory = [np.zeros((BATCH, 1, 2, 1), np.uint16) for _ in range(buffers or (apart or threads) + 2)]
        meter = Meter(len(self.sizes))
        stream(work, self, memory, threads=threads, apart=apart, meter=meter)
        return meter


def whole(number: int, size: int) -> NDArray[np.float32]:
    return np.arange(size, dtype=np.float32) + 200 * number


SIZES = (3, 0, 41, 8, 1, 1, 1, 16, 0, 7)


@pytest.mark.parametrize(("threads", "apart"), [(1, 0), (2, 0), (5, 0), (1, 1), (3, 2)])
def test_every_patch_is_read_once_and_gets_its_own_probability(threads: int, apart: int) -> None:
    run = FakeRun(SIZES)
    meter = run.go(threads, apart)
    assert sorted(run.reads) == [(s, n) for s, size in enumerate(SIZES) for n in range(size)]
    assert sorted(run.written) == list(range(len(SIZES)))
    for number, probability_N in run.written.items():
        np.testing.assert_array_equal(probability_N, whole(number, SIZES[number]))
    assert all(reader.closed == 1 for reader in run.readers)
    assert meter.patches == sum(SIZES)


def test_batches_cross_slides() -> None:
    run = FakeRun((1,) * 200)
    run.go(2, 0)
    assert run.batches < 60


@pytest.mark.parametrize(("threads", "apart"), [(1, 0), (4, 0), (1, 1), (4, 2)])
def test_slides_that_fail_at_any_step_leave_the_others_whole(threads: int, apart: int) -> None:
    run = FakeRun(
        (9, 30, 30, 5, 12, 1, 40), unplannable=(0, 5), unreadable={1: 17, 3: 0, 6: 39}, unwritable=(4,)
    )
    run.go(threads, apart)
    assert run.failures == {
        0: "the plan",
        5: "the plan",
        1: "patch 17",
        3: "patch 0",
        6: "patch 39",
        4: "the files",
    }
    assert list(run.written) == [2]
    np.testing.assert_array_equal(run.written[2], whole(2, 30))
    assert all(reader.closed == 1 for reader in run.readers)


@pytest.mark.parametrize("seed", range(20))
def test_no_order_of_events_ends_in_waiting_for_ever(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = tuple(rng.choice([0, 1, 2, 7, 8, 9, 50], 30).tolist())
    numbers = rng.permutation(30).tolist()
    run = FakeRun(
        sizes,
        unplannable=tuple(numbers[:4]),
        unreadable={n: int(rng.integers(sizes[n])) for n in numbers[4:9] if sizes[n]},
        unwritable=tuple(numbers[9:12]),
    )
    run.go(int(rng.integers(1, 5)), int(rng.integers(0, 3)))
    assert set(run.written) | set(run.failures) == set(range(30))
    assert not set(run.written) & set(run.failures)
    for number, probability_N in run.written.items():
        np.testing.assert_array_equal(probability_N, whole(number, sizes[number]))


@pytest.mark.parametrize("defect", [ZeroDivisionError(), KeyboardInterrupt()])
def test_any_other_error_ends_the_run_and_closes_the_slides(defect: BaseException) -> None:
    run = FakeRun((50,) * 20, defect=defect)
    with pytest.raises(type(defect)):
        run.go(3, 0)
    assert all(reader.closed == 1 for reader in run.readers)


def test_a_full_disk_ends_the_run() -> None:
    run = FakeRun((5,) * 20, defect=DiskSpaceError(has="no space", needs="some", do="free some"))
    with pytest.raises(DiskSpaceError):
        run.go(2, 0)
    assert len(run.readers) < 20


def test_few_slides_are_open_at_a_time() -> None:
    run = FakeRun((100,) * 40)
    run.go(3, 0)
    assert run.most_open <= 6


def test_slides_that_cannot_be_planned_are_not_waited_for() -> None:
    """Of four slides one holds ten patches and one none: the other two may hold ten together."""
    meter = Meter(4, started=time.perf_counter() - 10)
    meter.planned(10)
    meter.planned(0)
    meter.predicted(5)
    assert meter.seconds_left == pytest.approx(30, rel=0.05)
    for _ in range(4):
        meter.finished()
    assert meter.seconds_left == 0
