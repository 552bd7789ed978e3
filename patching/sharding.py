"""Whole shards of a zarr array, encoded straight to the specification (zarr v3, `sharding_indexed`).

A shard is the encoded chunks one after the other, then an index of (offset, length) per chunk as
little-endian uint64, then the index's CRC-32C. Every chunk ends with its own CRC-32C, which both
zarr-python and TensorStore check at every read. zarr-python writes the same bytes a tenth as fast.
"""

import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import google_crc32c
import imagecodecs
import numpy as np
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec

from patching.disk_space import full_disk

Codec = Literal["blosc-lz4", "zstd", "none", "jpeg"]
"""`jpeg` keeps the slide's own streams where patches are its tiles, and is blosc-lz4 elsewhere."""
_OVERHEAD = 16  # of a Blosc frame around bytes that do not compress
_CRC = 4
_ALIGNED = 64
_MOST_WRITTEN = 1024  # pieces that the system takes at once
_SET_ASIDE = 2**24  # bytes: for less it costs more than it spares
_EVERY = 16
"""Every which row of a patch is compressed on trial, or every second of them looked at."""
_EQUAL = 0.2
"""Share of pixels that equal their left neighbor from which LZ4 saves a tenth or more: on 970 patches of
stained and 8-bit intensity slides, JPEG or not, 97 % were judged as by compressing them whole."""
_WORTH = 0.9
"""Patches that would keep more of their size are stored plain: noise costs time and gives nothing."""
_MISSING = 2**64 - 1

_BLOSC: dict[str, dict[str, Any]] = {
    # Microscope noise hardly compresses: the fast level costs a hundredth of the size.
    "blosc-lz4": {"cname": "lz4", "clevel": 1},
    "jpeg": {"cname": "lz4", "clevel": 1},
    "zstd": {"cname": "zstd", "clevel": 3},
}


def compressors(codec: Codec, dtype: np.dtype[Any]) -> list[Any]:
    """The codecs of a chunk as zarr-python's metadata names them; the checksum comes last."""
    if codec == "none":
        return [Crc32cCodec()]
    return [BloscCodec(shuffle=_shuffle(dtype), typesize=dtype.itemsize, **_BLOSC[codec]), Crc32cCodec()]


class Encoder:
    """Encodes patches into slots; each thread has its own.

    A patch that does not compress is stored as a Blosc frame of plain bytes, which every Blosc reads; where
    it lies in its slot behind the room for the frame's header already, nothing is copied.
    """

    def __init__(self, codec: Codec, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        self._codec, self._dtype, self._shape = codec, dtype, shape
        self._nbytes = int(np.prod(shape)) * dtype.itemsize
        self.offset = 0 if codec == "none" else _OVERHEAD
        """Byte of a slot at which a patch is best decoded."""
        self.compresses = codec != "none" and dtype.itemsize > 1
        """Whether most patches get smaller, and are best decoded elsewhere than in their slot."""
        self._scratch_B: NDArray[np.uint8] = np.empty(self._nbytes + _OVERHEAD, np.uint8)
        if codec != "none":
            self._blosc(np.zeros(shape, dtype), self._scratch_B, 0)
        self._header_B = self._scratch_B[: self.offset].copy()

    def place(self, slot_B: NDArray[np.uint8]) -> NDArray[Any]:
        """The array in a slot into which a patch is best decoded."""
        return slot_B[self.offset : self.offset + self._nbytes].view(self._dtype).reshape(self._shape)

    def encode(self, patch_HWC: NDArray[Any], slot_B: NDArray[np.uint8]) -> int:
        """Encode a patch into a slot, where it may lie at its `place`; returns the number of bytes."""
        placed = np.may_share_memory(patch_HWC, slot_B)
        if self._codec == "none" or not self._worth_it(patch_HWC):
            if not placed:
                self.place(slot_B)[:] = patch_HWC
            slot_B[: self.offset] = self._header_B
            return self.offset + self._nbytes
        target_B = self._scratch_B if placed else slot_B
        length = self._blosc(patch_HWC, target_B, _BLOSC[self._codec]["clevel"])
        if placed:
            slot_B[:length] = target_B[:length]
        return length

    def _worth_it(self, patch_HWC: NDArray[Any]) -> bool:
        """Whether a few rows say that the patch compresses."""
        if self._codec != "zstd" and self.compresses:
            return True  # LZ4 is soon done with noise
        if self._codec != "zstd":
            # LZ4 finds repeats only; on 8-bit slides equal neighbors tell of them better than a trial does.
            rows_RWC = patch_HWC[_EVERY :: 2 * _EVERY]
            equal_RWC = rows_RWC[:, 1:] == rows_RWC[:, :-1]
            return bool(np.count_nonzero(equal_RWC) >= equal_RWC.size * _EQUAL)
        sample_RWC = np.ascontiguousarray(patch_HWC[_EVERY // 2 :: _EVERY])
        length = self._blosc(sample_RWC, self._scratch_B, _BLOSC[self._codec]["clevel"])
        return not sample_RWC.size or length <= sample_RWC.nbytes * _WORTH

    def _blosc(self, pixels: Any, out: Any, level: int) -> int:
        encoded = imagecodecs.blosc_encode(
            pixels,
            level=level,
            compressor=_BLOSC[self._codec]["cname"],
            shuffle=_shuffle(self._dtype),
            typesize=self._dtype.itemsize,
            numthreads=1,
            out=out,
        )
        return len(encoded)


def _shuffle(dtype: np.dtype[Any]) -> str:
    """Bits of wider types are sorted by their place: those above a signal's range compress to nothing."""
    return "noshuffle" if dtype.itemsize == 1 else "bitshuffle"


class ChunkBuffer:
    """Memory for a few encoded chunks.

    Args:
        chunks: slots.
        chunk_bytes: size of a decoded chunk.
    """

    def __init__(self, chunks: int, chunk_bytes: int) -> None:
        slot_bytes = -(-(chunk_bytes + _OVERHEAD + _CRC) // _ALIGNED) * _ALIGNED
        memory_NB = np.empty((chunks, slot_bytes), np.uint8)
        self._slots = [slot_B[:-_CRC] for slot_B in memory_NB]
        self._memory = [slot_B.data for slot_B in memory_NB]
        self._chunks = [memoryview(b"")] * chunks

    def slot(self, number: int) -> NDArray[np.uint8]:
        """Where chunk `number` is to be encoded, without the room for its checksum."""
        return self._slots[number]

    def seal(self, number: int, length: int) -> None:
        """Say how many bytes of a slot were written; their checksum is put behind them."""
        memory = self._memory[number]
        memory[length : length + _CRC] = _checksum(self._slots[number][:length])
        self._chunks[number] = memory[: length + _CRC]

    def chunks(self, count: int) -> list[memoryview]:
        """The first `count` chunks, sealed."""
        return self._chunks[:count]


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
        with self._told():
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
        with self._told():
            if self._set_aside:
                self._file.truncate()
            self._file.close()
        self._part.replace(self._path)

    def abort(self) -> None:
        """Leave nothing."""
        self._file.close()
        self._part.unlink(missing_ok=True)

    def _write(self, chunks: Sequence[memoryview]) -> None:
        with self._told():
            while chunks:
                done = os.writev(self._file.fileno(), chunks[:_MOST_WRITTEN])
                chunks = _after(chunks, done)

    def _index(self) -> bytes:
        end_N = np.cumsum(self._length)
        index_N2 = np.stack([end_N - self._length, self._length], axis=-1).astype("<u8")
        index_N2[self._length == 0] = _MISSING
        content = index_N2.tobytes()
        return content + _checksum(content)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise full_disk(error, self._path) from error


def _set_aside(descriptor: int, nbytes: int) -> bool:
    """Whether so much room was asked for."""
    if nbytes < _SET_ASIDE or not hasattr(os, "posix_fallocate"):  # macOS has none
        return False
    # Compression may need less room than there is, and a file system may know nothing of it.
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


def _checksum(content: Any) -> bytes:
    return struct.pack("<I", google_crc32c.value(content))


def is_whole(path: Path, chunks: int) -> bool:
    """Whether a shard's file is as long as its index says, and the index is undamaged."""
    length = 16 * chunks
    if not path.is_file() or path.stat().st_size < length + _CRC:
        return False
    with path.open("rb") as file:
        file.seek(-length - _CRC, 2)
        content, end = file.read(length), file.tell()
        checksum = file.read(_CRC)
    index_N2 = np.frombuffer(content, "<u8").reshape(-1, 2)
    stored_N2 = index_N2[index_N2[:, 0] != _MISSING]
    return (
        _checksum(content) == checksum
        and int(stored_N2.sum(axis=1, dtype=np.uint64).max(initial=0)) == end - length
    )
