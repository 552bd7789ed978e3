"""CRC-32C as zarr stores it, and what ends with one: every chunk, and the index of a shard."""

import struct
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

SEAL = 4
"""Bytes of a checksum."""
MISSING = 2**64 - 1
"""Offset and length of a chunk that a shard does not hold."""


def checksum(content: Any) -> bytes:
    """Four bytes in little-endian order."""
    return struct.pack("<I", google_crc32c.value(content))


def unsealed(stored: bytes) -> bytes | None:
    """Content without the checksum behind it; None where that fails."""
    content = stored[:-SEAL]
    return content if checksum(content) == stored[-SEAL:] else None


def index_bytes(chunks: int) -> int:
    """Length of the index of a shard, its checksum included."""
    return 16 * chunks + SEAL


def read_index(path: Path, chunks: int) -> NDArray[np.uint64] | None:
    """Offset and length of each chunk of a shard, uint64 [chunks, 2]; None where it is missing or damaged."""
    length = index_bytes(chunks)
    if not path.is_file() or path.stat().st_size < length:
        return None
    with path.open("rb") as file:
        file.seek(-length, 2)
        content = unsealed(file.read(length))
    return None if content is None else np.frombuffer(content, "<u8").reshape(-1, 2)
