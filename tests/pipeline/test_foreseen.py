"""What ingest can know of the tiling is told by ingest, once."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from patching.annotations.registry import load_annotation, outline_classes, value_classes
from patching.errors import AnnotationError
from patching.geometry import Size
from patching.manifest import SlideRow
from pipeline.cli import main
from pipeline.cohort.foreseen import tell_annotations

QUPATH = ["Tumor", "Stroma", "Immune cells", "Ignore*", "Necrosis", "Other"]
PLACES = np.array([[30 * n, 0] for n in range(6)])


def outline(called: str | None, left: int = 0, **properties: Any) -> dict[str, Any]:
    """A rectangle of 20 x 40 px."""
    ring = [[left, 0], [left + 20, 0], [left + 20, 40], [left, 40], [left, 0]]
    classified = {"classification": {"name": called}} if called else {}
    geometry = {"type": "Polygon", "coordinates": [ring]}
    return {"type": "Feature", "geometry": geometry, "properties": classified | properties}


def drawn(path: Path, *names: str) -> Path:
    path.write_text(json.dumps([outline(name, 30 * number) for number, name in enumerate(names)]))
    return path


def kinds(path: Path, classes: dict[str, str]) -> str:
    """Of six patches under as many outlines: T tumor, I ignored, - normal."""
    found = load_annotation(path, label=None, size=Size(300, 200), classes=classes)
    tumor_N, ignore_N = found.fractions(PLACES, 20), found.fractions(PLACES, 20, "ignore")
    pairs = zip(tumor_N > 0.9, ignore_N > 0.9, strict=True)
    return "".join("T" if tumor else "I" if ignored else "-" for tumor, ignored in pairs)


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        ({}, "T--III"),
        ({"tumor": "tumor", "normal": "normal", "ignore": "ignore"}, "T--III"),
        ({"necrosis": "tumor", "Immune Cells": "ignore"}, "T-IITI"),
        ({"Tumor": "tumor", "*": "normal"}, "T--I--"),
        ({"*": "tumor"}, "TTTITT"),
        ({"*": "tumor", "ignore*": "normal"}, "TTT-TT"),
    ],
)
def test_qupaths_own_classes_need_no_configuration(
    tmp_path: Path, classes: dict[str, str], expected: str
) -> None:
    assert kinds(drawn(tmp_path / "a.geojson", *QUPATH), classes) == expected


def test_they_are_qupaths_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    points = "".join(f'<Coordinate X="{x}" Y="{y}"/>' for x, y in ((0, 0), (20, 0), (20, 40)))
    group = '<Annotation Type="Polygon" PartOfGroup="{}"><Coordinates>{}</Coordinates></Annotation>'
    inside = group.format("Stroma", points) + group.format("tumor", points) * 2
    path.write_text(f"<ASAP_Annotations><Annotations>{inside}</Annotations></ASAP_Annotations>")
    assert outline_classes(path, {"tumor": "tumor"}) == {("Stroma", None): 1, ("tumor", "tumor"): 2}
    with pytest.raises(AnnotationError, match="'Stroma'"):
        load_annotation(path, label=None, size=Size(300, 200), classes={"tumor": "tumor"})


def test_what_a_file_is_asked_for_is_what_it_is_looked_up_by(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    nested = outline("Tumor", childObjects=[outline(None, name="Stroma")])
    core = outline(None, objectType="tmaCore")
    path.write_text(json.dumps([nested, core, outline("Tumor: Positive"), outline(None), outline("stroma ")]))
    assert outline_classes(path, {"unclassified": "normal", "tumor: positive": "tumor"}) == {
        ("Tumor", "tumor"): 1,
        ("unclassified", "normal"): 2,
        ("Tumor: Positive", "tumor"): 1,
        ("stroma ", "normal"): 1,
    }
    assert outline_classes(path, {"*": "ignore"})["Tumor: Positive", "ignore"] == 1
    mask = tmp_path / "a.png"
    Image.fromarray(np.ones((4, 6), np.uint8)).save(mask)
    assert not outline_classes(mask, {})


@pytest.fixture
def root(tmp_path: Path, repository: Path) -> Path:
    """A cohort of five small slides without a pixel size; s4 has a damaged annotation, s5 a label."""
    (tmp_path / "configs" / "cohorts").mkdir(parents=True)
    for name in ("ingest", "tile"):
        shutil.copy(repository / "configs" / f"{name}.yaml", tmp_path / "configs")
    lines = ["slide_id,patient_id,image,annotation,label,mpp"]
    for number in range(1, 6):
        pixels = np.random.default_rng(number).integers(0, 255, (40, 60, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"s{number}.png")
        annotation, label = (f"s{number}.geojson", "") if number < 5 else ("", "0")
        lines.append(f"s{number},p{number},s{number}.png,{annotation},{label},{'0.5' if number == 1 else ''}")
    for number, names in enumerate((["Tumor", "Tumor"], ["Tumour", "Stroma"], ["Tumour"]), 1):
        drawn(tmp_path / f"s{number}.geojson", *names)
    (tmp_path / "s4.geojson").write_text("no JSON")
    (tmp_path / "slides.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def ingested(root: Path, caplog: pytest.LogCaptureFixture, **tile: Any) -> list[str]:
    """Lines of the log that foresee the tiling."""
    content = {
        "manifest": "slides.csv",
        "description": "A test.",
        "ingest": {},
        "tile": tile,
        "algorithms": {},
    }
    (root / "configs" / "cohorts" / "mine.yaml").write_text(yaml.safe_dump(content))
    caplog.set_level(logging.INFO)
    caplog.clear()
    assert main(["ingest", "--root", str(root), "--cohort", "mine"]) == 0
    return [record.getMessage() for record in caplog.records if record.name.endswith("foreseen")]


def unreadable(text: str, slide: str, file: str, step: str = "tiling") -> bool:
    start = text.startswith(f"{slide}: its annotation cannot be read (")
    return start and file in text and text.endswith(f"): {step} will exclude this slide")


def test_an_annotation_that_is_cut_off_is_told_at_ingest(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (root / "s4.geojson").write_text('{"type":"FeatureCollection","features":[')
    tile = {"patch": {"size": 16, "downsample": 1}}
    *_, broken = ingested(root, caplog, **tile, classes={"*": "tumor"})
    assert unreadable(broken, "s4", "s4.geojson")
    assert "5 of 5 slides can be read; 1 of them tiling will exclude: " in caplog.messages[-1]
    ingested(root, caplog, **tile, classes={"Tumor": "tumor"})
    assert "; 3 of them tiling will exclude: " in caplog.messages[-1], "two have a class without meaning"
    ingested(root, caplog, patch={"size": 16, "mpp": 0.5}, classes={"Tumor": "tumor"})
    assert "; 4 of them tiling will exclude: " in caplog.messages[-1], "one of them also for its pixel size"
    drawn(root / "s4.geojson", "Tumor")
    told = ingested(root, caplog, **tile, classes={"*": "tumor"})
    assert not [text for text in told if "exclude" in text]
    assert "5 of 5 slides can be used: " in caplog.messages[-1]


def test_of_many_unreadable_annotations_some_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = masked(tmp_path, *[(0, 1)] * 13)
    for number in range(2, 14):
        (tmp_path / f"m{number}.png").write_bytes(b"no mask")
    without = tell_annotations(rows, {"0": "normal", "1": "tumor"}, [], step="predicting")
    assert without == {f"s{number}" for number in range(2, 14)}
    *named, more = (record.getMessage() for record in caplog.records if record.levelno == logging.WARNING)
    assert len(named) == 10
    assert unreadable(named[0], "s2", "m2.png", "predicting")
    assert more == "so it is with 2 annotations more: predicting will exclude their slides"


def test_classes_and_pixel_sizes_are_told_at_ingest(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    own = {"Tumor": "tumor", "Strma": "normal", "Dysplasia": "ignore", "7": "tumor"}
    mpp, explained, unknown, *in_vain, broken = ingested(
        root, caplog, patch={"size": 16, "mpp": 0.5}, classes=own
    )
    assert unreadable(broken, "s4", "s4.geojson")
    assert mpp.startswith("4 of 5 slides (s2, s3, s4, ...) have no pixel size, which patches of `mpp: 0.5`")
    meanings = "'Tumor' is tumor (2), 'Stroma' is normal as QuPath's own class (1)"
    assert explained == f"classes of outlines: {meanings}"
    assert unknown.startswith("outlines of the class 'Tumour' on 2 slides (s2, s3), which `tile.classes`")
    assert unknown.endswith("(did you mean 'Tumor'?): tiling will exclude these slides")
    assert in_vain == [
        "`tile.classes` maps 'Dysplasia', and no outline is called so",
        "`tile.classes` maps 'Strma', and no outline is called so (did you mean 'Stroma'?)",
    ]


def test_nothing_is_warned_of_where_all_is_well(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    drawn(root / "s4.geojson")
    (told,) = ingested(root, caplog, patch={"size": 16, "downsample": 1}, classes={"Tumour": "tumor"})
    assert "'Tumour' is tumor (2), 'Stroma' is normal as QuPath's own class (1)" in told
    (told,) = ingested(root, caplog, patch={"size": 16, "mpp": None}, classes={"*": "normal"})
    assert "'Tumour' is normal by `*` (2), 'Stroma' is normal by `*` (1)" in told


def test_a_map_that_means_nothing_stops_before_the_slides(
    root: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    ingested(root, caplog)
    file = root / "configs" / "cohorts" / "mine.yaml"
    content = yaml.safe_load(file.read_text()) | {"tile": {"classes": {"Tumor": "cancer"}}}
    file.write_text(yaml.safe_dump(content))
    written = (root / "data" / "mine" / "cohort" / "slides.csv").stat().st_mtime_ns
    assert main(["ingest", "--root", str(root), "--cohort", "mine"]) == 2
    assert "classes.Tumor = 'cancer'" in capsys.readouterr().err
    assert (root / "data" / "mine" / "cohort" / "slides.csv").stat().st_mtime_ns == written


def mask(path: Path, *values: int) -> Path:
    """Vertical stripes of these values, 20 x 40 px each."""
    Image.fromarray(np.repeat(np.array([values] * 40, np.uint16), 20, axis=1)).save(path)
    return path


def masked(folder: Path, *slides: tuple[int, ...]) -> list[SlideRow]:
    """Slides s1, s2, ... with a mask of these values each."""
    return [
        SlideRow(f"s{n}", f"p{n}", (folder / "a.svs",), annotation=mask(folder / f"m{n}.png", *values))
        for n, values in enumerate(slides, 1)
    ]


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        ({}, {0: "normal", 2: "tumor", 700: "tumor"}),
        ({"Tumor": "tumor", "*": "ignore"}, {0: "normal", 2: "tumor", 700: "tumor"}),
        ({"2": "ignore"}, {0: "normal", 2: "ignore", 700: None}),
        ({"2": "tumor", "*": "ignore"}, {0: "ignore", 2: "tumor", 700: "ignore"}),
        ({"0": "tumor", "*": "normal"}, {0: "tumor", 2: "normal", 700: "normal"}),
    ],
)
def test_values_of_a_mask_mean_what_tiling_takes_them_for(
    tmp_path: Path, classes: dict[str, str], expected: dict[int, str | None]
) -> None:
    path = mask(tmp_path / "a.png", 0, 2, 700)
    assert value_classes(path, classes) == expected
    assert value_classes(drawn(tmp_path / "a.geojson", "Tumor"), classes) == {}
    if None in expected.values():
        with pytest.raises(AnnotationError, match="'700'"):
            load_annotation(path, label=None, size=Size(60, 40), classes=classes)
        return
    found = load_annotation(path, label=None, size=Size(60, 40), classes=classes)
    places_N2 = PLACES[:3] * 20 // 30
    tumor_N, ignore_N = found.fractions(places_N2, 20), found.fractions(places_N2, 20, "ignore")
    pairs = zip(tumor_N, ignore_N, strict=True)
    assert ["tumor" if t else "ignore" if i else "normal" for t, i in pairs] == list(expected.values())


def test_values_of_masks_are_told_once_for_all_slides(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = masked(tmp_path, (0, 1), (0, 1, 255), (0, 1), (7, 0, 9))
    caplog.set_level(logging.INFO)
    tell_annotations(rows, {"tumor": "tumor"}, [])
    told, warned = (record.getMessage() for record in caplog.records)
    assert told == (
        "values of masks: 0 is normal (4 slides), 1 is tumor (3 slides), 7 is tumor (1 slides), 9 is tumor "
        "(1 slides), 255 is tumor (1 slides), as `tile.classes` names no value"
    )
    assert warned.startswith(
        "masks of 2 slides (s2, s4) have several values that all count as tumor (1, 7, 9, 255), as `tile.cl"
    )
    caplog.clear()
    tell_annotations(rows, {"0": "normal", "1": "tumor", "255": "ignore"}, ["0"], step="predicting")
    told, *lacking = (record.getMessage() for record in caplog.records)
    assert told == (
        "values of masks: 0 is normal (4 slides), 1 is tumor (3 slides), 255 is ignore (1 slides)"
    )
    assert lacking == [
        f"the value {value} of masks on 1 slides (s4), which `tile.classes` does not map: predicting will "
        "exclude these slides"
        for value in (7, 9)
    ]


def test_masks_of_one_value_each_and_large_ones(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = masked(tmp_path, (0, 1), (0, 255), (0, 0, 3, 4, 5))
    (tmp_path / "m1.png").write_bytes(b"no mask")
    monkeypatch.setattr("patching.annotations.mask_file.SMALL", 1600)
    caplog.set_level(logging.INFO)
    tell_annotations(rows, {}, [])
    told, left, broken = (record.getMessage() for record in caplog.records)
    assert unreadable(broken, "s1", "m1.png")
    assert told.startswith("values of masks: 0 is normal (1 slides), 255 is tumor (1 slides), as")
    assert left.startswith("1 masks of more than")


@pytest.mark.parametrize("small", [2400, 2399])
def test_values_are_told_by_ingest_or_where_masks_are_large_by_tiling(
    root: Path, small: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("mask", "mask_file"):
        monkeypatch.setattr(f"patching.annotations.{module}.SMALL", small)
    for number in range(1, 5):
        mask(root / f"s{number}-mask.png", 0, 1, number)
    lines = (root / "slides.csv").read_text().replace(".geojson", "-mask.png")
    (root / "slides.csv").write_text(lines)
    tile = {"patch": {"size": 16, "downsample": 1, "mpp": None}, "workers": 1}
    told = ingested(root, caplog, **tile, classes={"Tumor": "tumor"})
    caplog.clear()
    assert main(["tile", "--root", str(root), "--cohort", "mine"]) == 0
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    if small == 2400:
        first, second = told
        assert first.startswith(
            "values of masks: 0 is normal (4 slides), 1 is tumor (4 slides), 2 is tumor (1"
        )
        assert second.startswith("masks of 3 slides (s2, s3, s4) have several values that all count as tumor")
        assert not [each for each in warned if "all count" in each]
    else:
        assert [each[:15] for each in told] == ["4 masks of more"]
        assert warned[0].endswith("told on the cohort page: s2, s3, s4")
        assert warned[3].startswith("s4: the mask's values from 1 to 4 all count as tumor")


def test_predict_tells_of_masks_before_it_looks_for_the_model(
    root: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    mask(root / "s1-mask.png", 0, 4, 9)
    lines = (root / "slides.csv").read_text().replace("s1.geojson", "s1-mask.png").splitlines()
    (root / "slides.csv").write_text("\n".join(lines[:2]) + "\n")
    caplog.set_level(logging.INFO)
    out = str(root / "predicted")
    assert main(["predict", str(root / "slides.csv"), "--model", str(root / "none"), "--out", out]) == 2
    told = [record.getMessage() for record in caplog.records if record.name.endswith("foreseen")]
    assert told[0].endswith("4 is tumor (1 slides), 9 is tumor (1 slides), as `classes` names no value")
    assert len(told) == 2
    assert "none" in capsys.readouterr().err
