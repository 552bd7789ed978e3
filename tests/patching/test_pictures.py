"""PNG and JPEG as they are meant: turned, without loss, or refused for what they are."""

import io
import logging
import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from patching import Location, Size, open_slide
from patching.errors import UnreadableSlideError

ORIENTATION = 0x0112


def whole(path: Path) -> NDArray[np.generic]:
    with open_slide(path) as slide:
        return slide.read_region(Location(0, 0), 0, slide.size)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_exif_orientation_is_applied(
    suffix: str,
    orientation: int,
    tmp_path: Path,
    brightfield_HWC: NDArray[np.uint8],
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / f"turned{suffix}"
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(brightfield_HWC).save(path, exif=exif)
    with Image.open(path) as image:
        expected_HWC = np.asarray(ImageOps.exif_transpose(image))
    with caplog.at_level(logging.INFO), open_slide(path) as slide:
        assert slide.size == (Size(200, 300) if orientation > 4 else Size(300, 200))
        corner_HWC = slide.read_region(Location(90, 20), 0, Size(50, 40))
    np.testing.assert_array_equal(corner_HWC, expected_HWC[20:60, 90:140])
    assert ("EXIF orientation" in caplog.text) == (orientation > 1)


def test_an_orientation_behind_the_pixels_of_a_png_is_seen(
    tmp_path: Path, brightfield_HWC: NDArray[np.uint8]
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    content = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(content)) + b"eXIf" + content
    chunk += struct.pack(">I", zlib.crc32(b"eXIf" + content))
    file = io.BytesIO()
    Image.fromarray(brightfield_HWC).save(file, "PNG")
    data = file.getvalue()
    end = data.rindex(b"IEND") - 4
    (tmp_path / "late.png").write_bytes(data[:end] + chunk + data[end:])
    np.testing.assert_array_equal(whole(tmp_path / "late.png"), np.rot90(brightfield_HWC, -1))


@pytest.mark.parametrize("value", [0, 9, 77])
def test_an_impossible_orientation_is_passed_over(
    value: int, tmp_path: Path, brightfield_HWC: NDArray[np.uint8]
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = value
    Image.fromarray(brightfield_HWC).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(whole(tmp_path / "a.png"), brightfield_HWC)


@pytest.mark.parametrize(
    ("encode", "words"),
    [
        (imagecodecs.jpegls_encode, "JPEG-LS of 8 bits"),
        (lambda image_HWC: imagecodecs.ljpeg_encode(image_HWC[..., 0]), "lossless JPEG of 8 bits"),
        (
            lambda image_HWC: imagecodecs.jpeg8_encode(image_HWC.astype(np.uint16) * 16, bitspersample=12),
            "JPEG of 12 bits",
        ),
    ],
)  # fmt: skip
def test_another_jpeg_is_not_damaged(
    encode: object, words: str, tmp_path: Path, brightfield_HWC: NDArray[np.uint8]
) -> None:
    assert callable(encode)
    (tmp_path / "other.jpg").write_bytes(encode(brightfield_HWC))
    with pytest.raises(UnreadableSlideError, match=words) as refused:
        open_slide(tmp_path / "other.jpg")
    assert "copy" not in refused.value.do


def test_inks_with_chroma_are_refused(tmp_path: Path, brightfield_HWC: NDArray[np.uint8]) -> None:
    inks_HWC = np.asarray(Image.fromarray(brightfield_HWC).convert("CMYK"))
    data = imagecodecs.jpeg8_encode(inks_HWC, colorspace="CMYK", outcolorspace="YCCK")
    (tmp_path / "ycck.jpg").write_bytes(data)
    with pytest.raises(UnreadableSlideError, match="JPEG in mode CMYK"):
        open_slide(tmp_path / "ycck.jpg")


@pytest.mark.parametrize("progressive", [False, True])
def test_restart_markers_and_progressive_scans_are_read(
    progressive: bool, tmp_path: Path, brightfield_HWC: NDArray[np.uint8]
) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(brightfield_HWC).save(path, progressive=progressive, restart_marker_blocks=3)
    with Image.open(path) as image:
        np.testing.assert_array_equal(whole(path), np.asarray(image))


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_of_several_pictures_the_first_is_read_and_told(
    suffix: str, tmp_path: Path, brightfield_HWC: NDArray[np.uint8], caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / f"several{suffix}"
    first, second = Image.fromarray(brightfield_HWC), Image.fromarray(255 - brightfield_HWC)
    kind = "PNG" if suffix == ".png" else "MPO"
    first.save(path, format=kind, save_all=True, append_images=[second])
    with caplog.at_level(logging.WARNING):
        read_HWC = whole(path)
    assert np.abs(read_HWC.astype(int) - brightfield_HWC).mean() < 4
    assert "the first is read" in caplog.text


def png(path: Path, header: bytes, chunks: list[tuple[bytes, bytes]], rows: bytes) -> None:
    """A PNG by hand: `rows` are its filtered lines."""
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    told = [
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in parts
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(told))


def test_a_palette_with_transparent_colors(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 3, 2, 8, 3, 0, 0, 0)
    palette = bytes([10, 20, 30, 200, 100, 50, 90, 80, 70])
    chunks = [(b"PLTE", palette), (b"tRNS", bytes([255, 0, 255]))]
    png(tmp_path / "p.png", header, chunks, b"\0\0\1\2\0\2\1\0")
    expected_HWC = [
        [[10, 20, 30], [255, 255, 255], [90, 80, 70]],
        [[90, 80, 70], [255, 255, 255], [10, 20, 30]],
    ]
    np.testing.assert_array_equal(whole(tmp_path / "p.png"), expected_HWC)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_gray_value_that_means_transparent(bits: int, tmp_path: Path) -> None:
    values = [[7, 100, 3], [100, 9, 8]]
    kind = ">u1" if bits == 8 else ">u2"
    header = struct.pack(">IIBBBBB", 3, 2, bits, 0, 0, 0, 0)
    rows = b"".join(b"\0" + np.array(row, kind).tobytes() for row in values)
    png(tmp_path / "g.png", header, [(b"tRNS", struct.pack(">H", 100))], rows)
    read_HWC = whole(tmp_path / "g.png")
    assert read_HWC.dtype == np.dtype(kind).newbyteorder("=")
    np.testing.assert_array_equal(read_HWC[..., 0], [[7, 0, 3], [0, 9, 8]])


def test_gray_with_alpha_is_dark_where_it_is_transparent(tmp_path: Path) -> None:
    gray_HWC = np.full((20, 30, 2), (90, 255), np.uint8)
    gray_HWC[5:9, 20:, 1] = 0
    Image.fromarray(gray_HWC, "LA").save(tmp_path / "la.png")
    read_HWC = whole(tmp_path / "la.png")
    assert read_HWC.shape == (20, 30, 1)
    assert (read_HWC[5:9, 20:] == 0).all()
    assert (read_HWC[9:] == 90).all()


def test_gamma_is_told_and_not_applied(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    header = struct.pack(">IIBBBBB", 3, 1, 8, 0, 0, 0, 0)
    for name, value in (("linear", 100_000), ("screen", 45_455)):
        png(tmp_path / f"{name}.png", header, [(b"gAMA", struct.pack(">I", value))], b"\0\x10\x80\xf0")
        with caplog.at_level(logging.INFO):
            assert whole(tmp_path / f"{name}.png").ravel().tolist() == [16, 128, 240]
    assert [record.args and record.args[1] for record in caplog.records] == [1.0]  # type: ignore[index]


def scale(name: str) -> NDArray[np.uint8]:
    """A color for each of 256 values, as programs draw intensities."""
    ramp, none = np.arange(256), np.zeros(256)
    fire = (np.clip(3 * ramp, 0, 255), np.clip(3 * ramp - 255, 0, 255), np.clip(3 * ramp - 510, 0, 255))
    colors = {"green": (none, ramp, none), "grays": (ramp,) * 3, "inverted": (255 - ramp,) * 3, "fire": fire}
    return np.stack(colors[name], -1).astype(np.uint8)


@pytest.mark.parametrize("name", ["green", "grays", "inverted", "fire"])
def test_intensities_in_the_colors_of_a_scale_are_no_picture(name: str, tmp_path: Path) -> None:
    """As ImageJ saves an image with a lookup table as PNG."""
    values_HW = np.random.default_rng(0).integers(0, 255, (30, 50)).astype(np.uint8)
    image = Image.fromarray(values_HW).convert("P")
    image.putpalette(scale(name).tobytes())
    image.save(tmp_path / "drawn.png")
    with pytest.raises(UnreadableSlideError, match="a palette of 256 colors that is a scale") as refusal:
        open_slide(tmp_path / "drawn.png")
    assert "gray with the values as stored" in refusal.value.do


@pytest.mark.parametrize("colors", [256, 64, 16])
def test_a_picture_in_a_few_colors_is_one(
    colors: int, tmp_path: Path, brightfield_HWC: NDArray[np.uint8]
) -> None:
    image = Image.fromarray(brightfield_HWC).quantize(colors)
    image.save(tmp_path / "few.png")
    np.testing.assert_array_equal(whole(tmp_path / "few.png"), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("bits", [8, 16])
def test_colors_of_16_bits_are_told_to_be_taken_for_intensities(
    bits: int, tmp_path: Path, brightfield_HWC: NDArray[np.uint8], caplog: pytest.LogCaptureFixture
) -> None:
    image_HWC = brightfield_HWC if bits == 8 else brightfield_HWC.astype(np.uint16) * 257
    (tmp_path / "deep.png").write_bytes(imagecodecs.png_encode(image_HWC))
    with open_slide(tmp_path / "deep.png") as slide:
        assert slide.brightfield == (bits == 8)
    assert ("taken for intensities" in caplog.text) == (bits == 16)
    with open_slide(tmp_path / "deep.png", kind="brightfield") as slide:
        assert slide.brightfield
