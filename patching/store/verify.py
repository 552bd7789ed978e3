"""Is a patch store whole? Every byte is read, and every chunk's checksum compared."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from patching.errors import StoreError
from patching.store.documents import Layout, chunk_path
from patching.store.reading import PatchStore, open_tensorstore
from patching.store.shards import all_sealed, is_whole

_SMALL = ("locations", "measures", "quality", "tissue", "thumbnail")
_BATCH = 64
# What TensorStore makes of a damaged array is a ValueError; a size that cannot be is a want of memory.
_WRONG = (OSError, ValueError, MemoryError)


def verify_store(path: Path) -> Iterator[str]:
    """Yield what is wrong with a store, in words; nothing if it is whole.

    Args:
        path: the store's folder.
    """
    try:
        store = PatchStore.open(path)
        count, shard = len(store), Layout.read(path / "images").shards[0]
    except _WRONG as error:
        yield f"not a patch store: {_first_line(error)}"
        return
    for name in _SMALL:
        try:
            array = open_tensorstore(path / name).read().result()
        except _WRONG as error:
            yield f"{name}: {_first_line(error)}"
            continue
        if name in ("locations", "measures", "quality") and len(array) != count:
            yield f"{name}: {len(array)} rows for {count} patches"
    for number in range(-(-count // shard)):
        yield from _verify_shard(
            store, number, range(number * shard, min((number + 1) * shard, count)), shard
        )


def damaged_shards(path: Path) -> Iterator[str]:
    """Yield shards of patches that are missing, cut off or changed, in words: as far as checksums tell.

    Nothing is decoded, so that it takes no longer than reading the files.

    Args:
        path: the store's folder.

    Raises:
        StoreError: no patch store.
    """
    count, shard = len(PatchStore.open(path)), Layout.read(path / "images").shards[0]
    for number in range(-(-count // shard)):
        if not all_sealed(chunk_path(path / "images", number, 4), shard):
            yield f"shard {number} of {path}"


def _verify_shard(store: PatchStore, number: int, rows: range, shard: int) -> Iterator[str]:
    if not is_whole(chunk_path(store.path / "images", number, 4), shard):
        yield f"images: shard {number} (patches {rows.start} to {rows.stop - 1}) is missing or cut off"
        return
    for start in range(rows.start, rows.stop, _BATCH):
        index_n = np.arange(start, min(start + _BATCH, rows.stop))
        try:
            store.read(index_n)
        except _WRONG as error:
            yield f"images: among patches {index_n[0]} to {index_n[-1]}: {_first_line(error)}"


def _first_line(error: Exception) -> str:
    text = error.has if isinstance(error, StoreError) else str(error)
    return text.splitlines()[0][:200]
