"""The patch store: the only file that knows its zarr schema.

    <slide_id>.zarr             zarr v3 group; attributes: StoreAttributes
    ├── images    [N, H, W, C]  the slide's dtype; chunk = one patch, shard = some hundreds
    ├── locations [N, 2]        int64, level-0 x, y
    ├── measures  [N, 3]        float64: tissue_fraction, tumor_fraction, label
    └── tissue    [h, w]        uint8 0/1: the slide's tissue mask

zarr-python writes the metadata and TensorStore the pixels: three times as fast, and the same bytes.
"""

import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Self, final

import numpy as np
import tensorstore
import zarr
from numpy.typing import ArrayLike, NDArray
from zarr.codecs import BloscCodec, ZstdCodec

from patching.errors import StoreError

SCHEMA = 1
Codec = Literal["blosc-lz4", "zstd", "none"]


@dataclass(frozen=True)
class StoreAttributes:
    """What a store says of itself."""

    slide_id: str
    fingerprint: str
    """SHA-256 of the slide's files."""
    spec: dict[str, Any]
    """The patch spec as configured."""
    extent: int
    """Side of a patch in level-0 pixels."""
    stride: int
    """Step between patches in level-0 pixels."""
    downsample: float
    """Level-0 pixels per stored pixel."""
    mpp: float | None
    """µm per stored pixel."""
    slide_mpp: tuple[float, float] | None
    """µm per level-0 pixel (x, y)."""
    slide_size: tuple[int, int]
    """Width and height of the slide at level 0."""
    channels: tuple[str, ...]
    dtype: str
    brightfield: bool
    tissue_downsample: float
    """Level-0 pixels per pixel of `tissue`."""
    dropped: dict[str, int]
    """Patches of the grid that were left out, by reason."""
    schema: int = SCHEMA


@dataclass(frozen=True)
class PatchTable:
    """What is known of each stored patch."""

    locations_N2: NDArray[np.int64]
    tissue_fraction_N: NDArray[np.float64]
    tumor_fraction_N: NDArray[np.float64]
    label_N: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.locations_N2)


@final
class PatchStore:
    """Patches of one slide, open for reading.

    Sending a store to another process sends its path: TensorStore's threads do not survive a fork, so
    each process reads through a handle of its own.
    """

    def __init__(self, path: Path, attributes: StoreAttributes) -> None:
        self.path, self.attributes = path, attributes

    def __reduce__(self) -> tuple[object, ...]:
        return type(self).open, (self.path,)

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open a store.

        Raises:
            StoreError: missing, or of another schema.
        """
        path = Path(path)
        try:
            content = json.loads((path / "zarr.json").read_text(encoding="utf-8"))["attributes"]
            if content["schema"] != SCHEMA:
                raise _unusable(path, f"a patch store of schema {content['schema']}")
            content |= {name: tuple(content[name]) for name in ("slide_size", "channels")}
            content["slide_mpp"] = tuple(content["slide_mpp"]) if content["slide_mpp"] else None
            return cls(path, StoreAttributes(**content))
        except FileNotFoundError as error:
            raise _unusable(path, f"no patch store {path}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise _unusable(path, f"{path}, which is not a patch store ({error})") from error

    @property
    def images(self) -> Any:
        """The zarr array [N, H, W, C]."""
        return zarr.open_array(self.path / "images", mode="r")

    @cached_property
    def table(self) -> PatchTable:
        """Location, fractions and label of every patch."""
        locations_N2 = np.asarray(zarr.open_array(self.path / "locations", mode="r")[:], np.int64)
        tissue_N, tumor_N, label_N = np.asarray(zarr.open_array(self.path / "measures", mode="r")[:]).T
        return PatchTable(locations_N2, tissue_N, tumor_N, label_N.astype(np.int8))

    @property
    def locations(self) -> NDArray[np.int64]:
        """Level-0 (x, y) of every patch, int64 [N, 2]."""
        return self.table.locations_N2

    @cached_property
    def tissue(self) -> NDArray[np.bool_]:
        """The slide's tissue mask, bool [h, w]; `attributes.tissue_downsample` gives its scale."""
        return np.asarray(zarr.open_array(self.path / "tissue", mode="r")[:], np.bool_)

    def tissue_of(self, row: int) -> NDArray[np.bool_]:
        """Part of the tissue mask under one patch, cut at the nearest mask pixels."""
        x, y = self.locations[row] / self.attributes.tissue_downsample
        side = self.attributes.extent / self.attributes.tissue_downsample
        return self.tissue[round(y) : round(y + side), round(x) : round(x + side)]

    def __len__(self) -> int:
        return int(self._reader.shape[0])

    def read(self, indices: ArrayLike) -> NDArray[Any]:
        """Patches in the order of `indices`, [n, H, W, C] in the slide's dtype.

        Raises:
            IndexError: an index outside 0..N-1.
        """
        index_n = np.asarray(indices, np.int64)
        if index_n.size and not 0 <= index_n.min() <= index_n.max() < len(self):
            raise IndexError(
                f"patches {index_n.min()} to {index_n.max()}, of {len(self)} in {self.path.name}"
            )
        return np.asarray(self._reader[index_n].read().result())

    @cached_property
    def _reader(self) -> Any:
        return _tensorstore(self.path / "images")

    @staticmethod
    def write(
        path: Path,
        attributes: StoreAttributes,
        table: PatchTable,
        tissue_HW: NDArray[np.bool_],
        patches: Iterable[NDArray[Any]],
        *,
        codec: Codec = "blosc-lz4",
        patches_per_shard: int = 256,
    ) -> None:
        """Write a store as a whole: under a temporary name, then renamed.

        Args:
            path: the folder to make; an older one is replaced.
            attributes: what the store says of itself.
            table: as many rows as there are patches.
            tissue_HW: the slide's tissue mask.
            patches: each [H, W, C], in the table's order; one shard of them is held in memory.
            codec: how chunks are compressed.
            patches_per_shard: patches in one file.
        """
        part = partial(path)
        shutil.rmtree(part, ignore_errors=True)
        group = zarr.create_group(part, zarr_format=3, attributes=asdict(attributes))
        measures_N3 = np.column_stack([table.tissue_fraction_N, table.tumor_fraction_N, table.label_N])
        _write_small(group, part, "locations", table.locations_N2)
        _write_small(group, part, "measures", measures_N3.astype(np.float64))
        _write_small(group, part, "tissue", tissue_HW.astype(np.uint8))
        side, shard = int(attributes.spec["size"]), max(1, min(patches_per_shard, len(table)))
        patch_shape = (side, side, len(attributes.channels))
        group.create_array(
            "images",
            shape=(len(table), *patch_shape),
            dtype=attributes.dtype,
            chunks=(1, *patch_shape),
            shards=(shard, *patch_shape),
            compressors=_compressor(codec, np.dtype(attributes.dtype)),
        )
        _write_shards(part / "images", patches, shard, len(table))
        shutil.rmtree(path, ignore_errors=True)
        part.rename(path)


def partial(path: Path) -> Path:
    """Where a store, or any output, grows before it is whole."""
    return path.with_name(f".{path.name}.part")


def _write_shards(path: Path, patches: Iterable[NDArray[Any]], shard: int, count: int) -> None:
    """One writer and whole shards only: unaligned writes into shards corrupt them."""
    array, start = _tensorstore(path), 0
    for batch in _stacked(patches, shard):
        array[start : start + len(batch)].write(batch).result()
        start += len(batch)
    if start != count:
        raise ValueError(f"{start} patches for {count} rows")


def _stacked(patches: Iterable[NDArray[Any]], shard: int) -> Iterator[NDArray[Any]]:
    source = iter(patches)
    while batch := list(islice(source, shard)):
        yield np.stack(batch)


def _write_small(group: Any, folder: Path, name: str, values: NDArray[Any]) -> None:
    """An array in one compressed chunk."""
    chunks = tuple(max(1, length) for length in values.shape)
    group.create_array(
        name, shape=values.shape, dtype=values.dtype, chunks=chunks, compressors=ZstdCodec(level=3)
    )
    if values.size:
        _tensorstore(folder / name).write(values).result()


def _tensorstore(path: Path) -> Any:
    kvstore = {"driver": "file", "path": f"{path.resolve()}/"}
    return tensorstore.open({"driver": "zarr3", "kvstore": kvstore}, open=True).result()


def _compressor(codec: Codec, dtype: np.dtype[Any]) -> Any:
    """Compressor of a chunk; bytes of wider types are shuffled, so that the slow ones lie together."""
    if codec == "none":
        return None
    if codec == "zstd":
        shuffle = "bitshuffle" if dtype.itemsize > 1 else "noshuffle"
        return BloscCodec(cname="zstd", clevel=3, shuffle=shuffle, typesize=dtype.itemsize)
    shuffle = "shuffle" if dtype.itemsize > 1 else "noshuffle"
    return BloscCodec(cname="lz4", clevel=5, shuffle=shuffle, typesize=dtype.itemsize)


def _unusable(path: Path, has: str) -> StoreError:
    return StoreError(
        has=has,
        needs=f"a whole patch store of schema {SCHEMA}",
        do=f"run `evenpatch tile` again; it rewrites {path.name}",
    )
