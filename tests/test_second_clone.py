"""What one clone pushed, another pulls, and has nothing to run again."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from pipeline.cli import main

PARTS = ("configs", "models", "patching", "pipeline", ".dvc/config", ".dvc/plots", "dvc.yaml", ".dvcignore")
COHORT = {
    "description": "Nine small slides.",
    "ingest": {},
    "tile": {"patch": {"size": 32, "downsample": 1}, "mask_pixels_per_patch": 32},
    "split": {},
    "attribute": {"thresholds": {"low": {"quantile": 0.5}}},
    "train": {"epochs": 0.2, "device": "cpu"},
    "algorithms": {"erm": {}},
    "evaluate": {},
    "report": {},
}


_COMMANDS = """
import sys
from dvc.repo import Repo
from dvc.repo.reproduce import plan_repro
repo = Repo()
for stage in plan_repro(repo.index.graph, repo.stage.collect(sys.argv[1])):
    print(stage.cmd)
"""
"""Prints those that DVC would run for a stage, in its order."""


def write_slides(folder: Path) -> Path:
    """Nine patients with a slide each: tumor on the left, where there is more tissue."""
    folder.mkdir()
    left = [[0, 0], [128, 0], [128, 256], [0, 256], [0, 0]]
    tumor = {"type": "Feature", "properties": {"classification": {"name": "Tumor"}}}
    tumor["geometry"] = {"type": "Polygon", "coordinates": [left]}
    rows = ["slide_id,patient_id,image,annotation"]
    for n in range(9):
        rng = np.random.default_rng(n)
        image_HWC = np.full((256, 256, 3), 255, np.uint8)
        for x, y in np.ndindex(8, 8):
            rows_of_tissue = max(4, int(32 * rng.beta(*((3, 1.5) if x < 4 else (1.5, 3)))))
            shape = (rows_of_tissue, 32, 3)
            image_HWC[32 * y : 32 * y + shape[0], 32 * x : 32 * x + 32] = rng.integers(90, 170, shape)
        Image.fromarray(image_HWC).save(folder / f"s{n}.png")
        (folder / f"s{n}.geojson").write_text(json.dumps([tumor]))
        rows.append(f"s{n},p{n},s{n}.png,s{n}.geojson")
    manifest = folder / "slides.csv"
    manifest.write_text("\n".join(rows) + "\n")
    return manifest


def run(folder: Path, *command: str) -> str:
    """A command's output; the environment's own `evenpatch`, `dvc` and `python` come first."""
    quiet = {"DVC_NO_ANALYTICS": "true", "OMP_NUM_THREADS": "1"}
    who = {f"GIT_{role}_{key}": "a@b" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, **quiet, **who, "PATH": path}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def write_clone(folder: Path, repository: Path, manifest: Path) -> None:
    """The repository as it stands, with the small cohort selected, and a remote beside it."""
    for part in PARTS:
        source, target = repository / part, folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    (folder / ".gitignore").write_text("__pycache__/\n/data/\n/outputs/\n/.dvc/cache/\n/.dvc/tmp/\n")
    cohort = yaml.safe_dump({"manifest": str(manifest), **COHORT})
    (folder / "configs" / "cohorts" / "mine.yaml").write_text(cohort)
    params = folder / "configs" / "params.yaml"
    content = yaml.safe_load(params.read_text()) | {"algorithms": ["erm"], "thresholds": ["low"]}
    params.write_text(yaml.safe_dump(content))
    run(folder, "git", "init", "-q")
    assert main(["select", "--cohort", "mine", "--root", str(folder)]) == 0
    run(folder, "dvc", "remote", "add", "-d", "beside", str(folder.parent / "remote"))


def reproduce(folder: Path, stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `dvc repro` does, in this process: a dozen new ones would import for a minute what it has."""
    monkeypatch.chdir(folder)
    for command in run(folder, sys.executable, "-c", _COMMANDS, stage).splitlines():
        name, *arguments = shlex.split(command)
        assert name == "evenpatch"
        assert main(arguments) == 0
    run(folder, "dvc", "commit", "--force", "--with-deps", stage)


@pytest.mark.slow
def test_a_second_clone_has_nothing_to_run_again(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    write_clone(first, repository, write_slides(tmp_path / "slides"))
    reproduce(first, "report", monkeypatch)
    run(first, "git", "add", "-A")
    run(first, "git", "commit", "-qm", "A run")
    run(first, "dvc", "push")
    run(tmp_path, "git", "clone", "-q", str(first), str(second))
    run(second, "dvc", "pull")
    changed = json.loads(run(second, "dvc", "status", "--json"))
    # Tracking always runs: DVC cannot know what a server holds.
    assert set(changed) == {"track"}, changed
    assert changed["track"][-1] == "always changed"
    # A newcomer's verb: nothing that is there knows of it.
    for name in ("pipeline/stages/greet.py", "configs/greet.yaml", "pipeline/verbs.py"):
        with (second / name).open("a") as file:
            file.write("# A new verb.\n")
    assert json.loads(run(second, "dvc", "status", "--json")) == changed
