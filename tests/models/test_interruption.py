"""Trainings that are told to end, or killed, end where an undisturbed one does."""

import json
import os
import pickle
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest
from safetensors import safe_open

from models.training.interruption import StopRequested, stop_requests
from tests.models.interruptible import run

LAST = "last.safetensors"


def begun(folder: Path, **changes: str) -> tuple[ForkServerProcess, Connection]:
    """A training, and where it tells its steps."""
    folder.mkdir(exist_ok=True)
    context = get_context("forkserver")
    context.set_forkserver_preload(["tests.models.warm"])
    told, telling = context.Pipe(duplex=False)
    process = context.Process(target=run, args=(folder, changes, telling))
    process.start()
    telling.close()
    return process, told


def steps_of(told: Connection) -> Iterator[int]:
    """As they are done, until the process ends."""
    with told, suppress(EOFError):
        while True:
            yield told.recv()


def finish(folder: Path, **changes: str) -> list[int]:
    """Steps that it did."""
    process, told = begun(folder, **changes)
    steps = list(steps_of(told))
    process.join()
    assert process.exitcode == 0
    return steps


def disturb(folder: Path, number: signal.Signals, after: int, **changes: str) -> int | None:
    """Send a signal after that step; the exit code."""
    process, told = begun(folder, **changes)
    for step in steps_of(told):
        if step == after:
            assert process.pid is not None
            os.kill(process.pid, number)
    process.join()
    return process.exitcode


def saved_step(folder: Path) -> int:
    with safe_open(folder / LAST, framework="pt") as file:
        step: int = json.loads(file.metadata()["notes"])["step"]
        return step


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[int]]:
    folder = tmp_path_factory.mktemp("undisturbed")
    return folder, finish(folder)


def assert_same(folder: Path, expected: Path) -> None:
    for name in ("weights.safetensors", "history.json"):
        assert (folder / name).read_bytes() == (expected / name).read_bytes()


@pytest.mark.slow
def test_told_to_end_it_saves_the_step_and_goes_on_there(
    undisturbed: tuple[Path, list[int]], tmp_path: Path
) -> None:
    expected, steps = undisturbed
    assert disturb(tmp_path, signal.SIGTERM, 5) == 143
    stopped = saved_step(tmp_path)
    assert 5 <= stopped < len(steps)
    assert finish(tmp_path) == steps[stopped:]
    assert_same(tmp_path, expected)


@pytest.mark.slow
@pytest.mark.parametrize(("minutes", "after"), [("10", 32), ("1e-9", 17)])
def test_killed_it_goes_on_where_it_was_last_saved(
    minutes: str, after: int, undisturbed: tuple[Path, list[int]], tmp_path: Path
) -> None:
    expected, steps = undisturbed
    assert disturb(tmp_path, signal.SIGKILL, after, save_minutes=minutes) == -signal.SIGKILL
    at = saved_step(tmp_path)
    assert 0 < at < len(steps)
    if minutes == "1e-9":
        assert at >= after - 1
    assert finish(tmp_path) == steps[at:]
    assert_same(tmp_path, expected)


@pytest.fixture
def usual_interrupt() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt: libraries set handlers of their own when they are imported."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("usual_interrupt")
def test_a_signal_is_noted_and_a_second_one_obeyed() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with stop_requests() as request:
        assert not request.number
        signal.raise_signal(signal.SIGINT)
        assert request.number == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    with stop_requests() as request:
        signal.raise_signal(signal.SIGTERM)
        assert request.number == signal.SIGTERM
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_other_threads_leave_signals_alone() -> None:
    found: list[int] = []

    def work() -> None:
        with stop_requests() as request:
            found.append(request.number)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [0]


def test_the_exit_code_survives_the_way_from_a_worker() -> None:
    assert pickle.loads(pickle.dumps(StopRequested(signal.SIGINT))).exit_code == 130  # noqa: S301 - our own bytes
