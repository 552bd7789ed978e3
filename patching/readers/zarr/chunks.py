"""Chunks of a zarr array, and which of them are stored: a fill value is no pixel."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import tensorstore
import zarr
from numpy.typing import NDArray
from zarr.core.array import AsyncArray
from zarr.storage import FsspecStore, LocalStore

from patching.damage import Foreign
from patching.errors import UnreadableSlideError
from patching.readers.base import Window
from patching.readers.zarr.addresses import WholeStore
from patching.readers.zarr.files import Source, fetched, is_url, plain_address
from patching.readers.zarr.metadata import ZarrArray

_BY_TENSORSTORE = frozenset(
    ("blosc", "zlib", "gzip", "zstd", "bz2", "bytes", "transpose", "crc32c", "sharding_indexed")
)


def _not_opened(source: Source, what: str) -> UnreadableSlideError:
    return UnreadableSlideError(
        has=f"{source}: {what}",
        needs="arrays whose documents TensorStore reads: it keeps to the letter of the specification",
        do="correct in the array's document what the message names, or export it anew",
    )


_by_tensorstore = Foreign(_not_opened)
_NOT_STORED = "NOT_FOUND: chunk"  # as TensorStore tells it


@dataclass(frozen=True, slots=True)
class _ByZarr:
    """An array twice, with what is not stored read as 0 and as 1: zarr-python does not tell it."""

    zeros: zarr.Array[Any]
    ones: zarr.Array[Any]

    @classmethod
    def of(cls, array: zarr.Array[Any]) -> Self:
        """Of an array, whatever its own fill value."""
        filled = [replace(array.metadata, fill_value=array.dtype.type(value)) for value in (0, 1)]
        return cls(*(zarr.Array(AsyncArray(each, store_path=array.store_path)) for each in filled))


def open_chunks(source: Source, array: ZarrArray, zarr_format: int) -> Any:
    """TensorStore where it reaches, because it is the faster one; zarr-python elsewhere."""
    distant = isinstance(source, str) and is_url(source)
    if distant or not _BY_TENSORSTORE.issuperset(array.codecs):
        where = plain_address(source) if distant else source
        plain: Any = fetched(source, FsspecStore.from_url if distant else LocalStore, where, read_only=True)
        store = WholeStore(plain, blosc=array.codecs[-1:] == ("blosc",))
        found = fetched(source, zarr.open_array, store, path=array.path, mode="r", zarr_format=zarr_format)
        return _ByZarr.of(found)
    spec = {
        "driver": "zarr3" if zarr_format == 3 else "zarr",
        "kvstore": {"driver": "file", "path": f"{Path(source).resolve()}/{array.path}/"},
        # A value that was never stored is no pixel.
        "fill_missing_data_reads": False,
    }
    return _by_tensorstore(source, lambda: tensorstore.open(spec, open=True, read=True).result())


def stored_parts(
    source: Path, array: ZarrArray, axes: str, stack: tuple[slice, ...], window: Window
) -> Iterator[tuple[Window, bool]]:
    """The parts under a window that lie in a file each, a chunk or a shard, and whether it is there.

    Args:
        source: folder of the image.
        array: of a level.
        axes: of the array, in its order.
        stack: places along the axes beside Y and X, all of them in the same file.
        window: in the level's pixels.
    """
    folder, beside = f"{source}/{array.path}/", iter(stack)
    numbers = [
        0 if axis in "YX" else next(beside).start // side
        for axis, side in zip(axes, array.stored, strict=True)
    ]
    y, x = axes.index("Y"), axes.index("X")
    height, width = array.stored[y], array.stored[x]
    for row in range(window.top // height, -(-(window.top + window.height) // height)):
        for column in range(window.left // width, -(-(window.left + window.width) // width)):
            numbers[y], numbers[x] = row, column
            part = Window(
                left=column * width,
                top=row * height,
                width=min(width, array.shape[x] - column * width),
                height=min(height, array.shape[y] - row * height),
            )
            # Without a Path each: there may be a hundred thousand.
            yield part, os.path.lexists(folder + array.keys.of(numbers))


def read_chunk(
    source: Source, array: ZarrArray, stored: Any, index: tuple[slice, ...]
) -> NDArray[Any] | None:
    """A chunk; None where it is not stored.

    Raises:
        UnreadableSlideError: it is damaged, or is there and no file, as a link that leads nowhere.
    """
    if isinstance(stored, _ByZarr):
        pixels = fetched(source, lambda: np.asarray(stored.zeros[index]))
        if pixels.any() or not (fetched(source, lambda: np.asarray(stored.ones[index])) == 1).all():
            return pixels
        return None
    try:
        return fetched(source, lambda: np.asarray(stored[index].read().result()))
    except UnreadableSlideError as error:
        if not str(error.__cause__).startswith(_NOT_STORED):
            raise
    name = array.keys.of(tuple(part.start // side for part, side in zip(index, array.stored, strict=True)))
    path = Path(source) / array.path / name
    if fetched(source, os.path.lexists, path) and not fetched(source, path.is_file):
        raise UnreadableSlideError(
            has=f"{path}: no file, but a folder or a link that leads nowhere",
            needs="a chunk that can be read, or none",
            do="copy the slide again from its source, with what its links lead to",
        )
    return None
