"""A project without the repository: its files, what DVC makes of them, and what is never overwritten."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import defaults
from pipeline.artifacts import Paths
from pipeline.cli import main
from pipeline.config import Context
from pipeline.projects.skeleton import skeleton
from pipeline.stages.select import check


def init(folder: Path, *options: str, cohort: str = "tissues") -> int:
    return main(["init", str(folder), "--cohort", cohort, *options])


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def loaded(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def dvc(folder: Path, *command: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "true"}
    done = subprocess.run(["dvc", *command], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def stages(path: Path) -> dict[str, dict[str, Any]]:
    return {name: stage.get("do", stage) for name, stage in loaded(path)["stages"].items()}


def test_a_project_is_made_of_the_shipped_files(tmp_path: Path, repository: Path) -> None:
    folder = tmp_path / "deep" / "project"
    assert init(folder) == 0
    made = contents(folder)
    shipped = [*(repository / "configs").glob("*.yaml"), *(repository / "configs" / "algorithms").iterdir()]
    names = {path.relative_to(repository).as_posix() for path in shipped}
    own = {"configs/cohorts/tissues.yaml", "README.md", "slides.csv", "dvc.yaml"}
    assert set(made) - names - own == {
        ".gitignore",
        ".dvcignore",
        ".dvc/config",
        ".dvc/.gitignore",
    }
    for name in names - {"configs/params.yaml"}:
        assert made[name] == (repository / name).read_bytes(), name
    for line in (repository / "configs" / "params.yaml").read_text().splitlines():
        assert not line.startswith("#") or line.encode() in made["configs/params.yaml"]
    chosen = {"cohort": "tissues", "source": "slides.csv", "phantoms": []}
    assert (
        loaded(folder / "configs" / "params.yaml") == loaded(repository / "configs" / "params.yaml") | chosen
    )
    assert not list(folder.rglob("*.part"))
    readme = made["README.md"].decode()
    assert readme.startswith("# tissues\n")
    assert "configs/cohorts/tissues.yaml" in readme
    assert "$" not in readme


def test_the_cohort_to_edit_passes_every_check(tmp_path: Path) -> None:
    assert init(tmp_path) == 0
    before = contents(tmp_path)
    assert main(["select", "--root", str(tmp_path), "--cohort", "tissues"]) == 0
    assert contents(tmp_path) == before, "it is selected already"
    check(Context("tissues", Paths(tmp_path, "tissues"), tmp_path / "configs"), ())
    text = before["configs/cohorts/tissues.yaml"].decode()
    assert "--cohort tissues" in text
    assert "$(NAME:-default)" in text


def test_the_table_to_fill_has_every_column(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert init(tmp_path) == 0
    header = (tmp_path / "slides.csv").read_text().strip().split(",")
    assert header == ["slide_id", "patient_id", "image", "channels", "annotation", "label", "mpp", "split"]
    told = set(re.findall(r"`(\w+)`", (tmp_path / "README.md").read_text()))
    assert set(header) <= told
    assert main(["ingest", "--root", str(tmp_path)]) == 2
    assert "no slides: not one row under the header" in capsys.readouterr().err


def test_a_projects_stages_depend_on_the_version_instead_of_the_code(
    tmp_path: Path, repository: Path
) -> None:
    assert init(tmp_path) == 0
    made, whole = stages(tmp_path / "dvc.yaml"), stages(repository / "dvc.yaml")
    installed = made.pop("installed")
    assert installed == {
        "always_changed": True,
        "cmd": "evenpatch --version > installed.txt",
        "outs": [{"installed.txt": {"cache": False}}],
    }
    assert list(made) == list(whole)
    for name, stage in whole.items():
        data = [each for each in stage["deps"] if not each.startswith(("patching/", "models/", "pipeline/"))]
        assert made[name] == stage | {"deps": ["installed.txt", *data]}, name
        assert len(data) < len(stage["deps"])
    text = (tmp_path / "dvc.yaml").read_text()
    assert not re.search(r"patching/|models/|pipeline/|tests/", text), "no comment on what is not there"
    assert "# Not the whole folder: tiling's receipts" in text


def test_dvc_reads_a_new_project(tmp_path: Path) -> None:
    assert init(tmp_path) == 0
    listed = dvc(tmp_path, "stage", "list", "--name-only").split()
    assert listed[:3] == ["installed", "ingest", "tile"]
    assert "train@gerne-high" in listed
    graph = dvc(tmp_path, "dag", "--dot", "track")
    assert '"installed";' in graph
    assert '"installed" -> "train@erm-low";' in graph


def test_the_built_in_cohort_is_begun_with_at_once(
    tmp_path: Path, repository: Path, phantom_selected: bytes
) -> None:
    assert init(tmp_path, cohort="phantom") == 0
    made = contents(tmp_path)
    assert "slides.csv" not in made
    assert made["configs/params.yaml"] == phantom_selected
    assert (
        made["configs/cohorts/phantom.yaml"]
        == (repository / "configs" / "cohorts" / "phantom.yaml").read_bytes()
    )


def test_selecting_a_shipped_cohort_brings_its_file(
    tmp_path: Path, repository: Path, phantom_selected: bytes
) -> None:
    assert init(tmp_path) == 0
    file = tmp_path / "configs" / "cohorts" / "phantom.yaml"
    assert not file.exists()
    assert main(["select", "--root", str(tmp_path), "--cohort", "phantom"]) == 0
    assert file.read_bytes() == (repository / "configs" / "cohorts" / "phantom.yaml").read_bytes()
    params = tmp_path / "configs" / "params.yaml"
    assert params.read_bytes() == phantom_selected
    file.write_text(file.read_text() + "# mine\n")
    assert main(["select", "--root", str(tmp_path), "--cohort", "phantom"]) == 0
    assert file.read_text().endswith("# mine\n"), "what is there stays"


def test_the_same_call_again_changes_nothing_and_writes_what_is_gone(tmp_path: Path) -> None:
    assert init(tmp_path) == 0
    before = contents(tmp_path)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.yaml")}
    assert init(tmp_path) == 0
    assert {path: path.stat().st_mtime_ns for path in times} == times
    (tmp_path / "configs" / "tile.yaml").unlink()
    (tmp_path / "dvc.yaml").unlink()
    assert init(tmp_path) == 0
    assert contents(tmp_path) == before


def test_what_is_there_is_named_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "README.md").write_text("Mine.\n")
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "tile.yaml").write_text("quality: false\n")
    (tmp_path / "notes.txt").write_text("stay\n")
    before = contents(tmp_path)
    assert init(tmp_path, "--git") == 2
    told = capsys.readouterr().err
    assert "with configs/tile.yaml, with README.md\n" in told
    assert contents(tmp_path) == before
    assert not (tmp_path / ".git").exists()


def test_of_many_files_that_are_there_ten_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in skeleton(tmp_path, "tissues", scm=False):
        if name.startswith(".dvc/"):
            continue
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("mine\n")
    assert init(tmp_path) == 2
    told = capsys.readouterr().err
    more = len(contents(tmp_path)) - 10
    assert f" and {more} more" in told
    assert told.count(", with ") == 10
    assert not (tmp_path / ".dvc").exists()


@pytest.mark.parametrize("there", [False, True])
def test_a_failure_halfway_leaves_nothing(
    there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "project"
    if there:
        (folder / "configs").mkdir(parents=True)
        (folder / "configs" / "notes.txt").write_text("stay\n")
    before = sorted(tmp_path.rglob("*"))
    write, calls = Path.write_text, 0

    def failing(path: Path, *arguments: Any, **named: Any) -> int:
        nonlocal calls
        calls += 1
        if calls == 40:
            raise PermissionError(13, "no", str(path))
        return write(path, *arguments, **named)

    monkeypatch.setattr(Path, "write_text", failing)
    assert init(folder) == 2
    assert f"has: {folder}: no\n" in capsys.readouterr().err
    assert calls == 40
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("written", [1, 20, 45, 46, 47, 49])
def test_a_call_after_one_that_was_killed_completes_the_project(tmp_path: Path, written: int) -> None:
    files = list(skeleton(tmp_path, "tissues", scm=False).items())
    for name, text in files[:written]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert init(tmp_path) == 0
    assert contents(tmp_path) == {name: text.encode() for name, text in files}


def test_links_to_nowhere_are_there_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("README.md", "configs"):
        (tmp_path / name).symlink_to(tmp_path / "nowhere")
        assert init(tmp_path) == 2
        assert f", with {'README.md' if name == 'README.md' else 'configs/'}" in capsys.readouterr().err
        assert (tmp_path / name).is_symlink()
        (tmp_path / name).unlink()
    (tmp_path / "project").symlink_to(tmp_path / "nowhere")
    assert init(tmp_path / "project") == 2
    assert not (tmp_path / "nowhere").exists()


def test_git_that_comes_after_dvc_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert init(tmp_path) == 0
    assert init(tmp_path, "--git") == 0
    assert "take `no_scm = true` out of .dvc/config" in caplog.text


def test_git_is_begun_where_it_is_wanted(tmp_path: Path) -> None:
    assert init(tmp_path / "plain") == 0
    assert "no_scm = true" in (tmp_path / "plain" / ".dvc" / "config").read_text()
    assert init(tmp_path / "versioned", "--git") == 0
    assert (tmp_path / "versioned" / ".git" / "HEAD").is_file()
    assert "no_scm" not in (tmp_path / "versioned" / ".dvc" / "config").read_text()
    inner = tmp_path / "versioned" / "inner"
    assert init(inner, "--git") == 0
    assert not (inner / ".git").exists(), "it lies in a repository already"
    assert "no_scm" not in (inner / ".dvc" / "config").read_text()
    assert init(tmp_path / "versioned", "--git") == 0, "again"


def test_where_git_refuses_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stub = tmp_path / "bin" / "git"
    stub.parent.mkdir()
    stub.write_text("#!/bin/sh\necho 'fatal: not today' >&2\nexit 128\n")
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", str(stub.parent))
    assert init(tmp_path / "project", "--git") == 2
    assert "git init: fatal: not today" in capsys.readouterr().err
    assert not (tmp_path / "project").exists()
    monkeypatch.setenv("PATH", "")
    assert init(tmp_path / "project", "--git") == 2
    assert "no command git" in capsys.readouterr().err
    assert not (tmp_path / "project").exists()


def test_a_dvc_project_keeps_its_settings(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text("[core]\n    remote = mine\n")
    assert init(tmp_path) == 0
    assert (tmp_path / ".dvc" / "config").read_text() == "[core]\n    remote = mine\n"
    assert not (tmp_path / ".dvc" / ".gitignore").exists()


@pytest.mark.parametrize("name", ["a/b", "..", "", "on", "no", "2024", "0x1f", "two words", "1e5", "m.y"])
def test_a_name_that_files_or_yaml_would_take_otherwise_is_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert init(tmp_path / "project", cohort=name) == 2
    assert f"a cohort called {name!r}" in capsys.readouterr().err
    assert not (tmp_path / "project").exists()


def test_a_shipped_cohort_without_slides_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EVENPATCH_REAL_DATA", "nowhere")
    for cohort, told in (("cmnist", "evenpatch import --cohort cmnist"), ("pshg", "nowhere/breast-pshg-tma")):
        assert init(tmp_path / "project", cohort=cohort) == 2
        assert told in capsys.readouterr().err
        assert not (tmp_path / "project").exists()


def test_a_file_is_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "project"
    file.write_text("")
    for folder in (file, file / "deep" / "er"):
        assert init(folder) == 2
        assert f"has: {folder}, where {file} is a file\n" in capsys.readouterr().err
    assert init(tmp_path) == 0
    shutil.rmtree(tmp_path / "configs")
    (tmp_path / "configs").write_text("")
    assert init(tmp_path) == 2
    assert f"has: {tmp_path}, with configs" in capsys.readouterr().err


def test_every_verb_asks_for_a_project_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for verb in (["split"], ["select", "--cohort", "phantom"]):
        assert main(verb) == 2
        assert "`evenpatch init FOLDER` makes a new one" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_others_cohorts_in_a_checkout_stay_there(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checkout, project = tmp_path / "checkout", tmp_path / "project"
    shutil.copytree(repository / "configs", checkout / "configs")
    (checkout / ".dvc").mkdir()
    for name in (".gitignore", ".dvcignore", ".dvc/.gitignore", ".dvc/config", "dvc.yaml"):
        shutil.copy(repository / name, checkout / name)
    (checkout / "configs" / "cohorts" / "mine.yaml").write_text("description: Of somebody else.\n")
    (checkout / "configs" / "cohorts" / "old").mkdir()
    (checkout / "configs" / "cohorts" / "old" / "theirs.yaml").write_text("description: Put aside.\n")
    monkeypatch.setattr(defaults, "shipped", lambda: checkout)
    monkeypatch.setattr("pipeline.projects.skeleton.shipped", lambda: checkout)
    assert init(project, cohort="mine") == 0
    made = contents(project)
    assert b"somebody else" not in made["configs/cohorts/mine.yaml"]
    assert [name for name in made if "cohorts/" in name] == ["configs/cohorts/mine.yaml"]
    (project / "configs" / "cohorts" / "mine.yaml").unlink()
    assert main(["select", "--root", str(project), "--cohort", "mine"]) == 2
    told = capsys.readouterr().err
    assert "or of those that evenpatch ships: bffhq, celeba" in told
    assert "mine," not in told
    assert main(["select", "--root", str(project), "--cohort", "phantom"]) == 0


def test_the_template_is_what_a_new_cohort_begins_as(tmp_path: Path, repository: Path) -> None:
    assert init(tmp_path, cohort="tissues") == 0
    template = (repository / "configs" / "cohorts" / "he-qupath.yaml").read_text()
    assert contents(tmp_path)["configs/cohorts/tissues.yaml"].decode() == template.replace(
        "he-qupath", "tissues"
    )
    assert init(tmp_path / "other", cohort="he-qupath") == 0
    assert (tmp_path / "other" / "configs" / "cohorts" / "he-qupath.yaml").read_text() == template
    assert (tmp_path / "other" / "slides.csv").is_file()
