"""Two commands at once on one project: nothing may be lost, and what is written is as from one."""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from rich.progress import Progress

from benchmarks.faults.project import (
    COHORT,
    RUN,
    digests,
    environment,
    shell,
    write_repository,
)

_EVENPATCH = (sys.executable, "-m", "pipeline.cli")
_LIMIT = 900.0
_LOOKS_AGAIN = 2.0


class Pair(NamedTuple):
    """What runs at once, and what is removed before."""

    commands: tuple[tuple[str, ...], tuple[str, ...]]
    removed: tuple[str, ...]
    """Below the project: what both make anew."""


def _verb(*words: str) -> tuple[str, ...]:
    return (*_EVENPATCH, *words)


PAIRS = {
    "two tile": Pair(
        (_verb("tile"), _verb("tile")), ("data/mine/patches", "data/mine/.tile", "data/mine/overlays")
    ),
    "two train of one run": Pair((_verb("train", *RUN), _verb("train", *RUN)), ("outputs/mine/train",)),
    "two attribute": Pair((_verb("attribute"), _verb("attribute")), ("data/mine/attributes",)),
    "train beside attribute": Pair((_verb("train", *RUN), _verb("attribute")), ("outputs/mine/train",)),
    "two track": Pair((_verb("track"), _verb("track")), ("outputs/mine/track", "mlflow.db", "mlartifacts")),
    "two register": Pair(
        (_verb("register", "--force"), _verb("register", "--force")), ("outputs/mine/register",)
    ),
    "dvc repro beside tile": Pair(
        (("dvc", "repro", "attribute"), _verb("tile")),
        ("data/mine/patches", "data/mine/.tile", "data/mine/splits.csv"),
    ),
}


def run(options: argparse.Namespace) -> dict[str, object]:
    """Every pair some times, then `dvc queue` with two jobs."""
    codes: dict[str, Counter[str]] = {}
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(prefix="faults-") as folder, Progress() as progress:
        root = _finished(Path(folder))
        whole = digests(root)
        bar = progress.add_task("pairs", total=options.times * (len(PAIRS) + 1))
        for name, pair in PAIRS.items():
            codes[name] = Counter()
            for _ in range(options.times):
                ended, told = _both(root, pair)
                codes[name][" and ".join(map(str, sorted(ended)))] += 1
                wrong += [f"{name}: {problem}" for problem in (*told, *_lost(root, whole))]
                progress.advance(bar)
        for _ in range(options.times):
            wrong += [f"dvc queue: {problem}" for problem in _queued(root)]
            progress.advance(bar)
    return {
        "passed": not wrong,
        "times_each": options.times,
        "exit_codes": {name: dict(found) for name, found in codes.items()},
        "files_compared_each_time": len(whole),
        "wrong": len(wrong),
        "details": wrong,
    }


def _finished(folder: Path) -> Path:
    root = write_repository(folder / "project")
    shell(root, "dvc", "repro", "--quiet")
    shell(root, *_verb("compare"))
    shell(root, *_verb("register", "--force"))
    shell(root, "git", "add", "--all")
    shell(root, "git", "commit", "--quiet", "--message", "A run")
    return root


def _both(root: Path, pair: Pair) -> tuple[list[int], list[str]]:
    """Exit codes, and what must not be said."""
    for name in pair.removed:
        path = root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    started = [
        subprocess.Popen(
            command, cwd=root, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for command in pair.commands
    ]
    texts = [process.communicate(timeout=_LIMIT)[0] for process in started]
    codes = [process.returncode for process in started]
    wrong = [text[-2000:] for text in texts if "Traceback" in text]
    if 0 not in codes or set(codes) - {0, 2}:
        wrong.append(f"exit codes {codes}: {texts[0][-1000:]} | {texts[1][-1000:]}")
    return codes, wrong


def _lost(root: Path, whole: dict[str, str]) -> list[str]:
    """What is not as one process would have written it."""
    found = digests(root)
    different = sorted(name for name in whole if found.get(name) != whole[name])
    wrong = [f"not as from one: {', '.join(different[:5])}"] if different else []
    versions = shell(root, sys.executable, "-c", _VERSIONS).split()
    return wrong if versions == ["1"] else [*wrong, f"versions of the model: {versions}"]


_VERSIONS = f"""
import mlflow
client = mlflow.MlflowClient("sqlite:///mlflow.db")
print(*[version.version for version in client.search_model_versions("name='evenpatch-{COHORT}'")])
"""


def _queued(root: Path) -> list[str]:
    """Two jobs at once that train with budgets of their own: each is in MLflow once, whatever is repeated."""
    for epochs in ("0.1", "0.15"):
        changed = f"configs/cohorts/{COHORT}.yaml:train.epochs={epochs}"
        shell(root, "dvc", "exp", "run", "--queue", "-S", changed)
    shell(root, "dvc", "queue", "start", "--jobs", "2")
    while any(state in (status := shell(root, "dvc", "queue", "status")) for state in ("Running", "Queued")):
        time.sleep(_LOOKS_AGAIN)
    wrong = [] if status.count("Success") == 2 else [status]
    versions = shell(root, sys.executable, "-c", _VERSIONS).split()
    if len(versions) != 3:
        wrong.append(f"versions of the model: {versions}")
    shell(root, "dvc", "queue", "remove", "--success", "--failed")
    shell(root, "dvc", "exp", "remove", "--all-commits")
    return wrong
