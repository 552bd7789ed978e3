"""The wheel holds the packages and what projects are made of, and works without the repository."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.defaults import shipped_cohorts

PACKAGES = ("patching", "models", "pipeline")
SHIPPED = "pipeline/shipped"
MINE = "mine.yaml"


@pytest.fixture(scope="module")
def checkout(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of all that archives are made of, with a cohort of its user beside the shipped ones."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in (*PACKAGES, "configs", ".dvc"):
        ignored = shutil.ignore_patterns("__pycache__", "tmp", "cache", "*.local")
        shutil.copytree(repository / name, folder / name, ignore=ignored)
    others = (
        "dvc.yaml",
        ".dvcignore",
        ".gitignore",
        "README.md",
        "LICENSE",
        "pyproject.toml",
        "hatch_build.py",
    )
    for name in others:
        shutil.copy(repository / name, folder)
    (folder / "configs" / "cohorts" / MINE).write_text("description: Of the ward.\n")
    (folder / "configs" / "cohorts" / "mine.csv").write_text("slide_id\n")
    return folder


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpacked, as pip does it."""
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(checkout)], check=True)
    (archive,) = folder.glob("*.whl")
    shutil.unpack_archive(archive, folder / "site", "zip")
    return folder / "site"


def names(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def shipped_settings(repository: Path) -> set[str]:
    """Files of configs/, without cohorts that whoever works in this checkout has there."""
    return {
        name
        for name in names(repository / "configs")
        if not name.startswith("cohorts/") or Path(name).stem in {"shipped", *shipped_cohorts()}
    }


def run(wheel: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(wheel), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pipeline.cli", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_wheel_holds_packages_and_what_is_shipped_and_nothing_else(wheel: Path, repository: Path) -> None:
    found = {name for name in names(wheel) if not name.startswith("evenpatch-")}
    code = {f"{package}/{name}" for package in PACKAGES for name in names(repository / package)}
    configs = {f"{SHIPPED}/configs/{name}" for name in shipped_settings(repository)}
    others = ("dvc.yaml", ".dvcignore", ".gitignore", ".dvc/config", ".dvc/.gitignore")
    assert found == code | configs | {f"{SHIPPED}/{name}" for name in others}
    for name in found:
        assert (wheel / name).read_bytes() == (repository / name.removeprefix(f"{SHIPPED}/")).read_bytes()
    assert any(name.endswith(".html") for name in found)
    assert "pipeline/projects/templates/README.md" in found


def test_from_the_wheel_a_project_is_the_same(wheel: Path, tmp_path: Path) -> None:
    done = run(wheel, tmp_path, "init", "from-wheel", "--cohort", "tissues")
    assert done.returncode == 0, done.stderr
    assert main(["init", str(tmp_path / "from-checkout"), "--cohort", "tissues"]) == 0
    one, other = tmp_path / "from-wheel", tmp_path / "from-checkout"
    assert names(one) == names(other)
    assert all((one / name).read_bytes() == (other / name).read_bytes() for name in names(one))


@pytest.mark.slow
def test_from_the_wheel_defaults_lie_under_a_projects_files(wheel: Path, tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "params.yaml").write_text("algorithms: [gerne]\n")
    (tmp_path / "configs" / "split.yaml").write_text("method: holdouts\n")
    done = run(wheel, tmp_path, "select", "--cohort", "phantom")
    assert done.returncode == 2
    assert "configs/split.yaml with cohort phantom: method = 'holdouts'" in done.stderr
    (tmp_path / "configs" / "split.yaml").write_text("attempts: 3\n")
    done = run(wheel, tmp_path, "select", "--cohort", "phantom")
    assert done.returncode == 0, done.stderr
    assert names(tmp_path) == {f"configs/{name}.yaml" for name in ("params", "split", "cohorts/phantom")}
    done = run(wheel, tmp_path, "split", "--cohort", "nobody")
    assert "none" not in done.stderr.splitlines()[2]
    assert "waterbirds" in done.stderr


def test_the_source_archive_holds_all_that_a_wheel_is_made_of(
    checkout: Path, repository: Path, tmp_path: Path
) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=checkout, check=True, capture_output=True)
    (archive,) = tmp_path.glob("*.tar.gz")
    shutil.unpack_archive(archive, tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    targets = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    needed = [*PACKAGES, *targets["targets"]["wheel"]["force-include"]]
    assert {name: names(source / name) for name in needed} == {
        name: names(repository / name) for name in needed
    }
    assert all((source / name).exists() for name in (*needed, "hatch_build.py"))
    assert names(source / "configs") == shipped_settings(repository)
