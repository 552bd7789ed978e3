"""The patch store: its schema, and reading it. `writing` writes it.

    <slide_id>.zarr             zarr v3 group; attributes: StoreAttributes
    ├── images    [N, H, W, C]  the slide's dtype; chunk = one patch, shard = some hundreds
    ├── locations [N, 2]        int64, level-0 x, y
    ├── measures  [N, 4]        float64: tissue_fraction, tumor_fraction, label, covered_fraction
    ├── quality   [N, Q]        float32, in the columns that the attributes name
    ├── tissue    [h, w]        uint8 0/1: the slide's tissue mask
    └── thumbnail [h, w, 3]     uint8: the slide in (false) color

Every chunk ends with a CRC-32C that is checked whenever it is read. zarr-python opens all of it;
here TensorStore reads the pixels, ten times as fast.
"""

import json
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Self, final

import numpy as np
import tensorstore
import zarr
from numpy.typing import ArrayLike, NDArray
from pydantic import TypeAdapter, ValidationError

from patching.damage import Foreign
from patching.errors import StoreError
from patching.store.documents import Layout, read_small, stored
from patching.store.jpeg_reader import JpegReader

SCHEMA = 5
_UNMASKED = 4
"""Of images that were imported, which have neither tissue nor gaps, this schema says the same."""
_MEASURES = 4
_NONE = "which is not a patch store"


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
    quality: tuple[str, ...] = ()
    """Columns of the array `quality`."""
    tissue: dict[str, Any] | None = None
    """The tissue method with all its settings; None where images were imported without a tissue fraction."""
    mask_pixels_per_patch: int | None = None
    """Tissue-mask pixels per patch side that were asked for."""
    minimum_tissue_fraction: float | None = None
    """Patches under it were dropped."""
    minimum_covered_fraction: float = 0.0
    """Patches of whose area less exists were dropped."""
    covered_fraction: float = 1.0
    """Share of the slide that exists: scanned, stored and not transparent."""
    white: float | None = None
    """Value of full light, as patching.survey.quality.full_light finds it; None where nobody knows."""
    warnings: tuple[str, ...] = ()
    """What was found while the slide was surveyed, and must be told."""
    schema: int = SCHEMA


@dataclass(frozen=True)
class PatchTable:
    """What is known of each stored patch."""

    locations_N2: NDArray[np.int64]
    tissue_fraction_N: NDArray[np.float64]
    tumor_fraction_N: NDArray[np.float64]
    label_N: NDArray[np.int8]
    covered_fraction_N: NDArray[np.float64]
    """Share of each patch that exists."""

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
            text = (path / "zarr.json").read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise _unusable(path, f"no patch store {path}") from error
        group = _parsed(path, json.loads, text)
        content = group.get("attributes") if isinstance(group, dict) else None
        if not isinstance(content, dict) or "schema" not in content:
            raise _unusable(path, f"{path}, {_NONE}")
        if content["schema"] == _UNMASKED and content.get("tissue") is None:
            content["schema"] = SCHEMA
        if content["schema"] != SCHEMA:
            raise _unusable(path, f"a patch store of schema {content['schema']}")
        try:
            return cls(path, _validator().validate_python(content))
        except ValidationError as error:
            raise _unusable(path, f"{path}, {_NONE} ({error})") from error

    @property
    def images(self) -> Any:
        """The zarr array [N, H, W, C]."""
        return zarr.open_array(self.path / "images", mode="r")

    @cached_property
    def table(self) -> PatchTable:
        """Location, fractions and label of every patch."""
        locations_N2 = np.asarray(read_small(self.path / "locations"), np.int64)
        measures_NM = read_small(self.path / "measures")
        if measures_NM.shape[1] == _MEASURES - 1:  # of schema _UNMASKED
            measures_NM = np.column_stack([measures_NM, np.ones(len(measures_NM))])
        tissue_N, tumor_N, label_N, covered_N = measures_NM.T
        return PatchTable(locations_N2, tissue_N, tumor_N, label_N.astype(np.int8), covered_N)

    @property
    def locations(self) -> NDArray[np.int64]:
        """Level-0 (x, y) of every patch, int64 [N, 2]."""
        return self.table.locations_N2

    @cached_property
    def quality(self) -> NDArray[np.float32]:
        """Quality of every patch, float32 [N, Q], in the columns `attributes.quality`."""
        return np.asarray(read_small(self.path / "quality"), np.float32)

    @property
    def thumbnail(self) -> NDArray[np.uint8]:
        """The whole slide in (false) color, uint8 [h, w, 3]."""
        return np.asarray(read_small(self.path / "thumbnail"), np.uint8)

    @cached_property
    def tissue(self) -> NDArray[np.bool_]:
        """The slide's tissue mask, bool [h, w]; `attributes.tissue_downsample` gives its scale."""
        return np.asarray(read_small(self.path / "tissue"), np.bool_)

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
        reader = self._reader
        if isinstance(reader, JpegReader):
            return reader.read(index_n)
        if not index_n.size:
            return np.empty((0, *reader.shape[1:]), np.dtype(self.attributes.dtype))
        return stored(self.path / "images", lambda: np.asarray(reader[index_n].read().result()))

    @cached_property
    def _reader(self) -> Any:
        layout = Layout.read(self.path / "images")
        if JpegReader.reads(layout):
            return JpegReader(self.path / "images", layout)
        return open_tensorstore(self.path / "images")


@cache
def _validator() -> TypeAdapter[StoreAttributes]:
    return TypeAdapter(StoreAttributes)


def partial(path: Path) -> Path:
    """Where a store, or any output, grows before it is whole."""
    return path.with_name(f".{path.name}.part")


def open_tensorstore(path: Path) -> Any:
    """A zarr array through TensorStore.

    Raises:
        StoreError: there is none, or a damaged one.
    """
    spec = {
        "driver": "zarr3",
        "kvstore": {"driver": "file", "path": f"{path.resolve()}/"},
        # What is missing is an error, not zeros; so that zeros must be there.
        "fill_missing_data_reads": False,
        "store_data_equal_to_fill_value": True,
    }
    return stored(path, lambda: tensorstore.open(spec, open=True).result())


def _unusable(path: Path, has: str) -> StoreError:
    return StoreError(
        has=has,
        needs=f"a whole patch store of schema {SCHEMA}",
        do=f"run `evenpatch tile` again; it rewrites {path.name}",
    )


_parsed = Foreign(lambda path, what: _unusable(path, f"{path}, {_NONE} ({what})"))
