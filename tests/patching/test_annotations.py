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
from patching.annotations.registry import FORMATS, load_annotation
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
    coverage = annotation.coverage(SIZE, 10.0)
    wanted = np.zeros((20, 30), np.float32)
    wanted[3:11, 4:14] = 1
    wanted[5, 6:8] = 0
    np.testing.assert_array_equal(coverage, wanted)
    assert coverage.dtype == np.float32
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


def test_class_names_ignore_case_and_star_is_the_rest(tmp_path: Path) -> None:
    content = [feature([RECTANGLE], "Stroma"), feature([HOLE], None)]
    with pytest.raises(AnnotationError, match="'Stroma'"):
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


def test_points_are_passed_over_and_nothing_is_no_tumor(tmp_path: Path) -> None:
    annotation = load(tmp_path, [feature([3, 4], kind="Point")])
    assert annotation.coverage(SIZE, 16.0).shape == (13, 19)
    assert not annotation.coverage(SIZE, 16.0).any()


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
        ([feature(None, kind="GeometryCollection")], "a geometry GeometryCollection"),
        ([feature(None, kind="MultiPolygon")], "an empty MultiPolygon"),
        ([feature([])], "without outline"),
        ([feature(None)], "not numbers"),
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
    cover = annotation.coverage(SIZE, 40.0)
    assert cover.shape == (5, 8)
    assert np.argwhere(cover == 1).tolist() == [[1, 3], [1, 4]]
    assert annotation.outlines()


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
        assert (annotation.coverage(SIZE, 7.0) == label).all()
        assert annotation.coverage(SIZE, 7.0).shape == (29, 43)
        assert annotation.outlines() == ()


def test_nothing_known_of_a_slide_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="neither"):
        load_annotation(None, label=None, size=SIZE, classes=CLASSES)
    with pytest.raises(AnnotationError, match="one of"):
        load_annotation(tmp_path / "a.docx", label=None, size=SIZE, classes=CLASSES)
    for suffix in FORMATS:
        with pytest.raises(MissingFileError):
            load_annotation(tmp_path / f"missing{suffix}", label=1, size=SIZE, classes=CLASSES)
