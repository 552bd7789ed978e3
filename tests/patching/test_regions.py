"""Announced regions: read as `read_region` reads them, every tile decoded once, whatever the layout."""

import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from patching import Location, Size, open_slide
from patching.errors import UnreadableSlideError
from patching.readers.tiff.interleave import interleave
from patching.readers.tiff.layout import SegmentGrid
from patching.readers.tiff.plain_bytes import plain_bytes
from patching.readers.tiff.regions import segment_uses

TILE = Size(64, 48)
OTHER_ORDER = ">" if sys.byteorder == "little" else "<"
LAYOUTS: dict[str, dict[str, Any]] = {
    "rgb": {"photometric": "rgb", "compression": "zlib"},
    "jpeg": {"photometric": "rgb", "compression": "jpeg"},
    "separate": {"photometric": "rgb", "planarconfig": "separate", "compression": "zstd"},
    "planes": {"photometric": "minisblack", "compression": "zlib"},
    "predicted": {"photometric": "minisblack", "compression": "zlib", "predictor": True},
    "plain": {"photometric": "minisblack"},
    "swapped": {"photometric": "minisblack", "compression": "zstd", "byteorder": OTHER_ORDER},
}


def write(path: Path, layout: str, dtype: str = "uint8") -> None:
    """300 x 200 pixels of three channels, in tiles of 64 x 48."""
    image_HWC = np.random.default_rng(2).integers(0, 250, (200, 300, 3)).astype(dtype)
    options = dict(LAYOUTS[layout])
    byteorder = options.pop("byteorder", None)
    with tifffile.TiffWriter(path, byteorder=byteorder) as tiff:
        for page in [image_HWC] if options["photometric"] == "rgb" else np.moveaxis(image_HWC, -1, 0):
            planes = np.moveaxis(page, -1, 0) if layout == "separate" else page
            tiff.write(planes, tile=(TILE.height, TILE.width), metadata=None, contiguous=False, **options)


def stacked(path: Path, layout: str) -> Any:
    """Pages of single planes are channels only if the file says so."""
    if LAYOUTS[layout]["photometric"] == "rgb":
        return open_slide(path)
    with tifffile.TiffFile(path) as tiff:
        planes = np.stack([page.asarray() for page in tiff.pages])
    options = dict(LAYOUTS[layout])
    byteorder = options.pop("byteorder", None)
    with tifffile.TiffWriter(path, ome=True, byteorder=byteorder) as tiff:
        tiff.write(planes, tile=(TILE.height, TILE.width), metadata={"axes": "CYX"}, **options)
    return open_slide(path)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_whole_tiles_and_others_are_read_alike(layout: str, threads: int, tmp_path: Path) -> None:
    path = tmp_path / "slide.tif"
    dtype = "uint8" if layout == "jpeg" else "uint16"
    write(path, layout, dtype)
    # On the tiles, some of them twice; beside them; over every edge; wholly outside.
    places = [
        (0, 0),
        (64, 48),
        (128, 96),
        (128, 96),
        (70, 100),
        (-30, 20),
        (280, 190),
        (256, 144),
        (-99, -99),
    ]
    with stacked(path, layout) as slide:
        expected = [slide.read_region(Location(x, y), 0, TILE) for x, y in places]
    with stacked(path, layout) as slide, ThreadPoolExecutor(threads) as pool:
        regions = slide.expect(0, np.array(places), TILE)
        read = [np.zeros_like(each) for each in expected]
        list(pool.map(regions.read, range(len(places)), read))
        tiles = slide.segments_decoded
    for found, wanted in zip(read, expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    touched = {
        (column, row)
        for x, y in places
        for column in range(max(x, 0) // 64, min(x + 63, 299) // 64 + 1)
        for row in range(max(y, 0) // 48, min(y + 47, 199) // 48 + 1)
    }
    assert tiles == len(touched) * (1 if layout in ("rgb", "jpeg") else 3)


def test_a_damaged_whole_tile_is_told(tmp_path: Path) -> None:
    path = tmp_path / "slide.tif"
    write(path, "rgb")
    with tifffile.TiffFile(path) as tiff:
        offset, count = tiff.pages.first.dataoffsets[6], tiff.pages.first.databytecounts[6]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(bytes(count))
    with open_slide(path) as slide:
        regions = slide.expect(0, np.array([[64, 48]]), TILE)
        with pytest.raises(UnreadableSlideError, match=r"slide\.tif"):
            regions.read(0, np.empty((48, 64, 3), np.uint8))


def test_numbers_that_are_not_finite_are_refused_on_whole_tiles_too(tmp_path: Path) -> None:
    path = tmp_path / "slide.tif"
    image_HW = np.zeros((96, 128), np.float32)
    image_HW[60, 70] = np.nan
    tifffile.imwrite(path, image_HW, tile=(48, 64), compression="zlib", photometric="minisblack")
    with open_slide(path) as slide:
        regions = slide.expect(0, np.array([[0, 0], [64, 48]]), TILE)
        regions.read(0, np.empty((48, 64, 1), np.float32))
        with pytest.raises(UnreadableSlideError, match="not a number"):
            regions.read(1, np.empty((48, 64, 1), np.float32))


@given(st.lists(st.tuples(st.integers(0, 299), st.integers(0, 199), st.integers(1, 150), st.integers(1, 99))))
def test_uses_are_counted_as_one_by_one(boxes: list[tuple[int, int, int, int]]) -> None:
    grid = SegmentGrid(height=48, width=64, rows=5, columns=5, samples=1, planes=1)
    clipped = [(x, y, min(x + w, 300) - 1, min(y + h, 200) - 1) for x, y, w, h in boxes]
    side_4 = np.array([64, 48, 64, 48])
    box_N4 = np.array(clipped, np.int64).reshape(-1, 4) // side_4
    found_RC = segment_uses(grid, box_N4[:, :2], box_N4[:, 2:])
    expected: Counter[tuple[int, int]] = Counter()
    for left, top, right, bottom in box_N4.tolist():
        expected.update((row, column) for row in range(top, bottom + 1) for column in range(left, right + 1))
    assert {place: n for place, n in np.ndenumerate(found_RC) if n} == dict(expected)


@pytest.mark.parametrize(
    ("layout", "known"),
    [("rgb", True), ("planes", True), ("plain", True), ("predicted", False), ("swapped", False)],
)
def test_only_bytes_that_are_pixels_are_taken_for_them(layout: str, known: bool, tmp_path: Path) -> None:
    path = tmp_path / "slide.tif"
    write(path, layout, "uint16")
    with tifffile.TiffFile(path) as tiff:
        assert (plain_bytes(tiff.pages.first) is not None) is known


@pytest.mark.parametrize("compression", [None, "zlib", "zstd"])
def test_another_number_of_bytes_is_no_tile(compression: str | None, tmp_path: Path) -> None:
    path = tmp_path / "slide.tif"
    image_HW = np.arange(96 * 128, dtype=np.uint16).reshape(96, 128)
    tifffile.imwrite(path, image_HW, tile=(48, 64), compression=compression, photometric="minisblack")
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        tiff.filehandle.seek(page.dataoffsets[3])
        data = tiff.filehandle.read(page.databytecounts[3])
        plain = plain_bytes(page)
    assert plain is not None
    tile_HW = np.zeros((48, 64), np.uint16)
    assert plain.decode(data, tile_HW)
    np.testing.assert_array_equal(tile_HW, image_HW[48:, 64:])
    assert not plain.decode(data, np.zeros((48, 63), np.uint16))
    assert not plain.decode(data, np.zeros((48, 65), np.uint16))
    assert not plain.decode(data[:-9], tile_HW)
    assert not plain.decode(data[:1], tile_HW)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64", "uint32", "uint64"])
@pytest.mark.parametrize("channels", [1, 2, 5, 600])
def test_planes_become_pixels(dtype: str, channels: int) -> None:
    planes_CHW = np.random.default_rng(0).integers(0, 100, (channels, 7, 9)).astype(dtype)
    expected_HWC = np.moveaxis(planes_CHW, 0, -1)
    canvas_HWC: NDArray[Any] = np.zeros((10, 12, channels), dtype)
    for out_HWC in (np.zeros((7, 9, channels), dtype), canvas_HWC[2:9, 1:10]):
        interleave(planes_CHW, out_HWC)
        np.testing.assert_array_equal(out_HWC, expected_HWC)
    assert not canvas_HWC[:2].any()
    assert not canvas_HWC[:, 10:].any()
