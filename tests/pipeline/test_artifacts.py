"""Hand-overs between stages: whole or not there, and checked when read."""

import shutil
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest

from patching.errors import ArtifactError
from pipeline.artifacts import Paths, name_parts, run_name
from pipeline.files import read_table, replacing, replacing_folder


def test_nothing_half_written_gets_the_name(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "table.csv"
    path.parent.mkdir()
    path.write_text("old")

    def interrupted() -> None:
        with replacing(path) as part:
            part.write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    assert path.read_text() == "old"
    assert [file.name for file in path.parent.iterdir()] == ["table.csv"]


def test_a_finished_file_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "new" / "table.csv"
    with replacing(path) as part:
        part.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"


class Killed(BaseException):
    """Of the process, at a step on the disk; nothing runs after it."""


@pytest.mark.parametrize("alive", range(5))
def test_a_kill_leaves_the_earlier_folder_the_new_one_or_none(
    alive: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, steps = tmp_path / "report", iter(range(alive))
    rename, rmtree = Path.rename, shutil.rmtree

    def step() -> bool:
        """Whether the process is killed in the midst of it."""
        return next(steps, None) is None

    def renamed(path: Path, target: Path) -> Path:
        if step():
            raise Killed
        return rename(path, target)

    def deleted(path: Path, **_: object) -> None:
        if not path.is_dir():
            return
        if step():
            (path / "page.html").unlink(missing_ok=True)
            raise Killed
        rmtree(path)

    monkeypatch.setattr(Path, "rename", renamed)
    monkeypatch.setattr(shutil, "rmtree", deleted)

    def written(text: str) -> None:
        with replacing_folder(folder) as part:
            for name in ("page.html", "linked.csv"):
                (part / name).write_text(text)

    folder.mkdir()
    for name in ("page.html", "linked.csv"):
        (folder / name).write_text("earlier")
    with suppress(Killed):
        written("new")
    left = {path.name: path.read_text() for path in folder.iterdir()} if folder.is_dir() else {}
    assert left in ({}, *({"page.html": text, "linked.csv": text} for text in ("earlier", "new")))
    # The next one tidies up.
    monkeypatch.undo()
    written("later")
    assert [path.name for path in tmp_path.iterdir()] == ["report"]
    assert (folder / "page.html").read_text() == "later"


def test_identifiers_stay_text(tmp_path: Path) -> None:
    path = tmp_path / "splits.csv"
    path.write_text("patient_id,split\n007,train\n")
    assert read_table(path, ("patient_id", "split"), "split")["patient_id"].tolist() == ["007"]


def test_a_missing_table_names_its_stage(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="evenpatch tile"):
        read_table(tmp_path / "index.parquet", ("patch_id",), "tile")


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    path = tmp_path / "index.parquet"
    pd.DataFrame({"x": [1]}).to_parquet(path)
    with pytest.raises(ArtifactError, match="without patch_id"):
        read_table(path, ("patch_id", "x"), "tile")


def test_cohorts_do_not_share_a_folder() -> None:
    one, two = (Paths(Path("root"), name) for name in ("one", "two"))
    places = set(vars(one)) - {"root", "cohort"}
    assert len(places) > 15
    assert not {getattr(one, name) for name in places} & {getattr(two, name) for name in places}
    assert one.training(run_name("gerne", "low")) == Path("root/outputs/one/train/gerne-low")


@pytest.mark.parametrize("parts", [("gerne", "low", None), ("gerne", "low", 12), ("gerne", "much-tissue", 0)])
def test_a_runs_name_tells_its_parts(parts: tuple[str, str, int | None]) -> None:
    assert name_parts(run_name(*parts)) == parts
