"""Which slides the arguments of `evenpatch predict` name, and what they are called."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from patching.errors import ConfigError, ManifestError, MissingFileError
from patching.readers.cells import Reading
from patching.survey.named_slides import find_slides


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures in two folders, and what is no slide."""
    for name in ("a/x.png", "a/y.png", "a/inner/z.png", "b/x.png", "a/.hidden.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((30, 40, 3), 200, np.uint8)).save(path)
    (tmp_path / "a" / "notes.txt").write_text("none")
    (tmp_path / "a" / "w.ome.zarr").mkdir()
    (tmp_path / "a" / "w.ome.zarr" / "zarr.json").write_text("{}")
    return tmp_path


def names(*arguments: object) -> list[str]:
    return [row.slide_id for row in find_slides([str(argument) for argument in arguments])]


def test_a_folder_gives_the_slides_right_in_it(folder: Path) -> None:
    assert names(folder / "a") == ["w", "x", "y"]


def test_a_damaged_slide_is_not_passed_over(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "a" / "broken.svs").write_text("no slide")
    with caplog.at_level("INFO"):
        assert names(folder / "a") == ["broken", "w", "x", "y"]
    assert "passed over 3 that are none: .hidden.png, inner, notes.txt" in caplog.text


def test_the_table_of_a_project_tells_paths_from_its_root(folder: Path) -> None:
    table = folder / "data" / "c" / "cohort" / "slides.csv"
    table.parent.mkdir(parents=True)
    for column, expected in (("annotation_fingerprint", folder), ("fingerprint", table.parent)):
        table.write_text(f"slide_id,image,{column}\nX,a/x.png,1\n")
        (row,) = find_slides([str(table)], root=folder)
        assert row.images == (expected / "a" / "x.png",)


def test_patterns_and_files(folder: Path) -> None:
    assert names(folder / "*" / "y.png", folder / "a" / "x.png", folder / "a" / "y.png") == ["y", "x"]


def test_files_of_the_same_name_are_told_apart(folder: Path) -> None:
    Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(folder / "a" / "x.tif")
    assert names(folder / "a", folder / "b") == ["w", "a_x.png", "x.tif", "y", "b_x.png"]


def test_what_files_do_not_tell_is_given(folder: Path) -> None:
    (row,) = find_slides([str(folder / "b")], mpp=0.25, channels=("R", "G", "B"), kind="intensity")
    assert row.reading == Reading(kind="intensity")
    assert (row.mpp, row.channels, row.patient_id) == (0.25, ("R", "G", "B"), "x")


def test_a_table_needs_no_patients(folder: Path) -> None:
    table = folder / "slides.csv"
    table.write_text("slide_id,image,mpp\ns1,a/x.png,0.5\ns2,b/x.png,\n")
    assert [(row.slide_id, row.patient_id, row.mpp) for row in find_slides([str(table)])] == [
        ("s1", "s1", 0.5),
        ("s2", "s2", None),
    ]
    with pytest.raises(ManifestError, match="called s1"):
        names(table, table)


def test_nothing_is_an_error(folder: Path) -> None:
    (folder / "empty").mkdir()
    for argument in (folder / "empty", folder / "none.tif", folder / "*.svs", folder / "a" / "*.txt"):
        with pytest.raises(MissingFileError):
            names(argument)


def test_a_table_without_patients_may_name_a_file_twice(folder: Path) -> None:
    (folder / "two.csv").write_text("slide_id,image\nA,a/x.png\nB,a/x.png\n")
    assert names(folder / "two.csv") == ["A", "B"]
    (folder / "two.csv").write_text("slide_id,image\nA,a/x.png\nA,a/y.png\n")
    with pytest.raises(ManifestError, match="'A' twice"):
        names(folder / "two.csv")


@pytest.mark.parametrize("mpp", [0.0, -0.5, float("nan"), float("inf")])
def test_what_is_no_pixel_size_is_refused(mpp: float, folder: Path) -> None:
    with pytest.raises(ConfigError, match="--mpp"):
        find_slides([str(folder / "a")], mpp=mpp)


@pytest.mark.parametrize("channels", [["CARS", "SHG", "CARS"], ["CARS", ""]])
def test_channels_need_names_of_their_own(channels: list[str], folder: Path) -> None:
    with pytest.raises(ConfigError, match="--channels"):
        find_slides([str(folder / "a")], channels=channels)
