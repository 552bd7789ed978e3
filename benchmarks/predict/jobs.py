"""What `benchmarks.tiling.child` measures: the whole verb, and each of its works alone in as many threads.

Seconds of the clock and of the processor, both of the whole process with all its threads.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd

from benchmarks.tiling import places
from models.networks.card import ModelCard
from models.networks.card_file import load_card
from patching.manifest import SlideRow
from patching.survey.named_slides import find_slides
from pipeline.cli import main
from pipeline.deployment.engines import prepare
from pipeline.deployment.meter import Meter
from pipeline.deployment.model import find_model
from pipeline.deployment.planning import PatchReader, SlidePlan, plan_slide
from pipeline.deployment.predicting import PredictSettings, load_network
from pipeline.stages import predict

Measure = Callable[[], dict[str, Any]]
_RUN = 16  # patches that a thread reads at a time


@dataclass
class CpuMeter(Meter):
    """A meter that also counts the processor's seconds of every step."""

    cpu: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """A thread does a step while the block lasts."""
        start = time.thread_time()
        with super().timed(step):
            yield
        with self._lock:
            self.cpu[step] = self.cpu.get(step, 0.0) + time.thread_time() - start


def whole(slides: list[str], model: str, threads: int, *, tell: bool = False) -> Measure:
    """`evenpatch predict` into an empty folder, its imports behind it.

    Args:
        slides, model: its arguments.
        threads: its workers.
        tell: whether x, y and probability of every patch are told.
    """

    def measure() -> dict[str, Any]:
        out = places.WORK / f"predict-{time.monotonic_ns()}"
        meters: list[CpuMeter] = []

        def meter(total: int) -> CpuMeter:
            meters.append(CpuMeter(total))
            return meters[-1]

        arguments = [*slides, "--model", model, "--out", str(out), "--workers", str(threads)]
        with patch.object(predict, "Meter", meter):
            found = _timed(lambda: main(["predict", *arguments]))
        if found.pop("result") != 0:
            raise SystemExit("evenpatch predict failed")
        told = {"patches": meters[0].patches, "slides": meters[0].total, "steps": meters[0].cpu}
        told |= {"found": _predicted(out)} if tell else {}
        shutil.rmtree(out)
        return found | told | {"load": os.getloadavg()[0]}

    return measure


def plan(slides: list[str], model: str, threads: int) -> Measure:
    """Slides opened, their tissue found, their patches decided on."""
    rows, card = _given(slides, model)

    def planned(row: SlideRow) -> int:
        found, reader = plan_slide(row, card)
        reader.close()
        return len(found)

    return lambda: _counted(_timed(lambda: sum(_pool(threads).map(planned, rows))))


def read(slides: list[str], model: str, threads: int) -> Measure:
    """All patches of slides that are planned before the clock starts, one slide after the other."""
    rows, card = _given(slides, model)

    def measure() -> dict[str, Any]:
        planned = [plan_slide(row, card) for row in rows]  # anew: what was decoded once may be kept
        pool = _pool(threads)
        found = _timed(lambda: sum(_read_slide(*each, card, pool) for each in planned))
        for _, reader in planned:
            reader.close()
        return _counted(found)

    return measure


def network(patches: int, model: str, threads: int) -> Measure:
    """The network on as many patches, each thread on a batch that lies in memory."""
    prepare()
    found = find_model(model, Path(), places.WORK)
    loaded, card = load_network(found, PredictSettings(device="cpu")), found.card
    side = int(card.patch["size"])
    shape = (side, side, len(card.channels))
    buffers = loaded.buffers(threads, shape, np.dtype(card.dtype))
    for buffer_BHWC in buffers:
        buffer_BHWC[...] = np.random.default_rng(0).integers(0, 255, buffer_BHWC.shape)
    batches = -(-patches // loaded.batch_size)

    def run(number: int) -> None:
        for _ in range(number, batches, threads):
            loaded(buffers[number], loaded.batch_size)

    def measure() -> dict[str, Any]:
        found = _timed(lambda: _all(_pool(threads).map(run, range(threads))))
        return found | {"result": None, "patches": patches}

    return measure


def _predicted(out: Path) -> dict[str, list[list[float]]]:
    tables = {path.parent.name: pd.read_parquet(path) for path in sorted(out.glob("*/patches.parquet"))}
    return {name: table[["x", "y", "probability"]].to_numpy().tolist() for name, table in tables.items()}


def _given(slides: list[str], model: str) -> tuple[tuple[SlideRow, ...], ModelCard]:
    prepare()
    return find_slides(slides), load_card(Path(model))


def _read_slide(found: SlidePlan, reader: PatchReader, card: ModelCard, pool: ThreadPoolExecutor) -> int:
    side = int(card.patch["size"])

    def run(start: int) -> None:
        patches = range(start, min(start + _RUN, len(found)))
        images_BHWC = np.empty((len(patches), side, side, len(card.channels)), card.dtype)
        for row, number in enumerate(patches):
            reader.read(number, images_BHWC[row])
            if card.ranges.quality:
                reader.measure(images_BHWC[row])

    _all(pool.map(run, range(0, len(found), _RUN)))
    return len(found)


def _all(results: Iterable[None]) -> None:
    for _ in results:
        pass


def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)


def _timed(work: Callable[[], Any]) -> dict[str, Any]:
    start, cpu = time.perf_counter(), time.process_time()
    result = work()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return {"seconds": seconds, "cpu": cpu, "result": result}


def _counted(found: dict[str, Any]) -> dict[str, Any]:
    return found | {"patches": found.pop("result")}
