"""JPEG passthrough: the slide's own streams, and what falls back."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from numpy.typing import NDArray

from patching import Location, PatchStore, Size, open_slide
from patching.errors import StoreError, UnreadableSlideError
from patching.jpeg_stream import JpegStream
from patching.manifest import SlideRow
from patching.tiling.engine import Folders, SlideTask, run_task
from patching.tiling.settings import TileSettings


@pytest.fixture
def slide_path(tmp_path: Path) -> Path:
    """Tissue-like color, 300 x 200, in JPEG tiles of 64 and a pyramid level of half the size."""
    y, x = np.mgrid[:200, :300]
    image_HWC = np.stack([90 + x % 97, 60 + y % 83, 120 + (x + y) % 71], axis=-1).astype(np.uint8)
    path = tmp_path / "slide.tif"
    options: dict[str, Any] = {"tile": (64, 64), "photometric": "rgb", "compression": "jpeg"}
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(image_HWC, subifds=1, metadata=None, **options)
        tiff.write(image_HWC[::2, ::2], subfiletype=1, metadata=None, **options)
    return path


def tiled(path: Path, out: Path, codec: str, **patch: Any) -> PatchStore:
    spec = {"size": 64, "downsample": 1} | patch
    settings = TileSettings(
        patch=spec, tissue={"method": "all"}, classes={}, codec=codec, patches_per_shard=5
    )
    folders = Folders(out / "patches", out / "overlays", out / "receipts")
    outcome = run_task(SlideTask(SlideRow("s", "p", (path,), label=1), "00", settings, folders), threads=2)
    assert outcome.error is None
    return PatchStore.open(folders.stores / "s.zarr")


def inner_codecs(store: PatchStore) -> list[str]:
    metadata = json.loads((store.path / "images" / "zarr.json").read_text())
    return [codec["name"] for codec in metadata["codecs"][0]["configuration"]["codecs"]]


@pytest.mark.parametrize("downsample", [1, 2])
def test_streams_are_stored_and_read_bit_for_bit(slide_path: Path, tmp_path: Path, downsample: int) -> None:
    decoded = tiled(slide_path, tmp_path / "decoded", "none", downsample=downsample)
    passed = tiled(slide_path, tmp_path / "passed", "jpeg", downsample=downsample)
    assert inner_codecs(passed) == ["evenpatch.jpeg", "crc32c"]
    everything = np.arange(len(decoded))
    assert len(everything) == (4 * 3 if downsample == 1 else 2 * 1)
    pixels = decoded.read(everything)
    np.testing.assert_array_equal(passed.read(everything), pixels)
    np.testing.assert_array_equal(passed.read([1, 0, 1]), pixels[[1, 0, 1]])
    np.testing.assert_array_equal(passed.images[:], pixels)  # zarr-python, through the entry point
    with open_slide(slide_path) as slide, tifffile.TiffFile(slide_path) as tiff:
        x, y = passed.locations[1].tolist()
        level = 0 if downsample == 1 else 1
        np.testing.assert_array_equal(pixels[1], slide.read_region(Location(x, y), level, Size(64, 64)))
        page = tiff.pages.first if level == 0 else tiff.pages.first.pages[0]
        tile = tiff.filehandle.read_segments([page.dataoffsets[1]], [page.databytecounts[1]])
        stream = next(iter(tile))[0]
    assert stream in (passed.path / "images/c.0.0.0.0").read_bytes()
    assert passed.attributes.quality == ()


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"downsample": 1.5}, "resampled"),
        ({"size": 32}, "64 x 64 pixels, patches 32 x 32"),
        ({"stride": 40}, "do not begin at the same places"),
        ({"edge": "pad"}, "stick out"),
    ],
)
def test_what_does_not_coincide_is_stored_decoded(
    slide_path: Path, tmp_path: Path, spec: dict[str, Any], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = tiled(slide_path, tmp_path / "passed", "jpeg", **spec)
    assert inner_codecs(store) == ["bytes", "blosc", "crc32c"]
    assert reason in caplog.text
    decoded = tiled(slide_path, tmp_path / "decoded", "none", **spec)
    np.testing.assert_array_equal(store.read([0, 1]), decoded.read([0, 1]))


def test_other_pixels_have_no_streams(tmp_path: Path) -> None:
    image: NDArray[np.uint8] = np.zeros((128, 192, 3), np.uint8)
    for name, options in {
        "deflate": {"photometric": "rgb", "compression": "zlib"},
        "gray": {"photometric": "minisblack", "compression": "jpeg"},
    }.items():
        path = tmp_path / f"{name}.tif"
        tifffile.imwrite(path, image[..., 0] if name == "gray" else image, tile=(64, 64), **options)
        with open_slide(path) as slide:
            assert slide.stored_jpeg(0) is None


def test_damage_is_told(slide_path: Path, tmp_path: Path) -> None:
    store = tiled(slide_path, tmp_path / "passed", "jpeg")
    shard = store.path / "images/c.1.0.0.0"
    content = bytearray(shard.read_bytes())
    content[100] ^= 1
    shard.write_bytes(content)
    assert store.read([0, 4]).shape == (2, 64, 64, 3)
    with pytest.raises(StoreError, match="patch 5"):
        store.read([4, 5])
    content[-1] ^= 1
    shard.write_bytes(content)
    with pytest.raises(StoreError, match="index"):
        PatchStore.open(store.path).read([5])
    shard.unlink()
    with pytest.raises(StoreError, match="whole file"):
        PatchStore.open(store.path).read([5])


def test_the_codec_does_not_write(slide_path: Path, tmp_path: Path) -> None:
    store = tiled(slide_path, tmp_path / "passed", "jpeg")
    array = zarr.open_array(store.path / "images", mode="r+")
    with pytest.raises(NotImplementedError, match="own streams"):
        array[0] = 7


@pytest.mark.parametrize("damage", ["noise", "cut", "other size"])
def test_a_damaged_tile_excludes_the_slide(slide_path: Path, tmp_path: Path, damage: str) -> None:
    with tifffile.TiffFile(slide_path) as tiff:
        offset, count = tiff.pages.first.dataoffsets[2], tiff.pages.first.databytecounts[2]
    content = bytearray(slide_path.read_bytes())
    tile = content[offset : offset + count]
    if damage == "noise":
        content[offset : offset + count] = bytes([0x11]) * count
    elif damage == "cut":
        content[offset + count // 2 : offset + count] = bytes(count - count // 2)
    else:
        frame = tile.index(b"\xff\xc0")
        content[offset + frame + 6] = 32  # the frame's height
    slide_path.write_bytes(content)
    settings = TileSettings(
        patch={"size": 64, "downsample": 1}, tissue={"method": "all"}, classes={}, codec="jpeg"
    )
    folders = Folders(tmp_path / "patches", tmp_path / "overlays", tmp_path / "receipts")
    outcome = run_task(SlideTask(SlideRow("s", "p", (slide_path,), label=1), "00", settings, folders))
    assert isinstance(outcome.error, UnreadableSlideError)


@pytest.mark.parametrize("wrong", [{"tables": 5}, {"colorspace": []}, {"outcolorspace": 1.5}, {"more": 1}])
def test_a_configuration_of_other_types_is_refused(wrong: dict[str, Any]) -> None:
    written = JpegStream(None, None, None).to_json()
    assert JpegStream.from_json(written) == JpegStream(None, None, None)
    with pytest.raises(ValueError, match="not a configuration"):
        JpegStream.from_json(written | wrong)
