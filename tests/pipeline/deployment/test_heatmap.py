"""Heatmaps: every pixel of the slide under the right value, and files that others read."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from patching.geometry import Location, Mpp, Size
from patching.grid import grid_locations
from pipeline.deployment.prediction import SlidePrediction
from pipeline.look.heatmap import TOP, HeatGrid, coarser, painted
from pipeline.look.heatmap_files import Placed, write_ome_tiff, write_ome_zarr
from tests.pipeline.deployment.planted import by_hand, planted, probabilities

CASES: list[dict[str, Any]] = [
    {"edge": edge, "stride": stride} for edge in ("drop", "pad", "shift") for stride in (96, 48, 61, 130)
]


def heated(prediction: SlidePrediction, most: int = 2**24) -> tuple[HeatGrid, NDArray[np.uint16]]:
    places_N2, extent = prediction.locations_N2, prediction.extent
    grid = HeatGrid.of(prediction.size, places_N2, extent, prediction.stride, most)
    return grid, painted(grid, places_N2, extent, prediction.probability_N)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_pixel_of_the_slide_lies_under_the_mean_of_its_patches(case: dict[str, Any]) -> None:
    prediction = planted(**case)
    grid, heat_HW = heated(prediction)
    assert grid.exact
    width, height = prediction.size.width, prediction.size.height
    full_HW = heat_HW.repeat(grid.cell, 0).repeat(grid.cell, 1)[:height, :width]
    sum_HW, count_HW = by_hand(prediction)
    assert ((full_HW > 0) == (count_HW > 0)).all()
    seen = count_HW > 0
    assert np.abs(probabilities(full_HW)[seen] - sum_HW[seen] / count_HW[seen]).max() <= 1.01 / TOP


def test_side_by_side_a_pixel_is_a_patch() -> None:
    prediction = planted()
    grid, heat_HW = heated(prediction)
    assert (grid.cell, heat_HW.shape) == (96, (10, 13))
    x_N, y_N = prediction.locations_N2.T // 96
    assert heat_HW[y_N, x_N].tolist() == (1 + np.rint(prediction.probability_N * TOP)).astype(int).tolist()
    assert (heat_HW > 0).sum() == len(prediction.patches)


@pytest.mark.parametrize(
    ("stride", "edge", "most", "cell"),
    [(48, "shift", 30_000, 8), (61, "shift", 30_000, 8), (61, "pad", 500, 48), (61, "pad", 50, 155)],
)
def test_what_needs_too_many_pixels_is_averaged_by_area(stride: int, edge: Any, most: int, cell: int) -> None:
    prediction = planted(stride=stride, edge=edge)
    grid, heat_HW = heated(prediction, most)
    assert (grid.cell, grid.exact) == (cell, False)
    assert heat_HW.size <= most
    sum_HW, count_HW = by_hand(prediction, cell)
    seen = count_HW > 0
    assert ((heat_HW > 0) == seen).all()
    assert np.abs(probabilities(heat_HW)[seen] - sum_HW[seen] / count_HW[seen]).max() <= 1.01 / TOP


def test_only_shifted_patches_are_cut() -> None:
    prediction = planted(edge="shift")
    grid, heat_HW = heated(prediction, 30_000)
    inside = prediction.locations_N2[(prediction.locations_N2 % 96 == 0).all(axis=1)]
    for x, y in inside[(inside + 96 < prediction.locations_N2.max(axis=0)).all(axis=1)]:
        block = heat_HW[y // grid.cell : (y + 96) // grid.cell, x // grid.cell : (x + 96) // grid.cell]
        assert np.ptp(block) == 0


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 70),
    height=st.integers(1, 50),
    extent=st.integers(1, 20),
    stride=st.integers(1, 25),
    edge=st.sampled_from(["drop", "pad", "shift"]),
    most=st.integers(1, 3000),
    data=st.data(),
)
def test_painting_is_what_a_slow_hand_does(
    width: int, height: int, extent: int, stride: int, edge: Any, most: int, data: st.DataObject
) -> None:
    size = Size(width, height)
    places_N2 = grid_locations(size, extent, stride, edge)
    kept = data.draw(st.lists(st.booleans(), min_size=len(places_N2), max_size=len(places_N2)))
    places_N2 = places_N2[np.array(kept, bool)]
    value_N = np.linspace(0, 1, len(places_N2))
    grid = HeatGrid.of(size, places_N2, extent, stride, most)
    heat_HW = painted(grid, places_N2, extent, value_N)
    assert heat_HW.size <= most
    rows, columns = (n * grid.cell for n in heat_HW.shape)
    assert rows - grid.cell < height <= rows
    assert columns - grid.cell < width <= columns
    sum_HW, count_HW = (np.zeros((rows, columns)) for _ in range(2))
    for (x, y), value in zip(places_N2, value_N, strict=True):
        sum_HW[y : y + extent, x : x + extent] += value
        count_HW[y : y + extent, x : x + extent] += 1
    blocks = (heat_HW.shape[0], grid.cell, heat_HW.shape[1], grid.cell)
    sum_HW, count_HW = (image.reshape(blocks).sum((1, 3)) for image in (sum_HW, count_HW))
    assert ((heat_HW > 0) == (count_HW > 0)).all()
    mean_HW = sum_HW / np.maximum(count_HW, 1)
    assert np.abs(np.nan_to_num(probabilities(heat_HW)) - mean_HW)[count_HW > 0].max(initial=0) <= 1.01 / TOP


def test_bands_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    prediction = planted(stride=61, edge="shift")
    _, whole_HW = heated(prediction)
    monkeypatch.setattr("pipeline.look.heatmap._BAND", 7 * whole_HW.shape[1])
    assert (heated(prediction)[1] == whole_HW).all()


def test_a_coarser_level_leaves_out_what_was_not_predicted() -> None:
    image_HW = np.array([[2, 4, 9], [0, 0, 0], [0, 7, 0]], np.uint16)
    assert coarser(image_HW).tolist() == [[3, 9], [7, 0]]
    assert coarser(np.full((2, 2), 65535, np.uint16)).tolist() == [[65535]]


NON_SQUARE, NO_BOUNDS = Mpp(0.25, 0.5), Location(0, 0)


def large(mpp: Mpp | None = NON_SQUARE, bounds: Location = NO_BOUNDS) -> Placed:
    """300 x 610 pixels of noise with a hole, cells of 32 pixels."""
    image_HW = np.random.default_rng(4).integers(1, 2**16, (300, 610)).astype(np.uint16)
    image_HW[50:90, 20:44] = 0
    return Placed("slide-7", image_HW, 32, mpp, bounds, 0.375, "decided by tissue, calibrated")


def test_ome_tiff_is_a_pyramid_for_tifffile_and_exact_for_openslide(tmp_path: Path) -> None:
    heatmap, path = large(), tmp_path / "a.ome.tif"
    write_ome_tiff(heatmap, path)
    rows, columns = heatmap.image_HW.shape
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_ome
        assert len(tiff.pages) == 1, "levels lie in SubIFDs"
        levels = [level.asarray() for level in tiff.series[0].levels]
        assert all(level.pages[0].is_tiled for level in tiff.series[0].levels)
        assert tiff.pages[0].dtype == np.uint16
    assert (levels[0][:rows, :columns] == heatmap.image_HW).all()
    assert not levels[0][rows:].any()
    assert not levels[0][:, columns:].any()
    assert len(levels) == 3
    for finer, level in pairwise(levels):
        assert (level == coarser(finer)).all()
    with openslide.OpenSlide(path) as slide:
        assert slide.dimensions == levels[0].shape[::-1]
        region_HW4 = np.asarray(slide.read_region((0, 0), 0, slide.dimensions)).astype(int)
    # OpenSlide knows 8 bits; its rounding may be one off.
    assert np.abs(region_HW4[..., 0] - (levels[0] >> 8)).max() <= 1
    assert region_HW4[..., 3].min() == 255


@pytest.mark.parametrize("shape", [(1, 1), (59, 79), (16, 257), (256, 256), (257, 300)])
def test_openslide_reads_the_last_row_and_column(shape: tuple[int, int], tmp_path: Path) -> None:
    image_HW = np.random.default_rng(0).integers(1, 2**16, shape).astype(np.uint16)
    write_ome_tiff(Placed("a", image_HW, 8, None, Location(0, 0), 0.5, "plain"), tmp_path / "a.ome.tif")
    with openslide.OpenSlide(tmp_path / "a.ome.tif") as slide:
        region_HW4 = np.asarray(slide.read_region((0, 0), 0, shape[::-1])).astype(int)
        sides = zip(slide.dimensions, shape[::-1], strict=True)
        assert all(0 <= filled - n < 16 * -(-n // 256) for filled, n in sides)
    assert np.abs(region_HW4[..., 0] - (image_HW >> 8)).max() <= 1


def ome(heatmap: Placed, path: Path) -> dict[str, Any]:
    write_ome_tiff(heatmap, path)
    with tifffile.TiffFile(path) as tiff:
        return tifffile.xml2dict(str(tiff.ome_metadata))["OME"]


def test_ome_tiff_tells_pixel_size_origin_and_formula(tmp_path: Path) -> None:
    told = ome(large(bounds=Location(37, 11)), tmp_path / "a.ome.tif")
    pixels = told["Image"]["Pixels"]
    assert (pixels["PhysicalSizeX"], pixels["PhysicalSizeXUnit"]) == (8.0, "µm")
    assert (pixels["PhysicalSizeY"], pixels["PhysicalSizeYUnit"]) == (16.0, "µm")
    assert (pixels["Plane"]["PositionX"], pixels["Plane"]["PositionY"]) == (0, 0)
    facts = {row["K"]: row["value"] for row in told["StructuredAnnotations"]["MapAnnotation"]["Value"]["M"]}
    assert str(facts["LevelZeroPixelsPerPixel"]) == "32"
    assert (str(facts["QuPathOriginX"]), str(facts["QuPathOriginY"])) == ("37", "11")
    assert "probability (v - 1) / 65534" in told["Image"]["Description"]
    assert "decided by tissue, calibrated; tumor above 0.375." in told["Image"]["Description"]
    assert (facts["Decision"], str(facts["TumorAbove"])) == ("decided by tissue, calibrated", "0.375")


def test_ome_tiff_without_a_pixel_size_tells_none(tmp_path: Path) -> None:
    told = ome(large(mpp=None), tmp_path / "a.ome.tif")
    assert not [key for key in told["Image"]["Pixels"] if key.startswith("Physical")]


def test_ome_zarr_is_a_multiscale_image_in_place(tmp_path: Path) -> None:
    heatmap, path = large(), tmp_path / "a.ome.zarr"
    (path / "left").mkdir(parents=True)
    write_ome_zarr(heatmap, path)
    assert [each.name for each in tmp_path.iterdir()] == ["a.ome.zarr"]
    group = zarr.open_group(path, mode="r", zarr_format=3)
    told = group.attrs["ome"]
    assert told["version"] == "0.5"
    (scales,) = told["multiscales"]
    assert [axis["name"] for axis in scales["axes"]] == ["y", "x"]
    assert {axis["unit"] for axis in scales["axes"]} == {"micrometer"}
    assert "decided by tissue, calibrated; tumor above 0.375;" in scales["metadata"]["description"]
    assert (group["0"][:] == heatmap.image_HW).all()
    assert group["0"].metadata.dimension_names == ("y", "x")
    previous = heatmap.image_HW
    for number, entry in enumerate(scales["datasets"]):
        scale, translation = entry["coordinateTransformations"]
        side = 32 * 2**number
        assert scale == {"type": "scale", "scale": [side * 0.5, side * 0.25]}
        # The middle of the first pixel, from the middle of the slide's first pixel on.
        assert translation == {"type": "translation", "translation": [(side - 1) / 4, (side - 1) / 8]}
        assert (group[entry["path"]][:] == (previous if number == 0 else coarser(previous))).all()
        previous = group[entry["path"]][:]
    assert len(scales["datasets"]) == 3


def test_ome_zarr_without_a_pixel_size_counts_pixels(tmp_path: Path) -> None:
    write_ome_zarr(large(mpp=None), tmp_path / "a.ome.zarr")
    (scales,) = zarr.open_group(tmp_path / "a.ome.zarr", mode="r").attrs["ome"]["multiscales"]
    assert all("unit" not in axis for axis in scales["axes"])
    assert scales["datasets"][0]["coordinateTransformations"][0]["scale"] == [32, 32]


def test_the_same_heatmap_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_ome_tiff(large(), tmp_path / f"{name}.ome.tif")
        write_ome_zarr(large(), tmp_path / f"{name}.ome.zarr")
    assert (tmp_path / "a.ome.tif").read_bytes() == (tmp_path / "b.ome.tif").read_bytes()
    one, other = (
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in (tmp_path / "a.ome.zarr", tmp_path / "b.ome.zarr")
    )
    assert one == other
    assert len(one) > 4
