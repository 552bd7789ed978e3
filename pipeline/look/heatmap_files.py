"""A heatmap on disk: pyramidal OME-TIFF for QuPath and OpenSlide, and OME-Zarr (NGFF 0.5).

Both tell where the heatmap lies: its first pixel's corner is the slide's at level 0 (not that of QuPath's
frame, where a slide has bounds), and a pixel is so many level-0 pixels a side.
"""

import hashlib
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from tifffile import TiffWriter
from zarr.codecs import ZstdCodec

from patching.geometry import Location, Mpp
from pipeline.files import replacing
from pipeline.look.heatmap import TOP, coarser

FORMULA = f"0: not predicted; v from 1 to {TOP + 1}: probability (v - 1) / {TOP}"
_TILE = 256
_CHUNK = 512
_NAMESPACE = "evenpatch/heatmap"


@dataclass(frozen=True)
class Placed:
    """A heatmap and where it lies on its slide."""

    name: str
    """The slide's."""
    image_HW: NDArray[np.uint16]
    """As pipeline.look.heatmap makes it."""
    cell: int
    """Level-0 pixels a side of a pixel."""
    mpp: Mpp | None
    """Of the slide at level 0."""
    bounds: Location
    """Where QuPath's frame begins, in level-0 pixels."""
    threshold: float
    """The probability beyond which a patch is tumor."""
    decision: str
    """How probabilities came about, in a few words."""


def write_ome_tiff(heatmap: Placed, path: Path) -> None:
    """Write a tiled OME-TIFF, levels that halve in SubIFDs; whole or not at all, the same bytes each time.

    Deflate, since not every libtiff under OpenSlide knows zstd. OpenSlide reads the first level, as 8 bits.
    Some builds of it garble tiles that stick out of the image, so rows and columns of "not predicted" fill
    up the last ones, at most 15 for every 256 pixels.
    """
    tile = _tile_side(heatmap.image_HW.shape[0]), _tile_side(heatmap.image_HW.shape[1])
    first, *others = _pyramid(_filled_up(heatmap.image_HW, tile))
    # Bio-Formats and QuPath keep files apart by this; a random one would make other bytes each time.
    mark = uuid.uuid5(uuid.NAMESPACE_URL, heatmap.name + hashlib.sha256(first.tobytes()).hexdigest())
    form: dict[str, Any] = {
        "photometric": "minisblack",
        "tile": tile,
        "compression": "deflate",
        "software": "evenpatch",
        "maxworkers": 1,
    }
    metadata = _ome(heatmap) | {"UUID": f"urn:uuid:{mark}", "Creator": "evenpatch"}
    with replacing(path) as part, TiffWriter(part, ome=True) as tiff:
        tiff.write(first, subifds=len(others), metadata=metadata, **form)
        for image_HW in others:
            tiff.write(image_HW, subfiletype=1, metadata=None, **form)


def write_ome_zarr(heatmap: Placed, path: Path) -> None:
    """Write an image of several scales as OME-Zarr, into a folder of a temporary name that is renamed.

    Not as labels, which are whole numbers that name things. A place is the middle of a pixel: the slide's
    first pixel lies at 0, in µm, or in level-0 pixels where µm are unknown.
    """
    part = path.with_name(f".{path.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    levels = _pyramid(heatmap.image_HW)
    group = zarr.create_group(part, zarr_format=3, attributes={"ome": _multiscale(heatmap, len(levels))})
    for number, image_HW in enumerate(levels):
        group.create_array(
            str(number),
            data=np.ascontiguousarray(image_HW),
            chunks=(_CHUNK, _CHUNK),
            compressors=ZstdCodec(),
            fill_value=0,
            dimension_names=("y", "x"),
        )
    shutil.rmtree(path, ignore_errors=True)
    part.replace(path)


def _tile_side(length: int) -> int:
    """Side of as few tiles as hold a length, a multiple of 16 as TIFF wants it and at most 256."""
    tiles = -(-length // _TILE)
    return -(-length // (16 * tiles)) * 16


def _filled_up(image_HW: NDArray[np.uint16], tile: tuple[int, int]) -> NDArray[np.uint16]:
    return np.pad(image_HW, [(0, -length % side) for length, side in zip(image_HW.shape, tile, strict=True)])


def _pyramid(image_HW: NDArray[np.uint16]) -> list[NDArray[np.uint16]]:
    """The image, and halves of it until one tile holds all."""
    levels = [np.ascontiguousarray(image_HW)]
    while max(levels[-1].shape) > _TILE:
        levels.append(coarser(levels[-1]))
    return levels


def _ome(heatmap: Placed) -> dict[str, Any]:
    """What OME-XML says of the image. tifffile writes it; units are told even where they are the default."""
    facts = {
        "Formula": FORMULA,
        "Decision": heatmap.decision,
        "TumorAbove": heatmap.threshold,
        "LevelZeroPixelsPerPixel": heatmap.cell,
        "OriginX": 0,
        "OriginY": 0,
        "QuPathOriginX": heatmap.bounds.x,
        "QuPathOriginY": heatmap.bounds.y,
    }
    told = {
        "axes": "YX",
        "Name": f"{heatmap.name}: probability of tumor",
        "Description": f"{_shown(heatmap)}. {FORMULA}. A pixel is {heatmap.cell} level-0 pixels a side; "
        "the first one begins at the slide's level-0 pixel (0, 0). Research use only.",
        "Channel": {"Name": "probability of tumor"},
        "MapAnnotation": {
            "Namespace": _NAMESPACE,
            "Value": {key: str(value) for key, value in facts.items()},
        },
    }
    if heatmap.mpp is None:
        return told
    pixel = heatmap.mpp.coarser(heatmap.cell)
    sizes = {"PhysicalSizeX": pixel.x, "PhysicalSizeY": pixel.y}
    units = {"PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm"}
    origin = {"PositionX": [0.0], "PositionXUnit": ["µm"], "PositionY": [0.0], "PositionYUnit": ["µm"]}
    return told | sizes | units | {"Plane": origin}


def _shown(heatmap: Placed) -> str:
    return f"Probability of tumor, {heatmap.decision}; tumor above {heatmap.threshold:.4g}"


def _multiscale(heatmap: Placed, levels: int) -> dict[str, Any]:
    known = heatmap.mpp is not None
    unit = {"unit": "micrometer"} if known else {}
    mpp = heatmap.mpp or Mpp(1.0, 1.0)
    return {
        "version": "0.5",
        "multiscales": [
            {
                "name": f"{heatmap.name}: probability of tumor",
                "axes": [{"name": name, "type": "space", **unit} for name in ("y", "x")],
                "datasets": list(_datasets(heatmap.cell, mpp, levels)),
                "type": "mean",
                "metadata": {
                    "description": f"{_shown(heatmap)}; mean of the predicted pixels. {FORMULA}",
                    "method": "evenpatch",
                },
            }
        ],
    }


def _datasets(cell: int, mpp: Mpp, levels: int) -> Iterator[dict[str, Any]]:
    for number in range(levels):
        side = cell * 2**number
        middle = (side - 1) / 2
        yield {
            "path": str(number),
            "coordinateTransformations": [
                {"type": "scale", "scale": [side * mpp.y, side * mpp.x]},
                {"type": "translation", "translation": [middle * mpp.y, middle * mpp.x]},
            ],
        }
