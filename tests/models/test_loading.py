"""Steps loaded ahead: the same as those loaded in turn, and nothing left behind."""

import threading
import time
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.algorithms.parts.plans import BatchPlan
from models.data.augment import Augmenter
from models.data.dataset import LabelledPatches, MemoryPatches
from models.training.loading import LoadedStep, Loader, Sharing, steps_ahead
from models.training.settings import TrainSettings

N = 24
IMAGES = np.random.default_rng(0).integers(0, 900, (N, 16, 16, 2)).astype(np.uint16)
LABELS = np.arange(N) % 2


class Slow(MemoryPatches):
    """Takes its time, the longer the earlier; fails at some rows."""

    def __init__(self, fails_at: int = -1) -> None:
        super().__init__(IMAGES)
        self.fails_at = fails_at
        self.running = self.most = self.reads = 0
        self.lock = threading.Lock()

    def read(self, rows_M: NDArray[np.int64]) -> NDArray[Any]:
        with self.lock:
            self.reads += 1
            self.running += 1
            self.most = max(self.most, self.running)
        time.sleep(0.02 if rows_M[0] % 2 else 0.005)
        with self.lock:
            self.running -= 1
        if self.fails_at in rows_M:
            raise OSError("the disk is gone")
        return super().read(rows_M)


def loader(patches: MemoryPatches, ahead: int, **sharing: Any) -> Loader:
    return Loader(
        LabelledPatches(patches, LABELS),
        Augmenter("default", [100.0, 100.0]),
        Sharing(LABELS, **sharing),
        seed=3,
        ahead=ahead,
    )


def plans(count: int) -> list[BatchPlan]:
    return [BatchPlan(np.arange(i, i + 4), np.full((1, 4), 0.25)) for i in range(count)]


def collected(made: Loader, count: int = 10, first: int = 5) -> list[LoadedStep]:
    with made.steps(iter(plans(count)), first) as steps:
        return list(steps)


def test_ahead_or_in_turn_gives_the_same_steps() -> None:
    inturn, ahead = collected(loader(Slow(), 0)), collected(loader(Slow(), 3))
    assert [step.number for step in ahead] == [step.number for step in inturn] == list(range(5, 15))
    for one, other in zip(inturn, ahead, strict=True):
        assert one.seed == other.seed
        assert torch.equal(one.parts[0].images_NHWC, other.parts[0].images_NHWC)
        assert one.parts[0].label_N.tolist() == other.parts[0].label_N.tolist()


def test_no_more_is_read_than_the_depth_and_in_as_many_threads() -> None:
    patches = Slow()
    with loader(patches, 3).steps(iter(plans(20)), 0) as steps:
        taken = list(islice(steps, 4))
        time.sleep(0.2)
        assert len(taken) == 4
        assert patches.reads == 7
    assert 1 < patches.most <= 3


def test_what_cannot_be_read_fails_in_its_turn() -> None:
    taken: list[int] = []
    with loader(Slow(fails_at=9), 4).steps(plans(12), 0) as steps, pytest.raises(OSError, match="is gone"):
        taken.extend(step.number for step in steps)
    assert taken == list(range(6))  # the seventh step reads rows 6 to 9


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("load")}


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_no_thread_is_left_behind(error: type[BaseException]) -> None:
    patches = Slow()

    def interrupted() -> None:
        with loader(patches, 4).steps(iter(plans(20)), 0) as steps:
            next(steps)
            assert threads()
            raise error

    with pytest.raises(error):
        interrupted()
    assert not threads()
    read = patches.reads
    time.sleep(0.1)
    assert patches.reads == read <= 5 + 1


def test_shares_and_parts_are_augmented_as_in_the_whole_step() -> None:
    """Same seed and place in the step, same augmentation, whatever process or part."""
    (whole,) = loader(Slow(), 0).load(7, plans(1)[0]).parts
    position = {int(n): i for i, n in enumerate(whole.plan.indices_N)}
    seen = []
    for rank in range(2):
        made = loader(Slow(), 0, rank=rank, processes=2, micro_batch=1)
        for part in made.load(7, plans(1)[0]).parts:
            for n, image in zip(part.plan.indices_N.tolist(), part.images_NHWC, strict=True):
                assert torch.equal(image, whole.images_NHWC[position[n]])
                seen.append(n)
    assert sorted(seen) == sorted(position)


def test_a_cpu_needs_its_cores_for_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, gpu, settings = torch.device("cpu"), torch.device("cuda"), TrainSettings()
    monkeypatch.setattr("os.cpu_count", lambda: 16)

    assert steps_ahead(settings, cpu, 1) == 0
    assert steps_ahead(settings, gpu, 1) == 8
    assert steps_ahead(settings, gpu, 4) == 3
    assert steps_ahead(settings, gpu, 16) == 1
    assert steps_ahead(settings.model_copy(update={"prefetch": 2}), cpu, 1) == 2
