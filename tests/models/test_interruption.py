"""Trainings that are told to end, or killed, end where an undisturbed one does."""

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors import safe_open

from models.training.interruption import StopRequested, stop_requests

LAST = "last.safetensors"


def command(folder: Path, root: Path, *changes: str) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "tests/models/interruptible.py", str(folder), *changes],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )


def finish(folder: Path, root: Path, *changes: str) -> list[int]:
    """Steps that it did."""
    process = command(folder, root, *changes)
    told, _ = process.communicate()
    assert process.returncode == 0
    return [int(line) for line in told.split()]


def disturb(folder: Path, root: Path, number: signal.Signals, after: int, *changes: str) -> int:
    """Send a signal after that step; the exit code."""
    process = command(folder, root, *changes)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) == after:
            process.send_signal(number)
            break
    process.stdout.read()
    process.stdout.close()
    return process.wait()


def saved_step(folder: Path) -> int:
    with safe_open(folder / LAST, framework="pt") as file:
        step: int = json.loads(file.metadata()["notes"])["step"]
        return step


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> tuple[Path, list[int]]:
    folder = tmp_path_factory.mktemp("undisturbed")
    return folder, finish(folder, repository)


def assert_same(folder: Path, expected: Path) -> None:
    for name in ("weights.safetensors", "history.json"):
        assert (folder / name).read_bytes() == (expected / name).read_bytes()


@pytest.mark.slow
def test_told_to_end_it_saves_the_step_and_goes_on_there(
    undisturbed: tuple[Path, list[int]],
    tmp_path: Path,
    repository: Path,
) -> None:
    expected, steps = undisturbed
    assert disturb(tmp_path, repository, signal.SIGTERM, 5) == 143
    stopped = saved_step(tmp_path)
    assert 5 <= stopped < len(steps)
    assert finish(tmp_path, repository) == steps[stopped:]
    assert_same(tmp_path, expected)


@pytest.mark.slow
@pytest.mark.parametrize(("minutes", "after"), [("10", 32), ("1e-9", 17)])
def test_killed_it_goes_on_where_it_was_last_saved(
    minutes: str, after: int, undisturbed: tuple[Path, list[int]], tmp_path: Path, repository: Path
) -> None:
    expected, steps = undisturbed
    change = f"save_minutes={minutes}"
    assert disturb(tmp_path, repository, signal.SIGKILL, after, change) == -signal.SIGKILL
    at = saved_step(tmp_path)
    assert 0 < at < len(steps)
    if minutes == "1e-9":
        assert at >= after - 1
    assert finish(tmp_path, repository) == steps[at:]
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
