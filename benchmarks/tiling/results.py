"""results.json: one entry per measured contest, kept until it is measured again."""

import json
import os
import platform
import time
from importlib.metadata import version
from typing import Any

from benchmarks.tiling.places import RESULTS

_LIBRARIES = ("imagecodecs", "numpy", "opencv-python-headless", "tensorstore", "tifffile", "zarr")


def load() -> dict[str, Any]:
    """All entries: name -> what `save` was given."""
    path = RESULTS / "results.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def save(name: str, contest: dict[str, Any], *, quick: bool) -> None:
    """Put one contest beside the others, at once, so that a run that is stopped loses nothing."""
    known = load()
    if quick and not known.get(name, {"quick": True})["quick"]:
        return  # a real measurement outlives a quick run
    entries = known | {name: {"machine": _machine(), "quick": quick, "contest": contest}}
    RESULTS.mkdir(parents=True, exist_ok=True)
    part = RESULTS / ".results.json.part"
    part.write_text(json.dumps(dict(sorted(entries.items())), indent=1) + "\n", encoding="utf-8")
    part.replace(RESULTS / "results.json")


def _machine() -> dict[str, Any]:
    return {
        "time": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in _LIBRARIES},
    }
