"""Ingest tells which slides can be used, why the others cannot, and writes the same bytes every time."""

import csv
import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
import yaml
import zarr
from PIL import Image

from patching import Location, Size
from patching.errors import ConfigError, ErrorBudgetError, ManifestError
from patching.manifest import SlideRow, read_manifest
from patching.tiling.examination import examine
from pipeline.artifacts import EXCLUDED, SLIDES, Paths
from pipeline.cli import main
from pipeline.files import read_table
from pipeline.stages.ingest import summarize
from tests.patching.leica import write_leica

SECTIONS = ("tile", "split", "attribute", "train", "algorithms", "evaluate", "report", "register")
HEADER = "slide_id,patient_id,image,channels,annotation,label,mpp,site"
NAMES = ("CARS", "TPEF", "SHG")


@dataclass(frozen=True)
class Cohort:
    """A repository with one cohort, whose slides lie beside it."""

    root: Path
    data: Path

    @property
    def paths(self) -> Paths:
        return Paths(self.root, "small")

    def describe(self, *lines: str, **ingest: Any) -> None:
        (self.data / "slides.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        content: dict[str, Any] = {
            "manifest": "../slides/slides.csv",
            "description": "a test",
            "ingest": ingest,
        }
        content |= {section: {} for section in SECTIONS}
        (self.root / "configs" / "cohorts" / "small.yaml").write_text(yaml.safe_dump(content))

    def ingest(self, *arguments: str) -> int:
        return main(
            ["ingest", "--cohort", "small", "--root", str(self.root), "--log-level", "warning", *arguments]
        )

    def slides(self) -> list[dict[str, str]]:
        return rows_of(self.paths.slides)

    def excluded(self) -> dict[str, dict[str, str]]:
        return {row["slide_id"]: row for row in rows_of(self.paths.ingest_excluded)}


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_slide(path: Path, channels: int = 3, dtype: str = "uint16", mpp: float | None = 0.5) -> None:
    """A 300 by 200 OME-TIFF whose pixels differ from file to file."""
    rng = np.random.default_rng(list(path.name.encode()))
    planes_CHW = rng.integers(0, 200, (channels, 200, 300)).astype(dtype)
    unit = {"PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm"}
    pixel = {} if mpp is None else {"PhysicalSizeX": mpp, "PhysicalSizeY": mpp, **unit}
    metadata = {"axes": "CYX", "Channel": {"Name": list(NAMES[:channels])}, **pixel}
    options: dict[str, Any] = {"tile": (64, 64), "compression": "zlib", "photometric": "minisblack"}
    tifffile.imwrite(path, planes_CHW, ome=True, metadata=metadata, **options)


@pytest.fixture
def cohort(tmp_path: Path, repository: Path) -> Cohort:
    root, data = tmp_path / "repository", tmp_path / "slides"
    (root / "configs" / "cohorts").mkdir(parents=True)
    data.mkdir()
    shutil.copy(repository / "configs" / "ingest.yaml", root / "configs")
    return Cohort(root, data)


@pytest.fixture
def five(cohort: Cohort) -> Cohort:
    """Five good slides a to e, of four patients."""
    for name in "abcde":
        write_slide(cohort.data / f"{name}.ome.tif")
    cohort.describe(HEADER, *(good(name) for name in "dbcae"))
    return cohort


def good(name: str, label: str = "1") -> str:
    return f"{name},p-{'a' if name == 'b' else name},{name}.ome.tif,,,{label},,Jena"


def test_a_sound_cohort(five: Cohort) -> None:
    assert five.ingest() == 0
    assert [row["slide_id"] for row in five.slides()] == list("abcde")
    assert five.slides()[1] == {
        "slide_id": "b",
        "patient_id": "p-a",
        "image": "../slides/b.ome.tif",
        "channels": "CARS;TPEF;SHG",
        "annotation": "",
        "label": "1",
        "mpp": "0.5",
        "split": "",
        "annotation_fingerprint": "",
        "fingerprint": hashlib.sha256((five.data / "b.ome.tif").read_bytes()).hexdigest(),
        "width": "300",
        "height": "200",
        "dtype": "uint16",
        "kind": "intensity",
        "site": "Jena",
    }
    assert five.paths.ingest_excluded.read_text() == ",".join(EXCLUDED) + "\n"
    summary = json.loads((five.paths.ingested / "summary.json").read_text())
    assert (summary["slides"], summary["patients"], summary["labels"]) == (5, 4, {"1": 5})
    assert (summary["channels"], summary["dtype"], summary["excluded"]) == (list(NAMES), "uint16", {})
    assert summary["mpp"] == {"smallest": 0.5, "largest": 0.5, "missing": 0}


def test_what_later_stages_read(five: Cohort) -> None:
    five.ingest()
    assert list(read_table(five.paths.slides, SLIDES, "ingest")["slide_id"]) == list("abcde")
    first = read_manifest(five.paths.slides, root=five.root)[0]
    assert first.images[0].samefile(five.data / "a.ome.tif")
    assert (first.channels, first.mpp, first.extra["site"]) == (NAMES, 0.5, "Jena")


def test_the_same_bytes_whatever_the_order_and_place(five: Cohort, tmp_path: Path) -> None:
    def ingested(cohort: Cohort) -> list[bytes]:
        cohort.ingest()
        return [path.read_bytes() for path in sorted(cohort.paths.ingested.iterdir())]

    (five.data / "c.ome.tif").write_bytes(b"broken")
    five.describe(HEADER, *(good(name) for name in "dbcae"), error_budget=0.5)
    before = ingested(five)
    assert len(before) == 3
    five.describe(HEADER, *(good(name) for name in "abcde"), error_budget=0.5)
    assert ingested(five) == before
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    shutil.move(five.root, moved)
    shutil.move(five.data, moved)
    assert ingested(Cohort(moved / five.root.name, moved / five.data.name)) == before
    assert not any(str(tmp_path).encode() in content for content in before)


def missing_image(cohort: Cohort) -> str:
    (cohort.data / "c.ome.tif").unlink()
    return good("c")


def broken_image(cohort: Cohort) -> str:
    (cohort.data / "c.ome.tif").write_bytes(b"no slide")
    return good("c")


def truncated_image(cohort: Cohort) -> str:
    path = cohort.data / "c.ome.tif"
    path.write_bytes(path.read_bytes()[:-1000])
    return good("c")


def picture_damaged_inside(cohort: Cohort) -> str:
    """Its header is sound: only decoding tells."""
    path = cohort.data / "c.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:-2000])
    return "c,p-c,c.jpg,,,1,,Jena"


def missing_annotation(cohort: Cohort) -> str:
    return "c,p-c,c.ome.tif,,c.geojson,,,Jena"


def neither_label_nor_annotation(cohort: Cohort) -> str:
    return good("c", label="")


def fewer_channels(cohort: Cohort) -> str:
    write_slide(cohort.data / "c.ome.tif", channels=2)
    return good("c")


def fewer_channels_than_named(cohort: Cohort) -> str:
    write_slide(cohort.data / "c.ome.tif", channels=1)
    return "c,p-c,c.ome.tif,CARS;TPEF;SHG,,1,,Jena"


def other_pixel_type(cohort: Cohort) -> str:
    write_slide(cohort.data / "c.ome.tif", dtype="uint8")
    return good("c")


def mixed_modalities(cohort: Cohort) -> str:
    write_slide(cohort.data / "c1.ome.tif", channels=1)
    write_slide(cohort.data / "c2.ome.tif", channels=2, dtype="uint8")
    return "c,p-c,c1.ome.tif;c2.ome.tif,CARS;TPEF;SHG,,1,,Jena"


DEFECTS: dict[Callable[[Cohort], str], tuple[str, str]] = {
    missing_image: ("MissingFileError", "no file ../slides/c.ome.tif; needs"),
    broken_image: ("UnreadableSlideError", "../slides/c.ome.tif: 8 bytes of no known format"),
    truncated_image: ("UnreadableSlideError", "truncated"),
    picture_damaged_inside: ("UnreadableSlideError", "../slides/c.jpg: OSError: image file is truncated"),
    missing_annotation: ("MissingFileError", "no file ../slides/c.geojson"),
    neither_label_nor_annotation: ("AnnotationError", "neither an annotation nor a label"),
    fewer_channels: (
        "ChannelError",
        "CARS, TPEF in uint16; needs the cohort's CARS, TPEF, SHG in uint16",
    ),
    fewer_channels_than_named: ("ChannelError", "1 channel (CARS); needs 3 (CARS, TPEF, SHG)"),
    other_pixel_type: ("ChannelError", "in uint8; needs the cohort's CARS, TPEF, SHG in uint16"),
    mixed_modalities: ("ChannelError", "../slides/c1.ome.tif: uint16, ../slides/c2.ome.tif: uint8"),
}


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.__name__)
def test_one_bad_slide_is_told_and_skipped(defect: Callable[[Cohort], str], five: Cohort) -> None:
    five.describe(HEADER, *(good(name) for name in "abde"), defect(five), error_budget=0.2)
    assert five.ingest() == 0
    assert [row["slide_id"] for row in five.slides()] == list("abde")
    kind, reason = DEFECTS[defect]
    refused = five.excluded()["c"]
    assert (refused["stage"], refused["error"]) == ("ingest", kind)
    assert reason in refused["reason"]
    summary = json.loads((five.paths.ingested / "summary.json").read_text())
    assert (summary["slides"], summary["excluded"]) == (4, {kind: 1})


def test_beyond_the_budget(five: Cohort, capsys: pytest.CaptureFixture[str]) -> None:
    assert five.ingest() == 0
    row = missing_image(five)
    five.describe(HEADER, *(good(name) for name in "abde"), row, error_budget=0.1)
    assert five.ingest() == 2
    told = capsys.readouterr().err
    assert ErrorBudgetError.__name__ in told
    assert "1 of 5 slides excluded: c: MissingFileError: no file" in told
    assert "at most a share of 0.1" in told
    assert str(five.paths.ingest_excluded) in told
    # What was found is written; the slides of the earlier run are not left lying.
    assert list(five.excluded()) == ["c"]
    assert not five.paths.slides.exists()
    assert five.ingest("--error-budget", "0.2") == 0


def test_the_same_reason_is_told_once(
    five: Cohort, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    lost = [f"{name},p,{name}.tif,,,1,,Jena" for name in ("S00", "S01", "S02", "S03")]
    five.describe(HEADER, good("a"), good("b", label=""), *lost, error_budget=0.1)
    assert five.ingest() == 2
    line = "4 slides (S00, S01, S02, ...): MissingFileError: no file <image>"
    alone = "b: AnnotationError: neither an annotation nor a label"
    assert [record.getMessage() for record in caplog.records] == [f"excluded: {line}", f"excluded: {alone}"]
    told = capsys.readouterr().err
    assert f"5 of 6 slides excluded: {line}; {alone}\n" in told
    assert told.count("needs") == 1
    assert "no file ../slides/S03.tif; needs" in five.excluded()["S03"]["reason"]


def test_no_usable_slide(cohort: Cohort, capsys: pytest.CaptureFixture[str]) -> None:
    cohort.describe(HEADER, good("a"), error_budget=1.0)
    assert cohort.ingest() == 2
    assert "1 of 1 slides excluded" in capsys.readouterr().err


def test_the_config_decides_the_channels(five: Cohort) -> None:
    for name in "ab":
        write_slide(five.data / f"{name}.ome.tif", channels=2, dtype="uint8")
    rows = [good(name) for name in "abcde"]
    five.describe(HEADER, *rows, error_budget=0.6, channels=["CARS", "TPEF"])
    assert five.ingest() == 0
    assert [row["slide_id"] for row in five.slides()] == ["a", "b"]
    five.describe(HEADER, *rows, error_budget=0.6)
    assert five.ingest() == 0
    assert [row["slide_id"] for row in five.slides()] == ["c", "d", "e"]


def test_names_of_the_manifest_win(five: Cohort) -> None:
    row = "c,p-c,c.ome.tif,x;y;z,,1,,Jena"
    five.describe(HEADER, row, error_budget=0)
    assert five.ingest() == 0
    assert five.slides()[0]["channels"] == "x;y;z"


def test_the_manifest_s_mpp_wins(five: Cohort, caplog: pytest.LogCaptureFixture) -> None:
    write_slide(five.data / "d.ome.tif", mpp=None)
    five.describe(HEADER, good("a"), "c,p-c,c.ome.tif,,,1,0.25,Jena", good("d"))
    assert five.ingest() == 0
    assert [row["mpp"] for row in five.slides()] == ["0.5", "0.25", ""]
    summary = json.loads((five.paths.ingested / "summary.json").read_text())
    assert summary["mpp"] == {"smallest": 0.25, "largest": 0.5, "missing": 1}
    assert "mixed pixel sizes, 0.25 to 0.5 µm" in caplog.text
    five.describe(HEADER, good("a"), "c,p-c,c.ome.tif,,,1,0.25,Jena", good("d"), mpp=0.7)
    assert five.ingest() == 0
    assert [row["mpp"] for row in five.slides()] == ["0.5", "0.25", "0.7"]


def test_same_content_twice_is_told(five: Cohort, caplog: pytest.LogCaptureFixture) -> None:
    shutil.copy(five.data / "a.ome.tif", five.data / "e.ome.tif")
    assert five.ingest() == 0
    assert json.loads((five.paths.ingested / "summary.json").read_text())["same_content"] == [["a", "e"]]
    assert "same content" in caplog.text


def test_the_annotation_is_kept(five: Cohort) -> None:
    (five.data / "a.geojson").write_text("{}")
    five.describe(HEADER, "a,p-a,a.ome.tif,,a.geojson,,,Jena")
    assert five.ingest() == 0
    assert five.slides()[0]["annotation"] == "../slides/a.geojson"
    assert five.slides()[0]["label"] == ""
    assert five.slides()[0]["annotation_fingerprint"] == hashlib.sha256(b"{}").hexdigest()
    summary = json.loads((five.paths.ingested / "summary.json").read_text())
    assert (summary["labels"], summary["annotated"]) == ({}, 1)


def test_an_edited_annotation_changes_the_table(five: Cohort) -> None:
    (five.data / "a.geojson").write_text("{}")
    five.describe(HEADER, "a,p-a,a.ome.tif,,a.geojson,,,Jena")
    assert five.ingest() == 0
    before = five.slides()[0]
    (five.data / "a.geojson").write_text("[]")
    assert five.ingest() == 0
    after = five.slides()[0]
    assert {name for name in after if after[name] != before[name]} == {"annotation_fingerprint"}


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ((HEADER,), "no slides"),
        (("slide_id,image,label", "a,a.ome.tif,1"), "no column patient_id"),
        ((HEADER, good("a"), good("a")), "slide_id 'a' twice"),
    ],
)
def test_a_bad_manifest_stops(
    lines: tuple[str, ...], problem: str, five: Cohort, capsys: pytest.CaptureFixture[str]
) -> None:
    five.describe(*lines)
    assert five.ingest() == 2
    told = capsys.readouterr().err
    assert ManifestError.__name__ in told
    assert problem in told


@pytest.mark.parametrize(
    "ingest",
    [
        {"eror_budget": 0.1},
        {"error_budget": 2},
        {"channels": "CARS"},
        {"z": "sum"},
        {"t": -1},
        {"reader": "vips"},
        {"registration": "yes"},
        {"largest_shift": 0},
    ],
)
def test_a_bad_setting_stops(
    ingest: dict[str, Any], five: Cohort, capsys: pytest.CaptureFixture[str]
) -> None:
    five.describe(HEADER, good("a"), **ingest)
    assert five.ingest() == 2
    told = capsys.readouterr().err
    assert ConfigError.__name__ in told
    assert next(iter(ingest)) in told


def test_planes_of_stacks(five: Cohort) -> None:
    """The cohort's choice fills empty cells and is written where tile reads it."""
    planes_ZYX = np.random.default_rng(0).integers(0, 99, (4, 200, 300)).astype(np.uint16)
    for name in "fg":
        options: dict[str, Any] = {"ome": True, "metadata": {"axes": "ZYX"}, "photometric": "minisblack"}
        tifffile.imwrite(five.data / f"{name}.ome.tif", planes_ZYX, **options)
    header = HEADER + ",z"
    five.describe(header, good("f"), good("g") + ",2")
    assert five.ingest("--error-budget", "0.9") == 0
    assert "several planes along Z (4)" in five.excluded()["f"]["reason"]
    five.describe(header, good("f"), good("g") + ",2", z="max")
    assert five.ingest() == 0
    assert [row["z"] for row in five.slides()] == ["max", "2"]
    assert "t" not in five.slides()[0]
    with read_manifest(five.paths.slides, root=five.root)[0].open() as slide:
        region_HWC = slide.read_region(Location(0, 0), 0, slide.size)
    np.testing.assert_array_equal(region_HWC[..., 0], planes_ZYX.max(axis=0))


def test_ome_zarr_in_a_folder_and_at_an_address(cohort: Cohort) -> None:
    for name in ("a", "b"):
        group = zarr.open_group(cohort.data / f"{name}.zarr", mode="w")
        array = group.create_array("0", shape=(200, 300), chunks=(64, 64), dtype="uint8")
        array[:] = ord(name)
        axes = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "yx"]
        scale = {"type": "scale", "scale": [0.5, 0.5]}
        datasets = [{"path": "0", "coordinateTransformations": [scale]}]
        group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    address = f"file://{cohort.data}/b.zarr"
    cohort.describe(HEADER, "a,p,a.zarr,,,1,,Jena", f"b,p,{address},,,1,,Jena")
    assert cohort.ingest() == 0
    assert [row["image"] for row in cohort.slides()] == ["../slides/a.zarr", address]
    assert [(row["mpp"], row["width"]) for row in cohort.slides()] == [("0.5", "300")] * 2
    assert len({row["fingerprint"] for row in cohort.slides()}) == 2


def write_modalities(cohort: Cohort, x: int, y: int) -> None:
    """Two files of one field; the second's content lies x pixels to the left and y up."""
    rng = np.random.default_rng(1)
    field_HW = cv2.GaussianBlur(rng.integers(0, 4000, (260, 360)).astype(np.float32), (0, 0), 3)
    first_HW, second_HW = field_HW[30:230, 30:330], field_HW[30 + y : 230 + y, 30 + x : 330 + x]
    tifffile.imwrite(cohort.data / "one.tif", first_HW.astype(np.uint16), metadata=None)
    tifffile.imwrite(cohort.data / "two.tif", (second_HW * 0.3 + 100).astype(np.uint16), metadata=None)


@pytest.mark.parametrize("registration", [None, "report", "correct"])
def test_registration(registration: str | None, cohort: Cohort) -> None:
    write_modalities(cohort, 7, -4)
    cohort.describe(HEADER, "a,p,one.tif;two.tif,CARS;SHG,,1,,Jena", registration=registration)
    assert cohort.ingest() == 0
    summary = json.loads((cohort.paths.ingested / "summary.json").read_text())
    assert ("shifts" in summary) == (registration is not None)
    if registration:
        np.testing.assert_allclose(summary["shifts"]["a"], [[0, 0], [7, -4]], atol=0.2)
    assert cohort.slides()[0].get("shift") == ("0,0;7,-4" if registration == "correct" else None)
    with read_manifest(cohort.paths.slides, root=cohort.root)[0].open() as slide:
        region_HWC = slide.read_region(Location(50, 50), 0, Size(200, 100)).astype(float)
    correlation = np.corrcoef(region_HWC[..., 0].ravel(), region_HWC[..., 1].ravel())[0, 1]
    assert (correlation > 0.99) == (registration == "correct")


def test_an_unreadable_annotation_excludes_its_slide_alone(cohort: Cohort) -> None:
    for name in "ab":
        write_slide(cohort.data / f"{name}.ome.tif")
    (cohort.data / "bad.geojson").symlink_to("/proc/self/mem")  # opens, and fails to read
    rows = ("a,p,a.ome.tif,,bad.geojson,,,", "b,q,b.ome.tif,,,1,,")
    cohort.describe(HEADER, *rows, error_budget=0.5)
    assert cohort.ingest() == 0
    assert [row["slide_id"] for row in cohort.slides()] == ["b"]
    assert "Input/output error" in cohort.excluded()["a"]["reason"]


def test_modalities_too_far_apart(cohort: Cohort) -> None:
    write_modalities(cohort, 20, 10)
    row = "a,p,one.tif;two.tif,CARS;SHG,,1,,Jena"
    write_slide(cohort.data / "b.ome.tif", channels=2)
    other = "b,p,b.ome.tif,CARS;SHG,,1,,Jena"
    cohort.describe(HEADER, row, other, registration="correct", largest_shift=15, error_budget=0.5)
    assert cohort.ingest() == 0
    assert "modalities 22." in cohort.excluded()["a"]["reason"]


@pytest.mark.parametrize(
    ("shift", "reason"),
    [("0,0;20,10", None), ("-3,4;17,14", None), ("0,0;-20,-10", "44.* pixels left after the column `shift`")],
)
def test_a_given_shift_is_a_way_out(shift: str, reason: str | None, cohort: Cohort) -> None:
    write_modalities(cohort, 20, 10)
    row = f'a,p,one.tif;two.tif,CARS;SHG,,1,,Jena,"{shift}"'
    cohort.describe(f"{HEADER},shift", row, registration="report", largest_shift=15, error_budget=0.5)
    assert cohort.ingest() == (2 if reason else 0)
    if reason:
        assert re.search(reason, cohort.excluded()["a"]["reason"])
    else:
        assert cohort.slides()[0]["shift"] == shift


@pytest.mark.parametrize(
    ("written", "left_out"),
    [("14306", 14306), ("M\u00fcller", "Mu\u0308ller"), ("Mu\u0308ller", "Mu\u0308ller")],
)
def test_patients_are_left_out_by_id_and_not_counted_as_errors(
    written: str, left_out: int | str, cohort: Cohort
) -> None:
    write_modalities(cohort, 0, 0)
    rows = (f"a,{written},one.tif,CARS,,1,,Jena", "c,q,two.tif,CARS,,0,,Jena")
    cohort.describe(HEADER, *rows, exclude=[left_out], error_budget=0)
    assert cohort.ingest() == 0
    assert [row["slide_id"] for row in cohort.slides()] == ["c"]
    assert cohort.excluded() == {}


@pytest.mark.parametrize(
    ("exclude", "told"), [(["P"], "'P'.*needs: patient ids of slides.csv, such as 'p'"), (["p"], "all 1 pat")]
)
def test_leaving_out_nobody_or_everybody_is_refused(
    exclude: list[str], told: str, cohort: Cohort, capsys: pytest.CaptureFixture[str]
) -> None:
    write_modalities(cohort, 0, 0)
    cohort.describe(HEADER, "a,p,one.tif,CARS,,1,,Jena", exclude=exclude)
    assert cohort.ingest() == 2
    assert re.search(told, capsys.readouterr().err, re.DOTALL)


@pytest.mark.real_data
def test_real_cores(cohort: Cohort, real_data: Path) -> None:
    folder = real_data / "breast-pshg-tma"
    lines = (folder / "slides.csv").read_text().splitlines()
    single = [f"{core},{core[:6]},{core}.ome.tif,SHG_log_intensity;R_ratio;DCP,0,Normal"
              for core in ("core11_Normal", "core36_Normal")]  # fmt: skip
    for path in folder.glob("*.ome.tif"):
        (cohort.data / path.name).symlink_to(path)
    cohort.describe(*lines, *single)
    assert cohort.ingest() == 0
    assert len(cohort.slides()) == 23
    assert {row["channels"] for row in cohort.slides()} == {"SHG_log_intensity;R_ratio;DCP"}
    assert set(cohort.excluded()) == {"core11_Normal", "core36_Normal"}
    assert "1 channel (SHG_log_intensity); needs 3" in cohort.excluded()["core11_Normal"]["reason"]


def test_a_pixel_size_against_the_files_is_told(five: Cohort, caplog: pytest.LogCaptureFixture) -> None:
    five.describe(HEADER, "a,p-a,a.ome.tif,,,1,0.51,Jena", "c,p-c,c.ome.tif,,,1,0.25,Jena")
    assert five.ingest() == 0
    assert "c.ome.tif: the file says 0.5 µm per pixel, and the column mpp 0.25, which counts" in caplog.text
    assert "a.ome.tif: the file says" not in caplog.text


def test_images_of_one_file_may_be_of_several_patients(
    cohort: Cohort, caplog: pytest.LogCaptureFixture
) -> None:
    with tifffile.TiffWriter(cohort.data / "day.ome.tif", ome=True) as tiff:
        for seed in (1, 2):
            planes_CHW = np.random.default_rng(seed).integers(0, 200, (3, 200, 300)).astype(np.uint16)
            tiff.write(planes_CHW, metadata={"axes": "CYX"}, photometric="minisblack")
    header = HEADER + ",series"
    rows = ["a,p1,day.ome.tif,,,1,0.5,Jena,0", "b,p2,day.ome.tif,,,0,0.5,Jena,1"]
    cohort.describe(header, *rows)
    assert cohort.ingest() == 0
    assert [row["series"] for row in cohort.slides()] == ["0", "1"]
    assert "same content" not in caplog.text
    cohort.describe(header, rows[0], rows[1][:-1] + "0")
    assert cohort.ingest() == 2


def test_where_qupaths_frame_begins_is_kept(tmp_path: Path) -> None:
    pixels_HWC = np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8)
    row = SlideRow("s", "p", (write_leica(tmp_path / "leica.scn", pixels_HWC),), label=1)
    found = examine(row, None, 0.0)
    assert summarize([found], {})["bounds"] == {"s": [160, 100]}
    assert summarize([replace(found, bounds=Location(0, 0))], {})["bounds"] == {}
