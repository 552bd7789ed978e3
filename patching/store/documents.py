"""A store's zarr documents and small arrays, as plain files; no event loop, no pool of threads.

zarr-python creates and reads arrays through an event loop in another thread, and TensorStore opens each with
a pool of its own: a slide of 16 patches spent half of its time there. Nothing of either is needed for a JSON
document and one short file. Documents are to the byte what zarr-python writes, and both libraries read
them; tests compare.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydantic import AliasPath, BaseModel, Field

from patching.damage import Foreign
from patching.errors import StoreError
from patching.store.seals import checksum, unsealed

DOCUMENT = "zarr.json"
Document = dict[str, Any]
_Length = Annotated[int, Field(ge=1, lt=2**62)]
_CRC, _SHARDING = {"name": "crc32c"}, "sharding_indexed"
_ENCODERS: dict[str, Callable[..., bytes | bytearray]] = {
    "zstd": partial(imagecodecs.zstd_encode, level=1),
    # A picture compresses little, whatever the time spent.
    "blosc": partial(
        imagecodecs.blosc_encode,
        level=1,
        compressor=imagecodecs.BLOSC.COMPRESSOR.LZ4,
        shuffle=imagecodecs.BLOSC.SHUFFLE.BITSHUFFLE,
        typesize=1,
    ),
}
_DECODERS = {"zstd": imagecodecs.zstd_decode, "blosc": imagecodecs.blosc_decode}
SmallCodec = Literal["zstd", "blosc"]
"""Zstandard, or for bytes bit-shuffled LZ4 in Blosc."""


def _named(name: str, **configuration: Any) -> Document:
    return {"name": name, "configuration": configuration}


_CODECS: dict[SmallCodec, Document] = {
    "zstd": _named("zstd", level=1, checksum=False),
    "blosc": _named("blosc", typesize=1, cname="lz4", clevel=1, shuffle="bitshuffle", blocksize=0),
}


class Codec(BaseModel):
    """A codec as a document names it."""

    name: str
    configuration: dict[str, Any] = {}


class _Array(BaseModel):
    shape: tuple[Annotated[int, Field(ge=0, lt=2**62)], ...]
    chunk: tuple[_Length, ...] = Field(
        validation_alias=AliasPath("chunk_grid", "configuration", "chunk_shape"), min_length=1
    )
    data_type: str
    codecs: tuple[Codec, ...] = Field(min_length=1)


class _Shard(BaseModel):
    chunk_shape: tuple[_Length, ...]
    codecs: tuple[Codec, ...]


@dataclass(frozen=True)
class Layout:
    """What the document of an array says, named as zarr-python names it."""

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    shards: tuple[int, ...]
    """Those of an array that is not sharded are its chunks."""
    dtype: np.dtype[Any]
    codecs: tuple[Codec, ...] = field(default=(), compare=False)
    """Of a chunk."""

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Of the array in a folder.

        Raises:
            StoreError: no such array, or a damaged document.
        """
        text = stored(folder, (folder / DOCUMENT).read_bytes)
        array = stored(folder, _Array.model_validate_json, text)
        inside = _Shard(chunk_shape=array.chunk, codecs=array.codecs)
        if array.codecs[0].name == _SHARDING:
            inside = stored(folder, _Shard.model_validate, array.codecs[0].configuration)
        if not len(array.shape) == len(array.chunk) == len(inside.chunk_shape):
            raise damaged_array(
                folder, f"shape {array.shape} in shards of {array.chunk}, chunks of {inside.chunk_shape}"
            )
        dtype = stored(folder, np.dtype, array.data_type)
        return cls(array.shape, inside.chunk_shape, array.chunk, dtype, inside.codecs)


def damaged_array(folder: Path, what: str) -> StoreError:
    """The error for a store's array in a folder that is missing or damaged."""
    return StoreError(
        has=f"{folder.parent.name}: {folder.name} is missing or damaged ({what})",
        needs="a whole store",
        do="run `evenpatch verify` to see what is damaged, remove the store, and tile again",
    )


stored = Foreign(damaged_array)
"""For what reads an array in a folder."""


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
    sharding = _named(
        _SHARDING,
        chunk_shape=list(chunks),
        codecs=[serializer or _bytes(dtype), *codecs],
        index_codecs=[_bytes(np.dtype(np.uint64)), _CRC],
        index_location="end",
    )
    _write(folder, _text(_array(shape, dtype, shards, [sharding])))


def write_rows(folder: Path, shape: Sequence[int], dtype: np.dtype[Any], rows: int) -> None:
    """Make a folder a zarr array without a chunk, in chunks of so many rows."""
    _write(folder, _small_document(tuple(shape), dtype, rows, "zstd"))


def write_small(folder: Path, values: NDArray[Any], codec: SmallCodec = "zstd") -> None:
    """Write an array in one chunk; one without values has none."""
    _write(folder, _small_document(values.shape, values.dtype, len(values), codec))
    if values.size:
        encoded = _ENCODERS[codec](np.ascontiguousarray(values, values.dtype.newbyteorder("<")))
        chunk_path(folder, 0, values.ndim).write_bytes(encoded + checksum(encoded))


def read_small(folder: Path) -> NDArray[Any]:
    """Read an array that is chunked along its first axis.

    Raises:
        StoreError: the array or a chunk is missing or damaged.
    """
    layout = Layout.read(folder)
    if layout.shards[1:] != tuple(max(1, length) for length in layout.shape[1:]):
        raise damaged_array(folder, f"shape {layout.shape} in chunks of {layout.shards}")
    values = stored(folder, np.empty, layout.shape, layout.dtype)
    rows = layout.shards[0]
    for number, start in enumerate(range(0, len(values), rows) if values.size else ()):
        part = values[start : start + rows]
        part[:] = _chunk(folder, layout, number)[: len(part)]
    return values


def _chunk(folder: Path, layout: Layout, number: int) -> NDArray[Any]:
    path = chunk_path(folder, number, len(layout.shape))
    content = unsealed(stored(folder, path.read_bytes))
    if content is None:
        raise damaged_array(folder, "its checksum fails")
    names = [codec.name for codec in layout.codecs]
    decode = _DECODERS.get(names[1] if len(names) > 1 else "")
    if decode is None:
        raise damaged_array(folder, f"codecs {names}")
    values = np.frombuffer(stored(folder, decode, content), np.uint8)
    if values.size != math.prod(layout.shards) * layout.dtype.itemsize:
        raise damaged_array(folder, f"{values.size} bytes for a chunk of {layout.shards}")
    return values.view(layout.dtype.newbyteorder("<")).reshape(layout.shards)


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


def _bytes(dtype: np.dtype[Any]) -> Document:
    """Single bytes have no order."""
    return {"name": "bytes"} if dtype.itemsize == 1 else _named("bytes", endian="little")


def chunk_path(folder: Path, number: int, ndim: int) -> Path:
    """File of a chunk, or shard, by its number along the first axis: c.2.0.0, without folders of its own."""
    return folder / ".".join(["c", str(number), *["0"] * (ndim - 1)])
