"""Whole shards of a zarr array, written straight to the specification (zarr v3, `sharding_indexed`).

A shard is the encoded chunks one after the other, then an index of (offset, length) per chunk as
little-endian uint64, then the index's CRC-32C. zarr-python writes the same bytes a tenth as fast.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from patching.disk_space import writing
from patching.store.seals import MISSING, checksum, index_bytes, read_index, unsealed

_MOST_WRITTEN = 1024  # pieces that the system takes at once
_SET_ASIDE = 2**24  # bytes: for less it costs more than it spares


class ShardFile:
    """A shard that grows under a temporary name, chunk by chunk, until `close`.

    Args:
        path: the shard's file.
        chunks: of a full shard; the last shard of an array may get fewer.
        likely_bytes: room that is set aside on the disk at once, which spares a third of the time of
            writing; what is not needed is given back.

    Raises:
        DiskSpaceError: the disk is full; also by the methods.
    """

    def __init__(self, path: Path, chunks: int, likely_bytes: int = 0) -> None:
        self._path, self._part = path, path.with_name(f".{path.name}.part")
        self._length: NDArray[np.int64] = np.zeros(chunks, np.int64)
        self._count = 0
        with writing(self._path):
            self._file = self._part.open("wb", buffering=0)
        self._set_aside = _set_aside(self._file.fileno(), likely_bytes)

    def append(self, chunks: Sequence[memoryview]) -> None:
        """Add the next chunks."""
        for chunk in chunks:
            self._length[self._count] = chunk.nbytes
            self._count += 1
        self._write(chunks)

    def close(self) -> None:
        """Add the index, and give the file its name."""
        self._write([memoryview(self._index())])
        with writing(self._path):
            if self._set_aside:
                self._file.truncate()
            self._file.close()
        self._part.replace(self._path)

    def abort(self) -> None:
        """Leave nothing."""
        self._file.close()
        self._part.unlink(missing_ok=True)

    def _write(self, chunks: Sequence[memoryview]) -> None:
        with writing(self._path):
            while chunks:
                done = os.writev(self._file.fileno(), chunks[:_MOST_WRITTEN])
                chunks = _after(chunks, done)

    def _index(self) -> bytes:
        end_N = np.cumsum(self._length)
        index_N2 = np.stack([end_N - self._length, self._length], axis=-1).astype("<u8")
        index_N2[self._length == 0] = MISSING
        content = index_N2.tobytes()
        return content + checksum(content)


def _set_aside(descriptor: int, nbytes: int) -> bool:
    """Whether so much room was asked for."""
    if nbytes < _SET_ASIDE or not hasattr(os, "posix_fallocate"):  # macOS has none
        return False
    # On a disk that is nearly full the patches may still fit, compressed; if not, writing will tell.
    with suppress(OSError):
        os.posix_fallocate(descriptor, 0, nbytes)
    return True


def _after(chunks: Sequence[memoryview], done: int) -> Sequence[memoryview]:
    """What is left after the first `done` bytes."""
    for number, chunk in enumerate(chunks):
        if done < chunk.nbytes:
            return [chunk[done:], *chunks[number + 1 :]]
        done -= chunk.nbytes
    return []


def is_whole(path: Path, chunks: int) -> bool:
    """Whether a shard's file is as long as its index says, and the index is undamaged."""
    return _places(path, chunks) is not None


def all_sealed(path: Path, chunks: int) -> bool:
    """Whether a shard is whole, and every chunk in it what its checksum says."""
    places = _places(path, chunks)
    if places is None:
        return False
    with path.open("rb") as file:
        for offset, length in places:
            file.seek(offset)
            if unsealed(file.read(length)) is None:
                return False
    return True


def _places(path: Path, chunks: int) -> list[tuple[int, int]] | None:
    """Offset and length of each chunk that a shard holds; None where it is damaged or cut off."""
    index_N2 = read_index(path, chunks)
    if index_N2 is None:
        return None
    held_n2 = index_N2[index_N2[:, 0] != MISSING]
    end = int(held_n2.sum(axis=1, dtype=np.uint64).max(initial=0))
    whole = end == path.stat().st_size - index_bytes(chunks)
    return [(int(offset), int(length)) for offset, length in held_n2] if whole else None
