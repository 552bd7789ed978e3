"""Small files that pretend to be huge: refused by a typed error, at once and without the memory."""

import json
import os
import struct
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest

from patching import Location, Size, open_slide
from patching.annotations.registry import load_annotation
from patching.errors import (
    AnnotationError,
    EvenpatchError,
    ManifestError,
    MissingFileError,
    SlideError,
    UnreadableSlideError,
)
from patching.manifest import SlideRow, read_manifest
from patching.readers.overview import overview
from patching.tiling.settings import TileSettings
from patching.tiling.task import Folders, SlideTask
from patching.tiling.tiler import tile_slide

MIB = 2**20
SHORT, LONG, LONG8, ASCII, RATIONAL = 3, 4, 16, 2, 5
DEFLATE, LZW, JPEG, PNG, JPEG2000, ZSTD, PACKBITS, WEBP, JPEGXL = (
    8,
    5,
    7,
    34933,
    34712,
    50000,
    32773,
    50001,
    50002,
)
WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, DESCRIPTION = 256, 257, 258, 259, 262, 270
STRIP_OFFSETS, SAMPLES, ROWS, STRIP_COUNTS, SOFTWARE = 273, 277, 278, 279, 305
TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_COUNTS = 322, 323, 324, 325


@contextmanager
def cheap(seconds: float = 3.0, memory: int = 256 * MIB) -> Iterator[None]:
    """The block must be over soon, with no more memory than this on top, where the kernel tells."""
    counter = Path("/proc/self/clear_refs")
    if counter.exists():
        counter.write_text("5")
    before, start = peak(), time.perf_counter()
    yield
    assert peak() - before < memory, f"{(peak() - before) / MIB:.0f} MiB"
    assert time.perf_counter() - start < seconds


def peak() -> int:
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    [line] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def tiff(entries: Mapping[int, tuple[int, Sequence[int] | bytes]], data: bytes, following: int = 0) -> bytes:
    """A classic little-endian TIFF: header, pixels from byte 8 on, one directory, its longer values."""
    start = 8 + len(data) + len(data) % 2
    values = start + 2 + 12 * len(entries) + 4
    directory, tail = struct.pack("<H", len(entries)), b""
    for tag, (kind, content) in sorted(entries.items()):
        letter = {SHORT: "H", LONG: "I", ASCII: "s"}[kind]
        packed = content if isinstance(content, bytes) else struct.pack(f"<{len(content)}{letter}", *content)
        inline = packed.ljust(4, b"\0") if len(packed) <= 4 else struct.pack("<I", values + len(tail))
        directory += struct.pack("<HHI", tag, kind, len(content)) + inline
        tail += packed if len(packed) > 4 else b""
    padding = b"\0" * (len(data) % 2)
    return (
        struct.pack("<2sHI", b"II", 42, start)
        + data
        + padding
        + directory
        + struct.pack("<I", following)
        + tail
    )


def tiled(data: bytes, compression: int, **changes: tuple[int, Sequence[int] | bytes]) -> dict[int, Any]:
    """Entries of an 8-bit image of 300 by 200 in four tiles of 256 by 128, all the same data."""
    entries: dict[int, tuple[int, Sequence[int] | bytes]] = {
        WIDTH: (LONG, [300]),
        HEIGHT: (LONG, [200]),
        BITS: (SHORT, [8]),
        COMPRESSION: (SHORT, [compression]),
        PHOTOMETRIC: (SHORT, [1]),
        SAMPLES: (SHORT, [1]),
        TILE_WIDTH: (LONG, [256]),
        TILE_LENGTH: (LONG, [128]),
        TILE_OFFSETS: (LONG, [8] * 4),
        TILE_COUNTS: (LONG, [len(data)] * 4),
    }
    return entries | {globals()[name]: value for name, value in changes.items()}


@contextmanager
def at_worst(kind: type[EvenpatchError], name: str) -> Iterator[None]:
    """The block ends well, or in this error, which names the file."""
    try:
        yield
    except kind as error:
        if name not in str(error):
            raise


def read_everything(path: Path) -> None:
    with open_slide(path) as slide:
        slide.read_region(Location(0, 0), 0, Size(300, 200))
        overview(slide, max(1.0, max(slide.size.width, slide.size.height) / 200))


def refused(path: Path) -> None:
    """Whatever is done with the file ends in an error of evenpatch, if it does not end well."""
    with cheap(), at_worst(SlideError, path.name):
        read_everything(path)


def with_jpeg_size(height: int, width: int) -> bytes:
    data = bytearray(imagecodecs.jpeg8_encode(np.zeros((128, 256), np.uint8)))
    place = data.index(b"\xff\xc0")
    struct.pack_into(">HH", data, place + 5, height, width)
    return bytes(data)


def with_jpeg2000_size(height: int, width: int) -> bytes:
    data = bytearray(imagecodecs.jpeg2k_encode(np.zeros((128, 256), np.uint8), codecformat="j2k"))
    place = data.index(b"\xff\x51")
    struct.pack_into(">II", data, place + 6, width, height)
    struct.pack_into(">II", data, place + 22, width, height)
    return bytes(data)


def png(height: int, width: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    content = zlib.compress(bytes(10 * MIB))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b"")


LONG_ZEROS = 300 * MIB
BOMBS: dict[str, tuple[int, Callable[[], bytes]]] = {
    "deflate": (DEFLATE, lambda: imagecodecs.zlib_encode(bytes(LONG_ZEROS), level=1)),
    "zstd": (ZSTD, lambda: imagecodecs.zstd_encode(bytes(LONG_ZEROS), level=1)),
    "lzw": (LZW, lambda: imagecodecs.lzw_encode(bytes(30 * MIB))),
    "packbits": (PACKBITS, lambda: b"\x81\0" * (2 * MIB)),
    "jpeg": (JPEG, lambda: with_jpeg_size(65500, 65500)),
    "jpeg2000": (JPEG2000, lambda: with_jpeg2000_size(60_000, 60_000)),
    "png": (PNG, lambda: png(60_000, 60_000)),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_tile_that_grows(kind: str, tmp_path: Path) -> None:
    compression, make = BOMBS[kind]
    data, path = make(), tmp_path / f"{kind}.tif"
    path.write_bytes(tiff(tiled(data, compression), data))
    refused(path)


LIES: dict[str, dict[str, tuple[int, Sequence[int]]]] = {
    "2^31 pixels a side": {"WIDTH": (LONG, [2**31 - 1]), "HEIGHT": (LONG, [2**31 - 1])},
    "a tile of 2^62 pixels": {"TILE_WIDTH": (LONG, [2**31]), "TILE_LENGTH": (LONG, [2**31])},
    "a tile of 4 GiB": {"TILE_WIDTH": (LONG, [2**16]), "TILE_LENGTH": (LONG, [2**16])},
    "a tile without width": {"TILE_WIDTH": (LONG, [0])},
    "65,535 samples": {"SAMPLES": (SHORT, [65535])},
    "a strip of everything": {
        "WIDTH": (LONG, [2**16]),
        "HEIGHT": (LONG, [2**16]),
        "TILE_LENGTH": (LONG, [2**16]),
    },
}


@pytest.mark.parametrize("reader", ["tiff", "openslide"])
@pytest.mark.parametrize("lie", LIES)
def test_a_directory_that_lies(lie: str, reader: str, tmp_path: Path) -> None:
    data = imagecodecs.zlib_encode(bytes(256 * 128))
    path = tmp_path / "lie.tif"
    path.write_bytes(tiff(tiled(data, DEFLATE, **LIES[lie]), data))
    with cheap(), pytest.raises(SlideError, match=r"lie\.tif"):
        open_slide(path, reader=reader)


@pytest.mark.parametrize("reader", ["tiff", "openslide"])
def test_millions_of_tiles_that_the_file_cannot_hold(reader: str, tmp_path: Path) -> None:
    data = imagecodecs.zlib_encode(bytes(256 * 128))
    content = bytearray(tiff(tiled(data, DEFLATE), data))
    for tag in (TILE_OFFSETS, TILE_COUNTS):
        place = content.index(struct.pack("<HHI", tag, LONG, 4))
        struct.pack_into("<I", content, place + 4, 2**30)
    path = tmp_path / "lie.tif"
    path.write_bytes(content)
    with cheap(), pytest.raises(SlideError, match=r"lie\.tif"):
        open_slide(path, reader=reader)


@pytest.mark.parametrize("reader", ["tiff", "openslide"])
def test_a_directory_that_follows_itself(reader: str, tmp_path: Path) -> None:
    data = imagecodecs.zlib_encode(bytes(256 * 128))
    whole = tiff(tiled(data, DEFLATE), data)
    (start,) = struct.unpack_from("<I", whole, 4)
    path = tmp_path / "cycle.tif"
    path.write_bytes(tiff(tiled(data, DEFLATE), data, following=start))
    with cheap(), at_worst(SlideError, "cycle.tif"), open_slide(path, reader=reader) as slide:
        slide.read_region(Location(0, 0), 0, Size(300, 200))


@pytest.mark.parametrize("reader", ["tiff", "openslide"])
def test_ten_thousand_directories(reader: str, tmp_path: Path) -> None:
    data = imagecodecs.zlib_encode(bytes(256 * 128))
    content = bytearray(tiff(tiled(data, DEFLATE), data))
    (first,) = struct.unpack_from("<I", content, 4)
    link = first + 2 + 12 * 10
    directory = bytes(content[first:link])
    for _ in range(10_000):
        struct.pack_into("<I", content, link, len(content))
        link = len(content) + len(directory)
        content += directory + bytes(4)
    path = tmp_path / "many.tif"
    path.write_bytes(content)
    with cheap(seconds=15), at_worst(SlideError, "many.tif"), open_slide(path, reader=reader) as slide:
        slide.read_region(Location(0, 0), 0, Size(300, 200))


def test_a_slide_whose_mask_would_be_a_terabyte(tmp_path: Path) -> None:
    side = 2**19
    data = imagecodecs.zlib_encode(bytes(side))
    rows = np.full(side, 8, "<u4").tobytes()
    entries: dict[int, Any] = {tag: value for tag, value in tiled(data, DEFLATE).items() if tag < TILE_WIDTH}
    entries |= {WIDTH: (LONG, [side]), HEIGHT: (LONG, [side]), ROWS: (LONG, [1])}
    content = tiff(entries | {STRIP_OFFSETS: (LONG, [0]), STRIP_COUNTS: (LONG, [0])}, data)
    long = bytearray(content)
    for tag, values in ((STRIP_OFFSETS, rows), (STRIP_COUNTS, np.full(side, len(data), "<u4").tobytes())):
        place = content.index(struct.pack("<HHI", tag, LONG, 1))
        struct.pack_into("<II", long, place + 4, side, len(long))
        long += values
    path = tmp_path / "vast.tif"
    path.write_bytes(long)
    settings = TileSettings.model_validate(
        {"patch": {"size": 16, "downsample": 1}, "tissue": {"method": "otsu"}, "classes": {}}
    )
    row = SlideRow("vast", "p", (path,), label=0)
    with cheap(seconds=6), pytest.raises(SlideError, match=r"mask of|patches"):
        tile_slide(SlideTask(row, "0", settings, Folders(tmp_path, tmp_path, tmp_path)))
    assert not (tmp_path / "vast.zarr").exists()


ENTITIES = (
    '<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(10))
    + "]>"
)
OUTSIDE = '<?xml version="1.0"?><!DOCTYPE r [<!ENTITY k SYSTEM "file:///etc/hostname">]>'
OME = '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0" Name="%s"/></OME>'
QPI = "<PerkinElmer-QPI-ImageDescription><Name>%s</Name></PerkinElmer-QPI-ImageDescription>"


@pytest.mark.parametrize("prolog", [ENTITIES, OUTSIDE])
@pytest.mark.parametrize(("body", "software"), [(OME, b"tifffile"), (QPI, b"PerkinElmer-QPI")])
def test_entities_in_a_description(prolog: str, body: str, software: bytes, tmp_path: Path) -> None:
    data = imagecodecs.zlib_encode(bytes(256 * 128))
    text = (prolog + body % "&k;").encode() + b"\0"
    entries = tiled(data, DEFLATE, DESCRIPTION=(ASCII, text), SOFTWARE=(ASCII, software + b"\0"))
    path = tmp_path / "bomb.tif"
    path.write_bytes(tiff(entries, data))
    with cheap(), pytest.raises(UnreadableSlideError, match="EntitiesForbidden"):
        open_slide(path)


def annotation(path: Path) -> None:
    load_annotation(path, label=None, size=Size(300, 200), classes={"*": "tumor"})


@pytest.mark.parametrize("prolog", [ENTITIES, OUTSIDE])
@pytest.mark.parametrize("root", ["ASAP_Annotations", "Annotations"])
def test_entities_in_an_annotation(prolog: str, root: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb.xml"
    path.write_text(f"{prolog}<{root}><Annotation Name='&k;'/></{root}>")
    with cheap(), pytest.raises(AnnotationError, match=r"bomb\.xml"):
        annotation(path)


@pytest.mark.parametrize("side", [100_000, 2**31 - 1])
def test_a_mask_that_grows(side: int, tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    path.write_bytes(png(side, side))
    with cheap(), pytest.raises(AnnotationError, match=r"mask mask\.png"):
        annotation(path)


@pytest.mark.parametrize("kind", ["jpeg", "jpeg2000", "png", "deflate"])
def test_a_mask_with_a_tile_that_grows(kind: str, tmp_path: Path) -> None:
    compression, make = BOMBS[kind]
    data, path = make(), tmp_path / "mask.tif"
    path.write_bytes(tiff(tiled(data, compression), data))
    with cheap(), at_worst(AnnotationError, "mask.tif"):
        annotation(path)


def feature(coordinates: str) -> str:
    geometry = f'{{"type": "Polygon", "coordinates": {coordinates}}}'
    return f'[{{"type": "Feature", "properties": {{}}, "geometry": {geometry}}}]'


@pytest.mark.parametrize(
    "text",
    [
        "[" * 10_000 + "]" * 10_000,
        feature("[" * 10_000 + "]" * 10_000),
        '{"a":' * 10_000 + "1" + "}" * 10_000,
        feature("[[[0, 0], [1e308, 0], [1e308, 1e308], [0, 0]]]"),
        feature("[[[0, 0], [NaN, 0], [10, 10], [0, 0]]]"),
        feature("[[[0, 0], [Infinity, 0], [10, 10], [0, 0]]]"),
        feature(f"[[[0, 0], [{'9' * 5000}, 0], [10, 10], [0, 0]]]"),
        feature("[[[0, 0], [true, 0], [10, null], [0, 0]]]"),
    ],
    ids=["lists", "coordinates", "objects", "1e308", "NaN", "Infinity", "5,000 digits", "no numbers"],
)
def test_outlines_that_are_none(text: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb.geojson"
    path.write_text(text)
    with cheap(), pytest.raises(AnnotationError, match=r"bomb\.geojson"):
        annotation(path)


def test_a_million_points_are_read(tmp_path: Path) -> None:
    angle_M = np.linspace(0, 2 * np.pi, 300_000)
    ring_M2 = np.stack([150 + 90 * np.cos(angle_M), 100 + 90 * np.sin(angle_M)], axis=-1)
    path = tmp_path / "fine.geojson"
    path.write_text(feature(json.dumps([ring_M2.tolist()])))
    with cheap(seconds=10, memory=512 * MIB):
        annotation(path)


def test_an_annotation_of_a_gigabyte(tmp_path: Path) -> None:
    for name in ("huge.geojson", "huge.xml", "huge.png", "huge.tif"):
        path = tmp_path / name
        path.touch()
        os.truncate(path, 2**30 + 1)  # sparse: it takes no space
        with cheap(), pytest.raises(AnnotationError, match=name):
            annotation(path)


HEADER = b"slide_id,patient_id,image\n"


def test_a_manifest_of_a_gigabyte(tmp_path: Path) -> None:
    path = tmp_path / "slides.csv"
    path.write_bytes(HEADER + b"s1,p1,")
    os.truncate(path, 2**30)
    with cheap(), pytest.raises(ManifestError, match=r"slides\.csv"):
        read_manifest(path)


@pytest.mark.parametrize(
    "row",
    [
        b"s1,p1," + b"x" * 200_000 + b"\n",
        b's1,p1,"a.tif\n',
        b"s1,p1,\xff.tif\n",
        b"\0" * 5000,
    ],
    ids=["long field", "open quote", "not UTF-8", "only NUL"],
)
def test_a_manifest_of_odd_bytes(row: bytes, tmp_path: Path) -> None:
    path = tmp_path / "slides.csv"
    path.write_bytes(HEADER + row)
    with cheap(), pytest.raises(ManifestError, match=r"slides\.csv"):
        read_manifest(path)


def test_a_name_with_a_nul(tmp_path: Path) -> None:
    path = tmp_path / "slides.csv"
    path.write_bytes(HEADER + b"s1,p1,a\0b.tif\n")
    [row] = read_manifest(path)
    with pytest.raises(MissingFileError):
        open_slide(row.images)


def link_to_itself(folder: Path) -> str:
    (folder / "loop.tif").symlink_to("loop.tif")
    return "loop.tif"


def link_to_nothing(folder: Path) -> str:
    (folder / "broken.tif").symlink_to("nothing.tif")
    return "broken.tif"


def pipe_nobody_writes(folder: Path) -> str:
    os.mkfifo(folder / "pipe.tif")
    return "pipe.tif"


NAMES = ("../" * 50 + "slide.tif", "../..", "/nowhere/slide.tif", "missing.tif", ".", "/dev/null")
LINKS = (link_to_itself, link_to_nothing, pipe_nobody_writes)


@pytest.mark.parametrize("place", [*NAMES, *LINKS])
def test_images_that_are_no_files(place: str | Callable[[Path], str], tmp_path: Path) -> None:
    name = place if isinstance(place, str) else place(tmp_path)
    path = tmp_path / "slides.csv"
    path.write_text(f"slide_id,patient_id,image,annotation\ns1,p1,{name},{name}\n")
    [row] = read_manifest(path)
    with cheap(), pytest.raises(SlideError):
        open_slide(row.images)
    assert row.annotation is not None
    with cheap(), pytest.raises((MissingFileError, AnnotationError)):
        annotation(row.annotation)


def test_a_name_that_no_file_can_have(tmp_path: Path) -> None:
    path = tmp_path / "slides.csv"
    path.write_text(f"slide_id,patient_id,image\ns1,p1,{'x' * 5000}\n")
    with pytest.raises(ManifestError, match="name of more than 255 bytes"):
        read_manifest(path)
    with pytest.raises(MissingFileError):
        open_slide(tmp_path / ("x" * 5000))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_slide_that_must_not_be_read(rgb_tiff: Any, tmp_path: Path) -> None:
    path = tmp_path / "secret.tif"
    path.write_bytes(rgb_tiff.path.read_bytes())
    path.chmod(0)
    with pytest.raises(UnreadableSlideError, match=r"secret\.tif"):
        open_slide(path)
