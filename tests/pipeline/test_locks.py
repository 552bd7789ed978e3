"""Several processes at one cohort: who waits, who is refused, and what is left of a killed one."""

import errno
import json
import logging
import os
import platform
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from patching.errors import BusyError
from pipeline import locks
from pipeline.artifacts import Paths
from pipeline.cli import main
from pipeline.locks import Claim, held
from pipeline.stages import attribute, evaluate, split, train
from pipeline.verbs import VERBS

ROOT = Path(__file__).resolve().parent.parent.parent
Call = Callable[..., int]

HOLDER = """
import sys, time
from pathlib import Path
from pipeline.locks import Claim, held
with held([Claim(Path(sys.argv[1]), "it", sys.argv[2] == "alone")], "tile"):
    print("held", flush=True)
    time.sleep(600)
"""


@contextmanager
def another_process(file: Path, how: str = "alone") -> Iterator[subprocess.Popen[str]]:
    """One that holds a lock until the block ends, as `evenpatch tile`."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(file), how], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def call(small_cohort: Paths) -> Call:
    return lambda *words: main([*words, "--root", str(small_cohort.root), "--cohort", "small"])


@pytest.fixture
def patches(small_cohort: Paths) -> Path:
    """The lock of the patches."""
    return small_cohort.data / ".locks" / "patches"


def doing(monkeypatch: pytest.MonkeyPatch, stage: ModuleType, done: Callable[[], object]) -> None:
    monkeypatch.setattr(stage, "run", lambda *_: done())


def test_who_is_refused_is_told_by_whom(
    call: Call, small_cohort: Paths, patches: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with another_process(patches) as process:
        assert call("split", "--wait", "0") == 2
    told = capsys.readouterr().err
    assert "BusyError" in told
    assert f"evenpatch tile (process {process.pid} on {platform.node()}, since 20" in told
    assert "at work on data/small/patches" in told
    assert not small_cohort.splits.exists()
    assert call("split", "--wait", "0") == 0


@pytest.mark.parametrize("seconds", ["-1", "nan", "soon"])
def test_a_time_to_wait_is_a_number(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["split", f"--wait={seconds}"])
    assert f"argument --wait: {seconds} is no number of seconds, 0 or more" in capsys.readouterr().err


def test_who_waits_is_told_for_whom_and_then_goes_on(
    call: Call, small_cohort: Paths, patches: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), another_process(patches) as process:
        threading.Timer(1.0, process.terminate).start()
        assert call("split") == 0
    (told,) = [record.message for record in caplog.records if record.name == locks.__name__]
    assert told.startswith(f"waiting for evenpatch tile (process {process.pid} on ")
    assert small_cohort.splits.is_file()


def test_readers_work_side_by_side(call: Call, patches: Path) -> None:
    with another_process(patches, "beside others"):
        assert call("split", "--wait", "0") == 0
        assert call("tile", "--wait", "0") == 2, "what is read must not be rewritten"


def test_a_killed_process_holds_nobody_up(patches: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with another_process(patches) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    (left_over,) = patches.parent.glob("patches@*")
    with held([Claim(patches, "it")], "tile", wait=0.0):
        assert not left_over.exists()
        with (
            pytest.raises(BusyError, match=f"process {os.getpid()} on"),
            held([Claim(patches, "it")], "x", 0.0),
        ):
            pass
    assert [path.name for path in patches.parent.iterdir()] == ["patches"]


def test_a_note_of_nobody_names_nobody(patches: Path) -> None:
    patches.parent.mkdir()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    note = {"verb": "tile", "process": gone.pid, "host": platform.node(), "since": "2020-01-01"}
    with held([Claim(patches, "it", alone=False)], "train"):
        (patches.parent / "patches@a").write_text(json.dumps(note))
        (patches.parent / "patches@b").write_text('{"verb": "ti')
        with pytest.raises(BusyError) as caught, held([Claim(patches, "it")], "tile", 0.0):
            pass
    assert caught.value.has.startswith("evenpatch train (")
    assert "2020" not in caught.value.has


def test_other_runs_train_at_once_and_the_same_does_not(
    call: Call, small_cohort: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes: list[int] = []

    def others() -> None:
        for words in (("--algorithm", "gerne"), ("--seed", "2"), ("--threshold", "high"), ()):
            doing(monkeypatch, train, lambda: None)
            codes.append(call("train", "--algorithm", "erm", *words, "--wait", "0"))
        doing(monkeypatch, evaluate, lambda: None)
        codes.append(call("evaluate", "--algorithm", "erm", "--wait", "0"))
        doing(monkeypatch, attribute, lambda: None)
        codes.append(call("attribute", "--wait", "0"))

    doing(monkeypatch, train, others)
    assert call("train", "--algorithm", "erm", "--threshold", "low") == 0
    # Nobody evaluates a run that is being trained, or gives its patches other groups.
    assert codes == [0, 0, 0, 2, 2, 2]


def test_locks_are_released_after_an_error(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise KeyboardInterrupt

    doing(monkeypatch, split, fail)
    assert call("split") == 130
    doing(monkeypatch, split, lambda: None)
    assert call("split", "--wait", "0") == 0


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_share_without_locks_is_told_and_worked_on(
    number: int,
    call: Call,
    small_cohort: Paths,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    assert call("split") == 0
    assert f"cannot be locked ({os.strerror(number)})" in caplog.text
    assert small_cohort.splits.is_file()


def test_a_folder_that_cannot_be_written_is_read_without_lock(
    patches: Path, monkeypatch: pytest.MonkeyPatch, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*arguments: object) -> int:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(locks.os, "open", refuse)
    with held([Claim(patches, "it", alone=False)], "train"):
        assert not patches.exists()
    assert call("tile") == 2
    assert "in which nothing can be written (Read-only file system)" in capsys.readouterr().err


def test_of_several_processes_the_first_has_the_lock_and_does_not_wait(
    call: Call, patches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    doing(monkeypatch, train, lambda: None)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with another_process(patches):
        monkeypatch.setenv("RANK", "1")
        assert call("train") == 0
        monkeypatch.setenv("RANK", "0")
        assert call("train") == 2


def test_every_verb_claims_what_dvc_says_it_reads_and_writes() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    for name, stage in stages.items():
        described = stage.get("do", stage)
        written = [*described.get("outs", ()), *described.get("metrics", ()), *described.get("plots", ())]
        names = [next(iter(each)) if isinstance(each, dict) else each for each in written]
        assert {places(each) for each in names} <= set(VERBS[name].writes), name
        read = {places(each) for each in described["deps"] if each.startswith(("data/", "outputs/"))}
        # Runs are written whole or not at all, and many at a time.
        assert read - {"outputs/train", "outputs/evaluate"} <= {*VERBS[name].reads, "data/raw"}, name


def places(path: str) -> str:
    """A path of dvc.yaml in the words of the table of verbs."""
    kind, _, rest = path.replace("${item.algorithm}-${item.threshold}", "{run}").partition("/")
    first, second = [*rest.split("/")[1:], ""][:2]
    if second == "{run}":
        return f"{kind}/{first}/{{run}}"
    return f"{kind}/{first.removesuffix('.csv')}".replace("overlays", "patches")


def test_verbs_of_a_project_that_claim_nothing_write_nothing_of_a_cohort() -> None:
    project = {name: verb for name, verb in VERBS.items() if not verb.standalone}
    assert {name for name, verb in project.items() if not verb.writes} == {"verify", "rollback", "select"}


def test_git_and_dvc_do_not_see_the_locks(patches: Path, small_cohort: Paths) -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    assert ".locks" not in str(stages)
    relative = patches.relative_to(small_cohort.root)
    done = subprocess.run(["git", "check-ignore", "-q", str(relative)], cwd=ROOT, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize("seconds", ["-1", "nan", "soon"])
def test_a_time_to_wait_is_a_number_from_0(seconds: str, call: Call) -> None:
    with pytest.raises(SystemExit) as caught:
        call("split", "--wait", seconds)
    assert caught.value.code == 2
