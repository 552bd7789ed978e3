"""The patch store: both readers, the same bytes, nothing half-written."""

import dataclasses
import hashlib
import pickle
from pathlib import Path
from typing import Any, get_args

import imagecodecs
import numpy as np
import pytest
import tensorstore
import zarr

from patching.errors import StoreError
from patching.store.chunks import ChunkBuffer, Codec, Encoder
from patching.store.reading import PatchStore, PatchTable, StoreAttributes
from patching.store.shards import ShardFile, is_whole
from patching.store.writing import write_store

ATTRIBUTES = StoreAttributes(
    slide_id="s1",
    fingerprint="ab",
    spec={"size": 12, "mpp": 0.5},
    extent=24,
    stride=24,
    downsample=2.0,
    mpp=0.5,
    slide_mpp=(0.25, 0.25),
    slide_size=(300, 200),
    channels=("A", "B", "C", "D", "E"),
    dtype="uint16",
    brightfield=False,
    tissue_downsample=4.0,
    dropped={"no_tissue": 3},
)


def table_of(count: int) -> PatchTable:
    n = np.arange(count)
    return PatchTable(np.stack([24 * n, 8 * n], axis=-1), n / 10, n / 20, (n % 2).astype(np.int8), 1 - n / 40)


def patches_of(count: int, dtype: str = "uint16") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 250, (count, 12, 12, 5)).astype(dtype)


def write(path: Path, count: int = 7, dtype: str = "uint16", **options: Any) -> np.ndarray:
    patches = patches_of(count, dtype)
    tissue = np.random.default_rng(1).random((50, 75)) < 0.5
    attributes = dataclasses.replace(ATTRIBUTES, dtype=dtype)
    write_store(path, attributes, table_of(count), tissue, iter(patches), **options)
    return patches


def digests(path: Path) -> dict[str, str]:
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return {str(f.relative_to(path)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


@pytest.mark.parametrize("codec", get_args(Codec))
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_both_readers_give_what_was_written(tmp_path: Path, codec: Codec, dtype: str) -> None:
    patches = write(tmp_path / "s1.zarr", dtype=dtype, codec=codec, patches_per_shard=3)
    store = PatchStore.open(tmp_path / "s1.zarr")
    assert len(store) == 7
    np.testing.assert_array_equal(store.read([5, 0, 5]), patches[[5, 0, 5]])
    np.testing.assert_array_equal(store.images[:], patches)
    assert store.read([0]).dtype == store.images.dtype == dtype
    assert (store.images.chunks, store.images.shards) == ((1, 12, 12, 5), (3, 12, 12, 5))
    np.testing.assert_array_equal(store.locations, table_of(7).locations_N2)
    np.testing.assert_array_equal(store.table.tissue_fraction_N, table_of(7).tissue_fraction_N)
    np.testing.assert_array_equal(store.table.label_N, table_of(7).label_N)
    assert store.attributes == dataclasses.replace(ATTRIBUTES, dtype=dtype)


def test_others_read_it_without_us(tmp_path: Path) -> None:
    patches = write(tmp_path / "s1.zarr")
    group = zarr.open_group(tmp_path / "s1.zarr", mode="r")
    assert group.attrs["schema"] == 5
    np.testing.assert_array_equal(group["images"][2:4], patches[2:4])
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{tmp_path}/s1.zarr/images/"}}
    np.testing.assert_array_equal(tensorstore.open(spec).result()[3].read().result(), patches[3])


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("codec", ["blosc-lz4", "zstd"])
def test_patches_are_compressed_where_it_helps(tmp_path: Path, codec: Codec, dtype: str) -> None:
    shape = (64, 64, 3)
    noise = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape).astype(dtype)
    halves = np.where(np.arange(64)[:, None, None] < 32, noise, noise.dtype.type(7))
    for placed in (False, True):
        encoder, buffer = Encoder(codec, np.dtype(dtype), shape), ChunkBuffer(1, noise.nbytes)
        for patch, share in ((noise, 1.0), (halves, 0.5), (np.full_like(noise, 200), 0.0)):
            target = encoder.place(buffer.slot(0)) if placed else np.empty_like(patch)
            target[:] = patch
            length = encoder.encode(target, buffer.slot(0))
            assert share * noise.nbytes <= length <= share * noise.nbytes + 0.06 * noise.nbytes
            decoded = imagecodecs.blosc_decode(buffer.slot(0)[:length].tobytes())
            assert decoded == patch.tobytes()


@pytest.mark.parametrize("likely_bytes", [0, 2**24, 2**50])
def test_room_that_was_set_aside_is_given_back(tmp_path: Path, likely_bytes: int) -> None:
    file = ShardFile(tmp_path / "c.0", 3, likely_bytes)
    file.append([memoryview(b"abc"), memoryview(b"de")])
    file.close()
    assert (tmp_path / "c.0").stat().st_size == 5 + 3 * 16 + 4
    assert (tmp_path / "c.0").stat().st_blocks * 512 < 2**20
    assert is_whole(tmp_path / "c.0", 3)


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.zarr", "b.zarr"):
        write(tmp_path / name, patches_per_shard=3)
    first = digests(tmp_path / "a.zarr")
    assert first == digests(tmp_path / "b.zarr")
    assert sum(name.startswith("images/c.") for name in first) == 3
    write(tmp_path / "a.zarr", patches_per_shard=3)
    assert first == digests(tmp_path / "a.zarr"), "an older store is replaced"


def test_a_slide_without_patches_has_a_store(tmp_path: Path) -> None:
    write(tmp_path / "s1.zarr", count=0)
    store = PatchStore.open(tmp_path / "s1.zarr")
    assert len(store) == 0
    assert store.locations.shape == (0, 2)
    assert store.read([]).shape == (0, 12, 12, 5)
    assert store.images.shape == (0, 12, 12, 5)


def test_tissue_under_a_patch(tmp_path: Path) -> None:
    write(tmp_path / "s1.zarr")
    store = PatchStore.open(tmp_path / "s1.zarr")
    x, y = store.locations[2]
    assert (x, y) == (48, 16)
    np.testing.assert_array_equal(store.tissue_of(2), store.tissue[4:10, 12:18])


def test_an_interrupted_write_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    def failing() -> Any:
        yield patches_of(1)[0]
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        write_store(
            tmp_path / "s1.zarr",
            ATTRIBUTES,
            table_of(7),
            np.ones((2, 2), bool),
            failing(),
            patches_per_shard=1,
        )
    assert not (tmp_path / "s1.zarr").exists()
    with pytest.raises(ValueError, match="6 patches for 7 rows"):
        write_store(tmp_path / "s1.zarr", ATTRIBUTES, table_of(7), np.ones((2, 2), bool), iter(patches_of(6)))
    assert not (tmp_path / "s1.zarr").exists()
    write(tmp_path / "s1.zarr")
    assert [path.name for path in tmp_path.iterdir()] == ["s1.zarr"]


@pytest.mark.parametrize("index", [-1, 7])
def test_an_index_outside_is_refused(tmp_path: Path, index: int) -> None:
    write(tmp_path / "s1.zarr")
    with pytest.raises(IndexError, match="of 7"):
        PatchStore.open(tmp_path / "s1.zarr").read([0, index])


def test_a_store_travels_as_its_path(tmp_path: Path) -> None:
    patches = write(tmp_path / "s1.zarr")
    store = PatchStore.open(tmp_path / "s1.zarr")
    store.read([0])
    again = pickle.loads(pickle.dumps(store))  # noqa: S301 - our own bytes
    np.testing.assert_array_equal(again.read([6]), patches[[6]])


def test_what_is_not_a_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no patch store"):
        PatchStore.open(tmp_path / "missing.zarr")
    zarr.create_group(tmp_path / "other.zarr", zarr_format=3)
    with pytest.raises(StoreError, match="not a patch store"):
        PatchStore.open(tmp_path / "other.zarr")
    zarr.create_group(tmp_path / "old.zarr", zarr_format=3, attributes={"schema": 0})
    with pytest.raises(StoreError, match="schema 0"):
        PatchStore.open(tmp_path / "old.zarr")
