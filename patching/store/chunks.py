"""Chunks of a patch store: a patch compressed, or plain where that gains nothing, and a checksum.

Every chunk ends with its own CRC-32C, which both zarr-python and TensorStore check at every read.
"""

from typing import Any, Literal

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec

from patching.store.seals import SEAL, checksum

Codec = Literal["blosc-lz4", "zstd", "none", "jpeg"]
"""`jpeg` keeps the slide's own streams where patches are its tiles, and is blosc-lz4 elsewhere."""
_OVERHEAD = 16  # of a Blosc frame around bytes that do not compress
_ALIGNED = 64
_EVERY = 16
"""Every which row of a patch is compressed on trial, or every second of them looked at."""
_EQUAL = 0.2
"""Share of pixels that equal their left neighbor from which LZ4 saves a tenth or more: on 970 patches of
stained and 8-bit intensity slides, JPEG or not, 97 % were judged as by compressing them whole."""
_WORTH = 0.9
"""Patches that would keep more of their size are stored plain: noise costs time and gives nothing."""

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
        slot_bytes = -(-(chunk_bytes + _OVERHEAD + SEAL) // _ALIGNED) * _ALIGNED
        memory_NB = np.empty((chunks, slot_bytes), np.uint8)
        self._slots = [slot_B[:-SEAL] for slot_B in memory_NB]
        self._memory = [slot_B.data for slot_B in memory_NB]
        self._chunks = [memoryview(b"")] * chunks

    def slot(self, number: int) -> NDArray[np.uint8]:
        """Where chunk `number` is to be encoded, without the room for its checksum."""
        return self._slots[number]

    def seal(self, number: int, length: int) -> None:
        """Say how many bytes of a slot were written; their checksum is put behind them."""
        memory = self._memory[number]
        memory[length : length + SEAL] = checksum(self._slots[number][:length])
        self._chunks[number] = memory[: length + SEAL]

    def chunks(self, count: int) -> list[memoryview]:
        """The first `count` chunks, sealed."""
        return self._chunks[:count]
