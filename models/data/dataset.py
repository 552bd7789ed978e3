"""Patches of a split: raw pixels by row, in memory or streamed, and what is known of every patch."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from patching.errors import GroupError, StoreError

if TYPE_CHECKING:
    from patching.store.reading import StoreAttributes

_CHUNK_BYTES = 32 * 2**20


class PatchSource(Protocol):
    """What is asked of a patch store; `patching.store.reading.PatchStore` is one."""

    def read(self, indices: NDArray[np.int64]) -> NDArray[Any]:
        """Pixels [n, H, W, C] of the rows `indices`, in their order."""


class AbstractPatches(ABC):
    """N patches of one shape, addressed by row 0..N-1, in the slides' own dtype."""

    def __init__(self, shape_NHWC: tuple[int, int, int, int], dtype: np.dtype[Any]) -> None:
        self.shape_NHWC = shape_NHWC
        self.dtype = dtype

    @abstractmethod
    def read(self, rows_M: NDArray[np.int64]) -> NDArray[Any]:
        """Pixels [M, H, W, C] of the given rows, in the given order; a row may occur twice."""

    def __len__(self) -> int:
        return self.shape_NHWC[0]

    @property
    def channels(self) -> int:
        return self.shape_NHWC[3]

    def chunks(self, size: int | None = None) -> Iterator[NDArray[Any]]:
        """All patches in order, `size` at a time; by default as many as 32 MiB hold, at least one."""
        patch_bytes = int(np.prod(self.shape_NHWC[1:])) * self.dtype.itemsize
        step = size or max(1, _CHUNK_BYTES // patch_bytes)
        for start in range(0, len(self), step):
            yield self.read(np.arange(start, min(start + step, len(self))))


class MemoryPatches(AbstractPatches):
    """Patches held in one array [N, H, W, C]."""

    def __init__(self, images_NHWC: NDArray[Any]) -> None:
        n, height, width, channels = images_NHWC.shape
        super().__init__((n, height, width, channels), images_NHWC.dtype)
        self._images_NHWC = images_NHWC

    def read(self, rows_M: NDArray[np.int64]) -> NDArray[Any]:
        images_MHWC: NDArray[Any] = self._images_NHWC[rows_M]
        return images_MHWC


class StoredPatches(AbstractPatches):
    """Patches read from their stores at every use.

    Args:
        sources: the stores.
        source_N: which store holds patch n.
        row_N: and in which of its rows.
        patch_HWC: shape of one patch.
    """

    def __init__(
        self,
        sources: Sequence[PatchSource],
        source_N: NDArray[np.int64],
        row_N: NDArray[np.int64],
        patch_HWC: tuple[int, int, int],
        dtype: np.dtype[Any],
    ) -> None:
        super().__init__((len(row_N), *patch_HWC), dtype)
        self._sources = sources
        self._source_N = source_N
        self._row_N = row_N

    def read(self, rows_M: NDArray[np.int64]) -> NDArray[Any]:
        images_MHWC = np.empty((len(rows_M), *self.shape_NHWC[1:]), self.dtype)
        source_M, row_M = self._source_N[rows_M], self._row_N[rows_M]
        for source in np.unique(source_M):
            here_M = source_M == source
            images_MHWC[here_M] = self._sources[source].read(row_M[here_M])
        return images_MHWC


class SelectedPatches(AbstractPatches):
    """Some rows of other patches, without a copy."""

    def __init__(self, patches: AbstractPatches, rows_M: NDArray[np.int64]) -> None:
        super().__init__((len(rows_M), *patches.shape_NHWC[1:]), patches.dtype)
        self._patches = patches
        self._rows_M = rows_M

    def read(self, rows_M: NDArray[np.int64]) -> NDArray[Any]:
        return self._patches.read(self._rows_M[rows_M])


@dataclass(frozen=True)
class LabelledPatches:
    """The patches of one split with the label of each, and nothing of their attribute: what a method
    may see that is not given attributes, and a validation split where they are not known.

    Attributes:
        patient_N: patient of every patch, where known.
    """

    images: AbstractPatches
    label_N: NDArray[np.int64]
    patient_N: NDArray[np.str_] | None = None

    def __len__(self) -> int:
        return len(self.images)

    def subset(self, rows_M: NDArray[np.int64]) -> "LabelledPatches":
        """The given rows, in the given order; pixels are not copied."""
        patient_M = None if self.patient_N is None else self.patient_N[rows_M]
        return LabelledPatches(SelectedPatches(self.images, rows_M), self.label_N[rows_M], patient_M)


@dataclass(frozen=True)
class PatchData:
    """The patches of one split with label, attribute and tissue fraction of each.

    Attributes:
        patient_N: patient of every patch, where known; needed to hold patients out.

    Raises:
        GroupError: the columns differ in length.
    """

    images: AbstractPatches
    label_N: NDArray[np.int64]
    attribute_N: NDArray[np.int64]
    tissue_fraction_N: NDArray[np.float64]
    patient_N: NDArray[np.str_] | None = None

    def __post_init__(self) -> None:
        lengths = [len(self), *map(len, (self.label_N, self.attribute_N, self.tissue_fraction_N))]
        if len(set(lengths)) > 1:
            raise GroupError(
                has="{} patches, {} labels, {} attributes and {} tissue fractions".format(*lengths),
                needs="one of each for every patch",
                do="join the tables by patch_id first",
            )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def labelled(self) -> LabelledPatches:
        """The same patches without attribute and tissue fraction."""
        return LabelledPatches(self.images, self.label_N, self.patient_N)

    def subset(self, rows_M: NDArray[np.int64]) -> "PatchData":
        """The given rows, in the given order; pixels are not copied."""
        return PatchData(
            SelectedPatches(self.images, rows_M),
            self.label_N[rows_M],
            self.attribute_N[rows_M],
            self.tissue_fraction_N[rows_M],
            None if self.patient_N is None else self.patient_N[rows_M],
        )


@dataclass(frozen=True)
class StoreRows:
    """Which row of which store every patch is."""

    store_N: Sequence[Path]
    row_N: NDArray[np.int64]

    @cached_property
    def paths(self) -> list[Path]:
        """The stores, each once."""
        return sorted(set(self.store_N))

    @property
    def source_N(self) -> NDArray[np.int64]:
        """Number of every patch's store in `paths`."""
        number = {path: i for i, path in enumerate(self.paths)}
        return np.array([number[path] for path in self.store_N], dtype=np.int64)


def gather(rows: StoreRows, memory_limit: int) -> AbstractPatches:
    """Open the stores of `rows`; hold the patches in memory where they fit in `memory_limit` bytes.

    Raises:
        StoreError: no patches, a store that cannot be read, or stores of different patch shape or dtype.
    """
    from patching.store.reading import (
        PatchStore,  # TensorStore costs start-up time that array users need not pay
    )

    stores = [PatchStore.open(path) for path in rows.paths]
    patch_HWC, dtype = _common([store.attributes for store in stores])
    stored = StoredPatches(stores, rows.source_N, rows.row_N, patch_HWC, dtype)
    if int(np.prod(stored.shape_NHWC)) * dtype.itemsize > memory_limit:
        return stored
    return MemoryPatches(stored.read(np.arange(len(stored))))


def _common(attributes: Sequence["StoreAttributes"]) -> tuple[tuple[int, int, int], np.dtype[Any]]:
    found = {(int(each.spec["size"]), each.channels, each.dtype): each.slide_id for each in attributes}
    if len(found) != 1:
        listed = "; ".join(
            f"{slide}: {size} px, {', '.join(c)}, {d}" for (size, c, d), slide in found.items()
        )
        raise StoreError(
            has=listed or "no patches at all",
            needs="patches of one size, one dtype and the same channels",
            do="tile the cohort again with one patch spec, and slides of one kind",
        )
    ((size, channels, dtype),) = found
    return (size, size, len(channels)), np.dtype(dtype)
