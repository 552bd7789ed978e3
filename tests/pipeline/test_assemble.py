"""Specimens rebuilt from the public set's patches: every pixel in its place, nothing where there is none."""

import csv
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from patching.geometry import Location
from patching.manifest import read_manifest
from patching.readers.registry import open_slide
from pipeline.cli import main
from pipeline.locks import Claim, held

STEP = 50
# Of 3 columns and 2 rows: no patch at (1, 0), and none at (0, 1).
PLACES = {(0, 0): 0, (2, 0): 1, (1, 1): 1, (2, 1): 0}


def pixels(seed: int, height: int = STEP, width: int = STEP) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def put(folder: Path, name: str, x: int, y: int, label: int, image_HWC: NDArray[np.uint8]) -> Path:
    """A patch as the set names it, counted from 1, in the folder of its label."""
    path = folder / name / str(label) / f"{name}_idx5_x{x + 1}_y{y + 1}_class{label}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image_HWC).save(path)
    return path


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    """Two ids; the second is one patch, away from the corner."""
    folder = tmp_path / "set"
    for seed, ((column, row), label) in enumerate(PLACES.items()):
        put(folder, "0815", STEP * column, STEP * row, label, pixels(seed))
    put(folder, "9", 2 * STEP, STEP, 1, pixels(9))
    return folder


@pytest.fixture
def assembled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> Callable[..., tuple[int, str]]:
    """Runs the verb; its exit code and what it told."""

    def run(folder: Path, *options: str) -> tuple[int, str]:
        caplog.clear()
        with caplog.at_level(logging.INFO):
            code = main(["assemble", str(folder), "--out", str(tmp_path / "whole"), *options])
        return code, capsys.readouterr().err + caplog.text

    return run


def read(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Pixels of a slide as every stage reads them, and which of them exist."""
    with open_slide((path,)) as slide:
        covered_HW = np.zeros((slide.size.height, slide.size.width), np.bool_)
        return slide.read_region(Location(0, 0), 0, slide.size, covered=covered_HW), covered_HW


def mask(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image)


def test_every_patch_is_put_where_it_was_cut(
    unpacked: Path, assembled: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    code, told = assembled(unpacked)
    assert code == 0
    image_HWC, covered_HW = read(tmp_path / "whole" / "slides" / "IDC-0815.tif")
    mask_HW = mask(tmp_path / "whole" / "masks" / "IDC-0815.png")
    assert image_HWC.shape == (2 * STEP, 3 * STEP, 3)
    assert mask_HW.shape == (2 * STEP, 3 * STEP)
    for seed, ((column, row), label) in enumerate(PLACES.items()):
        part = np.s_[STEP * row : STEP * (row + 1), STEP * column : STEP * (column + 1)]
        np.testing.assert_array_equal(image_HWC[part], pixels(seed))
        assert (mask_HW[part] == label).all()
    nothing = np.s_[:STEP, STEP : 2 * STEP]
    assert (image_HWC[nothing] == 255).all()
    assert (mask_HW[nothing] == 255).all()
    np.testing.assert_array_equal(covered_HW, mask_HW != 255)
    assert "2 of 2 ids rebuilt: 5 patches, 3 with carcinoma; 0 copies of patches; 0 of fewer" in told


def test_the_manifest_is_one_that_ingest_and_predict_read(
    unpacked: Path, assembled: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    assembled(unpacked, "--mpp", "3.5")
    rows = read_manifest(tmp_path / "whole" / "slides.csv")
    assert [(row.slide_id, row.patient_id, row.mpp) for row in rows] == [
        ("IDC-0815", "0815", 3.5),
        ("IDC-9", "9", 3.5),
    ]
    assert all(row.annotation is not None and row.annotation.is_file() for row in rows)
    with rows[0].open() as slide:
        assert slide.brightfield


@pytest.mark.parametrize("layout", ["flat", "labels first", "a second time"])
def test_the_folders_do_not_matter(
    unpacked: Path, assembled: Callable[..., tuple[int, str]], tmp_path: Path, layout: str
) -> None:
    other = tmp_path / "other"
    for path in unpacked.rglob("*.png"):
        places = {
            "flat": [other / path.name],
            "labels first": [other / path.parent.name / path.name],
            # As the set's redistribution has it.
            "a second time": [
                other / path.relative_to(unpacked),
                other / "again" / path.relative_to(unpacked),
            ],
        }
        for place in places[layout]:
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place)
    assembled(unpacked)
    expected = (tmp_path / "whole" / "slides" / "IDC-0815.tif").read_bytes()
    shutil.rmtree(tmp_path / "whole")
    _, told = assembled(other)
    assert (tmp_path / "whole" / "slides" / "IDC-0815.tif").read_bytes() == expected
    assert f"{5 if layout == 'a second time' else 0} copies of patches" in told


def test_a_patch_of_the_edge_leaves_the_rest_of_its_place_unknown(
    unpacked: Path, assembled: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    put(unpacked, "0815", 3 * STEP, 0, 1, pixels(7, height=STEP, width=20))
    _, told = assembled(unpacked)
    image_HWC, covered_HW = read(tmp_path / "whole" / "slides" / "IDC-0815.tif")
    assert image_HWC.shape == (2 * STEP, 4 * STEP, 3)
    np.testing.assert_array_equal(image_HWC[:STEP, 150:170], pixels(7, width=20))
    assert covered_HW[:STEP, 150:170].all()
    assert not covered_HW[:, 170:].any()
    assert (mask(tmp_path / "whole" / "masks" / "IDC-0815.png")[:, 170:] == 255).all()
    assert "1 of fewer pixels" in told


def spoiled(folder: Path, how: str) -> None:
    first = folder / "0815" / "0" / "0815_idx5_x1_y1_class0.png"
    match how:
        case "cut short":
            first.write_bytes(first.read_bytes()[:-400])
        case "no picture":
            first.write_bytes(b"a web page")
        case "gray":
            Image.fromarray(pixels(0)[..., 0]).save(first)
        case "too large":
            Image.fromarray(pixels(0, width=STEP + 1)).save(first)
        case "another at its place":
            Image.fromarray(pixels(1)).save(folder / first.name)
        case "the other label at its place":
            shutil.copy(first, folder / first.name.replace("class0", "class1"))
        case "off the grid":
            first.rename(first.with_name("0815_idx5_x26_y1_class0.png"))
        case "in the other label's folder":
            first.rename(first.parent.with_name("1") / first.name)
        case "of another resolution":
            first.rename(first.with_name(first.name.replace("idx5", "idx6")))
        case "far away":
            put(folder, "0815", 50 * 10**6, 0, 0, pixels(3))


SPOILED = {
    "cut short": "UnreadableSlideError",
    "no picture": "no PNG",
    "gray": "color type 0",
    "too large": "51 x 50 pixels",
    "another at its place": "one place and other pixels",
    "the other label at its place": "one place and other labels",
    "off the grid": "off the grid",
    "in the other label's folder": "in the folder of the other label",
    "of another resolution": "idx5 and idx6",
    "far away": r"up to \(50000050, 100\)",
}


@pytest.mark.parametrize(("how", "words"), SPOILED.items())
def test_an_id_that_cannot_be_rebuilt_is_left_out_with_the_reason(
    unpacked: Path, assembled: Callable[..., tuple[int, str]], tmp_path: Path, how: str, words: str
) -> None:
    assembled(unpacked)
    spoiled(unpacked, how)
    code, told = assembled(unpacked)
    assert code == 2
    assert "1 of 2 ids" in told
    assert not (tmp_path / "whole" / "slides.csv").exists()
    assert assembled(unpacked, "--error-budget", "0.5")[0] == 0
    excluded = pd.read_csv(tmp_path / "whole" / "excluded.csv")
    assert excluded["slide_id"].tolist() == ["IDC-0815"]
    assert re.search(words, f"{excluded['error'][0]} {excluded['reason'][0]}")
    assert [row.slide_id for row in read_manifest(tmp_path / "whole" / "slides.csv")] == ["IDC-9"]
    # What an earlier call made of it would be taken for one of this set.
    assert not (tmp_path / "whole" / "slides" / "IDC-0815.tif").exists()


def test_not_even_the_largest_budget_makes_a_manifest_of_nothing(
    unpacked: Path, assembled: Callable[..., tuple[int, str]]
) -> None:
    shutil.rmtree(unpacked / "9")
    spoiled(unpacked, "no picture")
    code, told = assembled(unpacked, "--error-budget", "1")
    assert code == 2
    assert "1 of 1 ids" in told


def test_only_what_changed_is_rebuilt(
    unpacked: Path, assembled: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    _, first = assembled(unpacked)
    slides = tmp_path / "whole" / "slides"
    before = {path.name: path.stat().st_mtime_ns for path in slides.iterdir()}
    put(unpacked, "9", 2 * STEP, STEP, 1, pixels(10))
    (tmp_path / "whole" / "masks" / "IDC-0815.png").unlink()
    _, again = assembled(unpacked)
    after = {path.name: path.stat().st_mtime_ns for path in slides.iterdir()}
    assert all(after[name] > before[name] for name in before)
    np.testing.assert_array_equal(read(slides / "IDC-9.tif")[0][STEP:, 2 * STEP :], pixels(10))
    _, third = assembled(unpacked)
    assert {path.name: path.stat().st_mtime_ns for path in slides.iterdir()} == after
    # What was counted before is told again.
    counted = re.compile("2 of 2 ids rebuilt: 5 patches, 3 with carcinoma")
    assert all(counted.search(text) for text in (first, again, third))


def test_a_folder_without_patches_is_told(
    tmp_path: Path, unpacked: Path, assembled: Callable[..., tuple[int, str]]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "holiday.png").write_bytes(b"")
    assert "no patch in" in assembled(tmp_path / "empty")[1]
    assert "no folder" in assembled(tmp_path / "elsewhere")[1]
    assert "--mpp 0" in assembled(unpacked, "--mpp", "0")[1]
    (unpacked / "9" / "1" / "._9_idx5_x51_y51_class1.png").write_bytes(b"of a file system")
    (unpacked / "notes.txt").write_text("mine")
    told = assembled(unpacked)[1]
    assert "1 files are no patches by their names" in told
    assert "2 of 2 ids" in told


@pytest.mark.real_data
def test_a_real_specimen_is_rebuilt_as_it_is(
    real_data: Path, assembled: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    """The whole specimen, cut into the set's layout; and its patches in idc-breast lie where they were."""
    with Image.open(real_data / "idc-specimen" / "IDC-14306.png") as image:
        whole_HWC = np.asarray(image)
    known_HW = mask(real_data / "idc-specimen" / "IDC-14306_mask.png")
    folder = tmp_path / "set"
    for y, x in np.argwhere(known_HW[::STEP, ::STEP] != 255) * STEP:
        patch_HWC = whole_HWC[y : y + STEP, x : x + STEP]
        put(folder, "14306", int(x), int(y), int(known_HW[y, x]), patch_HWC)
    _, told = assembled(folder)
    assert "431 patches, 167 with carcinoma" in told
    image_HWC, covered_HW = read(tmp_path / "whole" / "slides" / "IDC-14306.tif")
    np.testing.assert_array_equal(image_HWC, whole_HWC)
    np.testing.assert_array_equal(covered_HW, known_HW != 255)
    np.testing.assert_array_equal(mask(tmp_path / "whole" / "masks" / "IDC-14306.png"), known_HW)
    with Image.open(real_data / "idc-breast" / "slides" / "IDC-14306.png") as image:
        montage_HWC = np.asarray(image)
    with (real_data / "idc-breast" / "labels.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["patient_id"] == "14306"]
    assert len(rows) == 8
    for row in rows:
        at = {key: int(row[key]) for key in ("montage_x", "montage_y", "source_x", "source_y")}
        x, y = at["source_x"] - 1, at["source_y"] - 1
        np.testing.assert_array_equal(
            image_HWC[y : y + STEP, x : x + STEP],
            montage_HWC[at["montage_y"] : at["montage_y"] + STEP, at["montage_x"] : at["montage_x"] + STEP],
        )
        assert known_HW[y, x] == int(row["label"])


def test_a_link_to_nowhere_is_an_id_that_cannot_be_rebuilt(
    unpacked: Path, tmp_path: Path, assembled: Callable[..., tuple[int, str]]
) -> None:
    (unpacked / "9" / "1" / "9_idx5_x1_y1_class1.png").symlink_to(tmp_path / "nowhere.png")
    code, told = assembled(unpacked, "--error-budget", "0.5")
    assert code == 0
    assert "excluded: IDC-9: UnreadableSlideError" in told
    assert pd.read_csv(tmp_path / "whole" / "slides.csv")["slide_id"].tolist() == ["IDC-0815"]


def test_a_folder_that_is_a_link_is_told_and_left_out(
    unpacked: Path, tmp_path: Path, assembled: Callable[..., tuple[int, str]]
) -> None:
    put(tmp_path / "elsewhere", "7", 0, 0, 0, pixels(7))
    (unpacked / "7").symlink_to(tmp_path / "elsewhere" / "7")
    code, told = assembled(unpacked)
    assert code == 0
    assert f"1 folders are links, and left out, as {unpacked / '7'}" in told
    assert "2 of 2 ids rebuilt" in told


def test_a_folder_that_cannot_be_listed_is_refused(
    unpacked: Path, assembled: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(place: str) -> Iterator[os.DirEntry[str]]:
        if Path(place).name == "9":
            raise PermissionError(13, "Permission denied", str(place))
        return listed(place)

    listed = os.scandir
    monkeypatch.setattr(os, "scandir", refused)
    code, told = assembled(unpacked)
    assert code == 2
    assert f"{unpacked / '9'}, which cannot be read (Permission denied)" in told


def test_where_nothing_can_be_written_is_said(
    unpacked: Path, tmp_path: Path, assembled: Callable[..., tuple[int, str]]
) -> None:
    (tmp_path / "whole").write_text("a file")
    code, told = assembled(unpacked)
    assert code == 2
    assert "a folder that can be written to" in told


@pytest.mark.parametrize("damage", ["", "[]"])
def test_a_receipt_that_cannot_be_read_rebuilds_its_id(
    damage: str, unpacked: Path, tmp_path: Path, assembled: Callable[..., tuple[int, str]]
) -> None:
    assembled(unpacked)
    receipt = tmp_path / "whole" / ".receipts" / "IDC-9.json"
    known = receipt.read_text()
    receipt.write_text(damage)
    assert assembled(unpacked)[0] == 0
    assert receipt.read_text() == known


def test_two_processes_do_not_write_the_same(
    unpacked: Path, tmp_path: Path, assembled: Callable[..., tuple[int, str]]
) -> None:
    with held([Claim(tmp_path / "whole" / ".lock", "")], "assemble"):
        code, told = assembled(unpacked)
    assert code == 2
    assert f"process {os.getpid()}" in told
