"""Reading patches that are stored as the slide's own JPEG streams."""

import os
import struct
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from patching.errors import StoreError
from patching.jpeg_stream import NAME, JpegStream
from patching.store.documents import chunk_path

_CRC = 4
_OPEN_SHARDS = 64


class JpegReader:
    """Random reads from shards of JPEG streams; TensorStore, which reads all else, knows no such codec.

    Args:
        folder: of the zarr array.
        metadata: the array's zarr.json.
    """

    def __init__(self, folder: Path, metadata: Mapping[str, Any]) -> None:
        self._folder = folder
        self.shape = tuple(int(n) for n in metadata["shape"])
        self._shard = int(metadata["chunk_grid"]["configuration"]["chunk_shape"][0])
        inner = metadata["codecs"][0]["configuration"]["codecs"]
        self._stream = JpegStream.from_json(inner[0]["configuration"])
        self._opened = lru_cache(maxsize=_OPEN_SHARDS)(self._open)

    @staticmethod
    def reads(metadata: Mapping[str, Any]) -> bool:
        """Whether an array's chunks are JPEG streams."""
        configuration = metadata["codecs"][0].get("configuration", {})
        inner = configuration.get("codecs", [])
        return bool(inner) and inner[0]["name"] == NAME

    def read(self, index_n: NDArray[np.int64]) -> NDArray[Any]:
        """Patches in the order of the indices, uint8 [n, H, W, 3].

        Raises:
            StoreError: a chunk is damaged or missing.
        """
        patches_nHWC: NDArray[np.uint8] = np.empty((len(index_n), *self.shape[1:]), np.uint8)

        def decode(place: int) -> None:
            self._decode(int(index_n[place]), patches_nHWC[place])

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for _ in pool.map(decode, range(len(index_n))):
                pass
        return patches_nHWC

    def _decode(self, index: int, out_HWC: NDArray[np.uint8]) -> None:
        shard, chunk = divmod(index, self._shard)
        content, index_N2 = self._opened(shard)
        offset, length = (int(n) for n in index_N2[chunk])
        stored = content[offset : offset + length]
        data, checksum = stored[:-_CRC], stored[-_CRC:].tobytes()
        if checksum != struct.pack("<I", google_crc32c.value(data)) or not self._stream.decode(data, out_HWC):
            raise self._damaged(shard, f"patch {index}")

    def _open(self, shard: int) -> tuple[NDArray[np.uint8], NDArray[np.uint64]]:
        """A shard mapped into memory, and its index."""
        path = chunk_path(self._folder, shard, 4)
        length = 16 * self._shard
        if not path.is_file() or path.stat().st_size < length + _CRC:
            raise self._damaged(shard, "the whole file")
        content: NDArray[np.uint8] = np.memmap(path, np.uint8, "r")
        index = content[-length - _CRC : -_CRC].tobytes()
        if struct.pack("<I", google_crc32c.value(index)) != content[-_CRC:].tobytes():
            raise self._damaged(shard, "its index")
        return content, np.frombuffer(index, "<u8").reshape(-1, 2)

    def _damaged(self, shard: int, what: str) -> StoreError:
        return StoreError(
            has=f"{self._folder.parent.name}: shard {shard} with {what} damaged or missing",
            needs="a whole store",
            do="run `evenpatch verify` to see what is damaged, remove the store, and tile again",
        )
