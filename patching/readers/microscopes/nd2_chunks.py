"""The list of chunks of an ND2 file: which frames exist, and whether all that is listed lies in the file.

nd2 takes lengths as they are told, so that a damaged one asks for terabytes, and gives zeros for frames that
are not there.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from patching.damage import damaged, decoded

_MAGIC = 0x0ABECEDA
_END = b"ND2 CHUNK MAP SIGNATURE 0000001!"
_FRAME = b"ImageDataSeq|"
_HEAD, _PLACE, _TAIL = struct.Struct("<IIQ"), struct.Struct("<QQ"), struct.Struct("<32sQ")
_LARGEST_LIST = 2**28


def stored_frames(path: Path) -> dict[int, int]:
    """The bytes of each frame that exists, by its number.

    Raises:
        UnreadableSlideError: no list, or chunks that do not lie in the file.
    """
    with decoded(path, path.open, "rb") as file:
        length = os.fstat(file.fileno()).st_size
        end, place = _TAIL.unpack(_read(path, file, max(0, length - _TAIL.size), _TAIL.size))
        if end != _END:
            raise damaged(path, "no list of its chunks at its end: it is truncated, or was never finished")
        name_bytes, data_bytes = _lengths(path, file, place, length)
        if data_bytes > _LARGEST_LIST:
            raise damaged(path, f"a list of chunks of {data_bytes} bytes")
        frames: dict[int, int] = {}
        listed = _read(path, file, place + _HEAD.size + name_bytes, data_bytes)
        for name, start in _entries(path, listed):
            _, size = _lengths(path, file, start, length)
            number = name.removeprefix(_FRAME).removesuffix(b"!")
            if name.startswith(_FRAME) and number.isdigit():
                frames[int(number)] = size
    return frames


def _entries(path: Path, listed: bytes) -> Iterator[tuple[bytes, int]]:
    """Name and place of each chunk."""
    at = 0
    while True:
        after = listed.find(b"!", at) + 1
        name = listed[at:after]
        if name == _END:
            return
        if after == 0 or after + _PLACE.size > len(listed):
            raise damaged(path, "a list of chunks without an end")
        yield name, int(_PLACE.unpack_from(listed, after)[0])
        at = after + _PLACE.size


def _lengths(path: Path, file: BinaryIO, place: int, length: int) -> tuple[int, int]:
    """Bytes of a chunk's name and of its data."""
    if place + _HEAD.size > length:
        raise damaged(path, f"a chunk at byte {place} of {length}")
    magic, name_bytes, data_bytes = _HEAD.unpack(_read(path, file, place, _HEAD.size))
    if magic != _MAGIC or place + _HEAD.size + name_bytes + data_bytes > length:
        raise damaged(path, f"a chunk of {data_bytes} bytes at byte {place} of {length}")
    return int(name_bytes), int(data_bytes)


def _read(path: Path, file: BinaryIO, place: int, count: int) -> bytes:
    content: bytes = decoded(path, os.pread, file.fileno(), count, place)
    if len(content) < count:
        raise damaged(path, f"{len(content)} of {count} bytes at byte {place}")
    return content
