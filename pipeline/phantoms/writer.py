"""One slide's files: a tiled pyramidal OME-TIFF and its outlines as QuPath GeoJSON. Nothing dated gets in."""

import json
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
import tifffile
from numpy.typing import NDArray

from pipeline.files import replacing
from pipeline.phantoms.optics import CHANNELS

_TILE = 256
_NAMESPACE = "http://www.openmicroscopy.org/Schemas/OME/2016-06"


def write_slide(path: Path, counts_CHW: NDArray[np.uint16], mpp: float) -> None:
    """Write an OME-TIFF: one page per channel, coarser levels as sub-IFDs, deflate."""
    levels = pyramid(counts_CHW)
    per_centimeter = 1e4 / mpp
    with replacing(path) as part, tifffile.TiffWriter(part, ome=False, byteorder="<") as tiff:
        for i, level in enumerate(levels):
            tiff.write(
                level,
                photometric="minisblack",
                tile=(_TILE, _TILE),
                compression="zlib",
                compressionargs={"level": 3},  # shot noise does not shrink further
                subifds=len(levels) - 1 if i == 0 else None,
                subfiletype=1 if i else 0,
                description=_ome(path.name.removesuffix(".ome.tif"), counts_CHW, mpp) if i == 0 else None,
                resolution=(per_centimeter / 2**i, per_centimeter / 2**i),
                resolutionunit="CENTIMETER",
                software=False,
                metadata=None,
                maxworkers=1,
            )


def pyramid(counts_CHW: NDArray[np.uint16]) -> list[NDArray[np.uint16]]:
    """Levels of half the size each, mean of 2 × 2 rounded half up, until one tile holds the image."""
    levels = [counts_CHW]
    while max(levels[-1].shape[1:]) > _TILE:
        fine = levels[-1].astype(np.uint32)
        height, width = fine.shape[1:]
        # An odd last row or column is repeated, so that no pixel is lost.
        fine = np.pad(fine, ((0, 0), (0, height % 2), (0, width % 2)), mode="edge")
        total = fine[:, ::2, ::2] + fine[:, 1::2, ::2] + fine[:, ::2, 1::2] + fine[:, 1::2, 1::2]
        levels.append(((total + 2) // 4).astype(np.uint16))
    return levels


def write_outlines(path: Path, outlines: tuple[NDArray[np.int64], ...]) -> None:
    """Write closed outlines [N, 2], (x, y) in level-0 pixels, as a QuPath FeatureCollection."""
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [outline.tolist()]},
            "properties": {
                "objectType": "annotation",
                "classification": {"name": "Tumor", "color": [200, 0, 0]},
            },
        }
        for outline in outlines
    ]
    with replacing(path) as part:
        part.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")


def _ome(name: str, counts_CHW: NDArray[np.uint16], mpp: float) -> str:
    """OME-XML by hand: tifffile's own would hold a random UUID and its version."""
    channels, height, width = counts_CHW.shape
    channel = "".join(
        f'<Channel ID="Channel:0:{i}" Name={quoteattr(channel)} SamplesPerPixel="1"/>'
        for i, channel in enumerate(CHANNELS)
    )
    planes = "".join(f'<TiffData IFD="{i}" FirstC="{i}" PlaneCount="1"/>' for i in range(channels))
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<OME xmlns="{_NAMESPACE}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        f'xsi:schemaLocation="{_NAMESPACE} {_NAMESPACE}/ome.xsd">'
        f'<Image ID="Image:0" Name={quoteattr(name)}>'
        '<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" BigEndian="false" '
        f'SizeX="{width}" SizeY="{height}" SizeC="{channels}" SizeZ="1" SizeT="1" '
        f'PhysicalSizeX="{mpp}" PhysicalSizeXUnit="&#181;m" '
        f'PhysicalSizeY="{mpp}" PhysicalSizeYUnit="&#181;m">'
        f"{channel}{planes}</Pixels></Image></OME>"
    )
