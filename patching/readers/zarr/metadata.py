"""OME-Zarr 0.4 and 0.5: which arrays are the levels of an image, and what their axes and channels are."""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from patching.errors import UnreadableSlideError
from patching.geometry import Mpp
from patching.readers.base import RGB
from patching.readers.naming import called_rgb, numbered
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
_PLAIN_CODECS_3 = frozenset(("blosc", "gzip", "zstd", "bytes", "transpose", "crc32c", "sharding_indexed"))
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
        labels = tuple(label.strip().replace(";", ",") for label in self.labels)
        if count == len(RGB) and self._is_rgb(labels):
            return RGB
        if len(labels) != count or len(set(labels)) != count or not all(labels):
            return numbered(count)
        return labels

    def _is_rgb(self, labels: tuple[str, ...]) -> bool:
        """Called red, green and blue, or without real names and drawn in pure red, green and blue."""
        if called_rgb(labels):
            return True
        nameless = all(_NO_NAME.fullmatch(label.lower()) for label in labels)
        return nameless and tuple(color.upper() for color in self.colors) == _PLAIN_COLORS


def read_image(files: ZarrFiles) -> ZarrImage:
    """Read an image's documents.

    Raises:
        UnreadableSlideError: no image, of another version, or documents that contradict each other.
    """
    try:
        return _read_image(files)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise files.refusal(f"malformed documents: {type(error).__name__}: {error}") from error


def _read_image(files: ZarrFiles) -> ZarrImage:
    zarr_format, attributes = _attributes(files)
    if not attributes.get("multiscales"):
        raise _no_image(files, attributes)
    multiscale = attributes["multiscales"][0]
    version = attributes.get("version", multiscale.get("version"))
    if version not in _VERSIONS[zarr_format]:
        raise files.refusal(f"version {version} in zarr format {zarr_format}")
    axes = "".join(_letter(axis) for axis in multiscale["axes"])
    if axes.count("Y") != 1 or axes.count("X") != 1 or any(axes.count(axis) > 1 for axis in "TCZ"):
        raise files.refusal(f"axes {axes}")
    levels = tuple(_array(files, zarr_format, dataset["path"]) for dataset in multiscale["datasets"])
    if any(len(level.shape) != len(axes) for level in levels):
        raise files.refusal(f"axes {axes} for arrays of {[len(level.shape) for level in levels]} dimensions")
    channels = attributes.get("omero", {}).get("channels", [])
    return ZarrImage(
        format=zarr_format,
        axes=axes,
        levels=levels,
        mpp=_pixel_size(multiscale, axes),
        labels=tuple(str(channel.get("label", "")) for channel in channels),
        colors=tuple(str(channel.get("color", "")) for channel in channels),
    )


def _attributes(files: ZarrFiles) -> tuple[int, dict[str, Any]]:
    """The zarr format, and what the root tells about the image."""
    if (group := files.document("zarr.json")) is not None:
        return 3, dict(group.get("attributes", {}).get("ome", {}))
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


def _letter(axis: dict[str, Any]) -> str:
    name = str(axis["name"]).upper()
    return name if len(name) == 1 else "?"


def _pixel_size(multiscale: dict[str, Any], axes: str) -> Mpp | None:
    """Level-0 pixel size in µm, where X and Y have a unit of length."""
    scale = np.ones(len(axes))
    for holder in (multiscale["datasets"][0], multiscale):
        for step in holder.get("coordinateTransformations", ()):
            if step.get("type") == "scale":
                scale = scale * np.asarray(step["scale"], float)
    sides = [
        scale[axes.index(axis)] * _UNIT_UM.get(multiscale["axes"][axes.index(axis)].get("unit", ""), math.nan)
        for axis in "XY"
    ]
    return Mpp(*map(float, sides)) if all(0 < side < math.inf for side in sides) else None


def _array(files: ZarrFiles, zarr_format: int, path: str) -> ZarrArray:
    if ".." in path.split("/") or path.startswith("/") or "://" in path:
        raise files.refusal(f"a level at {path!r}, outside of it")
    name = f"{path}/zarr.json" if zarr_format == 3 else f"{path}/.zarray"
    document = files.document(name)
    if document is None:
        raise files.refusal(f"no {name}")
    shape, chunk, dtype, codecs = _layout_3(files, document) if zarr_format == 3 else _layout_2(document)
    plain = _PLAIN_CODECS_3 if zarr_format == 3 else _PLAIN_CODECS_2
    if unknown := ", ".join(sorted(set(codecs) - plain)):
        raise files.refusal(f"{name}: codec {unknown} instead of {', '.join(sorted(plain))}")
    if np.dtype(dtype).kind not in "uif":
        raise files.refusal(f"{name}: pixels of type {dtype}")
    array = ZarrArray(path, tuple(map(int, shape)), tuple(map(int, chunk)), np.dtype(dtype).newbyteorder("="))
    if len(array.shape) != len(array.chunk) or min(*array.shape, *array.chunk) < 1:
        raise files.refusal(f"{name}: shape {array.shape} in chunks of {array.chunk}")
    if math.prod(array.chunk) * array.dtype.itemsize > _LARGEST_CHUNK:
        raise files.refusal(
            f"{name}: a chunk of {math.prod(array.chunk) * array.dtype.itemsize / 2**30:.1f} GiB"
        )
    return array


def _layout_2(document: dict[str, Any]) -> tuple[list[int], list[int], str, list[str]]:
    codecs = [document.get("compressor"), *(document.get("filters") or ())]
    names = [str(codec["id"]) for codec in codecs if codec is not None]
    return document["shape"], document["chunks"], str(document["dtype"]), names


def _layout_3(files: ZarrFiles, document: dict[str, Any]) -> tuple[list[int], list[int], str, list[str]]:
    chunk = document["chunk_grid"]["configuration"]["chunk_shape"]
    codecs = document["codecs"]
    names = list(_codec_names(codecs))
    if names and names[0] == "sharding_indexed":
        shard, inner = chunk, codecs[0]["configuration"]
        chunk = inner["chunk_shape"]
        if (
            math.prod(-(-whole // part) for whole, part in zip(shard, chunk, strict=True))
            > _MOST_CHUNKS_PER_SHARD
        ):
            raise files.refusal(f"shards of more than {_MOST_CHUNKS_PER_SHARD} chunks")
    return document["shape"], chunk, str(document["data_type"]), names


def _codec_names(codecs: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Of all codecs, those inside shards at any depth among them."""
    for codec in codecs:
        yield str(codec["name"])
        if codec["name"] == "sharding_indexed":
            inner = codec["configuration"]
            yield from _codec_names([*inner["codecs"], *inner.get("index_codecs", ())])
