"""JPEG tiles as scanners write them: YCbCr 4:2:0, abbreviated, their tables once per directory."""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

TILE = 256
QUALITY = 87
_START, _END = b"\xff\xd8", b"\xff\xd9"
_APP0, _DQT, _DHT, _SOS = 0xE0, 0xDB, 0xC4, 0xDA


def encode(tile_HWC: NDArray[np.uint8]) -> tuple[bytes, bytes]:
    """Abbreviated stream and tables of one RGB tile; the tables are the same for every tile."""
    data = imagecodecs.jpeg8_encode(
        np.ascontiguousarray(tile_HWC), QUALITY, colorspace="RGB", outcolorspace="YCBCR", subsampling="420"
    )
    return split(data)


def cut(image_HWC: NDArray[np.uint8]) -> Iterator[bytes]:
    """JPEG tiles, row by row; those at the border are filled up."""
    for top in range(0, image_HWC.shape[0], TILE):
        for left in range(0, image_HWC.shape[1], TILE):
            tile_HWC = image_HWC[top : top + TILE, left : left + TILE]
            missing = [(0, TILE - length) for length in tile_HWC.shape[:2]]
            yield encode(np.pad(tile_HWC, [*missing, (0, 0)], mode="edge"))[0]


def split(data: bytes) -> tuple[bytes, bytes]:
    """A whole JPEG stream into (abbreviated stream, tables)."""
    stream, tables, position = [_START], [_START], 2
    while True:
        _, marker, length = struct.unpack_from(">BBH", data, position)
        segment = data[position : position + 2 + length]
        if marker == _SOS:
            stream.append(data[position:])
            return b"".join(stream), b"".join([*tables, _END])
        if marker in (_DQT, _DHT):
            tables.append(segment)
        elif marker != _APP0:
            stream.append(segment)
        position += 2 + length


@dataclass(frozen=True)
class Level:
    """One resolution: its side and its encoded tiles, row by row; an empty one is not stored."""

    side: int
    tiles: Iterable[bytes]


def write_aperio(path: Path, levels: Iterable[Level], thumbnail_HWC: NDArray[np.uint8], mpp: float) -> None:
    """An Aperio slide: baseline, thumbnail, coarser levels."""
    tables = encode(np.zeros((TILE, TILE, 3), np.uint8))[1]
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        for number, level in enumerate(levels):
            told = f"Aperio Image Library v12\r\n{level.side}x{level.side} (256x256) JPEG/YCC Q={QUALITY}"
            options: dict[str, Any] = {"photometric": "rgb", "compression": "jpeg", "metadata": None}
            tiff.write(
                iter(level.tiles),
                shape=(level.side, level.side, 3),
                dtype=np.uint8,
                tile=(TILE, TILE),
                jpegtables=tables,
                description=f"{told}|AppMag = 20|MPP = {mpp}",
                **options,
            )
            if number == 0:
                tiff.write(thumbnail_HWC, rowsperstrip=16, description="Aperio Image Library", **options)


def share_tiles(path: Path, number: int, picks_N: NDArray[np.int64], stored: int) -> None:
    """Point every tile of directory `number` to one of the `stored` tiles that lie first in it, or to none.

    Args:
        path: a TIFF whose directory holds `stored` tiles first, then empty ones.
        number: index of the directory.
        picks_N: for each tile which stored one it shows, or -1.
        stored: how many there are.
    """
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tags = tiff.pages[number].tags
        for name in ("TileOffsets", "TileByteCounts"):
            first = np.array([*tags[name].value[:stored], 0], np.int64)
            tags[name].overwrite(tuple(first[picks_N].tolist()))
