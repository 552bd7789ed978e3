"""Writing a patch store, shard by shard, under a temporary name until it is whole."""

import shutil
from collections.abc import Iterable
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from patching.disk_space import no_space, writing
from patching.jpeg_stream import JpegStream
from patching.store.chunks import ChunkBuffer, Codec, Encoder, compressors
from patching.store.documents import (
    Layout,
    chunk_path,
    write_group,
    write_rows,
    write_sharded,
    write_small,
)
from patching.store.jpeg_codec import JpegCodec
from patching.store.reading import PatchStore, PatchTable, StoreAttributes, open_tensorstore, partial
from patching.store.shards import ShardFile, is_whole

_LARGEST_SHARD = 64 * 2**20
"""Decoded bytes of a shard."""


class StoreWriter:
    """A store that grows beside its final name.

    It is made by `create`; whoever knows that the one that lies there is the wanted one, as after a
    crash, opens it again by its path and writes the shards that are missing.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.part = path, partial(path)
        self._images = Layout.read(self.part / "images")

    @classmethod
    def create(
        cls,
        path: Path,
        attributes: StoreAttributes,
        table: PatchTable,
        *,
        codec: Codec = "blosc-lz4",
        stream: JpegStream | None = None,
        patches_per_shard: int = 256,
    ) -> Self:
        """Write everything but patches and pictures.

        Args:
            path: the folder to make, in the end; an older one stays until then.
            attributes: what the store says of itself.
            table: a row per patch.
            codec: how patches are compressed.
            stream: patches are stored as such JPEG streams instead.
            patches_per_shard: patches in one file, fewer where that were over 64 MiB.

        Raises:
            DiskSpaceError: the disk is full.
        """
        part = partial(path)
        shutil.rmtree(part, ignore_errors=True)
        with writing(path):
            write_group(part, asdict(attributes))
            _write_table(part, table)
            _describe_large(part, attributes, len(table), codec, stream, patches_per_shard)
        return cls(path)

    def write_pictures(self, tissue_HW: NDArray[np.bool_], thumbnail_HW3: NDArray[np.uint8]) -> None:
        """Add the slide's tissue mask and the slide in color.

        Raises:
            DiskSpaceError: the disk is full.
        """
        with writing(self.path):
            write_small(self.part / "tissue", tissue_HW.view(np.uint8))
            write_small(self.part / "thumbnail", thumbnail_HW3, "blosc")

    @property
    def quality_columns(self) -> int:
        """Number of columns of the array `quality`."""
        return Layout.read(self.part / "quality").shape[1]

    @property
    def shard_size(self) -> int:
        """Patches of a full shard."""
        return int(self._images.shards[0])

    def rows(self, shard: int) -> range:
        """Rows of the table whose patches lie in a shard."""
        return range(shard * self.shard_size, min((shard + 1) * self.shard_size, self._images.shape[0]))

    def missing(self) -> list[int]:
        """Numbers of the shards that are not there or not whole."""
        count = -(-self._images.shape[0] // self.shard_size)
        return [n for n in range(count) if not is_whole(self._shard_path(n), self.shard_size)]

    @property
    def patch_bytes(self) -> int:
        """Size of a decoded patch."""
        return int(np.prod(self._images.chunks)) * int(self._images.dtype.itemsize)

    def buffer(self, chunks: int) -> ChunkBuffer:
        """Memory for a few patches."""
        return ChunkBuffer(chunks, self.patch_bytes)

    def encoder(self, codec: Codec) -> Encoder:
        """What encodes patches of this store with the codec it was created with."""
        return Encoder(codec, np.dtype(self._images.dtype), tuple(self._images.chunks[1:]))

    def shard_file(self, shard: int, likely_bytes: int = 0) -> ShardFile:
        """A new file for a shard, which may take so many bytes.

        Raises:
            DiskSpaceError: the disk is full.
        """
        return ShardFile(self._shard_path(shard), self.shard_size, likely_bytes)

    def write_quality(self, shard: int, quality_NQ: NDArray[np.float32]) -> None:
        """Write the quality of a shard's patches, before the shard is closed and so counts as done."""
        if quality_NQ.size:
            start = self.rows(shard).start
            part = self._quality[start : start + len(quality_NQ)]
            try:
                part.write(quality_NQ).result()
            except (OSError, ValueError) as error:  # TensorStore tells a full disk as a ValueError
                raise no_space(self.path, f": {error}") from error

    def publish(self) -> None:
        """Give the store its name; an older one is replaced."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.part.rename(self.path)

    def _shard_path(self, shard: int) -> Path:
        return chunk_path(self.part / "images", shard, 4)

    @cached_property
    def _quality(self) -> Any:
        return open_tensorstore(self.part / "quality")


def write_store(
    path: Path,
    attributes: StoreAttributes,
    table: PatchTable,
    tissue_HW: NDArray[np.bool_],
    patches: Iterable[NDArray[Any]],
    *,
    codec: Codec = "blosc-lz4",
    patches_per_shard: int = 256,
) -> None:
    """Write a store as a whole from patches [H, W, C] in the table's order, without quality or thumbnail."""
    blank_HW3 = np.zeros((*tissue_HW.shape, 3), np.uint8)
    writer = StoreWriter.create(path, attributes, table, codec=codec, patches_per_shard=patches_per_shard)
    writer.write_pictures(tissue_HW, blank_HW3)
    encoder, source, buffer = writer.encoder(codec), iter(patches), writer.buffer(1)
    for shard in writer.missing():
        rows, file = writer.rows(shard), writer.shard_file(shard)
        try:
            for row in rows:
                patch_HWC = next(source, None)
                if patch_HWC is None:
                    raise ValueError(f"{row} patches for {len(table)} rows")
                buffer.seal(0, encoder.encode(np.ascontiguousarray(patch_HWC), buffer.slot(0)))
                file.append(buffer.chunks(1))
            file.close()
        finally:
            file.abort()
    writer.publish()


def read_part(path: Path) -> PatchStore:
    """A store that is not whole yet, for its attributes and table."""
    return PatchStore.open(partial(path))


def _write_table(part: Path, table: PatchTable) -> None:
    columns = (table.tissue_fraction_N, table.tumor_fraction_N, table.label_N, table.covered_fraction_N)
    write_small(part / "locations", table.locations_N2)
    write_small(part / "measures", np.column_stack(columns).astype(np.float64))


def _describe_large(
    part: Path,
    attributes: StoreAttributes,
    count: int,
    codec: Codec,
    stream: JpegStream | None,
    patches_per_shard: int,
) -> None:
    side, dtype = int(attributes.spec["size"]), np.dtype(attributes.dtype)
    patch_shape = (side, side, len(attributes.channels))
    most = _LARGEST_SHARD // (int(np.prod(patch_shape)) * dtype.itemsize)
    shard = max(1, min(patches_per_shard, count, most))
    write_sharded(
        part / "images",
        (count, *patch_shape),
        dtype,
        chunks=(1, *patch_shape),
        shards=(shard, *patch_shape),
        codecs=[each.to_dict() for each in compressors("none" if stream else codec, dtype)],
        serializer=None if stream is None else JpegCodec(stream).to_dict(),
    )
    write_rows(part / "quality", (count, len(attributes.quality)), np.dtype(np.float32), shard)
