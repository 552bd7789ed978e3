"""The arrays of a zarr hierarchy: what their documents tell, as far as the reader can handle it."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from patching.damage import Foreign
from patching.readers.zarr.documents import SHARDING, Array2, Array3, parsed
from patching.readers.zarr.files import ZarrFiles
from patching.readers.zarr.presence import ALL_KEYS, ChunkKeys, stored_elsewhere, stored_under

_LARGEST_CHUNK = 2**30
_MOST_CHUNKS_PER_SHARD = 2**20
# Only codecs that turn bytes into numbers: a pickle would run what it holds.
_PLAIN_CODECS_2 = frozenset(("blosc", "zlib", "gzip", "zstd", "lz4", "bz2", "lzma", "shuffle", "delta"))
_PLAIN_CODECS_3 = frozenset(("blosc", "gzip", "zstd", "bytes", "transpose", "crc32c", SHARDING))
_KEYS = {"v2": ChunkKeys("", "."), "default": ChunkKeys("c", "/")}
_ARRAYS: dict[int, tuple[str, type[Array2 | Array3], frozenset[str]]] = {
    2: (".zarray", Array2, _PLAIN_CODECS_2),
    3: ("zarr.json", Array3, _PLAIN_CODECS_3),
}


@dataclass(frozen=True, slots=True)
class ZarrArray:
    """One resolution: where it lies, its shape, the shape of what is decoded at once, its type.

    `stored` is the shape of what lies under one key, a chunk or a shard of them; `names` are those of its
    axes, where the array tells them itself; `codecs` those that its stored bytes went through, in order.
    """

    path: str
    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    dtype: np.dtype[Any]
    keys: ChunkKeys
    stored: tuple[int, ...]
    names: tuple[str, ...] = ()
    codecs: tuple[str, ...] = ()


def read_array(files: ZarrFiles, zarr_format: int, path: str) -> ZarrArray:
    """The array at a path.

    Raises:
        UnreadableSlideError: none, of a type or codec that is refused, or too large to decode.
    """
    files.require_inside(path)
    file, kind, plain = _ARRAYS[zarr_format]
    name = f"{path}/{file}"
    document = files.document(name)
    if document is None:
        raise files.refusal(f"no {name}")
    array = parsed(files, kind, document)
    if unknown := ", ".join(sorted(set(array.names()) - plain)):
        raise files.refusal(
            f"{name}: codec {unknown} instead of {', '.join(sorted(plain))}",
            "export it with one of these codecs",
        )
    of_type = Foreign(lambda about, _: files.refusal(f"{about}: pixels of type {array.data_type}"))
    dtype = of_type(name, np.dtype, array.data_type).newbyteorder("=")
    if dtype.kind not in "uif":
        raise files.refusal(f"{name}: pixels of type {array.data_type}")
    shape, chunk = array.shape, _decoded_at_once(files, array)
    if len(shape) != len(chunk) or 0 in (*shape, *chunk, *array.chunk):
        raise files.refusal(f"{name}: shape {shape} in chunks of {chunk}")
    if math.prod(chunk) * dtype.itemsize > _LARGEST_CHUNK:
        raise files.refusal(f"{name}: a chunk of {math.prod(chunk) * dtype.itemsize / 2**30:.1f} GiB")
    return ZarrArray(
        path, shape, chunk, dtype, _keys(files, name, array), array.chunk, _names(array), array.outer()
    )


def _keys(files: ZarrFiles, name: str, array: Array2 | Array3) -> ChunkKeys:
    told = "v2" if isinstance(array, Array2) else array.encoding
    encoding = "default" if told is None else str(told)
    if encoding not in _KEYS:
        raise files.refusal(f"{name}: chunks under keys of the encoding {encoding}")
    default = _KEYS[encoding]
    if array.separator not in (None, ".", "/"):
        raise files.refusal(f"{name}: the separator {array.separator!r} of chunks' numbers")
    return ChunkKeys(default.prefix, array.separator or default.separator)


def _names(array: Array2 | Array3) -> tuple[str, ...]:
    told = array.dimension_names if isinstance(array, Array3) else None
    return tuple(map(str, told)) if isinstance(told, list) and len(told) == len(array.shape) else ()


def has_chunks(files: ZarrFiles, array: ZarrArray) -> bool:
    """Whether any chunk of an array is stored; True where that cannot be looked up.

    Raises:
        UnreadableSlideError: they lie under other names than the array says, or must not be looked at.
    """
    folder, dimensions = files.folder, len(array.shape)
    if folder is None:
        other = _elsewhere(files, array)
    else:
        folder /= array.path
        other = stored_elsewhere(folder, array.keys, dimensions)
    if other is not None:
        raise files.refusal(
            f"{array.path}: chunks called as {other}, where its documents say {array.keys}: they would be "
            "taken for missing",
            "correct `dimension_separator` (.zarray) or `chunk_key_encoding` (zarr.json), or export it anew",
        )
    return folder is None or stored_under(folder, array.keys, dimensions)


def _elsewhere(files: ZarrFiles, array: ZarrArray) -> ChunkKeys | None:
    """Other names than its own of the middle chunk of an array at an address, which may not be listed."""
    middle = [side // stored // 2 for side, stored in zip(array.shape, array.stored, strict=True)]
    if files.has(f"{array.path}/{array.keys.of(middle)}"):
        return None
    others = (keys for keys in ALL_KEYS if keys != array.keys)
    return next((keys for keys in others if files.has(f"{array.path}/{keys.of(middle)}")), None)


def _decoded_at_once(files: ZarrFiles, array: Array2 | Array3) -> tuple[int, ...]:
    """Shape of a chunk, of shards of the chunks inside."""
    if not isinstance(array, Array3) or not array.codecs or array.codecs[0].name != SHARDING:
        return array.chunk
    shard, chunk = array.chunk, array.codecs[0].chunk_shape
    if len(shard) != len(chunk) or 0 in chunk:
        raise files.refusal(f"shards of {shard} in chunks of {chunk}")
    if (
        math.prod(-(-whole // part) for whole, part in zip(shard, chunk, strict=True))
        > _MOST_CHUNKS_PER_SHARD
    ):
        raise files.refusal(f"shards of more than {_MOST_CHUNKS_PER_SHARD} chunks")
    return chunk
