"""Contestants take turns, A B C A B C, each in a process of its own, so that all see the same machine."""

import json
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.tiling.memory import peak_memory
from benchmarks.tiling.places import ROOT

Run = dict[str, Any]
# One thread a library, as the workers of the engine have it; what is measured says how many it uses.
_QUIET = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Contestant:
    """What is measured: a function `module:name` of `child.py`, and on how many cores."""

    name: str
    job: str
    parameters: dict[str, Any] = field(default_factory=dict)
    cores: int = 1
    python: str = sys.executable
    path: tuple[str, ...] = ()
    """Folders that Python searches besides the repository."""


@dataclass
class _Turn:
    contestant: Contestant
    process: subprocess.Popen[str]
    log: Path
    runs: list[Run]
    failed: str = ""


def compete(
    contestants: Sequence[Contestant],
    repeats: int,
    tell: Callable[[str], None],
    logs: Path,
    *,
    warm: bool = True,
    watched: bool = False,
) -> dict[str, Any]:
    """Measure every contestant `repeats` times, in turns, after one turn that does not count.

    Args:
        contestants: at least one; each has a process for the whole contest.
        repeats: turns that count.
        tell: takes a line of progress.
        logs: folder for what the contestants print.
        warm: whether there is a turn before that does not count.
        watched: whether memory is sampled, which disturbs the clock.

    Returns:
        For each name its `runs`, or an `error` with the end of its log.
    """
    with ExitStack() as stack:
        turns = [stack.enter_context(_started(contestant, logs)) for contestant in contestants]
        for number in range(-int(warm), repeats):
            for turn in turns:
                if not turn.failed:
                    _take(turn, counted=number >= 0, watched=watched)
                    tell(f"{'warm' if number < 0 else f'{number + 1}/{repeats}'} {_told(turn)}")
    return {turn.contestant.name: _result(turn) for turn in turns}


def median(result: Mapping[str, Any], key: str = "seconds") -> float:
    """Median of one figure over a contestant's runs; NaN where there is none."""
    values = [run[key] for run in result.get("runs", []) if key in run]
    return statistics.median(values) if values else float("nan")


def ratio(over: Mapping[str, Any], under: Mapping[str, Any], key: str = "seconds") -> float:
    """Median over the rounds of one contestant's figure by another's of the same round."""
    pairs = zip(over.get("runs", []), under.get("runs", []), strict=False)
    values = [a[key] / b[key] for a, b in pairs]
    return statistics.median(values) if values else float("nan")


@contextmanager
def _started(contestant: Contestant, logs: Path) -> Iterator[_Turn]:
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{re.sub('[^A-Za-z0-9.]+', '-', contestant.name)}.txt"
    path = os.pathsep.join([str(ROOT), *contestant.path])
    command = [contestant.python, "-m", "benchmarks.tiling.child", contestant.job]
    command += [json.dumps(contestant.parameters, default=str), str(contestant.cores)]
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | _QUIET | {"PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        try:
            yield _Turn(contestant, process, log, [])
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[str]) -> None:
    # It may have gigabytes to remove before it ends.
    with suppress(BrokenPipeError, subprocess.TimeoutExpired):
        process.communicate("", timeout=300)
    if process.poll() is None:
        process.kill()
        process.wait()


def _take(turn: _Turn, *, counted: bool, watched: bool) -> None:
    with peak_memory(turn.process.pid, watched=watched) as peak:
        line = _asked(turn.process)
    if not line:
        told = turn.log.read_text(encoding="utf-8", errors="replace").splitlines()
        turn.failed = "\n".join(told[-5:]) or "it ended without a word"
    elif counted:
        turn.runs.append(json.loads(line) | ({"tree_mib": peak[0] / 2**20} if watched else {}))


def _asked(process: subprocess.Popen[str]) -> str:
    if process.stdin is None or process.stdout is None:
        return ""
    with suppress(BrokenPipeError):
        process.stdin.write("run\n")
        process.stdin.flush()
    return process.stdout.readline()


def _told(turn: _Turn) -> str:
    if turn.failed:
        return f"{turn.contestant.name}: failed: {turn.failed.splitlines()[-1]}"
    if not turn.runs:
        return turn.contestant.name
    run = turn.runs[-1]
    rate = f", {run['patches'] / run['seconds']:.0f} patches/s" if run.get("patches") else ""
    return f"{turn.contestant.name}: {run['seconds']:.2f} s{rate}"


def _result(turn: _Turn) -> dict[str, Any]:
    found: dict[str, Any] = {"cores": turn.contestant.cores, "runs": turn.runs}
    return found | ({"error": turn.failed} if turn.failed else {})
