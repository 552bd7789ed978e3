"""Choosing the cohort of `dvc repro`."""

import shutil
from pathlib import Path

import pytest
import yaml

from patching.errors import MissingFileError
from pipeline.cli import main
from pipeline.config import load_cohort


@pytest.fixture
def root(tmp_path: Path, repository: Path) -> Path:
    shutil.copytree(repository / "configs", tmp_path / "configs")
    return tmp_path


def params(root: Path) -> dict[str, object]:
    content: dict[str, object] = yaml.safe_load((root / "configs" / "params.yaml").read_text())
    return content


def test_a_real_cohort_is_depended_on_by_its_manifest(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENPATCH_REAL_DATA", "elsewhere/deep/..")
    manifest = root / "elsewhere" / "breast-pshg-tma" / "slides.csv"
    (root / "elsewhere" / "deep").mkdir(parents=True)
    manifest.parent.mkdir(parents=True)
    manifest.write_text("slide_id\n")
    before = params(root)
    assert main(["select", "--root", str(root), "--cohort", "pshg"]) == 0
    chosen = {"cohort": "pshg", "source": "elsewhere/breast-pshg-tma/slides.csv", "phantoms": []}
    assert params(root) == before | chosen
    assert main(["select", "--root", str(root), "--cohort", "phantom"]) == 0
    assert params(root) == before


def test_selecting_the_same_again_leaves_the_file_alone(root: Path) -> None:
    path = root / "configs" / "params.yaml"
    before = path.stat().st_mtime_ns, path.read_bytes()
    assert main(["select", "--root", str(root), "--cohort", "phantom"]) == 0
    assert (path.stat().st_mtime_ns, path.read_bytes()) == before


def test_a_manifest_that_is_not_there_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENPATCH_REAL_DATA", "nowhere")
    assert main(["select", "--root", str(root), "--cohort", "pshg"]) == 2
    assert params(root)["cohort"] == "phantom"
    assert issubclass(MissingFileError, FileNotFoundError)


def test_the_shipped_parameters_are_those_of_the_phantom(repository: Path) -> None:
    shipped = yaml.safe_load((repository / "configs" / "params.yaml").read_text())
    assert shipped["phantoms"] == ["phantom"]
    assert load_cohort(repository / "configs", "phantom").manifest == f"{shipped['source']}/slides.csv"
