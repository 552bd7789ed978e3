"""Documents and small arrays written as plain files: zarr-python's bytes, and read by both libraries."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

from patching.errors import StoreError
from patching.jpeg_stream import JpegStream
from patching.store.chunks import compressors
from patching.store.documents import (
    Layout,
    read_small,
    write_group,
    write_rows,
    write_sharded,
    write_small,
)
from patching.store.jpeg_codec import JpegCodec

STREAM = JpegCodec(JpegStream(b"tables", 2, None))
KEYS: Any = {"name": "default", "separator": "."}
SMALL = {"zstd": ZstdCodec(level=1), "blosc": BloscCodec(cname="lz4", clevel=1)}


def documents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("zarr.json")}


def values_of(dtype: str) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2, (30, 20, 3)).astype(dtype)


def through_tensorstore(folder: Path) -> Any:
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{folder}/"}}
    return tensorstore.open(spec, open=True).result()


def test_a_group_is_the_one_that_zarr_writes(tmp_path: Path) -> None:
    attributes = {"name": "é", "size": (3, 2), "mpp": None, "spec": {"edge": 0.1}}
    zarr.create_group(tmp_path / "a", zarr_format=3, attributes=attributes)
    write_group(tmp_path / "b", attributes)
    assert documents(tmp_path / "a") == documents(tmp_path / "b")


@pytest.mark.parametrize("codec", ["blosc-lz4", "zstd", "none"])
@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int32", "float32", "float64", "bool"])
def test_a_sharded_array_is_the_one_that_zarr_describes(tmp_path: Path, codec: Any, dtype: str) -> None:
    kind, codecs = np.dtype(dtype), compressors(codec, np.dtype(dtype))
    shape, chunks, shards = (7, 12, 9, 3), (1, 12, 9, 3), (4, 12, 9, 3)
    zarr.create_array(
        tmp_path / "a",
        shape=shape,
        dtype=kind,
        chunks=chunks,
        shards=shards,
        compressors=codecs,
        chunk_key_encoding=KEYS,
    )
    write_sharded(tmp_path / "b", shape, kind, chunks, shards, [each.to_dict() for each in codecs])
    assert documents(tmp_path / "a") == documents(tmp_path / "b")
    assert Layout.read(tmp_path / "b") == Layout(shape, chunks, shards, kind)


def test_an_array_of_streams_is_the_one_that_zarr_describes(tmp_path: Path) -> None:
    shape, chunks, kind = (5, 16, 16, 3), (1, 16, 16, 3), np.dtype(np.uint8)
    zarr.create_array(
        tmp_path / "a",
        shape=shape,
        dtype=kind,
        chunks=chunks,
        shards=shape,
        serializer=STREAM,
        compressors=[Crc32cCodec()],
        chunk_key_encoding=KEYS,
    )
    write_sharded(tmp_path / "b", shape, kind, chunks, shape, [Crc32cCodec().to_dict()], STREAM.to_dict())
    assert documents(tmp_path / "a") == documents(tmp_path / "b")


@pytest.mark.parametrize(("codec", "dtype"), [("zstd", "int64"), ("zstd", "float64"), ("blosc", "uint8")])
def test_a_small_array_is_what_others_write_and_read(tmp_path: Path, codec: Any, dtype: str) -> None:
    values = values_of(dtype)
    filters = [SMALL[codec], Crc32cCodec()]
    zarr.create_array(
        tmp_path / "a",
        shape=values.shape,
        dtype=dtype,
        chunks=values.shape,
        compressors=filters,
        chunk_key_encoding=KEYS,
    )
    write_small(tmp_path / "b", values, codec)
    assert documents(tmp_path / "a") == documents(tmp_path / "b")
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "b", mode="r")[:], values)
    np.testing.assert_array_equal(through_tensorstore(tmp_path / "b").read().result(), values)
    through_tensorstore(tmp_path / "a").write(values).result()
    np.testing.assert_array_equal(read_small(tmp_path / "a"), values)


def test_memory_in_any_order_is_written_rightly(tmp_path: Path) -> None:
    values = values_of("int64")
    write_small(tmp_path / "turned", values.T)
    write_small(tmp_path / "foreign", values.astype(">i8"))
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "turned", mode="r")[:], values.T)
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "foreign", mode="r")[:], values)
    np.testing.assert_array_equal(read_small(tmp_path / "turned"), values.T)


def test_rows_in_several_chunks_are_read_in_order(tmp_path: Path) -> None:
    rows_NQ = np.arange(14, dtype=np.float32).reshape(7, 2)
    write_rows(tmp_path / "a", rows_NQ.shape, rows_NQ.dtype, 3)
    array = through_tensorstore(tmp_path / "a")
    for start in range(0, 7, 3):
        part = slice(start, min(start + 3, 7))
        array[part].write(rows_NQ[part]).result()
    assert Layout.read(tmp_path / "a").shape == (7, 2)
    found_NQ = read_small(tmp_path / "a")
    np.testing.assert_array_equal(found_NQ, rows_NQ)
    found_NQ[0] = 0  # what is read belongs to the caller


@pytest.mark.parametrize("shape", [(0, 2), (5, 0)])
def test_an_array_without_values_has_no_chunk(tmp_path: Path, shape: tuple[int, int]) -> None:
    write_small(tmp_path / "a", np.empty(shape))
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["zarr.json"]
    assert read_small(tmp_path / "a").shape == zarr.open_array(tmp_path / "a", mode="r").shape == shape


@pytest.mark.parametrize("damage", ["flipped", "shorter", "chunk missing", "document missing"])
def test_damage_is_an_error(tmp_path: Path, damage: str) -> None:
    write_group(tmp_path / "s.zarr", {})
    write_small(tmp_path / "s.zarr" / "locations", values_of("int64"))
    chunk = tmp_path / "s.zarr" / "locations" / "c.0.0.0"
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "flipped":
        chunk.write_bytes(content)
    elif damage == "shorter":
        chunk.write_bytes(content[:2])
    else:
        (chunk if damage == "chunk missing" else chunk.with_name("zarr.json")).unlink()
    with pytest.raises(StoreError, match=r"s\.zarr: locations"):
        read_small(tmp_path / "s.zarr" / "locations")
