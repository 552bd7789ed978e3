"""The segments of a CZI file: its list of tiles, its XML and its pixels as stored.

Read after Zeiss' description of the format (ZISRAW, DV schema), not with a package: bioio-czi needs
aicspylibczi, which is GPL-3; pylibCZIrw ends the whole process on some damaged files (a segmentation fault in
250 mutated ones); czifile for this Python decodes no Zstandard. imagecodecs, which is needed anyway, has all
codecs. Tests compare every pixel with pylibCZIrw.
"""

import os
import struct
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from patching.damage import damaged, decoded
from patching.errors import UnreadableSlideError

_HEADER, _DIRECTORY, _SUBBLOCK, _METADATA = (
    b"ZISRAWFILE",
    b"ZISRAWDIRECTORY",
    b"ZISRAWSUBBLOCK",
    b"ZISRAWMETADATA",
)
_SEGMENT = struct.Struct("<16sqq")
_FILE = struct.Struct("<iiii16s16siqqiq")
_ENTRY = struct.Struct("<2siqiiB5xi")
_DIMENSION = struct.Struct("<4siifi")
_SIZES = struct.Struct("<iiq")
_FIXED = 256
_LARGEST_XML = 2**28
_LARGEST_TILE = 2**30
_MOST_DIMENSIONS = 40
_EDIT = "open it in ZEN and save it under a new name as CZI, or export it as OME-TIFF"

# Code: type, samples, and their order from the stored one.
PIXELS: dict[int, tuple[str, int]] = {0: ("u1", 1), 1: ("<u2", 1), 2: ("<f4", 1), 3: ("u1", 3), 4: ("<u2", 3),
                                      8: ("<f4", 3), 12: ("<i4", 1)}  # fmt: skip
_RAW, _JPEG, _JPEG_XR, _ZSTD, _ZSTD_HEADED = 0, 1, 4, 5, 6
_CODECS = (_RAW, _JPEG, _JPEG_XR, _ZSTD, _ZSTD_HEADED)


@dataclass(frozen=True, slots=True)
class Tile:
    """A stored picture: its rectangle at level 0, its size as stored, and where it lies along other axes."""

    x: int
    y: int
    width: int
    height: int
    stored_width: int
    stored_height: int
    place: dict[str, int]
    pixels: int
    """Code of the pixel type."""
    codec: int
    at: int
    """Byte of its segment."""
    number: int
    """Its place in the file's list."""

    @property
    def factor(self) -> int:
        """How many times coarser it is stored."""
        return max(1, round(max(self.width / self.stored_width, self.height / self.stored_height)))


class CziFile:
    """An opened CZI file; threads may share it.

    Raises:
        UnreadableSlideError: damaged, or a part of several files.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO = decoded(path, path.open, "rb")
        with ExitStack() as if_it_fails:
            if_it_fails.callback(self.close)
            self.length = os.fstat(self._file.fileno()).st_size
            self._read_header()
            self.tiles = self._read_tiles()
            if_it_fails.pop_all()

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def _read_header(self) -> None:
        content = self._content(0, _HEADER, _FILE.size)
        _, _, _, _, primary, own, part, self._tiles_at, self._xml_at, _, _ = _FILE.unpack(content)
        if part != 0 or primary != own:
            raise UnreadableSlideError(
                has=f"{self.path}: part {part} of a CZI in several files",
                needs="one file that holds everything",
                do=_EDIT,
            )

    def _bytes(self, at: int, count: int) -> bytes:
        if at < 0 or count < 0 or at + count > self.length:
            raise damaged(self.path, f"{count} bytes at byte {at} of {self.length}: truncated or damaged")
        content: bytes = decoded(self.path, os.pread, self._file.fileno(), count, at)
        if len(content) < count:
            raise damaged(self.path, f"{len(content)} of {count} bytes at byte {at}")
        return content

    def _content(self, at: int, kind: bytes, count: int) -> bytes:
        """The first bytes of a segment, without its header."""
        name, _, _ = _SEGMENT.unpack(self._bytes(at, _SEGMENT.size))
        if name.rstrip(b"\0") != kind:
            raise damaged(self.path, f"{name[:16]!r} instead of {kind.decode()} at byte {at}")
        return self._bytes(at + _SEGMENT.size, count)

    def _read_tiles(self) -> tuple[Tile, ...]:
        (count,) = struct.unpack("<i", self._content(self._tiles_at, _DIRECTORY, 4))
        start = self._tiles_at + _SEGMENT.size + 128
        if not 0 < count <= (self.length - start) // _ENTRY.size:
            raise damaged(self.path, f"a list of {count} tiles")
        data = self._bytes(
            start, min(self.length - start, count * (_ENTRY.size + _MOST_DIMENSIONS * _DIMENSION.size))
        )
        tiles, at = [], 0
        for number in range(count):
            tile, at = self._entry(data, at, number)
            tiles.append(tile)
        return tuple(tiles)

    def _entry(self, data: bytes, at: int, listed: int) -> tuple[Tile, int]:
        schema, pixels, place, part, codec, _, count = decoded(self.path, _ENTRY.unpack_from, data, at)
        if schema != b"DV" or not 0 < count <= _MOST_DIMENSIONS:
            raise damaged(self.path, f"a tile of schema {schema!r} with {count} dimensions")
        if part != 0:
            raise UnreadableSlideError(
                has=f"{self.path}: tiles in another file (part {part})",
                needs="one file that holds everything",
                do=_EDIT,
            )
        found: dict[str, tuple[int, int, int]] = {}
        for number in range(count):
            offset = at + _ENTRY.size + number * _DIMENSION.size
            name, first, size, _, stored = decoded(self.path, _DIMENSION.unpack_from, data, offset)
            found[name.rstrip(b"\0").decode("ascii", "replace")] = (first, size, stored or size)
        if "X" not in found or "Y" not in found or min(*found["X"][1:], *found["Y"][1:]) < 1:
            raise damaged(self.path, "a tile without width or height")
        others = {name: first for name, (first, _, _) in found.items() if name not in "XY"}
        (x, width, stored_width), (y, height, stored_height) = found["X"], found["Y"]
        tile = Tile(x, y, width, height, stored_width, stored_height, others, pixels, codec, place, listed)
        return tile, at + _ENTRY.size + count * _DIMENSION.size

    def xml(self) -> bytes:
        """The file's description, empty where there is none."""
        if self._xml_at <= 0:
            return b""
        (size,) = struct.unpack("<i", self._content(self._xml_at, _METADATA, 4))
        if size > _LARGEST_XML:
            raise damaged(self.path, f"a description of {size} bytes")
        return self._bytes(self._xml_at + _SEGMENT.size + _FIXED, size)

    def pixels(self, tile: Tile) -> NDArray[Any]:
        """Decode a tile [H, W, S], in the order red, green, blue.

        Raises:
            UnreadableSlideError: damaged.
        """
        fixed = self._content(tile.at, _SUBBLOCK, _SIZES.size + _ENTRY.size)
        described, _, size = _SIZES.unpack_from(fixed)
        dimensions = _ENTRY.unpack_from(fixed, _SIZES.size)[-1]
        start = max(_FIXED, _SIZES.size + _ENTRY.size + dimensions * _DIMENSION.size) + described
        kind, samples = PIXELS[tile.pixels]
        shape = (tile.stored_height, tile.stored_width, samples)
        dtype = np.dtype(kind)
        expected = int(np.prod(shape)) * dtype.itemsize
        if size > 2 * expected + 2**20:
            raise damaged(self.path, f"a tile of {size} stored bytes for {expected} bytes of pixels")
        data = self._bytes(tile.at + _SEGMENT.size + start, size)
        if tile.codec in (_JPEG, _JPEG_XR):
            decode = imagecodecs.jpeg8_decode if tile.codec == _JPEG else imagecodecs.jpegxr_decode
            pixels: NDArray[Any] = decoded(self.path, decode, data)
            if pixels.dtype.newbyteorder("<") != dtype.newbyteorder("<") or pixels.size != np.prod(shape):
                raise damaged(
                    self.path, f"a tile of {pixels.dtype} {pixels.shape} where {dtype} {shape} was told"
                )
            return pixels.reshape(shape)
        raw = self._unpacked(tile, data, expected, dtype.itemsize)
        if len(raw) < expected:
            raise damaged(self.path, f"a tile of {len(raw)} bytes where {expected} were told")
        pixels = np.frombuffer(raw, dtype, count=int(np.prod(shape))).reshape(shape)
        # Stored blue first; codecs of pictures return red first.
        return pixels[..., ::-1]

    def _unpacked(self, tile: Tile, data: bytes, expected: int, itemsize: int) -> Any:
        if tile.codec == _RAW:
            return data
        halves, start = False, 0
        if tile.codec == _ZSTD_HEADED:
            # A length, then what is to be done: one part, whose lowest bit says that low bytes come first.
            start = data[0] if data else 0
            if start not in (1, 3) or (start == 3 and data[1:2] != b"\x01"):
                raise damaged(self.path, f"a Zstandard tile that begins {data[:4]!r}")
            halves = start == 3 and bool(data[2] & 1)
        raw = decoded(self.path, imagecodecs.zstd_decode, data[start:], out=expected)
        if halves and itemsize == 2 and len(raw) == expected:
            return np.frombuffer(raw, np.uint8).reshape(2, -1).T.tobytes()
        return raw


def check_tiles(path: Path, tiles: tuple[Tile, ...]) -> None:
    """Refuse what is not decoded, before anything is.

    Raises:
        UnreadableSlideError: a pixel type or codec that is not decoded, or tiles of a gibibyte.
    """
    if unknown := {tile.pixels for tile in tiles} - set(PIXELS):
        raise _undecoded(path, f"pixels of CZI type {', '.join(map(str, sorted(unknown)))}")
    if unknown := {tile.codec for tile in tiles} - set(_CODECS):
        raise _undecoded(path, f"tiles compressed by CZI method {', '.join(map(str, sorted(unknown)))}")
    largest = max(
        tile.stored_width * tile.stored_height * np.dtype(PIXELS[tile.pixels][0]).itemsize for tile in tiles
    )
    if largest > _LARGEST_TILE:
        raise damaged(path, f"a tile of {largest / 2**30:.1f} GiB")


def _undecoded(path: Path, has: str) -> UnreadableSlideError:
    return UnreadableSlideError(
        has=f"{path}: {has}", needs="8 or 16 bits, gray or RGB, or 32 bits, gray; not camera raw", do=_EDIT
    )
