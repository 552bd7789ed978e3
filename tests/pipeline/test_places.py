"""A project that is moved, copied or worked on in DVC's copy of it finds its slides."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from patching.store.reading import PatchStore
from pipeline.artifacts import Paths
from pipeline.cli import main
from pipeline.cohort.slides import ingested_rows, with_files
from pipeline.workspace import located, workspace

Describe = Callable[..., Paths]
OUTLINE = {
    "type": "Feature",
    "properties": {"classification": {"name": "Tumor"}},
    "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [32, 0], [32, 40], [0, 40], [0, 0]]]},
}


def write_slides(folder: Path) -> None:
    """Two slides of 96 by 64 pixels, the second of two files, with an outline and a mask image."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(3)
    for name in ("a", "b1", "b2"):
        values = rng.integers(0, 200, (64, 96, 3) if name == "a" else (64, 96)).astype(np.uint8)
        Image.fromarray(values).save(folder / f"{name}.png")
    (folder / "a.geojson").write_text(json.dumps([OUTLINE]))
    Image.fromarray(np.ones((64, 96), np.uint8)).save(folder / "b.mask.png")


def write_table(path: Path, slides: str) -> None:
    rows = [
        f"a,p,{slides}a.png,,{slides}a.geojson,",
        f"b,q,{slides}b1.png;{slides}b2.png,x;y,{slides}b.mask.png,",
    ]
    path.write_text("\n".join(["slide_id,patient_id,image,channels,annotation,label", *rows]) + "\n")


@pytest.fixture
def project(tmp_path: Path, repository: Path) -> Describe:
    """A project whose cohort has this manifest, in a folder of its own."""

    def describe(manifest: str, **ingest: object) -> Paths:
        root = tmp_path / "project"
        (root / "configs" / "cohorts").mkdir(parents=True)
        for path in (repository / "configs").glob("*.yaml"):
            shutil.copy(path, root / "configs")
        tile = {"patch": {"size": 16, "downsample": 1}, "tissue": {"method": "all"}, "classes": {1: "tumor"}}
        cohort = {"manifest": manifest, "description": "Two.", "algorithms": {}, "tile": tile}
        cohort["ingest"] = {"error_budget": 0.5, **ingest}
        (root / "configs" / "cohorts" / "two.yaml").write_text(yaml.safe_dump(cohort))
        return Paths(root, "two")

    return describe


def call(verb: str, paths: Paths) -> int:
    return main([verb, "--root", str(paths.root), "--cohort", "two", "--log-level", "warning"])


def files_of(paths: Paths) -> list[str]:
    """Every path of the table that ingest wrote."""
    with paths.slides.open(encoding="utf-8", newline="") as file:
        cells = [row[column] for row in csv.DictReader(file) for column in ("image", "annotation")]
    return [each for cell in cells for each in cell.split(";")]


@pytest.mark.parametrize("told", ["manifest", "cells"])
def test_an_absolute_path_stays_so(told: str, project: Describe, tmp_path: Path) -> None:
    away = tmp_path / "slides"
    write_slides(away)
    paths = project(str(away / "slides.csv") if told == "manifest" else "slides.csv", channels=["x", "y"])
    # Not shortened: on the way back up from a link lies another folder.
    slides = f"{away}/../slides/"
    if told == "manifest":
        write_table(away / "slides.csv", "../slides/")
    else:
        write_table(paths.root / "slides.csv", slides)
    assert call("ingest", paths) == 0
    assert files_of(paths) == [f"{slides}{name}" for name in ("b1.png", "b2.png", "b.mask.png")]
    deeper = tmp_path / "one" / "two" / "three"
    deeper.mkdir(parents=True)
    moved = Paths(Path(shutil.move(paths.root, deeper)), "two")
    assert call("tile", moved) == 0
    assert len(PatchStore.open(moved.store("b")).table) == 6 * 4


def test_a_relative_path_is_the_projects(project: Describe, tmp_path: Path) -> None:
    paths = project("in/slides.csv", channels=["R", "G", "B"])
    write_slides(paths.root / "in" / "deep")
    write_table(paths.root / "in" / "slides.csv", "../in/deep/")
    assert call("ingest", paths) == 0
    assert files_of(paths) == ["in/deep/a.png", "in/deep/a.geojson"]
    excluded = paths.ingest_excluded.read_bytes()
    moved = Paths(Path(shutil.move(paths.root, tmp_path / "elsewhere")), "two")
    before = moved.slides.read_bytes()
    assert call("tile", moved) == 0
    assert call("ingest", moved) == 0
    assert (moved.slides.read_bytes(), moved.ingest_excluded.read_bytes()) == (before, excluded)


def test_in_dvcs_copy_what_neither_git_nor_dvc_track_is_the_workspaces(
    project: Describe, tmp_path: Path
) -> None:
    paths = project("slides.csv", channels=["R", "G", "B"])
    write_slides(paths.root / "raw")
    write_table(paths.root / "slides.csv", "raw/")
    (paths.root / "raw" / "b2.png").write_bytes(b"broken")
    assert call("ingest", paths) == 0
    copy = Paths(paths.root / ".dvc" / "tmp" / "exps" / "tmp7", "two")
    shutil.copytree(paths.root / "configs", copy.root / "configs")
    shutil.copy(paths.root / "slides.csv", copy.root)
    assert call("ingest", copy) == 0
    for name in ("slides.csv", "excluded.csv", "summary.json"):
        assert (copy.ingested / name).read_bytes() == (paths.ingested / name).read_bytes()
    assert "raw/b2.png" in copy.ingest_excluded.read_text()
    assert str(tmp_path) not in copy.ingest_excluded.read_text()
    assert call("tile", copy) == 0
    assert len(PatchStore.open(copy.store("a")).table) == 6 * 4
    # What the copy has of its own, as an experiment on other phantoms, is the copy's.
    (copy.root / "raw").mkdir()
    shutil.copy(paths.root / "raw" / "a.png", copy.root / "raw" / "a.png")
    (row,) = with_files(ingested_rows(copy), copy.root)
    assert (row.images[0], row.annotation) == (
        copy.root / "raw/a.png",
        paths.root.resolve() / "raw/a.geojson",
    )


def test_where_paths_lead(tmp_path: Path) -> None:
    copy = tmp_path / "project" / ".dvc" / "tmp" / "exps" / "standalone"
    (copy / "weights").mkdir(parents=True)
    (tmp_path / "project" / "slides").mkdir()
    assert workspace(copy) == (tmp_path / "project").resolve()
    assert workspace(tmp_path / "project") == (tmp_path / "project").resolve()
    assert located("weights", copy) == copy / "weights"
    assert located("slides", copy) == (tmp_path / "project" / "slides").resolve()
    assert located("nowhere", copy) == copy / "nowhere"
    assert located(tmp_path / "weights", copy) == tmp_path / "weights"


def test_masks_of_tissue_lie_in_the_project(
    project: Describe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = project("raw/slides.csv", channels=["R", "G", "B"])
    write_slides(paths.root / "raw")
    write_table(paths.root / "raw" / "slides.csv", "")
    (paths.root / "masks").mkdir()
    values = np.zeros((64, 96), np.uint8)
    values[:, :48] = 255
    Image.fromarray(values).save(paths.root / "masks" / "a.png")
    path = paths.root / "configs" / "cohorts" / "two.yaml"
    content = yaml.safe_load(path.read_text())
    content["tile"]["tissue"] = {"method": "external", "folder": "masks"}
    path.write_text(yaml.safe_dump(content))
    monkeypatch.chdir(tmp_path)
    assert call("ingest", paths) == 0
    assert call("tile", paths) == 0
    assert len(PatchStore.open(paths.store("a")).table) == 3 * 4
    # Called in the project's folder, as DVC does, the store tells no place of this machine.
    monkeypatch.chdir(paths.root)
    assert main(["tile", "--cohort", "two"]) == 0
    assert (PatchStore.open(paths.store("a")).attributes.tissue or {})["folder"] == "masks"
