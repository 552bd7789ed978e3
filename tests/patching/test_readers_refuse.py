"""Bad files end in a typed error that names the file and the reason, never in wrong pixels."""

import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from patching import Location, Size, open_slide
from patching.errors import ChannelError, UnreadableSlideError
from patching.readers.registry import READERS


def read_whole(path: Path, reader: str | None = None) -> None:
    with open_slide(path, reader=reader) as slide:
        slide.read_region(Location(0, 0), 0, slide.size)


def test_text_named_svs(tmp_path: Path) -> None:
    path = tmp_path / "slide.svs"
    path.write_text("this is no slide")
    with pytest.raises(UnreadableSlideError, match=r"16 bytes of no known format, beginning b'this'"):
        open_slide(path)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("content", [b"", b"II*\0", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"text" * 100])
def test_every_reader_refuses_fragments(reader: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "fragment"
    path.write_bytes(content)
    with pytest.raises(UnreadableSlideError, match="fragment"):
        read_whole(path, reader)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("fixture", ["ome_tiff", "rgb_tiff", "png", "jpeg"])
def test_truncated(fixture: str, share: float, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    source: Path = request.getfixturevalue(fixture).path
    data = source.read_bytes()
    path = tmp_path / f"truncated{source.suffix}"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(UnreadableSlideError, match="truncated"):
        read_whole(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.999])
@pytest.mark.parametrize("fixture", ["ome_tiff", "rgb_tiff"])
def test_a_truncated_tiff_does_not_even_open(
    fixture: str, share: float, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    data = request.getfixturevalue(fixture).path.read_bytes()
    path = tmp_path / "short.tif"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(UnreadableSlideError, match=r"short\.tif"):
        open_slide(path)


def test_a_truncated_directory_is_told(tmp_path: Path) -> None:
    path = tmp_path / "short.tif"
    tifffile.imwrite(path, np.zeros((64, 96), np.uint8), description="d" * 1000)
    with tifffile.TiffFile(path) as tiff:
        tags = tiff.pages.first.tags
        listed, start = len(tags), tags["ImageDescription"].valueoffset
    path.write_bytes(path.read_bytes()[: start + 10])
    with pytest.raises(
        UnreadableSlideError, match=rf"only \d+ of {listed} tags can be read: it is truncated"
    ):
        open_slide(path)


def test_a_damaged_tile(rgb_tiff: Any, tmp_path: Path) -> None:
    data = bytearray(rgb_tiff.path.read_bytes())
    with tifffile.TiffFile(rgb_tiff.path) as tiff:
        offset = tiff.pages.first.dataoffsets[3]
    data[offset : offset + 30] = bytes(30)
    path = tmp_path / "damaged.tif"
    path.write_bytes(data)
    with open_slide(path) as slide:
        slide.read_region(Location(0, 0), 0, Size(100, 60))
        with pytest.raises(UnreadableSlideError, match=r"damaged\.tif"):
            slide.read_region(Location(0, 0), 0, slide.size)


def png_bomb(path: Path, side: int) -> None:
    """A valid header of `side` by `side` pixels over a few bytes of data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    content = zlib.compress(bytes(1_000_000))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [10_000, 60_000])
def test_a_picture_bomb_is_refused_before_allocation(side: int, tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    png_bomb(path, side)
    with pytest.raises(UnreadableSlideError, match=rf"{side * side} pixels.*\n.*\n.*tiled TIFF"):
        open_slide(path)


def test_cmyk(tmp_path: Path, brightfield_HWC: NDArray[np.uint8]) -> None:
    path = tmp_path / "print.jpg"
    Image.fromarray(brightfield_HWC).convert("CMYK").save(path)
    with pytest.raises(UnreadableSlideError, match="JPEG in mode CMYK"):
        open_slide(path)


@pytest.mark.parametrize("axes", ["ZYX", "TYX"])
def test_several_planes(axes: str, tmp_path: Path) -> None:
    path = tmp_path / "stack.ome.tif"
    planes = np.zeros((5, 200, 300), np.uint16)
    tifffile.imwrite(path, planes, ome=True, metadata={"axes": axes}, photometric="minisblack")
    with pytest.raises(
        UnreadableSlideError, match=rf"axes {axes} of 5x200x300, with several planes along {axes[0]}"
    ):
        open_slide(path)


def test_one_plane_of_z_and_t_is_fine(tmp_path: Path) -> None:
    path = tmp_path / "single.ome.tif"
    planes = np.zeros((1, 3, 1, 200, 300), np.uint16)
    tifffile.imwrite(path, planes, ome=True, metadata={"axes": "TCZYX"}, photometric="minisblack")
    with open_slide(path) as slide:
        assert (slide.size, len(slide.channels)) == (Size(300, 200), 3)


def test_pages_without_a_name_for_their_axis(tmp_path: Path) -> None:
    path = tmp_path / "pages.tif"
    with tifffile.TiffWriter(path) as tiff:
        for _ in range(3):
            tiff.write(np.zeros((200, 300), np.uint8), photometric="minisblack", metadata=None)
    with pytest.raises(UnreadableSlideError, match="name the axis C in OME-XML"):
        open_slide(path)


def test_a_palette(tmp_path: Path) -> None:
    path = tmp_path / "palette.tif"
    colormap = np.zeros((3, 256), np.uint16)
    tifffile.imwrite(path, np.zeros((200, 300), np.uint8), photometric="palette", colormap=colormap)
    with pytest.raises(UnreadableSlideError, match="color palette"):
        open_slide(path)


def test_inverted_intensities(tmp_path: Path) -> None:
    path = tmp_path / "inverted.tif"
    tifffile.imwrite(path, np.zeros((200, 300), np.uint8), photometric="miniswhite", metadata=None)
    with pytest.raises(UnreadableSlideError, match="0 is white"):
        open_slide(path)


def test_ycbcr_that_is_not_jpeg(tmp_path: Path, brightfield_HWC: NDArray[np.uint8]) -> None:
    path = tmp_path / "ycbcr.tif"
    tifffile.imwrite(path, brightfield_HWC, photometric="ycbcr", compression="zlib", metadata=None)
    with pytest.raises(UnreadableSlideError, match="colors would be wrong"):
        open_slide(path)


def test_an_image_without_pixels(rgb_tiff: Any, tmp_path: Path) -> None:
    path = tmp_path / "empty.tif"
    shutil.copy(rgb_tiff.path, path)
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages.first.tags["ImageLength"].overwrite(0)
    with pytest.raises(UnreadableSlideError, match=r"empty\.tif"):
        open_slide(path)


def test_a_level_without_pixels(ome_tiff: Any, tmp_path: Path) -> None:
    path = tmp_path / "empty.ome.tif"
    shutil.copy(ome_tiff.path, path)
    with tifffile.TiffFile(path, mode="r+") as tiff:
        for page in tiff.series[0].levels[1].pages:
            page.aspage().tags["ImageWidth"].overwrite(0)
    with pytest.raises(UnreadableSlideError, match=r"empty\.ome\.tif"):
        open_slide(path)


def test_a_strip_too_large(tmp_path: Path, rgb_tiff: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("patching.readers.tiff.checks._LARGEST_SEGMENT", 64 * 48 * 3 - 1)
    with pytest.raises(UnreadableSlideError, match="save it tiled"):
        open_slide(rgb_tiff.path)


def test_entities_in_ome_xml_never_reach_tifffile_s_parser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "entities.ome.tif"
    xml = (
        '<?xml version="1.0"?><!DOCTYPE OME [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<Image ID="Image:0" Name="&b;"></Image></OME>'
    )
    tifffile.imwrite(path, np.zeros((200, 300), np.uint8), description=xml, metadata=None)
    monkeypatch.delattr(tifffile.TiffFile, "series")
    with pytest.raises(UnreadableSlideError, match="EntitiesForbidden"):
        open_slide(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite(value: float, tmp_path: Path) -> None:
    path = tmp_path / "ratio.tif"
    image_HW = np.ones((200, 300), np.float32)
    image_HW[150, 260] = value
    tifffile.imwrite(path, image_HW, tile=(64, 64), metadata=None)
    with open_slide(path) as slide:
        assert slide.read_region(Location(0, 0), 0, Size(250, 200)).all()
        with pytest.raises(UnreadableSlideError, match=r"ratio\.tif: pixels that are infinite"):
            slide.read_region(Location(0, 0), 0, slide.size)


def resized(image_HW: NDArray[np.uint16]) -> NDArray[np.generic]:
    return image_HW[:, :-1]


def retyped(image_HW: NDArray[np.uint16]) -> NDArray[np.generic]:
    return image_HW.astype(np.float32)


@pytest.mark.parametrize(("change", "reason"), [(resized, "size in pixels"), (retyped, "pixel type")])
def test_modalities_that_do_not_fit(
    change: Callable[[NDArray[np.uint16]], NDArray[np.generic]], reason: str, modalities: Any, tmp_path: Path
) -> None:
    path = tmp_path / "other.tif"
    tifffile.imwrite(path, np.ascontiguousarray(change(modalities.image_HWC[..., 0])), metadata=None)
    with pytest.raises(ChannelError, match=rf"other\.tif(.|\n)*the same {reason}"):
        open_slide((modalities.paths[0], path))


def test_modalities_of_another_pixel_size(tmp_path: Path) -> None:
    paths = (tmp_path / "fine.tif", tmp_path / "coarse.tif")
    for path, mpp in zip(paths, (0.25, 0.26), strict=True):
        resolution = (1e4 / mpp, 1e4 / mpp)
        plane_HW = np.zeros((200, 300), np.uint8)
        tifffile.imwrite(path, plane_HW, resolution=resolution, resolutionunit="CENTIMETER", metadata=None)
    with pytest.raises(ChannelError, match="the same pixel size"):
        open_slide(paths)


@pytest.mark.parametrize(
    ("unit", "per_unit", "mpp"),
    [("CENTIMETER", 40_000, 0.25), ("INCH", 50_800, 0.5), ("INCH", 300, None), ("NONE", 40_000, None)],
)
def test_resolution_tags(unit: str, per_unit: int, mpp: float | None, tmp_path: Path) -> None:
    path = tmp_path / "tags.tif"
    plane_HW = np.zeros((200, 300), np.uint8)
    tifffile.imwrite(path, plane_HW, resolution=(per_unit, per_unit), resolutionunit=unit, metadata=None)
    with open_slide(path) as slide:
        assert (slide.mpp and slide.mpp.x) == (mpp and pytest.approx(mpp))


@pytest.mark.parametrize(
    ("unit", "mpp"), [("nm", 2.5e-4), ("µm", 0.25), ("mm", 250.0), ("pixel", None), ("reference frame", None)]
)
def test_ome_units(unit: str, mpp: float | None, tmp_path: Path) -> None:
    path = tmp_path / "units.ome.tif"
    size = {
        "PhysicalSizeX": 0.25,
        "PhysicalSizeXUnit": unit,
        "PhysicalSizeY": 0.25,
        "PhysicalSizeYUnit": unit,
    }
    tifffile.imwrite(path, np.zeros((200, 300), np.uint8), ome=True, metadata={"axes": "YX", **size})
    with open_slide(path) as slide:
        assert (slide.mpp and slide.mpp.x) == (mpp and pytest.approx(mpp))
