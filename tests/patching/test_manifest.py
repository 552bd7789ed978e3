"""slides.csv is read as DESIGN's table says, and every break of its rules is told."""

import hashlib
import logging
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from patching import Location
from patching.digests import fingerprint
from patching.errors import ManifestError, UnreadableSlideError
from patching.manifest import SlideRow, read_manifest
from patching.readers.cells import Reading
from patching.readers.joined_reader import Shift
from patching.tiling.receipts import key_of
from patching.tiling.settings import TileSettings
from patching.tiling.task import Folders, SlideTask

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write lines to slides.csv and give its path."""

    def to_file(*lines: str) -> Path:
        path = tmp_path / "slides.csv"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return to_file


def test_every_column(write: Write, tmp_path: Path) -> None:
    path = write(
        "slide_id,patient_id,image,channels,annotation,label,mpp,split,site",
        "007,p1,a.tif; ../b.tif,CARS;SHG,a.geojson,1,0.25,test,Jena",
        "s-2.x,Ärztin 2,c.png,,,0,,,",
    )
    assert read_manifest(path) == (
        SlideRow(
            slide_id="007",
            patient_id="p1",
            images=(tmp_path / "a.tif", tmp_path / "../b.tif"),
            channels=("CARS", "SHG"),
            annotation=tmp_path / "a.geojson",
            label=1,
            mpp=0.25,
            split="test",
            extra={"site": "Jena"},
        ),
        SlideRow("s-2.x", "Ärztin 2", (tmp_path / "c.png",), label=0, extra={"site": ""}),
    )


def test_paths_relative_to_another_folder(write: Write) -> None:
    path = write("slide_id,patient_id,image,annotation", "a,p,x/a.tif,x/a.png", "b,p,/data/b.tif,")
    rows = read_manifest(path, root=Path("cohort"))
    assert rows[0].images == (Path("cohort/x/a.tif"),)
    assert rows[0].annotation == Path("cohort/x/a.png")
    assert rows[1].images == (Path("/data/b.tif"),)


def test_a_spreadsheet_s_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "slides.csv"
    path.write_bytes(b"\xef\xbb\xbfslide_id,patient_id,image\r\na,p,a.tif\r\n\r\n")
    assert [row.slide_id for row in read_manifest(path)] == ["a"]


@pytest.mark.parametrize(
    ("mpp", "told"), [("250", True), ("2.5e-7", True), ("250 nm", False), ("0.5", False)]
)
def test_a_pixel_size_that_no_light_microscope_has_is_told(
    mpp: str, told: bool, write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    path = write("slide_id,patient_id,image,mpp", f"a,p,a.tif,{mpp}")
    assert read_manifest(path)[0].mpp is not None
    assert ("line 2: mpp" in caplog.text and "no light microscope's" in caplog.text) == told


def test_how_slides_are_read(write: Write) -> None:
    path = write(
        READING, 'a,p,a.tif;b.tif,3,max,TZCYX,tiff,"0,0;3,-2"', "b,q,c.tif,mean,0,,,", "c,q,d.tif,,,,,"
    )
    first, second, third = (row.reading for row in read_manifest(path))
    assert first == Reading(3, "max", "TZCYX", "tiff", (Shift(0, 0), Shift(3, -2)))
    assert (second, third) == (Reading("mean", 0), Reading())
    assert first.cells() == {"z": "3", "t": "max", "axes": "TZCYX", "reader": "tiff", "shift": "0,0;3,-2"}
    assert Reading.parsed(first.cells()) == first
    assert third.filled(first) == first
    assert second.filled(first) == Reading("mean", 0, "TZCYX", "tiff", first.shift)


def test_what_a_slide_is_and_which_image_of_a_file(write: Write) -> None:
    header = "slide_id,patient_id,image,kind,series,annotation_origin"
    path = write(
        header, "a,p,a.tif,brightfield,3,bounds", "b,p,b.tif,,Tumor left,", "c,p,c.tif,intensity,0,slide"
    )
    first, second, third = (row.reading for row in read_manifest(path))
    assert (first.kind, first.series, first.annotation_origin) == ("brightfield", 3, "bounds")
    assert (second.kind, second.series, second.annotation_origin) == (None, "Tumor left", None)
    # A number of 0 is a choice, which a cohort's default does not replace.
    assert third.filled(first) == third
    both = Reading(kind="brightfield", series="Tumor left", annotation_origin="bounds")
    assert second.filled(first) == both
    assert Reading.parsed(first.cells()) == first


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        ("RGB,", "kind 'RGB', which needs brightfield, intensity"),
        (",corner", "annotation_origin 'corner', which needs slide, bounds"),
    ],
)
def test_a_kind_or_an_origin_that_there_is_not(write: Write, cells: str, told: str) -> None:
    path = write("slide_id,patient_id,image,kind,annotation_origin", f"a,p,a.tif,{cells}")
    with pytest.raises(ManifestError, match=told):
        read_manifest(path)


def test_addresses_and_folders(write: Write, tmp_path: Path) -> None:
    path = write("slide_id,patient_id,image", "a,p,s3://bucket/a.ome.zarr", "b,p,b.zarr;https://host/c.zarr")
    assert [row.images for row in read_manifest(path)] == [
        ("s3://bucket/a.ome.zarr",), (tmp_path / "b.zarr", "https://host/c.zarr"),
    ]  # fmt: skip


def test_a_row_opens_as_it_says(write: Write, tmp_path: Path) -> None:
    image_ZYX = np.random.default_rng(0).integers(0, 99, (3, 20, 30)).astype(np.uint8)
    for name in "ab":
        options = {"metadata": {"axes": "ZYX"}, "photometric": "minisblack"}
        tifffile.imwrite(tmp_path / f"{name}.tif", image_ZYX, **options)
    path = write(READING.replace("image", "channels,image"), 's,p,x;y,a.tif;b.tif,1,,,tiff,"0,0;4,-2"')
    with read_manifest(path)[0].open() as slide:
        assert slide.channels == ("x", "y")
        region_HWC = slide.read_region(Location(0, 0), 0, slide.size)
    np.testing.assert_array_equal(region_HWC[..., 0], image_ZYX[1])
    np.testing.assert_array_equal(region_HWC[:-2, 4:, 1], image_ZYX[1, 2:, :-4])
    assert not region_HWC[-2:, :, 1].any()
    assert not region_HWC[:, :4, 1].any()


def test_tiling_reads_the_chosen_plane_and_knows_it(write: Write, tmp_path: Path) -> None:
    image_ZYX = np.random.default_rng(0).integers(0, 99, (2, 20, 30)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", image_ZYX, metadata={"axes": "ZYX"}, photometric="minisblack")
    rows = read_manifest(write("slide_id,patient_id,image,label,z", "a,p,a.tif,1,0", "b,p,a.tif,1,1"))
    for number, row in enumerate(rows):
        with row.open() as slide:
            region_HWC = slide.read_region(Location(0, 0), 0, slide.size)
        np.testing.assert_array_equal(region_HWC[..., 0], image_ZYX[number])
    content = {"patch": {"size": 8, "downsample": 1}, "tissue": {"method": "all"}, "classes": {}}
    settings = TileSettings.model_validate(content)
    folders = Folders(tmp_path, tmp_path, tmp_path)
    same = [replace(row, slide_id="a") for row in rows]
    assert len({key_of(SlideTask(row, "digest", settings, folders)) for row in same}) == 2


def test_fingerprint_of_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "slide.zarr"
    (folder / "0").mkdir(parents=True)
    (folder / "zarr.json").write_text("{}")
    (folder / "0" / "c").write_text("pixels")
    before = fingerprint([folder])
    (folder / "0" / "c").write_text("others")
    changed = fingerprint([folder])
    (folder / "0" / "c").rename(folder / "0" / "d")
    assert len({before, changed, fingerprint([folder])}) == 3


READING = "slide_id,patient_id,image,z,t,axes,reader,shift"
HEADER = "slide_id,patient_id,image,label,mpp,split,channels"
PROBLEMS = {
    r"separated by a comma, not by `;`": ("slide_id;patient_id;image", "a;p;a.tif"),
    r"separated by a comma, not by tabs": ("slide_id\tpatient_id\timage", "a\tp\ta.tif"),
    "no column patient_id": ("slide_id,image", "a,a.tif"),
    "no slides": (HEADER,),
    "column 'label' twice": ("slide_id,patient_id,image,label,label", "a,p,a.tif,0,1"),
    r"line 3: slide_id 'a/b'": (HEADER, "a,p,a.tif,0,,,", "a/b,p,b.tif,0,,,"),
    r"line 2: slide_id '.a', which needs 1 to 200 .* first of them no": (HEADER, ".a,p,a.tif,0,,,"),
    r"line 2: slide_id '\.\.'": (HEADER, "..,p,a.tif,0,,,"),
    r"line 2: slide_id 'a{201}'": (HEADER, f"{'a' * 201},p,a.tif,0,,,"),
    r"line 2: slide_id ''": (HEADER, ",p,a.tif,0,,,"),
    r"line 2: no patient_id": (HEADER, "a, ,a.tif,0,,,"),
    r"line 2: no image": (HEADER, "a,p, ; ,0,,,"),
    r"line 2: label '2'": (HEADER, "a,p,a.tif,2,,,"),
    r"line 2: label 'tumor'": (HEADER, "a,p,a.tif,tumor,,,"),
    r"line 2: mpp '-0.5'": (HEADER, "a,p,a.tif,0,-0.5,,"),
    r"line 2: mpp 'nan'": (HEADER, "a,p,a.tif,0,nan,,"),
    r"line 2: mpp '0.25x'": (HEADER, "a,p,a.tif,0,0.25x,,"),
    r"line 2: mpp '1.234,5'": (HEADER, 'a,p,a.tif,0,"1.234,5",,'),
    r"line 2: mpp '1_0'": (HEADER, "a,p,a.tif,0,1_0,,"),
    r"line 2: split 'val'": (HEADER, "a,p,a.tif,0,,val,"),
    r"line 2: a channel named twice": (HEADER, "a,p,a.tif,0,,,SHG;CARS;SHG"),
    r"line 2: 2 cells more than": (HEADER, "a,p,a.tif,0,,,,x,y"),
    r"line 2: z '-1', which needs": (READING, "a,p,a.tif,-1,,,,"),
    r"line 2: t 'sum', which needs": (READING, "a,p,a.tif,,sum,,,"),
    r"line 2: z '99999": (READING, f"a,p,a.tif,{'9' * 5000},,,,"),
    r"line 2: shift '11111": (READING, f'a,p,a.tif,,,,,"{"1" * 400},0"'),
    r"line 2: reader 'libvips', which needs tiff, openslide, image, zarr": (READING, "a,p,a.tif,,,,libvips,"),
    r"line 2: shift '1', which needs": (READING, "a,p,a.tif,,,,,1"),
    r"line 2: shift '0,0;1,1', which needs": (READING, 'a,p,a.tif,,,,,"0,0;1,1"'),
    r"slide_id 'a' twice": (HEADER, "a,p,a.tif,0,,,", "a,q,b.tif,0,,,"),
    r"patient 'p' in two splits: train, test": (HEADER, "a,p,a.tif,0,,train,", "b,p,b.tif,0,,test,"),
    r"a\.tif of two patients: 'p', 'q'": (HEADER, "a,p,a.tif,0,,,", "b,q,a.tif,0,,,"),
}


@pytest.mark.parametrize(
    ("cell", "mpp"), [("0.25", 0.25), ('"0,25"', 0.25), ("2.5e-1", 0.25), (".25", 0.25), ("250 nm", 0.25)]
)
def test_pixel_sizes_as_people_write_them(cell: str, mpp: float, write: Write) -> None:
    (row,) = read_manifest(write(HEADER, f"a,p,a.tif,0,{cell},,"))
    assert row.mpp == pytest.approx(mpp)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_problems(problem: str, write: Write) -> None:
    with pytest.raises(ManifestError, match=problem):
        read_manifest(write(*PROBLEMS[problem]))


def test_all_problems_are_told_at_once_but_not_endlessly(write: Write) -> None:
    path = write(HEADER, "a,,,7,,,", *(f"s{number},p,{number}.tif,x,,," for number in range(20)))
    with pytest.raises(ManifestError) as caught:
        read_manifest(path)
    message = caught.value.has
    assert "line 2: no patient_id; line 2: no image; line 2: label '7', which needs" in message
    assert "; line 3: label 'x'" in message
    assert message.count("line ") == 10
    assert message.endswith("; and 13 more")


@pytest.mark.parametrize(
    ("name", "meant"), [("chanels", "channels"), ("anotation", "annotation"), ("Label", "label")]
)
def test_a_misspelled_column_is_told(
    name: str, meant: str, write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    rows = read_manifest(write(f"slide_id,patient_id,image,{name}", "a,p,a.tif,1"))
    assert rows[0].extra == {name: "1"}
    assert f"unknown column {name!r} is not used; is it `{meant}`?" in caplog.text


def test_columns_of_the_reader_s_own_are_not_misspelled(
    write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    own = "site,stain,fingerprint,annotation_fingerprint,width,dtype,scanner"
    caplog.set_level(logging.WARNING)
    read_manifest(write(f"slide_id,patient_id,image,label,labels,{own}", "a,p,a.tif,1,x,,,,,,"))
    assert not caplog.records


def test_a_row_of_commas_alone_is_no_slide(write: Write) -> None:
    path = write(HEADER, "a,p,a.tif,0,,,", ",,,,,,", " , ,,,,,,,", "b,p,b.tif,0,,,", ",")
    assert [row.slide_id for row in read_manifest(path)] == ["a", "b"]
    with pytest.raises(ManifestError, match=r"line 4: slide_id ''"):
        read_manifest(write(HEADER, "a,p,a.tif,0,,,", ",,,,,,", ",,,0,,,"))


def test_a_patient_s_name_is_the_same_however_its_accents_are_written(write: Write) -> None:
    composed, combining = "M\u00fcller", "Mu\u0308ller"
    path = write(HEADER, f"a,{combining},a.tif,0,,,", f"b,{composed},b.tif,0,,,")
    assert [row.patient_id for row in read_manifest(path)] == [composed, composed]
    with pytest.raises(ManifestError, match="in two splits"):
        read_manifest(write(HEADER, f"a,{combining},a.tif,0,,train,", f"b,{composed},b.tif,0,,test,"))


@pytest.mark.parametrize(
    ("patients", "told"),
    [
        (("P7", "p7"), "'P7', 'p7'"),
        (("Anna  Lang", "Anna Lang"), "'Anna  Lang', 'Anna Lang'"),
        (("\uff17", "7"), "'7', '\uff17'"),
        (("07", "7"), None),
        (("p 7", "p7"), None),
    ],
)
def test_patients_that_a_reader_takes_for_one_are_told(
    patients: tuple[str, str], told: str | None, write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    rows = read_manifest(write(HEADER, *(f"s{n},{name},{n}.tif,0,,," for n, name in enumerate(patients))))
    assert tuple(row.patient_id for row in rows) == patients
    message = f"patient_id {told} differ in case or spaces alone, who are split as different patients"
    assert (message in caplog.text) if told else not caplog.records


def test_slides_that_some_systems_keep_in_one_folder_are_told(
    write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    lines = [f"{letter}{n},p,{letter}{n}.tif,0,,," for letter in "sS" for n in range(12)]
    read_manifest(write(HEADER, *lines))
    assert "slide_id 'S3', 's3' differ in case or spaces alone, which macOS and Windows keep" in caplog.text
    assert len(caplog.records) == 11
    assert "and 2 more such slide_id" in caplog.text


def test_a_long_slide_id_with_dots(write: Write) -> None:
    assert read_manifest(write(HEADER, f"a.{'b' * 198},p,a.tif"))[0].slide_id == f"a.{'b' * 198}"


def test_a_short_row_has_empty_cells(write: Write) -> None:
    assert read_manifest(write(HEADER, "a,p,a.tif"))[0].label is None


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no file"):
        read_manifest(tmp_path / "slides.csv")


@pytest.mark.parametrize(
    "content", [b"", b"\n\n", b"\xff\xfe\x00slides", b'slide_id,patient_id,image\n"a,p,x\n']
)
def test_no_manifest_at_all(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "slides.csv"
    path.write_bytes(content)
    with pytest.raises(ManifestError, match=r"slides\.csv"):
        read_manifest(path)


def test_fingerprints(tmp_path: Path) -> None:
    first, second, twin = (tmp_path / name for name in ("a.tif", "b.tif", "c.tif"))
    first.write_bytes(b"one")
    second.write_bytes(b"two")
    twin.write_bytes(b"one")
    assert fingerprint([first]) == hashlib.sha256(b"one").hexdigest()
    assert fingerprint([first]) == fingerprint([twin])
    assert fingerprint([first, second]) != fingerprint([second, first])
    (tmp_path / "on.tif").write_bytes(b"on")
    (tmp_path / "etwo.tif").write_bytes(b"etwo")
    assert fingerprint([first, second]) != fingerprint([tmp_path / "on.tif", tmp_path / "etwo.tif"])


def test_the_fingerprint_of_an_mrxs_slide_covers_its_folder(tmp_path: Path) -> None:
    index, data = tmp_path / "slide.mrxs", tmp_path / "slide" / "Data0000.dat"
    data.parent.mkdir()
    index.write_bytes(b"index")
    data.write_bytes(b"pixels")
    before = fingerprint([index])
    data.write_bytes(b"others")
    assert fingerprint([index]) != before


@pytest.mark.parametrize("inside", [False, True])
def test_a_file_that_cannot_be_read_has_no_fingerprint(inside: bool, tmp_path: Path) -> None:
    broken = tmp_path / "slide.zarr" / "0"
    broken.parent.mkdir()
    broken.symlink_to("/proc/self/mem")  # opens, and fails to read
    with pytest.raises(UnreadableSlideError, match=r"slide\.zarr/0: .*Input/output error"):
        fingerprint([broken.parent if inside else broken])
    with pytest.raises(UnreadableSlideError, match="No such file"):
        fingerprint([tmp_path / "gone.tif"])


def test_a_folder_that_must_not_be_entered_has_no_fingerprint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "slide.zarr"
    (folder / "0").mkdir(parents=True)
    scandir = os.scandir

    def forbidden(path: str | Path) -> Any:
        if Path(path).name == "0":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", forbidden)
    with pytest.raises(UnreadableSlideError, match=r"Permission denied: .*slide\.zarr/0"):
        fingerprint([folder])


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("cohort", "slides", "patients"), [("breast-pshg-tma", 23, 23), ("lc25000-lung", 1157, 494)]
)
def test_real_cohorts(cohort: str, slides: int, patients: int, real_data: Path) -> None:
    rows = read_manifest(real_data / cohort / "slides.csv")
    assert len(rows) == slides
    assert len({row.patient_id for row in rows}) == patients
    assert all(row.label in (0, 1) and row.images[0].is_file() for row in rows)
