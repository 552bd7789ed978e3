"""Annotations: exact areas, both file kinds, and what is refused."""

import json
import logging
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from patching.annotations.polygon_area import patch_fractions
from patching.annotations.registry import FORMATS, load_annotation, value_classes
from patching.errors import AnnotationError, MissingFileError
from patching.geometry import Size

SIZE = Size(300, 200)
CLASSES = {"tumor": "tumor", "normal": "normal", "ignore": "ignore"}
RECTANGLE = [[40, 30], [140, 30], [140, 110], [40, 110], [40, 30]]
HOLE = [[60, 50], [80, 50], [80, 60], [60, 60], [60, 50]]


def feature(coordinates: Any, name: str | None = "Tumor", kind: str = "Polygon") -> dict[str, Any]:
    classification = {} if name is None else {"classification": {"name": name, "color": [200, 0, 0]}}
    geometry = {"type": kind, "coordinates": coordinates}
    return {
        "type": "Feature",
        "id": "PathAnnotationObject",
        "geometry": geometry,
        "properties": classification,
    }


def load(path: Path, content: Any, classes: dict[str, str] | None = None) -> Any:
    path = path / "slide.geojson"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return load_annotation(path, label=None, size=SIZE, classes=classes or CLASSES)


@pytest.mark.parametrize("wrap", [lambda f: f, lambda f: {"type": "FeatureCollection", "features": f}])
def test_geojson_with_a_hole(tmp_path: Path, wrap: Any) -> None:
    annotation = load(tmp_path, wrap([feature([RECTANGLE, HOLE])]))
    corners = np.stack(np.meshgrid(np.arange(0, 300, 10), np.arange(0, 200, 10)), -1).reshape(-1, 2)
    wanted = np.zeros((20, 30))
    wanted[3:11, 4:14] = 1
    wanted[5, 6:8] = 0
    np.testing.assert_array_equal(annotation.fractions(corners, 10).reshape(20, 30), wanted)
    assert len(annotation.outlines()) == 2
    assert annotation.outlines()[0].max(axis=0).tolist() == [140, 110]


def test_fractions_of_partly_covered_patches(tmp_path: Path) -> None:
    triangle = [[0, 0], [100, 0], [0, 50], [0, 0]]
    annotation = load(tmp_path, [feature([triangle])])
    locations = np.array([[0, 0], [50, 0], [25, 0], [200, 100]])
    found = annotation.fractions(locations, 50)
    # The hypotenuse is y = 50 - x / 2.
    assert found == pytest.approx([0.75, 0.25, 0.5, 0.0])


def test_multipolygon_overlap_and_ignore(tmp_path: Path) -> None:
    shifted = [[[x + 50, y] for x, y in RECTANGLE]]
    content = [
        feature([[RECTANGLE], shifted], kind="MultiPolygon"),
        feature([RECTANGLE], "TUMOR"),
        feature([[[200, 100], [300, 100], [300, 200], [200, 200], [200, 100]]], "ignore"),
    ]
    annotation = load(tmp_path, content)
    corner = np.array([[0, 0], [200, 100]])
    assert annotation.fractions(corner, 100) == pytest.approx([60 * 70 / 1e4, 0])
    assert annotation.fractions(corner, 100, "ignore") == pytest.approx([0, 1])


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(3, 40), st.integers(1, 40))
def test_polygon_fractions_are_exact_for_any_grid(seed: int, extent: int, stride: int) -> None:
    rng = np.random.default_rng(seed)
    shape = shapely.Polygon(rng.uniform(-40, 140, (rng.integers(3, 9), 2)).round(rng.integers(0, 3)))
    hull = shapely.convex_hull(shape).difference(shapely.box(30, 20, 47, 33))
    polygons = [p for p in shapely.get_parts(hull) if p.geom_type == "Polygon"]
    rings = [
        shapely.get_coordinates(r) for r in shapely.get_rings([shapely.orient_polygons(p) for p in polygons])
    ]
    grid = np.meshgrid(np.arange(0, 100 - extent, stride), np.arange(0, 80 - extent, stride))
    corners = np.stack(grid, -1).reshape(-1, 2)
    boxes = shapely.box(*corners.T, *(corners + extent).T)
    wanted = shapely.area(shapely.intersection(shapely.MultiPolygon(polygons), boxes)) / extent**2
    np.testing.assert_allclose(patch_fractions(rings, corners, extent), wanted, atol=1e-8)


def test_no_fraction_is_a_negative_zero() -> None:
    ring_M2 = shapely.get_coordinates(shapely.orient_polygons(shapely.Point(140.3, 80.7).buffer(61.9)))
    grid_N2 = np.stack(np.meshgrid(np.arange(0, 300, 17), np.arange(0, 200, 17)), -1).reshape(-1, 2)
    fraction_N = patch_fractions([ring_M2], grid_N2, 17)
    assert 0 < np.count_nonzero(fraction_N) < len(fraction_N)
    assert not np.signbit(fraction_N).any()


def test_what_an_outline_encloses_twice_is_outside(tmp_path: Path) -> None:
    winding = [[0, 0], [100, 0], [100, 100], [20, 100], [20, 20], [80, 20], [80, 80], [0, 80], [0, 0]]
    annotation = load(tmp_path, [feature([winding])])
    fraction_N = annotation.fractions(np.array([[40, 40], [0, 0], [80, 80], [0, 80]]), 20)
    np.testing.assert_allclose(fraction_N, [0, 1, 1, 0])


def test_invalid_outline_is_repaired_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bow_tie = [[0, 0], [100, 100], [100, 0], [0, 100], [0, 0]]
    with caplog.at_level(logging.WARNING):
        annotation = load(tmp_path, [feature([bow_tie])])
    assert annotation.fractions(np.array([[0, 0]]), 100) == pytest.approx([0.5])
    assert "repaired" in caplog.text


def test_outlines_that_stick_out_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    load(tmp_path, [feature([[[200, 0], [304, 0], [304, 200], [200, 200], [200, 0]]])])
    assert not caplog.text
    load(tmp_path, [feature([[[x + 210, y] for x, y in RECTANGLE]])])
    assert "50 % of the annotated area lies outside" in caplog.text
    caplog.clear()
    load(tmp_path, [feature([[[x, y + 130] for x, y in RECTANGLE]])])
    assert "50 % of the annotated area lies outside" in caplog.text


def test_class_names_ignore_case_and_star_is_the_rest(tmp_path: Path) -> None:
    content = [feature([RECTANGLE], "Gland"), feature([HOLE], None)]
    with pytest.raises(AnnotationError, match="'Gland'"):
        load(tmp_path, content)
    annotation = load(tmp_path, content, CLASSES | {"*": "tumor", "Unclassified": "normal"})
    assert annotation.fractions(np.array([[40, 30]]), 80) == pytest.approx([1.0])


def test_a_class_of_several_parts_has_its_parts_joined(tmp_path: Path) -> None:
    outline = feature([RECTANGLE])
    outline["properties"] = {"classification": {"names": ["Tumor", "Positive"], "color": [200, 0, 0]}}
    with pytest.raises(AnnotationError, match="'Tumor: Positive'"):
        load(tmp_path, [outline])
    annotation = load(tmp_path, [outline], CLASSES | {"Tumor: Positive": "tumor"})
    assert annotation.fractions(np.array([[40, 30]]), 80) == pytest.approx([1.0])


def measured(annotation: Any, x: int, y: int, extent: int, kind: Any = "tumor") -> float:
    return float(annotation.fractions(np.array([[x, y]]), extent, kind)[0])


@pytest.mark.parametrize(
    "classification",
    [
        {"name": "Tumor", "colorRGB": -3670016},
        {"name": "Tumor", "color": [200, 0, 0]},
        {"names": ["Tumor"], "color": [200, 0, 0]},
        "Tumor",
    ],
)
def test_every_way_qupath_wrote_a_class(tmp_path: Path, classification: Any) -> None:
    outline = feature([RECTANGLE])
    outline["properties"] = {"objectType": "annotation", "classification": classification}
    assert measured(load(tmp_path, outline), 40, 30, 80) == 1


def test_the_name_of_an_object_counts_only_without_a_class(tmp_path: Path) -> None:
    outline = feature([RECTANGLE], "normal")
    outline["properties"]["name"] = "tumor"
    assert measured(load(tmp_path, [outline]), 40, 30, 80) == 0
    del outline["properties"]["classification"]
    assert measured(load(tmp_path, [outline]), 40, 30, 80) == 1
    outline["properties"]["name"] = "my region"
    with pytest.raises(AnnotationError, match="'unclassified' or 'my region'"):
        load(tmp_path, [outline])


def test_an_ellipse_is_restored_from_its_bounds(tmp_path: Path) -> None:
    diamond = feature([[[20, 60], [60, 20], [100, 60], [60, 100], [20, 60]]])
    assert measured(load(tmp_path, diamond), 20, 20, 80) == pytest.approx(0.5)
    diamond["geometry"]["isEllipse"] = True
    assert measured(load(tmp_path, diamond), 20, 20, 80) == pytest.approx(np.pi / 4, abs=1 / 1024)
    flat = feature([[[0, 0], [200, 50], [200, 0]]])
    flat["geometry"]["isEllipse"] = True
    found = load(tmp_path, flat)
    assert found.outlines()[0].min(axis=0) == pytest.approx([0, 0], abs=0.04)
    assert found.outlines()[0].max(axis=0) == pytest.approx([200, 50], abs=0.04)


def test_collections_children_cells_and_frames(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    collection = feature(None)
    inner = {"type": "GeometryCollection", "geometries": [{"type": "Polygon", "coordinates": [RECTANGLE]}]}
    line = {"type": "LineString", "coordinates": [[0, 0], [9, 9]]}
    collection["geometry"] = {"type": "GeometryCollection", "geometries": [inner, line]}
    cell = feature([[[x + 150, y] for x, y in HOLE]])
    cell["nucleusGeometry"] = {"type": "Polygon", "coordinates": "never looked at"}
    cell["properties"]["objectType"] = "cell"
    everywhere = [[[0, 0], [300, 0], [300, 200], [0, 200]]]
    core = feature(everywhere, None)
    core["properties"] = {"objectType": "tmaCore", "name": "A-1", "childObjects": [collection, cell]}
    root = feature(everywhere, None)
    root["id"] = "PathRootObject"
    with caplog.at_level(logging.WARNING):
        found = load(tmp_path, [core, root])
    assert "1 x LineString" in caplog.text
    assert "1 x tmaCore" in caplog.text
    assert measured(found, 0, 0, 200) == pytest.approx((100 * 80) / 200**2)
    assert measured(found, 210, 50, 10) == 1
    core["properties"]["classification"] = {"name": "Tumor"}
    assert measured(load(tmp_path, [core]), 0, 0, 200) == 1


def test_outlines_of_each_kind(tmp_path: Path) -> None:
    annotation = load(tmp_path, [feature([RECTANGLE]), feature([HOLE], "ignore")])
    assert annotation.outlines()[0].max(axis=0).tolist() == [140, 110]
    assert annotation.outlines("ignore")[0].max(axis=0).tolist() == [80, 60]


def test_points_are_passed_over_and_nothing_is_no_tumor(tmp_path: Path) -> None:
    annotation = load(tmp_path, [feature([3, 4], kind="Point")])
    assert annotation.fractions(np.array([[0, 0]]), 16).tolist() == [0]
    assert annotation.outlines() == ()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([feature([[[x + 300, y] for x, y in RECTANGLE]])], "wholly outside"),
        ("{not json", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ({"type": "Topology"}, "not a Feature"),
        ({"type": "FeatureCollection", "features": 3}, "no list"),
        ([{"type": "Feature", "properties": {}, "geometry": None}], "without geometry|unclassified"),
        ([feature([[[0, 0], ["a", 1], [2, 2]]])], "not numbers"),
        ([feature([[[0, 0], [1, 1]]])], "three points"),
        ([feature([[[0, 0], [1, 1], [2, float("nan")]]])], "on no slide"),
        ([feature([[[0, 0], [1e300, 0], [1e300, 1e300]]])], "on no slide"),
        ([feature([[[0, 0], [10**400, 0], [9, 9]]])], "not numbers"),
        ([feature([RECTANGLE], kind="polygon")], "a geometry polygon"),
        ([feature(None, kind="GeometryCollection")], "a geometry GeometryCollection without parts"),
        ([feature(None, kind="MultiPolygon")], "a geometry MultiPolygon without parts"),
        ([feature([])], "without outline"),
        ([feature(None)], "without outline"),
        ([feature([3])], "not numbers"),
    ],
)
def test_bad_geojson_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(AnnotationError, match=message):
        load(tmp_path, content)


def save_mask(path: Path, value_HW: NDArray[Any]) -> Path:
    if path.suffix == ".tif":
        tifffile.imwrite(path, value_HW, compression="zlib")
    else:
        Image.fromarray(value_HW).save(path)
    return path


@pytest.mark.parametrize("name", ["mask.png", "mask.tif"])
@pytest.mark.parametrize("scale", [1, 5, 8])
def test_mask_of_any_scale(tmp_path: Path, name: str, scale: int) -> None:
    value = np.zeros((-(-200 // scale), -(-300 // scale)), np.uint8)
    value[40 // scale : 80 // scale, 120 // scale : 200 // scale] = 255
    path = save_mask(tmp_path / name, value)
    annotation = load_annotation(path, label=0, size=SIZE, classes=CLASSES)
    found = annotation.fractions(np.array([[120, 40], [160, 0], [0, 0]]), 80)
    assert found == pytest.approx([0.5, 0.25, 0])
    assert annotation.outlines()
    assert annotation.outlines("ignore") == ()


def test_mask_values_as_classes(tmp_path: Path) -> None:
    value = np.zeros((20, 30), np.uint8)
    value[:, 10:20], value[:, 20:] = 1, 2
    path = save_mask(tmp_path / "mask.png", value)
    annotation = load_annotation(path, label=None, size=SIZE, classes={"1": "ignore", "2": "tumor"})
    corners = np.array([[0, 0], [100, 0], [200, 0]])
    assert annotation.fractions(corners, 100).tolist() == [0, 0, 1]
    assert annotation.fractions(corners, 100, "ignore").tolist() == [0, 1, 0]
    with pytest.raises(AnnotationError, match="class '2'"):
        load_annotation(path, label=None, size=SIZE, classes={"1": "tumor"})


@pytest.mark.parametrize(
    ("value", "small", "told"), [(255, 599, True), (255, 600, False), (1, 599, False), (0, 599, False)]
)
def test_a_large_mask_of_several_values_without_names_says_what_it_takes_them_for(
    value: int, small: int, told: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("patching.annotations.mask.SMALL", small)
    monkeypatch.setattr("patching.annotations.mask_file.SMALL", small)
    value_HW = np.zeros((20, 30), np.uint8)
    value_HW[:, 10:20], value_HW[:, 20:] = 1, value
    path = save_mask(tmp_path / "mask.png", value_HW)
    found = load_annotation(path, label=None, size=SIZE, classes={"tumor": "tumor"})
    assert any("values from 1 to 255 all count as tumor" in each for each in found.warnings) == told
    assert (value_classes(path, {"tumor": "tumor"}) is None) == (small < 600)


def test_a_mask_has_outlines_of_each_kind(tmp_path: Path) -> None:
    value = np.zeros((200, 300), np.uint8)
    value[40:80, 120:200], value[10:20, 30:60] = 2, 1
    path = save_mask(tmp_path / "mask.png", value)
    annotation = load_annotation(path, label=None, size=SIZE, classes={"1": "ignore", "2": "tumor"})
    assert annotation.outlines()[0].min(axis=0).tolist() == [120.5, 40.5]
    assert annotation.outlines("ignore")[0].max(axis=0).tolist() == [59.5, 19.5]


def test_bad_masks_are_refused(tmp_path: Path) -> None:
    wide = save_mask(tmp_path / "wide.png", np.zeros((20, 60), np.uint8))
    color = save_mask(tmp_path / "color.png", np.arange(1800, dtype=np.uint8).reshape(20, 30, 3))
    torn = tmp_path / "torn.png"
    torn.write_bytes(wide.read_bytes()[:40])
    empty = tmp_path / "empty.tif"
    empty.write_bytes(b"")
    words = tmp_path / "words.tif"
    words.write_text("no TIFF")
    damaged = save_mask(tmp_path / "damaged.tif", np.eye(20, 30, dtype=np.uint8))
    with tifffile.TiffFile(damaged) as tiff:
        start = tiff.pages.first.dataoffsets[0]
    content = damaged.read_bytes()
    damaged.write_bytes(content[:start] + bytes(20) + content[start + 20 :])
    entities = tmp_path / "entities.tif"
    xml = (
        '<?xml version="1.0"?><!DOCTYPE OME [<!ENTITY a "aaaa">]>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image Name="&a;"/></OME>'
    )
    tifffile.imwrite(entities, np.zeros((20, 30), np.uint8), description=xml, metadata=None)
    for path, message in (
        (wide, "aspect ratio"),
        (color, "one unsigned"),
        (torn, "mask torn"),
        (empty, "0 bytes"),
        (words, "mask words"),
        (damaged, "mask damaged"),
        (entities, "EntitiesForbidden"),
    ):
        with pytest.raises(AnnotationError, match=message):
            load_annotation(path, label=None, size=SIZE, classes=CLASSES)


@pytest.mark.parametrize("side", [10_000, 60_000])
def test_a_mask_bomb_is_refused_before_allocation(side: int, tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    header = struct.pack(">4sIIBBBBB", b"IHDR", side, side, 8, 0, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    path.write_bytes(start + struct.pack(">I", 1000) + b"IDAT" + bytes(1000))
    with pytest.raises(AnnotationError, match="DecompressionBomb"):
        load_annotation(path, label=None, size=Size(side, side), classes=CLASSES)


def test_slide_label() -> None:
    for label in (0, 1):
        annotation = load_annotation(None, label=label, size=SIZE, classes=CLASSES)
        assert annotation.fractions(np.array([[0, 0], [9, 9]]), 64).tolist() == [label, label]
        assert annotation.fractions(np.array([[0, 0]]), 64, "ignore").tolist() == [0]
        assert annotation.outlines() == ()


def test_nothing_known_of_a_slide_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="neither"):
        load_annotation(None, label=None, size=SIZE, classes=CLASSES)
    with pytest.raises(AnnotationError, match="one of"):
        load_annotation(tmp_path / "a.docx", label=None, size=SIZE, classes=CLASSES)
    with pytest.raises(AnnotationError, match="not compressed"):
        load_annotation(tmp_path / "a.geojson.gz", label=None, size=SIZE, classes=CLASSES)
    for suffix in FORMATS:
        with pytest.raises(MissingFileError):
            load_annotation(tmp_path / f"missing{suffix}", label=1, size=SIZE, classes=CLASSES)


def test_an_annotation_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    for suffix in FORMATS:
        (tmp_path / f"slide{suffix}").write_bytes(b"<Annotations/>")
    monkeypatch.setattr(Path, "open", refused)
    for suffix in (".geojson", ".xml", ".annotations"):
        with pytest.raises(AnnotationError, match="Permission denied"):
            load_annotation(tmp_path / f"slide{suffix}", label=None, size=SIZE, classes=CLASSES)


def test_a_mask_with_a_lossy_or_foreign_content_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    Image.fromarray(np.zeros((200, 300), np.uint8)).save(path, "JPEG")
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 300 200\n%%EndComments\nshowpage\n"
    for content in (path.read_bytes(), postscript):
        path.write_bytes(content)
        with pytest.raises(AnnotationError, match="cannot identify"):
            load_annotation(path, label=None, size=SIZE, classes=CLASSES)


def test_every_page_of_a_mask_is_checked_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "mask.tif"
    planes = np.random.default_rng(0).integers(0, 2, (3, 200, 300), np.uint8)
    tifffile.imwrite(path, planes, photometric="minisblack", tile=(256, 256), compression="jpeg")
    head, second, rest = path.read_bytes().rpartition(b"\xff\xc0")
    path.write_bytes(head + second + rest[:3] + b"\xea\x60\xea\x60" + rest[7:])
    with pytest.raises(AnnotationError, match="grows to 3600000000 pixels"):
        load_annotation(path, label=None, size=SIZE, classes=CLASSES)


def test_a_mask_that_numbers_its_objects(tmp_path: Path) -> None:
    path, size = tmp_path / "mask.tif", Size(400, 300)
    number = np.arange(300 * 400, dtype=np.uint32).reshape(300, 400)
    tifffile.imwrite(path, number)
    found = load_annotation(path, label=None, size=size, classes={"Tumor": "tumor"})
    corners = np.array([[0, 0], [100, 100]])
    assert found.fractions(corners, 100).tolist() == [1 - 1e-4, 1]
    with pytest.raises(AnnotationError, match="120000 different values"):
        load_annotation(path, label=None, size=size, classes={"1": "tumor", "*": "normal"})
