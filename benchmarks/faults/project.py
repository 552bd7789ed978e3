"""A small project with everything that `evenpatch` writes, for damage, for two at once, and for moves."""

import contextlib
import hashlib
import io
import json
import logging
import os
import shutil
import subprocess
import sys
import traceback
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml
from PIL import Image

from pipeline.cli import main

COHORT = "mine"
RUN = ("--algorithm", "erm")
STAGES = (
    ("ingest",),
    ("tile", "--workers", "1"),
    ("statistics",),
    ("split",),
    ("attribute",),
    ("shortcuts",),
    ("train", *RUN),
    ("evaluate", *RUN),
    ("explain",),
    ("intervene",),
    ("compare",),
    ("report",),
    ("track",),
    ("register", "--force"),
)
"""In their order, with the options that make them fast."""
PATIENTS = 9
_SIDE = 256
_UNLIKE = ("/.tile/", "/.locks/", "/report/", "/track/", "/register/", "/interrupted/", "cohort.html")
_SECTIONS = {
    "description": "A small cohort.",
    "ingest": {},
    "tile": {"patch": {"size": 32, "downsample": 1}, "mask_pixels_per_patch": 32},
    "statistics": {"most_patches": 150},
    "split": {},
    "attribute": {"thresholds": {"low": {"quantile": 0.5}}},
    "shortcuts": {"permutations": 3},
    "train": {"epochs": 0.2, "device": "cpu"},
    "evaluate": {"draws": 200},
    "algorithms": {"erm": {}},
    "explain": {"device": "cpu", "confident": 1, "typical": 0, "random": 0, "step": 0.5},
    "intervene": {"device": "cpu", "patches": 4, "shares": [0, 0.5, 1]},
    "report": {"candidate": "erm"},
    "register": {"validation": {"every_group": False}},
    "study": {"repeats": 1, "folds": 2, "algorithms": ["erm"], "candidate": "erm", "workers": 1},
    "tune": {
        "trials": 1,
        "startup": 1,
        "references": [],
        "space": {"erm": {"batch_size": {"choices": [16, 32]}}},
    },
    "sweep": {"points": 2, "lowest": 0.003, "highest": 0.01, "pruning": [0.5]},
}


class Told(NamedTuple):
    """How a verb ended."""

    code: int
    """-1 where it ended with an error that no one expected."""
    text: str


def write_project(root: Path, configs: Path, manifest: str = "slides/slides.csv") -> Path:
    """Settings and slides; nothing is run.

    Args:
        root: of the project, made here.
        configs: of evenpatch, from which settings are copied.
        manifest: where slides.csv goes, absolute or from `root`.
    """
    shutil.copytree(configs, root / "configs")
    _write_slides((root / manifest).parent, PATIENTS)
    _write_settings(root, manifest)
    return root


def _write_settings(root: Path, manifest: str) -> None:
    own = {"manifest": manifest, **_SECTIONS}
    (root / "configs" / "cohorts" / f"{COHORT}.yaml").write_text(yaml.safe_dump(own))
    path = root / "configs" / "params.yaml"
    chosen = {
        "cohort": COHORT,
        "source": manifest,
        "phantoms": [],
        "algorithms": ["erm"],
        "thresholds": ["low"],
    }
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | chosen))


def write_repository(root: Path, manifest: str = "slides/slides.csv") -> Path:
    """The same as a git and DVC repository, as `evenpatch init` makes it, with a remote beside it."""
    if main(["init", str(root), "--cohort", COHORT, "--git", "--log-level", "warning"]) != 0:
        raise RuntimeError("evenpatch init failed")
    _write_slides((root / manifest).parent, PATIENTS)
    _write_settings(root, manifest)
    config = root / ".dvc" / "config"
    config.write_text(config.read_text().replace("    no_scm = true\n", ""))
    # DVC's copy of a project holds what git knows: the table of slides, and no slide.
    ignored = "/slides/*\n!/slides/slides.csv\n"
    (root / ".gitignore").write_text((root / ".gitignore").read_text() + ignored)
    shell(root, "dvc", "remote", "add", "--default", "beside", str(root.parent / "remote"))
    return root


def environment() -> dict[str, str]:
    """Of commands: this environment's `evenpatch` and `dvc` come first, and nothing asks for a name."""
    who = {f"GIT_{role}_{key}": "a@b" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, **who, "PATH": path, "OMP_NUM_THREADS": "1", "DVC_NO_ANALYTICS": "true"}


def shell(folder: Path, *command: str) -> str:
    """What a command prints.

    Raises:
        RuntimeError: it failed.
    """
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def digests(root: Path) -> dict[str, str]:
    """SHA-256 of every file that the verbs wrote; without receipts, locks and what tells a time."""
    found = {}
    for kind in ("data", "outputs"):
        for path in sorted((root / kind).rglob("*")):
            name = path.relative_to(root).as_posix()
            if path.is_file() and not any(part in name for part in _UNLIKE):
                found[name] = hashlib.sha256(_timeless(path)).hexdigest()
    return found


def _timeless(path: Path) -> bytes:
    if path.name != "run.json":
        return path.read_bytes()
    content = json.loads(path.read_bytes())
    return json.dumps({key: content[key] for key in content if key not in ("seconds", "checksum")}).encode()


def called(root: Path, *words: str) -> Told:
    """Run a verb in this process."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger().addHandler(handler)
    try:
        with contextlib.redirect_stderr(stream), contextlib.redirect_stdout(io.StringIO()):
            code = main([*words, "--root", str(root), "--cohort", COHORT, "--log-level", "warning"])
    except (Exception, SystemExit):  # noqa: BLE001 - any other is what this looks for
        return Told(-1, stream.getvalue() + traceback.format_exc())
    finally:
        logging.getLogger().removeHandler(handler)
    return Told(code, stream.getvalue())


def called_apart(root: Path, *words: str) -> Told:
    """Run a verb in a process of its own."""
    command = (sys.executable, "-m", "pipeline.cli", *words, "--root", str(root), "--cohort", COHORT)
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    crashed = done.returncode not in (0, 2) or "Traceback" in done.stderr
    return Told(-1 if crashed else done.returncode, done.stderr)


def _write_slides(folder: Path, patients: int) -> None:
    """Tumor in the left half, where there is more tissue."""
    folder.mkdir(parents=True)
    half = _SIDE // 2
    ring = [[0, 0], [half, 0], [half, _SIDE], [0, _SIDE], [0, 0]]
    tumor = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"classification": {"name": "Tumor"}},
    }
    rows = ["slide_id,patient_id,image,annotation"]
    for n in range(patients):
        rng = np.random.default_rng(n)
        image_HWC = np.full((_SIDE, _SIDE, 3), 255, np.uint8)
        for y, x in np.ndindex(_SIDE // 32, _SIDE // 32):
            share = rng.beta(3, 1.5) if 32 * x < half else rng.beta(1.5, 3)
            height = max(4, int(32 * share))
            image_HWC[32 * y : 32 * y + height, 32 * x : 32 * x + 32] = rng.integers(90, 170, (height, 32, 3))
        Image.fromarray(image_HWC).save(folder / f"s{n}.png")
        (folder / f"s{n}.geojson").write_text(json.dumps([tumor]))
        rows.append(f"s{n},p{n},s{n}.png,s{n}.geojson")
    (folder / "slides.csv").write_text("\n".join(rows) + "\n")
