"""Reading patches that are stored as the slide's own JPEG streams."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patching.jpeg_stream import NAME, JpegStream
from patching.store.documents import Layout, chunk_path, damaged_array
from patching.store.seals import SEAL, checksum, read_index

_OPEN_SHARDS = 64


class JpegReader:
    """Random reads from shards of JPEG streams; TensorStore, which reads all else, knows no such codec.

    Args:
        folder: of the zarr array.
        layout: of the array.

    Raises:
        StoreError: the array's document does not tell how the streams decode.
    """

    def __init__(self, folder: Path, layout: Layout) -> None:
        self._folder, self.shape, self._shard = folder, layout.shape, layout.shards[0]
        try:
            self._stream = JpegStream.from_json(layout.codecs[0].configuration)
        except ValueError as error:
            raise damaged_array(folder, str(error)) from error
        self._opened = lru_cache(maxsize=_OPEN_SHARDS)(self._open)

    @staticmethod
    def reads(layout: Layout) -> bool:
        """Whether an array's chunks are JPEG streams."""
        return bool(layout.codecs) and layout.codecs[0].name == NAME

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
        data, seal = stored[:-SEAL], stored[-SEAL:].tobytes()
        if checksum(data) != seal or not self._stream.decode(data, out_HWC):
            raise damaged_array(self._folder, f"patch {index} in shard {shard}")

    def _open(self, shard: int) -> tuple[NDArray[np.uint8], NDArray[np.uint64]]:
        """A shard mapped into memory, and its index."""
        path = chunk_path(self._folder, shard, 4)
        index_N2 = read_index(path, self._shard)
        if index_N2 is None:
            raise damaged_array(self._folder, f"the whole file or the index of shard {shard}")
        return np.memmap(path, np.uint8, "r"), index_N2
