"""A project that was moved, cloned, copied, or is worked on in DVC's copy of it: what runs again."""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

from benchmarks.faults.project import COHORT, shell, write_repository

_ALWAYS = {"track", "installed"}
"""Stages that DVC always runs."""


def run(_: argparse.Namespace) -> dict[str, object]:
    """Every move of a finished project: with slides outside of it and an absolute manifest, and inside."""
    found: dict[str, dict[str, list[str]]] = {}
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        for where in ("outside", "inside"):
            place = Path(folder, where)
            manifest = str(place / "slides" / "slides.csv") if where == "outside" else "slides/slides.csv"
            root = write_repository(place / "project", manifest)
            shell(root, "dvc", "repro", "--quiet")
            shell(root, "git", "add", "--all")
            shell(root, "git", "commit", "--quiet", "--message", "A run")
            shell(root, "dvc", "push", "--quiet")
            found[where] = _moves(place, root, inside=where == "inside")
    wrong = {
        f"{move}, slides {where}": again
        for where, moves in found.items()
        for move, again in moves.items()
        if set(again) - _ALWAYS
    }
    return {
        "passed": not wrong,
        "run_again": {where: _told(moves) for where, moves in found.items()},
        "wrong": wrong,
    }


def _moves(place: Path, root: Path, *, inside: bool) -> dict[str, list[str]]:
    deeper = place / "one" / "two" / "three"
    deeper.mkdir(parents=True)
    clone, copy = deeper / "clone", place / "copy"
    shell(place, "git", "clone", "--quiet", str(root), str(clone))
    shell(clone, "dvc", "pull", "--quiet")
    if inside:
        shutil.copytree(root / "slides", clone / "slides", dirs_exist_ok=True)
    shell(place, "cp", "-r", str(root), str(copy))
    found = {
        "cloned deeper, dvc pull": _changed(clone),
        "cp -r": _changed(copy),
        "cp -r, tiled by hand": _tiled(copy),
        "dvc exp run --temp": _of_experiment(root),
    }
    moved = Path(shutil.move(root, deeper / "moved"))
    return found | {"moved": _changed(moved), "moved, tiled by hand": _tiled(moved)}


def _changed(root: Path) -> list[str]:
    """Stages that `dvc repro` would run."""
    return sorted(json.loads(shell(root, "dvc", "status", "--json")))


def _tiled(root: Path) -> list[str]:
    """Slides that `evenpatch tile` tiles again. A clone is not asked: it has no receipts, and tiles all."""
    stores = root / "data" / COHORT / "patches"
    before = {path: path.stat().st_mtime_ns for path in stores.glob("*.zarr/zarr.json")}
    if not before:
        raise RuntimeError(f"no patches in {stores}")
    shell(root, "evenpatch", "tile", "--log-level", "warning")
    return [path.parent.stem for path, time in before.items() if path.stat().st_mtime_ns != time]


def _of_experiment(root: Path) -> list[str]:
    """Stages that an experiment in DVC's copy of the project runs where nothing is changed.

    Another one is tiled otherwise, and has to find the slides from there.
    """
    told = shell(root, "dvc", "exp", "run", "--temp")
    changed = f"configs/cohorts/{COHORT}.yaml:tile.mask_pixels_per_patch=16"
    shell(root, "dvc", "exp", "run", "--temp", "-S", changed)
    return sorted({line.split("'")[1] for line in told.splitlines() if line.startswith("Running stage '")})


def _told(moves: dict[str, list[str]]) -> str:
    return "; ".join(f"{move}: {', '.join(again) or 'nothing'}" for move, again in moves.items())
