"""OME-Zarr 0.4 and 0.5: which arrays are the levels of an image, and what their axes and channels are."""

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from patching.damage import decoded
from patching.errors import UnreadableSlideError
from patching.geometry import Mpp
from patching.readers.base import RGB
from patching.readers.naming import called_rgb, distinct
from patching.readers.zarr.documents import SHARDING, Array2, Array3, Attributes, Axis, Multiscale, parsed
from patching.readers.zarr.files import ZarrFiles

_VERSIONS = {2: ("0.4",), 3: ("0.5",)}
_UNIT_UM = {
    "angstrom": 1e-4,
    "nanometer": 1e-3,
    "micrometer": 1.0,
    "millimeter": 1e3,
    "centimeter": 1e4,
    "meter": 1e6,
}
_LARGEST_CHUNK = 2**30
_MOST_CHUNKS_PER_SHARD = 2**20
# Only codecs that turn bytes into numbers: a pickle would run what it holds.
_PLAIN_CODECS_2 = frozenset(("blosc", "zlib", "gzip", "zstd", "lz4", "bz2", "lzma", "shuffle", "delta"))
_PLAIN_CODECS_3 = frozenset(("blosc", "gzip", "zstd", "bytes", "transpose", "crc32c", SHARDING))
_ARRAYS: dict[int, tuple[str, type[Array2 | Array3], frozenset[str]]] = {
    2: (".zarray", Array2, _PLAIN_CODECS_2),
    3: ("zarr.json", Array3, _PLAIN_CODECS_3),
}
_PLAIN_COLORS = ("FF0000", "00FF00", "0000FF")
_NO_NAME = re.compile(r"(channel|c)?[ :_-]*[0-9]*")


@dataclass(frozen=True, slots=True)
class ZarrArray:
    """One resolution: where it lies, its shape, the shape of what is decoded at once, its type."""

    path: str
    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True, slots=True)
class ZarrImage:
    """A multi-resolution image: `axes` has a letter for each axis of every array, finest level first."""

    format: int
    axes: str
    levels: tuple[ZarrArray, ...]
    mpp: Mpp | None
    labels: tuple[str, ...]
    colors: tuple[str, ...]

    def names(self, count: int) -> tuple[str, ...]:
        """Names of `count` channels: R, G, B, the file's own, or C0, C1, ..."""
        return RGB if count == len(RGB) and self._is_rgb() else distinct(self.labels, count)

    def _is_rgb(self) -> bool:
        """Called red, green and blue, or without real names and drawn in pure red, green and blue."""
        if called_rgb(self.labels):
            return True
        nameless = all(_NO_NAME.fullmatch(label.strip().lower()) for label in self.labels)
        return nameless and tuple(color.upper() for color in self.colors) == _PLAIN_COLORS


def read_image(files: ZarrFiles) -> ZarrImage:
    """Read an image's documents.

    Raises:
        UnreadableSlideError: no image, of another version, or documents that contradict each other.
    """
    zarr_format, content = _attributes(files)
    if not content.get("multiscales"):
        raise _no_image(files, content)
    attributes = parsed(files, Attributes, content)
    multiscale = attributes.multiscales[0]
    version = content.get("version", multiscale.version)
    if version not in _VERSIONS[zarr_format]:
        raise files.refusal(f"version {version} in zarr format {zarr_format}")
    axes = "".join(_letter(axis) for axis in multiscale.axes)
    if axes.count("Y") != 1 or axes.count("X") != 1 or any(axes.count(axis) > 1 for axis in "TCZ"):
        raise files.refusal(f"axes {axes}")
    levels = tuple(_array(files, zarr_format, dataset.path) for dataset in multiscale.datasets)
    if not levels or any(len(level.shape) != len(axes) for level in levels):
        raise files.refusal(f"axes {axes} for arrays of {[len(level.shape) for level in levels]} dimensions")
    channels = attributes.channels
    return ZarrImage(
        format=zarr_format,
        axes=axes,
        levels=levels,
        mpp=_pixel_size(files, multiscale, axes),
        labels=tuple(str(channel.label) for channel in channels),
        colors=tuple(str(channel.color) for channel in channels),
    )


def _attributes(files: ZarrFiles) -> tuple[int, dict[str, Any]]:
    """The zarr format, and what the root tells about the image."""
    found: Any = files.document("zarr.json")
    if found is not None:
        for name in ("attributes", "ome"):
            found = found.get(name, {}) if isinstance(found, dict) else None
        if not isinstance(found, dict):
            raise files.refusal("malformed documents: attributes that are no object")
        return 3, found
    if files.document(".zgroup") is None:
        raise files.refusal("no zarr group: neither zarr.json nor .zgroup")
    return 2, files.document(".zattrs") or {}


def _no_image(files: ZarrFiles, attributes: dict[str, Any]) -> UnreadableSlideError:
    kind = next(
        (name for name in ("plate", "well", "bioformats2raw.layout", "labels") if name in attributes), ""
    )
    return UnreadableSlideError(
        has=f"{files.source}: a zarr group without `multiscales`" + (f", but with `{kind}`" if kind else ""),
        needs="one image",
        do="name an image inside it, for example slide.ome.zarr/0",
    )


def _letter(axis: Axis) -> str:
    name = str(axis.name).upper()
    return name if len(name) == 1 else "?"


def _pixel_size(files: ZarrFiles, multiscale: Multiscale, axes: str) -> Mpp | None:
    """Level-0 pixel size in µm, where X and Y have a unit of length."""
    scale = np.ones(len(axes))
    for holder in (multiscale.datasets[0], multiscale):
        for step in holder.transformations:
            if step.type == "scale" and len(step.scale) != len(axes):
                raise files.refusal(f"a scale of {len(step.scale)} numbers for axes {axes}")
            if step.type == "scale":
                scale = scale * np.asarray(step.scale)
    places = [axes.index(name) for name in "XY"]
    sides = [scale[at] * _UNIT_UM.get(str(multiscale.axes[at].unit), math.nan) for at in places]
    return Mpp(*map(float, sides)) if all(0 < side < math.inf for side in sides) else None


def _array(files: ZarrFiles, zarr_format: int, path: str) -> ZarrArray:
    if ".." in path.split("/") or path.startswith("/") or "://" in path:
        raise files.refusal(f"a level at {path!r}, outside of it")
    file, kind, plain = _ARRAYS[zarr_format]
    name = f"{path}/{file}"
    document = files.document(name)
    if document is None:
        raise files.refusal(f"no {name}")
    array = parsed(files, kind, document)
    if unknown := ", ".join(sorted(set(array.names()) - plain)):
        raise files.refusal(f"{name}: codec {unknown} instead of {', '.join(sorted(plain))}")
    dtype = decoded(f"{files.source}: {name}", np.dtype, array.data_type).newbyteorder("=")
    if dtype.kind not in "uif":
        raise files.refusal(f"{name}: pixels of type {array.data_type}")
    shape, chunk = array.shape, _decoded_at_once(files, array)
    if len(shape) != len(chunk) or 0 in (*shape, *chunk):
        raise files.refusal(f"{name}: shape {shape} in chunks of {chunk}")
    if math.prod(chunk) * dtype.itemsize > _LARGEST_CHUNK:
        raise files.refusal(f"{name}: a chunk of {math.prod(chunk) * dtype.itemsize / 2**30:.1f} GiB")
    return ZarrArray(path, shape, chunk, dtype)


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
