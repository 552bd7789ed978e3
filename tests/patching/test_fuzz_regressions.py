"""Inputs that a fuzzer found to crash, hang or escape as something else than an error of evenpatch."""

import json
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import tifffile
from PIL import Image

from patching import Location, Size, open_slide
from patching.annotations.crossings import crossings
from patching.annotations.registry import load_annotation
from patching.annotations.rings import polygons
from patching.errors import AnnotationError, UnreadableSlideError

TILE_WIDTH, IMAGE_WIDTH = 322, 256


def with_tag(source: Path, target: Path, tag: int, value: int) -> Path:
    """A copy of a classic little-endian TIFF, one 32-bit value of its first directory changed."""
    data = bytearray(source.read_bytes())
    with tifffile.TiffFile(source) as tiff:
        entry = tiff.pages.first.tags[tag].offset
    struct.pack_into("<HHII", data, entry, tag, 4, 1, value)
    target.write_bytes(data)
    return target


@pytest.mark.parametrize("width", [2**30 + 256, 2**24])
def test_a_tile_that_openslide_cannot_allocate(width: int, rgb_tiff: Any, tmp_path: Path) -> None:
    # OpenSlide's allocator ends the process: without the check this test does not fail, it crashes.
    path = with_tag(rgb_tiff.path, tmp_path / "lie.tif", TILE_WIDTH, width)
    for reader in ("openslide", "tiff"):
        with pytest.raises(UnreadableSlideError, match=r"lie\.tif"):
            open_slide(path, reader=reader)
    with pytest.raises(UnreadableSlideError, match=f"tiles of {width} x 64"):
        open_slide(path, reader="openslide")


@pytest.mark.parametrize("reader", ["openslide", "tiff"])
def test_an_image_wider_than_its_tiles(reader: str, rgb_tiff: Any, tmp_path: Path) -> None:
    # OpenSlide draws the tiles that are not there, for hours.
    path = with_tag(rgb_tiff.path, tmp_path / "wide.tif", IMAGE_WIDTH, 2**31 - 1)
    start = time.perf_counter()
    with pytest.raises(UnreadableSlideError, match="segments listed"):
        open_slide(path, reader=reader)
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize("value", [1e300, -1e30, np.inf, np.nan])
def test_intensities_that_no_detector_gives(value: float, tmp_path: Path) -> None:
    image_HW = np.ones((200, 300))
    image_HW[120, 70] = value
    tifffile.imwrite(tmp_path / "slide.tif", image_HW)
    with (
        open_slide(tmp_path / "slide.tif") as slide,
        pytest.raises(UnreadableSlideError, match=r"beyond 1e\+18"),
    ):
        slide.read_region(Location(0, 0), 0, slide.size)


def annotation(path: Path) -> None:
    load_annotation(path, label=None, size=Size(300, 200), classes={"1": "tumor", "*": "normal"})


def test_a_mask_without_pixels(tmp_path: Path) -> None:
    path = tmp_path / "mask.tif"
    tifffile.imwrite(path, np.zeros((100, 150), np.uint8))
    with_tag(path, path, IMAGE_WIDTH, 0)
    with pytest.raises(AnnotationError, match=r"mask mask\.tif"):
        annotation(path)


def test_a_mask_with_a_tile_of_gigabytes(tmp_path: Path) -> None:
    path = tmp_path / "mask.tif"
    tifffile.imwrite(path, np.zeros((100, 150), np.uint8), tile=(32, 48), compression="zlib")
    with_tag(path, path, TILE_WIDTH, 2**30)
    with pytest.raises(AnnotationError, match="in one of its tiles, more than"):
        annotation(path)


def test_an_outline_drawn_over_itself_a_thousand_times(tmp_path: Path) -> None:
    # GEOS repairs it, in hours.
    ring = [[20, 30], [180, 25], [20, 140], [95, 170], [15, 120]] * 1000
    feature = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]},
        "properties": {"classification": {"name": "1"}},
    }
    path = tmp_path / "scribble.geojson"
    path.write_text(json.dumps([feature]))
    start = time.perf_counter()
    with pytest.raises(AnnotationError, match="crosses itself more than 5000 times"):
        annotation(path)
    assert time.perf_counter() - start < 5


def test_crossings_are_counted() -> None:
    bow_tie = shapely.Polygon([(0, 0), (10, 10), (10, 0), (0, 10)])
    square = shapely.box(0, 0, 10, 10)
    # The bow-tie's two long edges, counted with the ends that meet anyway.
    assert (crossings(square, 100), crossings(bow_tie, 100)) == (0, 1)
    zigzag_M2 = np.array([(x, x % 2) for x in range(200)] + [(x, 1 - x % 2) for x in range(199, -1, -1)])
    assert crossings(shapely.Polygon(zigzag_M2), 1000) == 199
    assert crossings(shapely.Polygon(zigzag_M2), 50) > 50


def test_an_outline_with_some_crossings_is_still_repaired(tmp_path: Path) -> None:
    zigzag_M2 = np.array([(x, x % 2) for x in range(500)] + [(x, 1 - x % 2) for x in range(499, -1, -1)])
    parts = polygons([zigzag_M2.astype(np.float64)], tmp_path / "zigzag.geojson")
    assert sum(part.area for part in parts) == pytest.approx(499 / 2)


def test_a_damaged_png_mask(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    Image.fromarray(np.zeros((100, 150), np.uint8)).save(path)
    data = bytearray(path.read_bytes())
    data[50] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(AnnotationError, match=r"mask mask\.png"):
        annotation(path)
