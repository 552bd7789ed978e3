"""Patches as QuPath opens them: GeoJSON tiles with a class and measurements, gzipped.

QuPath (0.4 and later) imports `.geojson.gz` by drag and drop. Tiles without an annotation's weight: they are
neither edited nor saved one by one, and a measurement on them is shown as a measurement map. Coordinates are
level-0 pixels of QuPath's frame, which begins at a slide's `openslide.bounds-x` and `-y`. Source: QuPath's
own reader of GeoJSON, versions 0.4 to 0.6; RFC 7946.
"""

import gzip
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import IO, Any

import numpy as np
import orjson
from numpy.typing import NDArray

from patching.geometry import Location, Size
from pipeline.files import replacing

PROBABILITY, TISSUE, RELIABLE = "Tumor probability", "Tissue fraction", "Reliable"
"""Names of the measurements; `Reliable` is 1, or 0 where the patch has a note."""
NOTE = "Reliability note"
"""Name of the metadata (read by QuPath 0.5 and later) that holds the note."""
DECISION = "Decision"
"""Name of the metadata that says what made a class of the probability."""
_COLORS = ((90, 90, 180), (200, 0, 0))
"""QuPath's own colors of its classes Negative and Tumor."""
_LEVEL = 6
_WRITTEN = 4096  # tiles at a time
_DIGITS = 6


@dataclass(frozen=True)
class Tiles:
    """Square patches of one slide; lengths in level-0 pixels."""

    name: str
    """The slide's, which the tiles' ids are made of."""
    size: Size
    bounds: Location
    """Where QuPath's frame begins."""
    extent: int
    locations_N2: NDArray[np.int64]
    classes: tuple[str, ...]
    class_N: NDArray[np.int64]
    """Number of a class."""
    probability_N: NDArray[np.float64]
    tissue_N: NDArray[np.float64]
    notes: Sequence[str]
    """Why not to rely on the patch; "" is no reason."""
    decision: str = ""
    """What made a class of the probability, where that is not plain to see; "" where it is."""


def write_tiles(tiles: Tiles, path: Path) -> None:
    """Write a FeatureCollection, whole or not at all; the same tiles give the same bytes.

    A patch that sticks out of the slide is cut at its border: QuPath clips nothing, and what it measures of a
    tile's area would count what is not there. Every tile has an id that its slide and place make (RFC 9562,
    version 8; the last 15 digits are x and y), so that QuPath asks before it imports tiles a second time. A
    measurement that is not finite is left out.
    """
    with replacing(path) as part, part.open("wb") as file:
        write_tiles_into(tiles, file)


def write_tiles_into(tiles: Tiles, file: IO[bytes]) -> None:
    """The same into an open file."""
    # No name and no time in the header: both would make other bytes of the same tiles.
    with gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=file, mtime=0) as packed:
        packed.write(b'{"type":"FeatureCollection","features":[')
        features, between = map(orjson.dumps, _features(tiles)), b"\n"
        while some := list(islice(features, _WRITTEN)):
            packed.write(between + b",\n".join(some))
            between = b",\n"
        packed.write(b"\n]}\n")


def _features(tiles: Tiles) -> Iterator[dict[str, Any]]:
    low_N2, high_N2 = _corners(tiles)
    decision = {DECISION: tiles.decision} if tiles.decision else {}
    head, kinds = _id_head(tiles.name), [_classification(k, name) for k, name in enumerate(tiles.classes)]
    columns = (
        *tiles.locations_N2.T.tolist(),
        *low_N2.T.tolist(),
        *high_N2.T.tolist(),
        tiles.class_N.tolist(),
        *(value_N.round(_DIGITS).tolist() for value_N in (tiles.probability_N, tiles.tissue_N)),
        tiles.notes,
    )
    for x, y, x0, y0, x1, y1, kind, probability, tissue, note in zip(*columns, strict=True):
        metadata = {**decision, **({NOTE: note} if note else {})}
        measurements = {PROBABILITY: probability, TISSUE: tissue, RELIABLE: int(not note)}
        yield {
            "type": "Feature",
            "id": head + _id_tail(x, y),
            "geometry": {
                "type": "Polygon",
                "coordinates": (((x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)),),
            },
            "properties": {
                "objectType": "tile",
                "classification": kinds[kind],
                "measurements": {name: value for name, value in measurements.items() if isfinite(value)},
                **({"metadata": metadata} if metadata else {}),
            },
        }


def _corners(tiles: Tiles) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Upper left and lower right corners in QuPath's frame, inside the slide, [N, 2] each."""
    border_2 = np.array([tiles.size.width, tiles.size.height])
    origin_2 = np.array([tiles.bounds.x, tiles.bounds.y])
    return tiles.locations_N2 - origin_2, np.minimum(tiles.locations_N2 + tiles.extent, border_2) - origin_2


def _classification(number: int, name: str) -> dict[str, Any]:
    """QuPath's own class is Tumor, not tumor."""
    return {"name": name[:1].upper() + name[1:], "color": _COLORS[min(number, 1)]}


def _id_head(name: str) -> str:
    digest = uuid.uuid5(uuid.NAMESPACE_URL, name).hex
    return f"{digest[:8]}-{digest[8:12]}-8{digest[13:16]}-"


def _id_tail(x: int, y: int) -> str:
    """The variant of RFC 9562, x in 7 digits and y in 8."""
    return f"8{x >> 16:03x}-{x & 0xFFFF:04x}{y:08x}"
