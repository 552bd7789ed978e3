"""A disk that is full from the start, or fills up while `evenpatch tile` works, on a small tmpfs.

Mounting needs root, as in a container.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.faults.cohort import SETTINGS, digests, write_slides

_COHORT = "faults"
_SECTIONS = ("ingest", "split", "attribute", "train", "algorithms", "evaluate", "report", "register")
SHARES = (0.1, 0.5, 0.9)
"""Of the space that is needed, where the disk is too small from the start."""
FILLED = (0.05, 0.3, 0.6)
"""Of the same: what is written by the time that something else fills the disk."""
_SLACK = 64 * 2**10
_ROWS = """slide_id,patient_id,image,annotation,label
large,p0,large.tif,large.geojson,
small,p1,small.tif,,1
picture,p3,picture.png,,0
"""


@dataclass(frozen=True)
class Trial:
    """One full disk."""

    name: str
    code: int
    """Exit code of the run that met it."""
    told: str
    """What it wrote to stderr."""
    false_stores: list[str]
    """Files of what passes for finished that an uninterrupted run does not have."""
    completed: bool
    """Whether the run with space enough made the same files."""

    @property
    def clear(self) -> bool:
        return self.code == 2 and all(
            word in self.told for word in ("DiskSpaceError", "has:", "needs:", "do:")
        )


def run(_options: argparse.Namespace) -> dict[str, object]:
    """Every share of the space that is needed, from the start and filling up."""
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        folder = Path(name)
        write_slides(folder / "slides")
        (folder / "slides" / "slides.csv").write_text(_ROWS)
        _prepare(folder, folder / "ingested")
        whole = shutil.copytree(folder / "ingested", folder / "whole")
        code, told = _evenpatch(whole, "tile")
        if code != 0:
            raise RuntimeError(told)
        expected = _files(whole)
        used = sum(path.stat().st_size for path in (whole / "data").rglob("*") if path.is_file())
        trials = [_full(folder, expected, used, share) for share in SHARES]
        trials += [_filling(folder, expected, used, share) for share in FILLED]
    return told_of(trials, used)


def told_of(trials: Sequence[Trial], used: int) -> dict[str, object]:
    """What the trials came to.

    Args:
        trials: at least one.
        used: bytes that an uninterrupted run writes.
    """
    bad = [trial for trial in trials if not trial.clear or trial.false_stores or not trial.completed]
    return {
        "passed": not bad,
        "full_disks": len(trials),
        "clear_errors_with_code_2": sum(trial.clear for trial in trials),
        "runs_with_false_stores": sum(bool(trial.false_stores) for trial in trials),
        "completed_alike_with_space": sum(trial.completed for trial in trials),
        "needed_MiB": used / 2**20,
        "trials": [trial.name for trial in trials],
        "details": [
            f"{trial.name}: {trial.code}: {trial.false_stores}: {trial.told[-900:]}" for trial in bad
        ],
        "told": sorted({trial.told.strip().splitlines()[-3] for trial in trials if trial.clear}),
    }


def _full(folder: Path, expected: dict[str, str], used: int, share: float) -> Trial:
    """Less space than is needed, before anything is done."""
    with small_disk(folder / "disk", _ingested(folder) + int(used * share)) as disk:
        root = shutil.copytree(folder / "ingested", disk, dirs_exist_ok=True)
        code, told = _evenpatch(root, "tile")
        return _judged(f"full at {share:.0%}", disk, root, code, told, expected)


def _filling(folder: Path, expected: dict[str, str], used: int, share: float) -> Trial:
    """Space enough at the start, of which something else takes the rest once the work is under way."""
    with small_disk(folder / "disk", _ingested(folder) + 4 * used + 16 * 2**20) as disk:
        root = shutil.copytree(folder / "ingested", disk, dirs_exist_ok=True)
        start = shutil.disk_usage(disk).used
        child = subprocess.Popen(_command(root, "tile"), stderr=subprocess.PIPE, text=True)
        while child.poll() is None and shutil.disk_usage(disk).used < start + share * used:
            time.sleep(0.001)
        if child.poll() is None:
            fill(disk)
        told = child.communicate()[1]
        (disk / "ballast").unlink(missing_ok=True)
        return _judged(f"filled at {share:.0%}", disk, root, child.returncode, told, expected)


def _judged(name: str, disk: Path, root: Path, code: int, told: str, expected: dict[str, str]) -> Trial:
    found = _files(root)
    # Whatever is hidden is not taken for whole; a receipt counts only with the files that it names.
    false = [
        path
        for path, digest in found.items()
        if not any(part.startswith(".") for part in Path(path).parts) and expected.get(path) != digest
    ]
    give_room(disk)
    again, retold = _evenpatch(root, "tile")
    completed = again == 0 and _files(root) == expected
    return Trial(name, code, told if completed else told + retold, false, completed)


def _prepare(folder: Path, root: Path) -> None:
    """A repository with the cohort's configuration and its ingested table."""
    shutil.copytree("configs", root / "configs")
    content = {"manifest": str(folder / "slides" / "slides.csv"), "description": "Full disks."}
    sections: dict[str, Any] = {section: {} for section in _SECTIONS} | {"tile": SETTINGS | {"workers": 2}}
    (root / "configs" / "cohorts" / f"{_COHORT}.yaml").write_text(yaml.safe_dump(content | sections))
    code, told = _evenpatch(root, "ingest")
    if code != 0:
        raise RuntimeError(told)


@contextmanager
def small_disk(place: Path, size: int) -> Iterator[Path]:
    """A disk of so many bytes, mounted at `place`."""
    place.mkdir(exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place))
    try:
        yield place
    finally:
        _run("umount", "-l", str(place))


def give_room(disk: Path) -> None:
    """Let a small disk be large enough."""
    _run("mount", "-o", "remount,size=1g", str(disk))


def _ingested(folder: Path) -> int:
    """What the ingested repository takes of a disk."""
    return sum(path.stat().st_blocks * 512 for path in (folder / "ingested").rglob("*")) + 2**18


def _files(root: Path) -> dict[str, str]:
    """What both runs write: tables, stores, overlays, receipts."""
    return digests(root / "data")


def fill(disk: Path) -> None:
    """Put a file `ballast` on a disk that leaves next to nothing free."""
    with (disk / "ballast").open("wb", buffering=0) as file:
        while (free := shutil.disk_usage(disk).free) > _SLACK:
            file.write(bytes(min(free - _SLACK + 1, 2**22)))


def _evenpatch(root: Path, verb: str) -> tuple[int, str]:
    done = subprocess.run(_command(root, verb), stderr=subprocess.PIPE, text=True, check=False)
    return done.returncode, done.stderr


def _command(root: Path, verb: str) -> list[str]:
    return [sys.executable, "-m", "pipeline.cli", verb, "--cohort", _COHORT, "--root", str(root)]


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
