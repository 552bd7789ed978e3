"""The many ways in which programs write the same outline: read alike, or refused, never a part of it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from patching.annotations.base import AbstractAnnotation
from patching.annotations.registry import load_annotation
from patching.errors import AnnotationError
from patching.geometry import Size

SIZE = Size(300, 200)
CLASSES = {"Geschwür": "tumor", "Tumor": "tumor", "normal": "normal"}
RING = [[40, 30], [140, 30], [140, 100.5], [40, 100.5]]
AREA = 100 * 70.5


def load(path: Path, content: Any, classes: Mapping[str, str] = CLASSES) -> AbstractAnnotation:
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return load_annotation(path, label=None, size=SIZE, classes=classes)


def area(annotation: AbstractAnnotation) -> float:
    grid_N2 = np.stack(np.meshgrid(np.arange(0, 300, 20), np.arange(0, 200, 20)), -1).reshape(-1, 2)
    return float(annotation.fractions(grid_N2, 20).sum() * 20**2)


def feature(rings: Any = (RING,), name: Any = "Tumor", **more: Any) -> dict[str, Any]:
    geometry = {"type": "Polygon", "coordinates": list(rings)}
    return {"type": "Feature", "geometry": geometry, "properties": {"classification": name}, **more}


def xml(prolog: str = "", name: str = "Geschwür", low: str = "40", high: str = "100.5") -> str:
    ring = [(low, "30"), ("140", "30"), ("140", high), (low, high)]
    points = "".join(f'<Vertex X="{x}" Y="{y}" Z="0"/>' for x, y in ring)
    return (
        f'{prolog}<Annotations MicronsPerPixel="0.2520"><Annotation Name="{name}"><Regions><Region Type="0">'
        f"<Vertices>{points}</Vertices></Region></Regions></Annotation></Annotations>"
    )


def declared(encoding: str) -> str:
    return f'<?xml version="1.0" encoding="{encoding}"?>\n'


@pytest.mark.parametrize(
    "content",
    [
        xml().encode(),
        xml(declared("utf-8")).encode("utf-8-sig"),
        xml(declared("utf-16")).encode("utf-16"),
        xml().encode("utf-16"),
        xml(declared("utf-16")).encode("utf-16-le"),
        xml(declared("utf-16")).encode("utf-16-be"),
        xml(declared("utf-16")).encode("utf-8"),
        xml(declared("UTF-16")).replace('"UTF-16"', "'UTF-16'").encode("utf-8-sig"),
        xml(declared("iso-8859-1")).encode("latin-1"),
        xml(declared("windows-1252")).encode("cp1252"),
    ],
    ids=range(10),
)
def test_xml_in_the_encoding_that_it_is_in(content: bytes, tmp_path: Path) -> None:
    assert area(load(tmp_path / "a.xml", content)) == pytest.approx(AREA)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_json_in_the_encoding_that_it_is_in(encoding: str, tmp_path: Path) -> None:
    content = json.dumps(feature(name="Geschwür"), ensure_ascii=False).encode(encoding)
    assert area(load(tmp_path / "a.geojson", content)) == pytest.approx(AREA)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    for name, content in (
        ("a.xml", xml().encode("latin-1")),
        ("a.xml", xml(declared("utf-8")).encode("latin-1")),
        ("a.xml", xml(declared("utf-16")).encode("latin-1")),
        ("a.geojson", json.dumps(feature(name="Geschwür"), ensure_ascii=False).encode("latin-1")),
    ):
        with pytest.raises(AnnotationError, match="cannot be read"):
            load(tmp_path / name, content)


NUMBERS = ["40", " 40 ", "+40", "40.", "40,0", "4e1", "4E+01", "0.4e2", ".4e2", ",4e2", "400e-1", "40\u00a0"]
NO_NUMBERS = [
    "",
    " ",
    "nan",
    "inf",
    "1_0",
    "0x28",
    "40px",
    "4 0",
    "40,0,0",
    "1.040,0",
    "40;",
    "--40",
    "4e",
    "٤٠",
]


@pytest.mark.parametrize("text", NUMBERS)
def test_numbers_are_read_whole(text: str, tmp_path: Path) -> None:
    assert area(load(tmp_path / "a.xml", xml(low=text))) == pytest.approx(AREA)
    ring = [[text, "30"], [140, 30], ["140", "100,5"], [text, 100.5]]
    assert area(load(tmp_path / "a.geojson", feature([ring]))) == pytest.approx(AREA)


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_what_is_no_number_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="not a number"):
        load(tmp_path / "a.xml", xml(low=text))
    with pytest.raises(AnnotationError, match="not numbers"):
        load(tmp_path / "a.geojson", feature([[[text, 30], *RING[1:]]]))


@pytest.mark.parametrize("value", [None, True, [40], {"x": 40}, [], 10**400])
def test_values_that_are_no_coordinates_are_refused(value: Any, tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="not numbers"):
        load(tmp_path / "a.geojson", feature([[[value, 30], [140, "30"], *RING[2:]]]))


def test_an_order_of_points_is_a_number_too(tmp_path: Path) -> None:
    points = ((1, (40, 30)), (3, (140, 100.5)), (2, (140, 30)), (4, (40, 100.5)))
    text = "".join(f'<Coordinate Order="{i}" X="{x}" Y="{y}"/>' for i, (x, y) in points)
    content = (
        '<ASAP_Annotations><Annotations><Annotation Type="Polygon" PartOfGroup="Tumor"><Coordinates>'
        f"{text}</Coordinates></Annotation></Annotations></ASAP_Annotations>"
    )
    assert area(load(tmp_path / "a.xml", content)) == pytest.approx(AREA)
    for order in ("nan", "first", ""):
        with pytest.raises(AnnotationError, match="not a number"):
            load(tmp_path / "a.xml", content.replace('Order="3"', f'Order="{order}"'))


@pytest.mark.parametrize("mpp", ["0.2520", "0,2520", "1", "", "nonsense"])
def test_the_pixel_size_in_imagescope_is_no_scale_of_coordinates(mpp: str, tmp_path: Path) -> None:
    content = xml().replace('"0.2520"', f'"{mpp}"')
    assert area(load(tmp_path / "a.xml", content)) == pytest.approx(AREA)


@pytest.mark.parametrize(
    "content",
    [
        feature(),
        [feature()],
        {"type": "FeatureCollection", "features": [feature()], "crs": None},
        [{"type": "FeatureCollection", "features": [feature()]}],
        feature(name={"name": "Tumor", "colorRGB": -1}),
        feature(name={"names": ["Tumor"], "color": [1, 2, 3]}),
        feature(name=["Tumor"]),
        feature(name={"names": "Tumor"}),
        feature(rings=[[[*point, 0.0] for point in RING]]),
        feature(bbox=[40, 30, 140, 100.5], id=7),
        [feature(), {"type": "Feature", "geometry": None, "properties": {"classification": "Tumor"}}],
    ],
)
def test_all_that_geojson_may_be(content: Any, tmp_path: Path) -> None:
    assert area(load(tmp_path / "a.json", content)) == pytest.approx(AREA)


def test_a_bare_geometry_has_no_class(tmp_path: Path) -> None:
    geometry = feature()["geometry"]
    assert area(load(tmp_path / "a.geojson", geometry, {"*": "tumor"})) == pytest.approx(AREA)
    collection = {"type": "GeometryCollection", "geometries": [geometry]}
    assert area(load(tmp_path / "a.geojson", collection, {"unclassified": "tumor"})) == pytest.approx(AREA)
    with pytest.raises(AnnotationError, match="'unclassified'"):
        load(tmp_path / "a.geojson", geometry)


@pytest.mark.parametrize(
    "name", [5, True, {"name": 5}, {"names": "Tumor"}, {"names": [["Tumor"]]}, ["Tumor", 1]]
)
def test_a_class_that_is_no_name(name: Any, tmp_path: Path) -> None:
    if name == {"names": "Tumor"}:
        assert area(load(tmp_path / "a.geojson", feature(name=name))) == pytest.approx(AREA)
        return
    with pytest.raises(AnnotationError, match="which is no name"):
        load(tmp_path / "a.geojson", feature(name=name), {"*": "tumor"})


def test_an_ellipse_needs_bounds_and_one_with_a_hole_is_its_polygon(tmp_path: Path) -> None:
    for rings in ([[]], [[[]]], [[[40, 30]]], [[[], []]], [[[1], [2], [3]]]):
        drawn = feature(rings)
        drawn["geometry"]["isEllipse"] = True
        with pytest.raises(AnnotationError, match="two points"):
            load(tmp_path / "a.geojson", drawn)
    drawn = feature([RING, [[60, 40], [80, 40], [80, 60], [60, 60]]])
    drawn["geometry"]["isEllipse"] = True
    assert area(load(tmp_path / "a.geojson", drawn)) == pytest.approx(AREA - 400)


@pytest.mark.parametrize("name", ["tumor ", "\tTUMOR", "geschwu\u0308r", "Geschw\u00fcr\n"])
def test_names_are_the_same_whatever_nobody_sees_in_them(name: str, tmp_path: Path) -> None:
    classes = {"Tumor": "tumor", "Geschw\u00fcr": "tumor", "*": "normal"}
    assert area(load(tmp_path / "a.geojson", feature(name=name), classes)) == pytest.approx(AREA)
    assert area(load(tmp_path / "a.xml", xml(name=name.strip()), classes)) == pytest.approx(AREA)
    decomposed = {"geschwu\u0308r": "tumor", " Tumor": "tumor", "*": "normal"}
    assert area(load(tmp_path / "a.geojson", feature(name=name), decomposed)) == pytest.approx(AREA)


@pytest.mark.parametrize("key", ["class", "label", "type", "category"])
def test_a_class_by_another_name_is_told(key: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    drawn = feature()
    drawn["properties"] = {key: "Tumor"}
    with pytest.raises(AnnotationError, match="unclassified"):
        load(tmp_path / "a.geojson", [drawn, drawn])
    load(tmp_path / "a.geojson", [drawn, drawn], {"*": "normal"})
    assert f"2 objects without a classification have the property '{key}'" in caplog.text


@pytest.mark.parametrize(
    ("value", "hole"), [("1", True), (" TRUE ", True), ("0", False), ("", False), ("x", None)]
)
def test_a_negative_region_says_so_in_words_that_are_understood(
    value: str, hole: bool | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = xml().replace('<Region Type="0">', f'<Region Type="0" NegativeROA="{value}">')
    if hole is None:
        with pytest.raises(AnnotationError, match="NegativeROA 'x', which is neither"):
            load(tmp_path / "a.xml", content)
        return
    assert area(load(tmp_path / "a.xml", content)) == pytest.approx(0 if hole else AREA)
    assert ("negative regions of the layer 'Geschwür' cut nothing" in caplog.text) == hole


@pytest.mark.parametrize("name", [None, "", {}, {"name": None}, {"names": []}, {"colorRGB": -1}])
def test_a_class_that_is_empty_is_none(name: Any, tmp_path: Path) -> None:
    found = load(tmp_path / "a.geojson", feature(name=name), {"unclassified": "tumor"})
    assert area(found) == pytest.approx(AREA)


@pytest.mark.parametrize(
    "content",
    [
        {},
        5,
        "outlines",
        None,
        {"images": [], "annotations": [{"segmentation": [[1, 2, 3, 4, 5, 6]]}]},
        {"type": "Topology", "objects": {}},
        [[1, 2], [3, 4]],
        {"type": "Feature"},
        {"type": "Feature", "geometry": [1, 2], "properties": {"classification": "Tumor"}},
    ],
)
def test_json_of_something_else(content: Any, tmp_path: Path) -> None:
    with pytest.raises(AnnotationError):
        load(tmp_path / "a.json", json.dumps(content))


@pytest.mark.parametrize(
    ("plane", "told"),
    [({"c": -1, "z": 3, "t": 0}, "z 3"), ({"z": 0, "t": 2}, "t 2"), ({"z": 1, "t": 2}, "z 1, t 2"),
     ({"c": -1, "z": 0, "t": 0}, ""), (None, ""), ({}, "")],
)  # fmt: skip
def test_outlines_of_another_plane_are_told(
    plane: Any, told: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    drawn = feature()
    drawn["geometry"]["plane"] = plane
    assert area(load(tmp_path / "a.geojson", [drawn, feature()])) == pytest.approx(AREA)
    assert (f"1 objects were drawn on the plane {told} of the stack" in caplog.text) == bool(told)


def test_what_has_no_area_is_told_and_needs_no_outline(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kinds = {"Point": [1, 2], "MultiPoint": [[1, 2]], "LineString": RING, "MultiLineString": [RING]}
    without = [
        {
            "type": "Feature",
            "geometry": {"type": kind, "coordinates": at},
            "properties": feature()["properties"],
        }
        for kind, at in kinds.items()
    ]
    nothing = {"type": "Feature", "geometry": None, "properties": feature()["properties"]}
    assert area(load(tmp_path / "a.geojson", [*without, nothing, feature()])) == pytest.approx(AREA)
    for what in (*kinds, "object without geometry"):
        assert f"passed over 1 x {what}" in caplog.text
