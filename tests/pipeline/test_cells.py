"""Patches as bytes, and bytes that are none."""

import io
import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from patching.errors import PatchError
from pipeline.tracking.cells import PatchForm, decode_patch, encode_patch

SHAPE = (3, 2, 4)
UINT16 = np.dtype("uint16")
FORM = PatchForm(SHAPE, UINT16, lossy=False)
RGB = PatchForm((16, 16, 3), np.dtype("uint8"), lossy=True)


def pixels(form: PatchForm) -> np.ndarray:
    rng = np.random.default_rng(1)
    return rng.integers(0, 250, form.shape).astype(form.dtype)


def tiff(patch: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, patch, **options)
    return buffer.getvalue()


def pages(patch_HWC: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for channel_HW in np.moveaxis(patch_HWC, -1, 0):
            writer.write(channel_HW, photometric="minisblack", contiguous=False, **options)
    return buffer.getvalue()


def jpeg(patch_HWC: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(patch_HWC).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def test_an_encoded_patch_comes_back() -> None:
    patch_HWC = pixels(FORM)
    np.testing.assert_array_equal(decode_patch(encode_patch(patch_HWC), FORM), patch_HWC)
    column_major = np.asfortranarray(patch_HWC)
    np.testing.assert_array_equal(decode_patch(encode_patch(column_major), FORM), patch_HWC)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_png_holds_the_same_pixels(channels: int, dtype: str) -> None:
    form = PatchForm((5, 3, channels), np.dtype(dtype), lossy=False)
    patch_HWC = pixels(form)
    np.testing.assert_array_equal(decode_patch(imagecodecs.png_encode(patch_HWC), form), patch_HWC)


@pytest.mark.parametrize(
    ("shape", "dtype", "cell"),
    [
        ((5, 3, 3), "uint16", lambda p: tiff(p, photometric="rgb")),
        ((5, 3, 3), "uint8", lambda p: tiff(p, photometric="rgb", compression="deflate", predictor=True)),
        ((5, 3, 1), "uint16", lambda p: tiff(p[..., 0], photometric="minisblack")),
        ((5, 3, 4), "float32", lambda p: tiff(np.moveaxis(p, -1, 0), photometric="minisblack")),
        ((5, 3, 3), "uint16", lambda p: tiff(np.moveaxis(p, -1, 0), photometric="rgb", byteorder=">")),
        ((5, 3, 4), "uint16", lambda p: pages(p, compression="zstd")),
        ((32, 16, 2), "uint16", lambda p: pages(p, tile=(16, 16), compression="lzw")),
    ],
)
def test_a_tiff_holds_the_same_pixels(shape: tuple[int, int, int], dtype: str, cell: Any) -> None:
    form = PatchForm(shape, np.dtype(dtype), lossy=False)
    patch_HWC = pixels(form)
    np.testing.assert_array_equal(decode_patch(cell(patch_HWC), form), patch_HWC)


def test_a_jpeg_is_taken_where_it_may_be() -> None:
    flat = np.full(RGB.shape, (200, 120, 40), np.uint8)
    np.testing.assert_allclose(decode_patch(jpeg(flat), RGB).astype(int), flat, atol=3)
    exact = PatchForm(RGB.shape, RGB.dtype, lossy=False)
    with pytest.raises(PatchError, match="which changes pixels"):
        decode_patch(jpeg(flat), exact)
    with pytest.raises(PatchError, match="shape"):
        decode_patch(jpeg(flat[..., 0]), RGB)
    with pytest.raises(PatchError):
        decode_patch(jpeg(pixels(RGB))[:-40], RGB)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("text", "a str"),
        (None, "a NoneType"),
        (b"", "0 bytes"),
        (b"PK\x03\x04 a zip file of arrays", "no picture of a known format"),
        (encode_patch(np.zeros((2, 3, 4), np.uint16)), r"shape \(2, 3, 4\)"),
        (encode_patch(np.zeros(SHAPE, np.uint8)), "dtype uint8"),
        (encode_patch(np.zeros(SHAPE, ">u2")), "dtype >u2"),
        (encode_patch(np.zeros(SHAPE, np.uint16))[:-1], "bytes where"),
        (encode_patch(np.zeros(SHAPE, np.uint16)) + b"x", "bytes where"),
        (imagecodecs.png_encode(np.zeros((3, 2, 3), np.uint16)), r"shape \(3, 2, 3\)"),
        (imagecodecs.png_encode(np.zeros(SHAPE, np.uint8)), "dtype uint8"),
        (b"\x89PNG\r\n\x1a\n", "color type 0 with 0 bits"),
        (pages(np.zeros((3, 2, 3), np.uint16)), "3 pages, where one a channel makes 4"),
        (pages(np.zeros((3, 2, 9), np.uint16)), "9 pages, where"),
        (pages(np.zeros(SHAPE, np.uint8)), "uint8"),
        (tiff(np.zeros((30, 20, 4), np.uint16), photometric="rgb"), r"shape \(30, 20, 4\)"),
        (b"II*\0\xff\xff\xff\xff", "has: "),
    ],
)
def test_what_is_no_patch_of_the_model_is_refused(cell: object, message: str) -> None:
    with pytest.raises(PatchError, match=message):
        decode_patch(cell, FORM)


def test_a_palette_and_a_lossy_tiff_are_refused() -> None:
    buffer = io.BytesIO()
    Image.fromarray(pixels(RGB)).convert("P").save(buffer, "PNG")
    with pytest.raises(PatchError, match="color type 3"):
        decode_patch(buffer.getvalue(), RGB)
    with pytest.raises(PatchError, match="compression 7"):
        decode_patch(tiff(pixels(RGB), photometric="rgb", compression="jpeg"), RGB)


def png_bomb(width: int, height: int) -> bytes:
    """A PNG whose header promises this size, with a megabyte of zeros behind it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(2**20)))
        + chunk(b"IEND", b"")
    )


def tiff_bomb() -> bytes:
    """A TIFF of 16 x 16 pixels in one tile of 65,520 a side."""
    honest = tiff(pixels(RGB), photometric="rgb", tile=(16, 16), compression="deflate")
    bomb = honest
    for tag in (322, 323):
        place = honest.index(struct.pack("<HH", tag, 4) if tag else b"")
        bomb = bomb[: place + 8] + struct.pack("<I", 65520) + bomb[place + 12 :]
    return bomb


def jpeg_bomb(side: int) -> bytes:
    """A JPEG whose header promises another size."""
    honest = jpeg(pixels(RGB))
    place = honest.index(b"\xff\xc0") + 5
    return honest[:place] + struct.pack(">HH", side, side) + honest[place + 4 :]


@pytest.mark.parametrize(
    "bomb",
    [
        lambda: png_bomb(60_000, 60_000),
        lambda: tiff(np.zeros((6000, 6000, 3), np.uint8), photometric="rgb", compression="deflate"),
        lambda: encode_patch(np.zeros((16, 16, 3), np.uint8)).replace(b"(16, 16, 3)", b"(9999999,3)"),
        lambda: jpeg_bomb(8_000),
        lambda: jpeg_bomb(10_000),
        lambda: jpeg_bomb(60_000),
        tiff_bomb,
    ],
)
def test_what_promises_more_than_a_patch_allocates_nothing(bomb: Any) -> None:
    cell = bomb()
    tracemalloc.start()
    try:
        with pytest.raises(PatchError):
            decode_patch(cell, RGB)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * len(cell) + 2**20


HONEST = {
    "npy": (encode_patch(pixels(FORM)), FORM),
    "png": (imagecodecs.png_encode(pixels(FORM)), FORM),
    "tiff": (pages(pixels(FORM), compression="deflate"), FORM),
    "plain": (tiff(pixels(RGB), photometric="rgb"), RGB),
    "jpeg": (jpeg(pixels(RGB)), RGB),
}


# A header that is damaged into one of Python 2 may still tell the right form: numpy warns, and reads it.
@pytest.mark.filterwarnings("ignore:Reading `.npy` or `.npz` file required additional header parsing")
@pytest.mark.parametrize("kind", sorted(HONEST))
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_cells_give_only_the_typed_error(kind: str, data: st.DataObject) -> None:
    cell, form = HONEST[kind]
    place = data.draw(st.integers(0, len(cell)))
    noise = data.draw(st.binary(max_size=20))
    cut = data.draw(st.sampled_from((0, len(noise), len(cell))))
    try:
        found = decode_patch(cell[:place] + noise + cell[place + cut :], form)
    except PatchError:
        return
    assert (found.shape, found.dtype) == (form.shape, form.dtype)


def test_a_truncated_tiff_is_refused(tmp_path: Path) -> None:
    cell, form = HONEST["plain"]
    path = tmp_path / "whole.tif"
    path.write_bytes(cell)
    with tifffile.TiffFile(path) as file:
        last = file.pages[0].dataoffsets[-1] + 5
    with pytest.raises(PatchError):
        decode_patch(cell[:last], form)
