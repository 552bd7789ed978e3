"""Tiling killed at random moments, then resumed: every file must equal that of an uninterrupted run."""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from rich.progress import Progress

from benchmarks.faults.cohort import READY, digests, write_slides

_LIMIT = 120.0
_ORPHANS = 15.0
"""Seconds after which no worker may outlive the process that started it."""
_WORKER_KILLS = 5
"""One kill of a lone worker for as many others."""


@dataclass
class Record:
    """What the kills led to."""

    kills: Counter[str] = field(default_factory=Counter)
    resumed: int = 0
    different: list[str] = field(default_factory=list)
    orphans: int = 0
    slowest_orphan_s: float = 0.0
    missed: int = 0
    """Runs that ended before they could be killed."""
    untyped: list[str] = field(default_factory=list)
    """What a run said that lost a worker, where it is no EvenpatchError."""


@dataclass(frozen=True)
class Rig:
    """Slides, what an uninterrupted run makes of them, and how long it takes."""

    folder: Path
    whole: dict[str, str]
    seconds: dict[int, float]
    """By number of workers."""
    rng: np.random.Generator

    @property
    def slides(self) -> Path:
        return self.folder / "slides"

    @property
    def outputs(self) -> Path:
        return self.folder / "outputs"


def run(options: argparse.Namespace) -> dict[str, object]:
    """All kills, then all kills of a lone worker."""
    record = Record()
    with tempfile.TemporaryDirectory(prefix="faults-") as folder, Progress() as progress:
        rig = _rig(Path(folder), options.seed)
        bar = progress.add_task("kills", total=options.kills + options.kills // _WORKER_KILLS)
        for way, wanted in ((_any_way, options.kills), (_lone_worker, options.kills // _WORKER_KILLS)):
            start = record.kills.total()
            while record.kills.total() < start + wanted:
                way(rig, record)
                progress.update(bar, completed=record.kills.total())
                if rig.rng.random() < 0.5:
                    _resume_and_compare(rig, record)
            _resume_and_compare(rig, record)
    return _results(record, rig)


def _results(record: Record, rig: Rig) -> dict[str, object]:
    return {
        "passed": not (record.different or record.orphans or record.untyped),
        "kills": dict(record.kills),
        "compared_with_an_uninterrupted_run": record.resumed,
        "files_compared_each_time": len(rig.whole),
        "different": len(record.different),
        "workers_that_outlived_their_parent": record.orphans,
        "longest_life_after_the_parent_s": record.slowest_orphan_s,
        "runs_that_ended_before_the_kill": record.missed,
        "lost_worker_without_a_typed_error": len(record.untyped),
        "details": record.different + record.untyped,
    }


def _rig(folder: Path, seed: int) -> Rig:
    write_slides(folder / "slides")
    found, seconds = {}, {}
    for workers in (1, 2):
        outputs = folder / f"whole-{workers}"
        child = _start(folder / "slides", outputs, workers)
        start = time.perf_counter()
        _finish(child)
        found[workers], seconds[workers] = digests(outputs), time.perf_counter() - start
    if found[1] != found[2]:
        raise AssertionError("one and two workers do not write the same")
    return Rig(folder, found[1], seconds, np.random.default_rng(seed))


def _any_way(rig: Rig, record: Record) -> None:
    """One process, all processes at once as when the power fails, or the parent alone."""
    ways = (_lone_process, _all_at_once, _parent_alone)
    ways[rig.rng.integers(len(ways))](rig, record)


def _lone_process(rig: Rig, record: Record) -> None:
    for child in _interrupted(rig, record, 1):
        child.kill()
        record.kills["one process"] += 1


def _all_at_once(rig: Rig, record: Record) -> None:
    for child in _interrupted(rig, record, 2):
        os.killpg(child.pid, signal.SIGKILL)
        record.kills["parent and workers"] += 1


def _parent_alone(rig: Rig, record: Record) -> None:
    """The next run starts at once, whatever the workers that are left still do."""
    for child in _interrupted(rig, record, 2):
        workers = _workers(child)
        child.kill()
        child.wait()
        start = time.perf_counter()
        record.kills["parent alone"] += 1
        if rig.rng.random() < 0.5:
            _resume_and_compare(rig, record)
        while (
            alive := [each for each in workers if _lives(each)]
        ) and time.perf_counter() < start + _ORPHANS:
            time.sleep(0.05)
        record.slowest_orphan_s = max(record.slowest_orphan_s, time.perf_counter() - start if workers else 0)
        record.orphans += len(alive)
        for process in alive:
            process.kill()


def _lone_worker(rig: Rig, record: Record) -> None:
    """The run that loses a worker must end, and say so by a typed error."""
    for child in _interrupted(rig, record, 2):
        workers = _workers(child)
        if not workers:
            record.missed += 1
            continue
        workers[rig.rng.integers(len(workers))].kill()
        code, told = _finish(child, allowed=(0, 2))
        record.kills["lone worker"] += 1
        if code == 2 and "Error\nhas: " not in told:
            record.untyped.append(told[-2000:])


def _interrupted(rig: Rig, record: Record, workers: int) -> Iterator[subprocess.Popen[str]]:
    """A run after a random time, unless it has ended by then; whatever is left of it is removed after."""
    child = _start(rig.slides, rig.outputs, workers)
    time.sleep(rig.rng.uniform(0, rig.seconds[workers]))
    if child.poll() is None:
        yield child
    else:
        record.missed += 1
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
    child.communicate()


def _resume_and_compare(rig: Rig, record: Record) -> None:
    """Run to the end, compare every file, and begin with nothing the next time."""
    code, told = _finish(_start(rig.slides, rig.outputs, int(rig.rng.integers(1, 3))), allowed=(0, 1, 2))
    found = digests(rig.outputs)
    record.resumed += 1
    if code != 0:
        record.different.append(f"the resumed run ended with {code}: {told[-2000:]}")
    elif found != rig.whole:
        record.different.append(f"{sorted(set(found.items()) ^ set(rig.whole.items()))[:6]}")
    shutil.rmtree(rig.outputs)


def _start(slides: Path, outputs: Path, workers: int) -> subprocess.Popen[str]:
    """A process of its own group that has its imports behind it."""
    command = [sys.executable, "-m", "benchmarks.faults.cohort", str(slides), str(outputs), str(workers)]
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    if child.stdout is None or child.stdout.readline().strip() != READY:
        raise RuntimeError(child.communicate()[1])
    return child


def _finish(child: subprocess.Popen[str], allowed: tuple[int, ...] = (0,)) -> tuple[int, str]:
    _, told = child.communicate(timeout=_LIMIT)
    if child.returncode not in allowed:
        raise RuntimeError(f"ended with {child.returncode}: {told}")
    return child.returncode, told


def _lives(process: psutil.Process) -> bool:
    """Not a zombie: in a container nobody may be there to bury it."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _workers(child: subprocess.Popen[str]) -> list[psutil.Process]:
    """The pool's processes, not multiprocessing's resource tracker."""
    children = psutil.Process(child.pid).children(recursive=True)
    return [process for process in children if "spawn_main" in _command(process)]


def _command(process: psutil.Process) -> str:
    """Nothing where it has ended meanwhile."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
