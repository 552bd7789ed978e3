"""results.json: one entry per measured contest, kept until it is measured again."""

import json
import os
import platform
import shutil
import subprocess
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.tiling.places import ROOT

_LIBRARIES = ("imagecodecs", "numpy", "opencv-python-headless", "tensorstore", "tifffile", "zarr")


def load(folder: Path) -> dict[str, Any]:
    """All entries of a folder: name -> what `save` was given."""
    path = folder / "results.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def conditions() -> dict[str, Any]:
    """The commit and the machine, to be asked before a contest, or its own load would count."""
    return {"commit": commit(ROOT), "machine": _machine()}


def save(folder: Path, name: str, contest: dict[str, Any], under: dict[str, Any], *, quick: bool) -> None:
    """Put one contest beside the others, at once, so that a run that is stopped loses nothing.

    Args:
        folder: of results.json.
        name: of the contest.
        contest: what `compete` gave.
        under: the `conditions` before it.
        quick: whether it only shows that it runs.
    """
    known = load(folder)
    if quick and not known.get(name, {"quick": True})["quick"]:
        return  # a real measurement outlives a quick run
    entries = known | {name: under | {"quick": quick, "contest": contest}}
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / ".results.json.part"
    part.write_text(json.dumps(dict(sorted(entries.items())), indent=1) + "\n", encoding="utf-8")
    part.replace(folder / "results.json")


def commit(root: Path) -> str:
    """What `git describe --always --dirty` says of the folder; `unknown` without git."""
    git = shutil.which("git")
    if git is None:
        return "unknown"
    asked = [git, "-C", str(root), "describe", "--always", "--dirty"]
    told = subprocess.run(asked, capture_output=True, text=True, check=False)
    return told.stdout.strip() or "unknown"


def _machine() -> dict[str, Any]:
    return {
        "time": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in _LIBRARIES},
    }
