"""Masks of every kind say what the polygon says that they were made of, or are refused, or it is told."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from patching.annotations.base import AbstractAnnotation
from patching.annotations.registry import load_annotation
from patching.errors import AnnotationError
from patching.geometry import Size

SIZE = Size(300, 200)
LEFT, TOP, RIGHT, BOTTOM = 40, 30, 140, 70
MASK: NDArray[np.uint8] = np.zeros((200, 300), np.uint8)
MASK[TOP:BOTTOM, LEFT:RIGHT] = 1
WHITE = MASK * np.uint8(255)
PALETTE = [0, 0, 0, 255, 0, 0]


def load(path: Path, classes: dict[str, str] | None = None) -> AbstractAnnotation:
    return load_annotation(path, label=None, size=SIZE, classes=classes or {"Tumor": "tumor"})


def check(annotation: AbstractAnnotation) -> None:
    """Every patch of 10 px is tumor inside the rectangle and nowhere else."""
    x, y = np.meshgrid(np.arange(0, 300, 10), np.arange(0, 200, 10))
    wanted = (x >= LEFT) & (x < RIGHT) & (y >= TOP) & (y < BOTTOM)
    found = annotation.fractions(np.stack([x.ravel(), y.ravel()], -1), 10).reshape(x.shape)
    np.testing.assert_array_equal(found, wanted.astype(float))


def picture(array: NDArray[Any], mode: str | None = None, **options: Any) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        image = Image.fromarray(array)
        (image if mode is None else image.convert(mode)).save(path, **options)

    return write


def palette(colors: list[int], **options: Any) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        image = Image.fromarray(MASK)
        image.putpalette(colors)
        image.save(path, **options)

    return write


def turned(number: int, how: Callable[[NDArray[Any]], NDArray[Any]]) -> Callable[[Path], None]:
    """The mask stored as `how` says, with the EXIF orientation that puts it right."""
    exif = Image.Exif()
    exif[0x0112] = number
    return picture(np.ascontiguousarray(how(WHITE)), exif=exif)


def tiff(array: NDArray[Any], **options: Any) -> Callable[[Path], None]:
    return lambda path: tifffile.imwrite(path, array, **options)


def pyramid(path: Path) -> None:
    with tifffile.TiffWriter(path) as file:
        file.write(WHITE, subifds=1, tile=(64, 48), compression="zlib", photometric="minisblack")
        file.write(WHITE[::4, ::4], subfiletype=1, tile=(64, 48), photometric="minisblack")


def ome_pyramid(path: Path) -> None:
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(MASK, subifds=1, tile=(64, 48), metadata={"axes": "YX"})
        file.write(MASK[::2, ::2], subfiletype=1, tile=(64, 48))


RGB, OPAQUE = np.stack([WHITE] * 3, -1), np.full_like(WHITE, 255)
GRAY = {"photometric": "minisblack"}
SOUND: dict[str, Callable[[Path], None]] = {
    "gray.png": picture(WHITE),
    "one bit.png": picture(WHITE, "1"),
    "16 bits.png": picture(WHITE.astype(np.uint16) * 257),
    "colors.png": picture(RGB),
    "gray and alpha.png": picture(np.stack([WHITE, OPAQUE], -1)),
    "colors and alpha.png": picture(np.dstack([RGB, OPAQUE])),
    "palette.png": palette(PALETTE),
    "palette of one bit.png": palette(PALETTE, bits=1),
    "upside down.png": turned(3, lambda a: a[::-1, ::-1]),
    "mirrored.png": turned(2, lambda a: a[:, ::-1]),
    "to the right.png": turned(6, lambda a: np.rot90(a)),
    "to the left.png": turned(8, lambda a: np.rot90(a, -1)),
    "gray.tif": tiff(WHITE, **GRAY),
    "bool.tif": tiff(MASK.astype(bool), **GRAY),
    "one bit.tif": picture(WHITE, "1"),
    "fax.tif": tiff(~MASK.astype(bool), photometric="miniswhite"),
    "16 bits.tif": tiff(MASK.astype(">u2") * 700, byteorder=">", **GRAY),
    "32 bits.tif": tiff(MASK.astype(np.uint32), compression="lzw", predictor=True, **GRAY),
    "colors.tif": tiff(RGB, photometric="rgb"),
    "planes of colors.tif": tiff(np.stack([WHITE] * 3), photometric="rgb", planarconfig="separate"),
    "alpha.tif": tiff(np.dstack([RGB, OPAQUE]), photometric="rgb", extrasamples=["unassalpha"]),
    "gray and alpha.tif": tiff(np.stack([WHITE, OPAQUE], -1), extrasamples=["unassalpha"], **GRAY),
    "palette.tif": palette(PALETTE),
    "one plane.tif": tiff(WHITE[None, None], ome=True, metadata={"axes": "ZCYX"}, **GRAY),
    "pyramid.tif": pyramid,
    "ome.tiff": ome_pyramid,
    "strips.tif": tiff(WHITE, rowsperstrip=7, compression="packbits", **GRAY),
}


@pytest.mark.parametrize("name", SOUND)
def test_a_mask_says_what_its_polygon_says(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    SOUND[name](path)
    check(load(path))


@pytest.mark.parametrize(
    "name", ["one bit.png", "palette.png", "bool.tif", "fax.tif", "palette.tif", "ome.tiff"]
)
def test_a_mask_of_ones_has_the_class_1(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / name
    SOUND[name](path)
    with caplog.at_level(logging.WARNING):
        check(load(path, {"0": "normal", "1": "tumor"}))
    assert not caplog.text


CLEAR = OPAQUE.copy()
CLEAR[:20, :30] = 0
TWO = np.stack([MASK, MASK])
REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "colors.png": (picture(np.dstack([WHITE, WHITE, MASK])), "channels that differ"),
    "alpha.png": (picture(np.stack([WHITE, CLEAR], -1)), "transparent"),
    "color alpha.png": (picture(np.dstack([RGB, CLEAR])), "transparent"),
    "alpha.tif": (tiff(np.stack([WHITE, CLEAR], -1), extrasamples=["assocalpha"], **GRAY), "transparent"),
    "inverted.tif": (tiff(~WHITE, photometric="miniswhite"), "0 is white"),
    "ink.tif": (tiff(np.dstack([RGB, OPAQUE]), photometric="separated"), "of the kind"),
    "planes.tif": (tiff(TWO, **GRAY), "several planes"),
    "stack.tif": (tiff(TWO, ome=True, metadata={"axes": "ZYX"}, **GRAY), "several planes"),
    "turned.tif": (tiff(WHITE[::-1], extratags=[(274, 3, 1, 4, True)], **GRAY), "upright"),
    "real.tif": (tiff(MASK.astype(np.float32), **GRAY), "float32"),
    "signed.tif": (tiff(MASK.astype(np.int16), **GRAY), "int16"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_mask_that_may_mean_something_else_is_refused(name: str, tmp_path: Path) -> None:
    write, message = REFUSED[name]
    path = tmp_path / name
    write(path)
    with pytest.raises(AnnotationError, match=message):
        load(path)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_a_palette_that_does_not_begin_with_black_is_told(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    palette([255, 255, 255, 255, 0, 0])(tmp_path / name)
    check(load(tmp_path / name))
    assert "of which 0 is (255, 255, 255), not black" in caplog.text


def test_a_mask_whose_axes_contradict_its_pixels(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tiff(WHITE, tile=(32, 48), **GRAY)(path)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        place = file.pages.first.tags["ImageLength"].valueoffset
    data[place : place + 2] = b"\1\0"
    path.write_bytes(data)
    with pytest.raises(AnnotationError):
        load(path)


def test_other_images_in_a_file_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(WHITE, photometric="minisblack")
        file.write(RGB[::2, ::2], photometric="rgb")
    check(load(path))
    assert "the first of 2 images in the file is the mask" in caplog.text
