"""A store's zarr documents and small arrays, as plain files; no event loop, no pool of threads.

zarr-python creates and reads arrays through an event loop in another thread, and TensorStore opens each with
a pool of its own: a slide of 16 patches spent half of its time there. Nothing of either is needed for a JSON
document and one short file. Documents are to the byte what zarr-python writes, and both libraries read
them; tests compare.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Self

import google_crc32c
import imagecodecs
import numpy as np
from numpy.typing import NDArray

from patching.damage import DAMAGE
from patching.errors import StoreError

DOCUMENT = "zarr.json"
Document = dict[str, Any]
_CRC = {"name": "crc32c"}
_CRC_BYTES = 4
_CODECS: dict[str, Document] = {
    "zstd": {"name": "zstd", "configuration": {"level": 1, "checksum": False}},
    # A picture compresses little, whatever the time spent.
    "blosc": {
        "name": "blosc",
        "configuration": {
            "typesize": 1,
            "cname": "lz4",
            "clevel": 1,
            "shuffle": "bitshuffle",
            "blocksize": 0,
        },
    },
}
SmallCodec = Literal["zstd", "blosc"]
"""Zstandard, or for bytes bit-shuffled LZ4 in Blosc."""


@dataclass(frozen=True)
class Layout:
    """What the document of a sharded array says, named as zarr-python names it."""

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    shards: tuple[int, ...]
    dtype: np.dtype[Any]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Of the array in a folder."""
        document = json.loads((folder / DOCUMENT).read_bytes())
        inner = document["codecs"][0]["configuration"]["chunk_shape"]
        return cls(
            tuple(document["shape"]), tuple(inner), _chunk_shape(document), np.dtype(document["data_type"])
        )


def write_group(folder: Path, attributes: Mapping[str, Any]) -> None:
    """Make a new folder a zarr group."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    _write(folder, _text({"attributes": dict(attributes), "zarr_format": 3, "node_type": "group"}))


def write_sharded(
    folder: Path,
    shape: Sequence[int],
    dtype: np.dtype[Any],
    chunks: Sequence[int],
    shards: Sequence[int],
    codecs: Sequence[Document],
    serializer: Document | None = None,
) -> None:
    """Make a folder a sharded zarr array without a chunk.

    Args:
        folder: of the array.
        shape: of the array.
        dtype: of its values.
        chunks: shape of a chunk.
        shards: shape of a shard.
        codecs: of a chunk's bytes.
        serializer: what makes bytes of an array; None for the plain one.
    """
    sharding = {
        "name": "sharding_indexed",
        "configuration": {
            "chunk_shape": list(chunks),
            "codecs": [serializer or _bytes(dtype), *codecs],
            "index_codecs": [_bytes(np.dtype(np.uint64)), _CRC],
            "index_location": "end",
        },
    }
    _write(folder, _text(_array(shape, dtype, shards, [sharding])))


def write_rows(folder: Path, shape: Sequence[int], dtype: np.dtype[Any], rows: int) -> None:
    """Make a folder a zarr array without a chunk, in chunks of so many rows."""
    _write(folder, _small_document(tuple(shape), dtype, rows, "zstd"))


def write_small(folder: Path, values: NDArray[Any], codec: SmallCodec = "zstd") -> None:
    """Write an array in one chunk; one without values has none."""
    _write(folder, _small_document(values.shape, values.dtype, len(values), codec))
    if values.size:
        encoded = _encoded(np.ascontiguousarray(values, values.dtype.newbyteorder("<")), codec)
        chunk_path(folder, 0, values.ndim).write_bytes(
            encoded + struct.pack("<I", google_crc32c.value(encoded))
        )


def read_shape(folder: Path) -> tuple[int, ...]:
    """Shape of an array, from its document alone."""
    return tuple(json.loads((folder / DOCUMENT).read_bytes())["shape"])


def read_small(folder: Path) -> NDArray[Any]:
    """Read an array that is chunked along its first axis.

    Raises:
        StoreError: the array or a chunk is missing or damaged.
    """
    try:
        document = json.loads((folder / DOCUMENT).read_bytes())
        values: NDArray[Any] = np.empty(document["shape"], document["data_type"])
        rows, *_ = chunk_shape = _chunk_shape(document)
        codec, dtype = document["codecs"][1]["name"], values.dtype.newbyteorder("<")
        for number, start in enumerate(range(0, len(values), rows) if values.size else ()):
            content = _decoded(chunk_path(folder, number, values.ndim).read_bytes(), codec)
            part = values[start : start + rows]
            part[:] = np.frombuffer(content, dtype).reshape(chunk_shape)[: len(part)]
    except DAMAGE as error:
        raise StoreError(
            has=f"{folder.parent.name}: {folder.name} is missing or damaged ({error})",
            needs="a whole store",
            do="run `evenpatch verify` to see what is damaged, remove the store, and tile again",
        ) from error
    return values


def _write(folder: Path, text: bytes) -> None:
    folder.mkdir()
    (folder / DOCUMENT).write_bytes(text)


def _text(document: Document) -> bytes:
    return json.dumps(document, indent=2).encode()


@lru_cache(maxsize=256)  # slides of one size share most of them
def _small_document(shape: tuple[int, ...], dtype: np.dtype[Any], rows: int, codec: SmallCodec) -> bytes:
    codecs = [_bytes(dtype), _CODECS[codec], _CRC]
    return _text(_array(shape, dtype, (rows, *shape[1:]), codecs))


def _array(
    shape: Sequence[int], dtype: np.dtype[Any], chunks: Sequence[int], codecs: Sequence[Document]
) -> Document:
    return {
        "shape": list(shape),
        "data_type": dtype.name,
        "chunk_grid": _named("regular", chunk_shape=[max(1, length) for length in chunks]),
        "chunk_key_encoding": _named("default", separator="."),
        "fill_value": np.zeros((), dtype).item(),
        "codecs": list(codecs),
        "attributes": {},
        "zarr_format": 3,
        "node_type": "array",
        "storage_transformers": [],
    }


def _named(name: str, **configuration: Any) -> Document:
    return {"name": name, "configuration": configuration}


def _bytes(dtype: np.dtype[Any]) -> Document:
    """Single bytes have no order."""
    return {"name": "bytes"} if dtype.itemsize == 1 else _named("bytes", endian="little")


def _chunk_shape(document: Document) -> tuple[int, ...]:
    return tuple(document["chunk_grid"]["configuration"]["chunk_shape"])


def chunk_path(folder: Path, number: int, ndim: int) -> Path:
    """File of a chunk, or shard, by its number along the first axis: c.2.0.0, without folders of its own."""
    return folder / ".".join(["c", str(number), *["0"] * (ndim - 1)])


def _encoded(values: NDArray[Any], codec: SmallCodec) -> bytes:
    content: Any = values
    if codec == "zstd":
        return bytes(imagecodecs.zstd_encode(content, level=1))
    lz4 = imagecodecs.BLOSC.COMPRESSOR.LZ4
    shuffle = imagecodecs.BLOSC.SHUFFLE.BITSHUFFLE
    return bytes(imagecodecs.blosc_encode(content, 1, compressor=lz4, shuffle=shuffle, typesize=1))


def _decoded(stored: bytes, codec: str) -> bytes:
    content = stored[:-_CRC_BYTES]
    if struct.pack("<I", google_crc32c.value(content)) != stored[-_CRC_BYTES:]:
        raise ValueError("its checksum fails")
    decode = {"zstd": imagecodecs.zstd_decode, "blosc": imagecodecs.blosc_decode}[codec]
    return bytes(decode(content))
