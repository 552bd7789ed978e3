"""Every format tells the same of the same shapes, and fractions are as exact as is said."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from patching.annotations.mask import MaskAnnotation
from patching.annotations.polygon_area import patch_fractions
from patching.annotations.polygons import PolygonAnnotation
from patching.annotations.registry import FORMATS, XML_DIALECTS, load_annotation
from patching.geometry import Size

SIZE = Size(300, 200)
CLASSES = {"Tumor": "tumor", "Normal": "normal", "Artefact": "ignore", "1": "tumor", "2": "ignore"}
Ring = list[tuple[float, float]]
CONCAVE: Ring = [(20.25, 30), (140, 22.5), (95.5, 90), (150, 170.75), (30, 150)]
HOLE: Ring = [(50, 60), (80.5, 62), (60, 100.25)]
CORNERS: Ring = [(170, 20), (230, 95)]
RECTANGLE: Ring = [(170, 20), (230, 20), (230, 95), (170, 95)]
ARTEFACT: Ring = [(100, 110), (290, 120), (280, 190), (180.5, 140)]
TUMOR = shapely.union_all([shapely.Polygon(CONCAVE, [HOLE]), shapely.Polygon(RECTANGLE)])


def geojson(path: Path) -> None:
    parts = (("Tumor", [CONCAVE, HOLE]), ("Tumor", [RECTANGLE]), ("Artefact", [ARTEFACT]))
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]] for ring in rings]},
            "properties": {"objectType": "annotation", "classification": {"name": name}},
        }
        for name, rings in parts
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))


def points(ring: Ring, tag: str) -> str:
    return "".join(f'<{tag} Order="{i}" X="{x}" Y="{y}"/>' for i, (x, y) in enumerate(ring))


def asap(path: Path) -> None:
    parts = (("Tumor", CONCAVE), ("Normal", HOLE), ("Tumor", RECTANGLE), ("Artefact", ARTEFACT))
    body = "".join(
        f'<Annotation Type="Polygon" PartOfGroup="{name}">'
        f"<Coordinates>{points(ring, 'Coordinate')}</Coordinates></Annotation>"
        for name, ring in parts
    )
    path.write_text(f"<ASAP_Annotations><Annotations>{body}</Annotations></ASAP_Annotations>")


def layered(path: Path, shapes: dict[str, str], tag: str, rectangle: Ring) -> None:
    def region(shape: str, ring: Ring, negative: int = 0) -> str:
        return (
            f'<Region Type="{shapes[shape]}" NegativeROA="{negative}">'
            f"<Vertices>{points(ring, tag)}</Vertices></Region>"
        )

    tumor = region("polygon", CONCAVE) + region("polygon", HOLE, 1) + region("rectangle", rectangle)
    layers = (("Tumor", tumor), ("Artefact", region("polygon", ARTEFACT)))
    body = "".join(
        f'<Annotation Name="{name}"><Regions>{regions}</Regions></Annotation>' for name, regions in layers
    )
    path.write_text(f"<Annotations>{body}</Annotations>")


def halo(path: Path) -> None:
    layered(path, {"polygon": "Polygon", "rectangle": "Rectangle"}, "V", CORNERS)


def imagescope(path: Path) -> None:
    layered(path, {"polygon": "0", "rectangle": "1"}, "Vertex", RECTANGLE)


def mask(path: Path) -> None:
    x, y = np.meshgrid(np.arange(SIZE.width) + 0.5, np.arange(SIZE.height) + 0.5)
    value = np.zeros((SIZE.height, SIZE.width), np.uint8)
    value[shapely.contains_xy(shapely.Polygon(ARTEFACT), x, y)] = 2
    value[shapely.contains_xy(TUMOR, x, y)] = 1
    Image.fromarray(value).save(path)


WRITERS: dict[str, tuple[Callable[[Path], None], ...]] = {
    ".geojson": (geojson,),
    ".json": (geojson,),
    ".xml": (asap, halo, imagescope),
    ".annotations": (asap, halo, imagescope),
    ".png": (mask,),
    ".tif": (mask,),
    ".tiff": (mask,),
}


def test_every_format_is_tested() -> None:
    assert set(WRITERS) == set(FORMATS)
    assert len({*XML_DIALECTS.values()}) == 2


@pytest.mark.parametrize(("suffix", "write"), [(s, w) for s, writers in WRITERS.items() for w in writers])
def test_every_format_tells_the_same(suffix: str, write: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / f"slide{suffix}"
    write(path)
    annotation = load_annotation(path, label=None, size=SIZE, classes=CLASSES)
    grid = np.stack(np.meshgrid(np.arange(-20, 290, 35), np.arange(-20, 190, 35)), -1).reshape(-1, 2)
    boxes = shapely.box(*grid.T, *(grid + 71).T)
    tolerance = 1 / 256 if write is mask else 1e-9
    artefact = shapely.Polygon(ARTEFACT)
    # A pixel of a mask has one value only: there tumor is drawn over what is ignored.
    ignored = artefact.difference(TUMOR) if write is mask else artefact
    for kind, shape in (("tumor", TUMOR), ("ignore", ignored)):
        wanted = shapely.area(shapely.intersection(shape, boxes)) / 71**2
        assert wanted.max() > 0.3
        found = annotation.fractions(grid, 71, kind)  # type: ignore[arg-type]
        np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance)


def star(seed: int, corners: int, low: float, high: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """A concave polygon around a random center and a hole in it, [corners, 2] each, partly negative."""
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.uniform(0, 2 * np.pi, corners))
    radius = rng.uniform(low, high, corners)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=-1) * radius[:, None]
    # Around the center only if no gap between corners reaches half a turn.
    gap = np.diff(np.append(angle, angle[0] + 2 * np.pi)).max()
    center = rng.uniform(-30, 130, 2)
    return circle + center, circle * (0.4 if gap < np.pi else 0) + center


def scanned(rings: tuple[NDArray[Any], ...], corner: NDArray[Any], extent: int, rows: int) -> float:
    """Share of a patch inside the rings by the even-odd rule: exact along each of many thin rows."""
    y = corner[1] + (np.arange(extent * rows) + 0.5) / rows
    start = np.concatenate(rings)
    stop = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings])
    crossed = (start[:, 1] <= y[:, None]) != (stop[:, 1] <= y[:, None])
    rise = np.where(start[:, 1] == stop[:, 1], 1, stop[:, 1] - start[:, 1])
    x = start[:, 0] + (y[:, None] - start[:, 1]) * (stop - start)[:, 0] / rise
    x = np.clip(np.sort(np.where(crossed, x, np.inf), axis=1), corner[0], corner[0] + extent)
    x = np.pad(x, ((0, 0), (0, x.shape[1] % 2)), constant_values=corner[0] + extent)
    return float((x[:, 1::2] - x[:, ::2]).sum() / rows / extent**2)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(3, 25), st.integers(1, 16).map(lambda n: 2 * n + 1))
def test_fractions_equal_a_fine_scan(seed: int, corners: int, extent: int) -> None:
    rng = np.random.default_rng(seed)
    outer, hole = star(seed, corners, 8, 60)
    rings = (outer, hole) if np.ptp(hole) else (outer,)
    polygon = shapely.Polygon(outer, [hole] if len(rings) == 2 else [])
    assume(polygon.is_valid)
    annotation = PolygonAnnotation(polygon, shapely.GeometryCollection())
    locations = rng.integers(-60, 140, (12, 2))
    found = annotation.fractions(locations, extent)
    wanted = [scanned(rings, corner, extent, 4096 // extent) for corner in locations]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1 / 512)
    assert not annotation.fractions(locations, extent, "ignore").any()


def overlaps(low: float, extent: float, scale: float, count: int) -> NDArray[Any]:
    edges = np.clip(np.arange(count + 1) * scale, low, low + extent)
    return np.diff(edges)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 2, 3, 7, 2.5, 16 / 3]),
    st.integers(1, 99),
    st.booleans(),
)
def test_masks_of_any_scale_are_measured_exactly(seed: int, scale: float, extent: int, halves: bool) -> None:
    rng = np.random.default_rng(seed)
    shape = (int(np.ceil(200 / scale)), int(np.ceil(300 / scale)))
    tumor, ignore = rng.random(shape) < 0.5, rng.random(shape) < 0.1
    annotation = MaskAnnotation(tumor, ignore, (scale, scale))
    locations = rng.integers(-60, 310, (9, 2)) + (0.5 if halves else 0)
    for kind, mask_HW in (("tumor", tumor), ("ignore", ignore)):
        wanted = [
            overlaps(y, extent, scale, shape[0]) @ mask_HW @ overlaps(x, extent, scale, shape[1]) / extent**2
            for x, y in locations
        ]
        found = annotation.fractions(locations, extent, kind)  # type: ignore[arg-type]
        np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-9)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_a_mask_of_128_pixels_per_patch_side_is_within_a_256th_of_its_polygon(seed: int) -> None:
    outer, _ = star(seed, 12, 40, 90)
    polygon = shapely.make_valid(shapely.Polygon(outer))
    scale, extent = 0.25, 32
    x, y = np.meshgrid((np.arange(400) + 0.5) * scale, (np.arange(300) + 0.5) * scale)
    tumor = shapely.contains_xy(polygon, x, y)
    annotation = MaskAnnotation(tumor, np.zeros_like(tumor), (scale, scale))
    locations = np.random.default_rng(seed).integers(0, 43, (20, 2))
    boxes = shapely.box(*locations.T, *(locations + extent).T)
    wanted = shapely.area(shapely.intersection(polygon, boxes)) / extent**2
    np.testing.assert_allclose(annotation.fractions(locations, extent), wanted, rtol=0, atol=1 / 256)


@pytest.mark.parametrize("offset", [0, 2**17 + 0.5])
def test_a_patch_far_from_the_origin_is_as_exact(offset: float) -> None:
    triangle = np.array([[0, 0], [1, 0], [0, 1], [0, 0]]) * 100 + offset
    ring = shapely.get_coordinates(shapely.orient_polygons(shapely.Polygon(triangle)))
    locations = np.array([[0, 0], [50, 0], [50, 50]]) + offset
    np.testing.assert_allclose(patch_fractions([ring], locations, 50), [1, 0.5, 0], rtol=0, atol=1e-9)


def test_mask_pixels_that_stick_out_of_the_slide_are_no_tumor(tmp_path: Path) -> None:
    mask: NDArray[np.uint8] = np.full((25, 38), 255, np.uint8)  # 300 x 200 by 8: 37.5 x 25
    Image.fromarray(mask).save(tmp_path / "mask.png")
    annotation = load_annotation(tmp_path / "mask.png", label=None, size=Size(300, 200), classes={})
    inside = annotation.fractions(np.array([[260, 0], [268, 0], [300, 0]]), 40)
    np.testing.assert_allclose(inside, [1.0, 32 / 40, 0.0])
