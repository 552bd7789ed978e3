"""The process in which spoiled files are tried: it may crash, hang or grow, and is then replaced."""

import argparse
import faulthandler
import logging
import os
import resource
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import cv2
import numpy as np
import psutil
import threadpoolctl

from benchmarks.faults.corpus import Corpus, Source, sensitive
from benchmarks.faults.exercise import EXERCISES
from benchmarks.faults.mutations import mutated
from patching.errors import EvenpatchError

TIME_LIMIT = 20.0
MEMORY_LIMIT = 2 * 2**30
# Beyond the limit, so that a process over it is measured rather than told apart by its allocator.
_ADDRESS_SPACE = 16 * 2**30


@dataclass(frozen=True)
class Outcome:
    """How one case ended."""

    case: int
    source: str
    kind: str
    mutation: str
    end: str
    """`read`, the name of an EvenpatchError, or what must not be: `raised`, `memory`, `hang`, `crash`."""
    seconds: float = 0.0
    peak: int = 0
    """Largest resident set, bytes."""
    detail: str = ""
    """The message or the traceback."""


FAILURES = ("raised", "memory", "hang", "crash")


class Worker:
    """One child process, replaced when a case kills it. A context manager."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._folder = Path(tempfile.mkdtemp(prefix="faults-"))
        self._start()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        shutil.rmtree(self._folder)

    def try_case(self, case: int) -> Outcome:
        """Spoil, read and judge case number `case`."""
        try:
            self._pipe.send(case)
            if self._pipe.poll(TIME_LIMIT):
                outcome: Outcome = self._pipe.recv()
                return outcome
            end = "hang"
        except (EOFError, OSError):
            end = "crash"
        if end == "hang":
            # faulthandler prints where the process stands.
            psutil.Process(self._process.pid).send_signal(signal.SIGABRT)
        self._stop()
        detail = (self._folder / "stderr").read_text(errors="replace")[-4000:]
        self._start()
        source, _, mutation, _ = spoil(
            case, Corpus(self._options.data, self._options.kind), self._options.seed
        )
        return Outcome(case, source.name, source.kind, mutation, end, TIME_LIMIT, 0, detail)

    def _start(self) -> None:
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, self._options, self._folder), daemon=True
        )
        self._process.start()
        theirs.close()

    def _stop(self) -> None:
        self._pipe.close()
        self._process.join(2)
        self._process.kill()
        self._process.join()


def _serve(pipe: Connection, options: argparse.Namespace, folder: Path) -> None:
    _prepare(folder)
    corpus = Corpus(options.data, options.kind)
    while True:
        try:
            case = pipe.recv()
        except EOFError:
            return
        pipe.send(run_case(case, corpus, options.seed, folder))


def _prepare(folder: Path) -> None:
    """Libraries' complaints go to a file; one thread; a bound, lest a case bring the machine down."""
    log = os.open(folder / "stderr", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 2)
    faulthandler.enable()
    logging.disable(logging.CRITICAL)
    cv2.setNumThreads(1)
    threadpoolctl.threadpool_limits(1)
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))


def spoil(case: int, corpus: Corpus, seed: int) -> tuple[Source, bytes, str, np.random.Generator]:
    """What case number `case` spoils, its bytes and faults, and the generator for what follows."""
    source, rng = corpus.source(case), np.random.default_rng([seed, case])
    data = source.read()
    text = source.kind == "manifest" or source.suffix in (".geojson", ".json", ".xml", ".annotations")
    spoiled, mutation = mutated(data, sensitive(source, data), rng, text=text)
    return source, spoiled, mutation, rng


def run_case(case: int, corpus: Corpus, seed: int, folder: Path) -> Outcome:
    """Write the spoiled file and do with it everything that evenpatch does."""
    source, spoiled, mutation, rng = spoil(case, corpus, seed)
    path = folder / f"case{source.suffix}"
    path.write_bytes(spoiled)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    start = time.perf_counter()
    end, detail = "read", ""
    try:
        EXERCISES[source.kind](path, rng)
    except EvenpatchError as error:
        end, detail = type(error).__name__, error.in_one_line
        if any(isinstance(cause, MemoryError) for cause in _causes(error)):
            end, detail = "memory", traceback.format_exc()
    except Exception:  # noqa: BLE001 - whatever else is raised is what this looks for
        end, detail = "raised", traceback.format_exc()
    seconds, peak = time.perf_counter() - start, _peak()
    if peak > MEMORY_LIMIT:
        end = "memory"
    return Outcome(case, source.name, source.kind, mutation, end, seconds, peak, detail)


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _peak() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise OSError("the kernel does not tell a peak")


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for a replayed case."""
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        yield Path(folder)
