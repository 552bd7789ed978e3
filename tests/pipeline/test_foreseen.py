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

from patching.annotations.registry import load_annotation, outline_classes
from patching.errors import AnnotationError
from patching.geometry import Size
from pipeline.cli import main

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


def test_classes_and_pixel_sizes_are_told_at_ingest(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    own = {"Tumor": "tumor", "Strma": "normal", "Dysplasia": "ignore", "7": "tumor"}
    mpp, explained, unknown, *in_vain = ingested(root, caplog, patch={"size": 16, "mpp": 0.5}, classes=own)
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
