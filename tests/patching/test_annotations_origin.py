"""Annotations count from the slide or from its scanned region: what was meant, or what is usual, and told."""

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from patching.annotations.base import AbstractAnnotation
from patching.annotations.registry import load_annotation
from patching.errors import AnnotationError
from patching.geometry import Location, Size
from patching.manifest import SlideRow
from patching.readers.cells import Reading
from patching.readers.joined_reader import Shift
from patching.readers.registry import open_slide
from patching.tiling.planning import plan_slide
from patching.tiling.settings import TileSettings
from tests.patching.leica import write_leica

SIZE, BOUNDS, SCANNED = Size(600, 360), Location(160, 100), Size(300, 200)
CLASSES = {"Tumor": "tumor"}
LEFT, TOP, RIGHT, BOTTOM = 180, 120, 280, 190
RING = [(LEFT, TOP), (RIGHT, TOP), (RIGHT, BOTTOM), (LEFT, BOTTOM)]


def geojson(path: Path) -> Path:
    geometry = {"type": "Polygon", "coordinates": [[*RING, RING[0]]]}
    properties = {"objectType": "annotation", "classification": {"name": "Tumor"}}
    path.write_text(json.dumps([{"type": "Feature", "geometry": geometry, "properties": properties}]))
    return path


def asap(path: Path) -> Path:
    points = "".join(f'<Coordinate Order="{i}" X="{x}" Y="{y}"/>' for i, (x, y) in enumerate(RING))
    path.write_text(
        '<ASAP_Annotations><Annotations><Annotation Type="Polygon" PartOfGroup="Tumor"><Coordinates>'
        f"{points}</Coordinates></Annotation></Annotations></ASAP_Annotations>"
    )
    return path


def layer(path: Path) -> Path:
    points = "".join(f'<V X="{x}" Y="{y}"/>' for x, y in RING)
    path.write_text(
        '<Annotations><Annotation Name="Tumor"><Regions><Region Type="Polygon"><Vertices>'
        f"{points}</Vertices></Region></Regions></Annotation></Annotations>"
    )
    return path


def mask(path: Path, size: Size, scale: int = 1) -> Path:
    value_HW = np.zeros((size.height // scale, size.width // scale), np.uint8)
    value_HW[TOP // scale : BOTTOM // scale, LEFT // scale : RIGHT // scale] = 1
    Image.fromarray(value_HW).save(path)
    return path


def load(path: Path, origin: str | None = None, bounds: Location = BOUNDS) -> AbstractAnnotation:
    return load_annotation(
        path, label=None, size=SIZE, classes=CLASSES, bounds=bounds, scanned=SCANNED, origin=origin
    )


def begins(annotation: AbstractAnnotation) -> tuple[float, float]:
    """Where the one rectangle lies: its corner, if it is whole there."""
    grid_N2 = np.stack(np.meshgrid(np.arange(0, 600, 10), np.arange(0, 360, 10)), -1).reshape(-1, 2)
    fraction_N = annotation.fractions(grid_N2, 10)
    assert fraction_N.sum() * 100 == pytest.approx((RIGHT - LEFT) * (BOTTOM - TOP))
    x, y = grid_N2[fraction_N == 1].min(axis=0)
    outline_M2 = annotation.outlines()[0]
    np.testing.assert_allclose(outline_M2.min(axis=0), (x, y), atol=5)
    return float(x), float(y)


FROM_SLIDE, FROM_BOUNDS = (LEFT, TOP), (LEFT + BOUNDS.x, TOP + BOUNDS.y)


@pytest.mark.parametrize(
    ("write", "name", "usual"),
    [
        (geojson, "a.geojson", FROM_BOUNDS),
        (geojson, "a.json", FROM_BOUNDS),
        (asap, "a.xml", FROM_SLIDE),
        (layer, "a.annotations", FROM_SLIDE),
    ],
)
def test_each_format_counts_as_its_viewer_does_unless_told(
    write: Callable[[Path], Path],
    name: str,
    usual: tuple[int, int],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = write(tmp_path / name)
    with caplog.at_level(logging.INFO):
        assert begins(load(path)) == usual
        assert "begins at (160, 100)" in caplog.text
        assert caplog.records[0].levelno == logging.WARNING
        caplog.clear()
        assert begins(load(path, "slide")) == FROM_SLIDE
        assert begins(load(path, "bounds")) == FROM_BOUNDS
        told = [record for record in caplog.records if "begins at" in record.getMessage()]
        assert [record.levelno for record in told] == [logging.INFO] * 2
        caplog.clear()
        for origin in (None, "slide", "bounds"):
            assert begins(load(path, origin, bounds=Location(0, 0))) == FROM_SLIDE
        assert not caplog.text


@pytest.mark.parametrize("scale", [1, 2, 10])
def test_a_mask_covers_what_it_has_the_shape_of(
    scale: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert begins(load(mask(tmp_path / "whole.png", SIZE, scale))) == FROM_SLIDE
    assert begins(load(mask(tmp_path / "part.png", SCANNED, scale))) == FROM_BOUNDS
    assert caplog.text.count("aspect ratio") == 2
    assert begins(load(mask(tmp_path / "whole.png", SIZE, scale), "slide")) == FROM_SLIDE
    with pytest.raises(AnnotationError, match="of 300 x 200"):
        load(mask(tmp_path / "whole.png", SIZE, scale), "bounds")
    with pytest.raises(AnnotationError, match="of 600 x 360"):
        load(mask(tmp_path / "part.png", SCANNED, scale), "slide")
    with pytest.raises(AnnotationError, match="of 600 x 360, bounds of 300 x 200"):
        load(mask(tmp_path / "other.png", Size(400, 400), scale))


def test_a_mask_that_may_be_either_is_of_the_slide_unless_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = mask(tmp_path / "mask.png", Size(300, 200))
    place = {"size": Size(600, 400), "bounds": BOUNDS, "scanned": Size(300, 200)}
    options: dict[str, Any] = {"label": None, "classes": CLASSES, **place}
    corner_N2 = np.array([[2 * RIGHT - 2, 2 * BOTTOM - 2], [LEFT + BOUNDS.x, TOP + BOUNDS.y]])
    assert load_annotation(path, **options).fractions(corner_N2, 2).tolist() == [1, 0]
    assert "the aspect ratio of both" in caplog.text
    found = load_annotation(path, **options, origin="bounds")
    assert found.fractions(corner_N2, 2).tolist() == [0, 1]
    assert found.fractions(np.array([[RIGHT + BOUNDS.x - 1, TOP + BOUNDS.y]]), 2).tolist() == [0.5]


def test_what_lies_outside_the_scanned_region_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    load(asap(tmp_path / "a.xml"), "slide", Location(290, 200))
    assert "100 % of the annotated area lies outside the scanned region" in caplog.text
    assert "`annotation_origin`" in caplog.messages[-1]
    caplog.clear()
    load(geojson(tmp_path / "a.geojson"), "bounds")
    assert not caplog.text
    with pytest.raises(AnnotationError, match="annotation_origin"):
        load(geojson(tmp_path / "a.geojson"), "bounds", Location(590, 350))


def test_bounds_left_of_the_slide(tmp_path: Path) -> None:
    assert begins(load(geojson(tmp_path / "a.geojson"), bounds=Location(-10, -20))) == (LEFT - 10, TOP - 20)


def settings(folder: Path | None = None, origin: str | None = None) -> TileSettings:
    external = {"method": "external", "folder": str(folder), "origin": origin}
    tissue = {"method": "all"} if folder is None else external
    return TileSettings.model_validate(
        {"patch": {"size": 10, "downsample": 1}, "tissue": tissue, "classes": CLASSES, "codec": "none"}
    )


@pytest.fixture
def scn(brightfield_HWC: NDArray[np.uint8], tmp_path: Path) -> Path:
    return write_leica(tmp_path / "leica.scn", brightfield_HWC)


@pytest.mark.parametrize(
    ("write", "name", "origin", "expected"),
    [
        (geojson, "a.geojson", None, FROM_BOUNDS),
        (geojson, "a.geojson", "slide", FROM_SLIDE),
        (asap, "a.xml", None, FROM_SLIDE),
        (asap, "a.xml", "bounds", FROM_BOUNDS),
    ],
)
def test_tiling_puts_outlines_where_the_row_says(
    write: Callable[[Path], Path],
    name: str,
    origin: str | None,
    expected: tuple[int, int],
    scn: Path,
    tmp_path: Path,
) -> None:
    annotation = write(tmp_path / name)
    row = SlideRow("s", "p", (scn,), annotation=annotation, reading=Reading(annotation_origin=origin))
    with row.open() as slide:
        plan = plan_slide(slide, row, "f", settings())
    table = plan.candidates.table
    tumor_N2 = table.locations_N2[table.label_N == 1]
    assert tuple(tumor_N2.min(axis=0)) == expected
    assert len(tumor_N2) == 70
    assert tuple(plan.overlay.outlines[0].min(axis=0)) == expected


def test_a_mask_follows_the_file_that_was_moved(tmp_path: Path) -> None:
    path = mask(tmp_path / "mask.png", SIZE)
    options: dict[str, Any] = {"label": None, "classes": CLASSES, "size": SIZE, "bounds": Location(20, -10)}
    assert begins(load_annotation(path, **options)) == FROM_SLIDE
    assert begins(load_annotation(path, **options, origin="bounds")) == (LEFT + 20, TOP - 10)


def test_outlines_follow_the_file_that_was_moved(scn: Path, tmp_path: Path) -> None:
    moved = Reading(shift=(Shift(20, -10), Shift(0, 0)))
    second = tmp_path / "second.scn"
    second.write_bytes(scn.read_bytes())
    row = SlideRow("s", "p", (scn, second), annotation=geojson(tmp_path / "a.geojson"), reading=moved)
    with row.open() as slide:
        plan = plan_slide(slide, row, "f", settings())
    x, y = FROM_BOUNDS
    assert tuple(plan.overlay.outlines[0].min(axis=0)) == (x + 20, y - 10)


@pytest.mark.parametrize(
    ("write", "name", "origin", "expected"),
    [
        (geojson, "s.geojson", None, FROM_BOUNDS),
        (geojson, "s.geojson", "slide", FROM_SLIDE),
        (asap, "s.xml", None, FROM_SLIDE),
        (lambda path: mask(path, SCANNED), "s.png", None, FROM_BOUNDS),
        (lambda path: mask(path, SIZE), "s.png", None, FROM_SLIDE),
    ],
)
def test_tissue_of_somebody_else_has_an_origin_too(
    write: Callable[[Path], Path],
    name: str,
    origin: str | None,
    expected: tuple[int, int],
    scn: Path,
    tmp_path: Path,
) -> None:
    (tmp_path / "masks").mkdir()
    write(tmp_path / "masks" / name)
    row = SlideRow("s", "p", (scn,), label=1)
    with open_slide(scn) as slide:
        survey = plan_slide(slide, row, "f", settings(tmp_path / "masks", origin)).survey
    tissue_N2 = survey.locations_N2[survey.tissue_fraction_N == 1]
    assert tuple(tissue_N2.min(axis=0)) == expected


def test_outlines_beside_all_tissue_are_told(
    scn: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "masks").mkdir()
    mask(tmp_path / "masks/s.png", SCANNED)
    row = SlideRow("s", "p", (scn,), annotation=geojson(tmp_path / "a.geojson"))
    for origin, told in ((None, False), ("slide", True)):
        placed = replace(row, reading=Reading(annotation_origin=origin))
        with placed.open() as slide:
            plan_slide(slide, placed, "f", settings(tmp_path / "masks"))
        assert ("s: 0 % of the area that a.geojson outlines as tumor" in caplog.text) == told


@pytest.mark.parametrize(
    ("size", "told"),
    [(Size(1120, 760), True), (Size(1110, 760), False), (Size(1120, 750), False), (Size(9000, 8000), True)],
)
def test_outlines_crowded_into_the_corner_are_told(
    size: Size, told: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for path in (geojson(tmp_path / "a.geojson"), asap(tmp_path / "a.xml"), layer(tmp_path / "b.xml")):
        caplog.clear()
        load_annotation(path, label=None, size=size, classes=CLASSES)
        assert ("drawn at a coarser level" in caplog.text) == told
