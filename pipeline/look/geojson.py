"""Patches as QuPath opens them: GeoJSON tiles with a class and measurements, gzipped.

QuPath (0.4 and later) imports `.geojson.gz` by drag and drop. Tiles without an annotation's weight: they are
neither edited nor saved one by one, and a measurement on them is shown as a measurement map. Coordinates are
level-0 pixels of QuPath's frame, which begins at a slide's `openslide.bounds-x` and `-y`. Source: QuPath's
own reader of GeoJSON, versions 0.4 to 0.6; RFC 7946.
"""

import gzip
import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from patching.geometry import Location, Size
from pipeline.files import replacing

PROBABILITY, TISSUE, RELIABLE = "Tumor probability", "Tissue fraction", "Reliable"
"""Names of the measurements; `Reliable` is 1, or 0 where the patch has a note."""
NOTE = "Reliability note"
"""Name of the metadata (read by QuPath 0.5 and later) that holds the note."""
_COLORS = ((90, 90, 180), (200, 0, 0))
"""QuPath's own colors of its classes Negative and Tumor."""
_CHUNK = 4096
_LEVEL = 6
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


def write_tiles(tiles: Tiles, path: Path) -> None:
    """Write a FeatureCollection, whole or not at all; the same tiles give the same bytes.

    A patch that sticks out of the slide is cut at its border: QuPath clips nothing, and what it measures of
    a tile's area would count what is not there. Every tile has an id (RFC 9562, version 8) that its slide
    and place make: QuPath then asks before it imports tiles a second time, and what it exports joins with
    `tile_id`. A measurement that is not finite is left out.
    """
    # No name and no time in the header: both would make other bytes of the same tiles.
    with (
        replacing(path) as part,
        part.open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=file, mtime=0) as packed,
    ):
        packed.write(b'{"type":"FeatureCollection","features":[\n')
        for number, text in enumerate(_chunks(tiles)):
            packed.write((",\n" if number else "").encode() + text.encode())
        packed.write(b"\n]}\n")


def tile_id(name: str, x: int, y: int) -> uuid.UUID:
    """Id of the tile at a level-0 place of a slide: bits of the name's digest, then x (28 bits) and y
    (32)."""
    return uuid.UUID(_id_head(name) + _id_tail(x, y))


def _id_head(name: str) -> str:
    digest = uuid.uuid5(uuid.NAMESPACE_URL, name).hex
    return f"{digest[:8]}-{digest[8:12]}-8{digest[13:16]}-"


def _id_tail(x: int, y: int) -> str:
    return f"8{x >> 16:03x}-{x & 0xFFFF:04x}{y:08x}"


def _chunks(tiles: Tiles) -> Iterator[str]:
    """The features as text, some thousand at a time: each is formatted as a whole, which takes a quarter of
    the time of making dictionaries and having them encoded."""
    low_N2, high_N2 = _corners(tiles)
    head = f'{{"type":"Feature","id":"{_id_head(tiles.name)}'
    kinds = [_middle(name, _COLORS[min(k, 1)]) for k, name in enumerate(tiles.classes)]
    ends = {note: _end(note) for note in set(tiles.notes)}
    for first in range(0, len(low_N2), _CHUNK):
        part = slice(first, first + _CHUNK)
        rows = zip(
            *tiles.locations_N2[part].T.tolist(),
            *low_N2[part].T.tolist(),
            *high_N2[part].T.tolist(),
            tiles.class_N[part].tolist(),
            _numbers(PROBABILITY, tiles.probability_N[part]),
            _numbers(TISSUE, tiles.tissue_N[part]),
            tiles.notes[part],
            strict=True,
        )
        yield ",\n".join(
            f'{head}{_id_tail(x, y)}","geometry":{{"type":"Polygon","coordinates":'
            f"[[[{x0},{y0}],[{x1},{y0}],[{x1},{y1}],[{x0},{y1}],[{x0},{y0}]]]"
            f"{kinds[kind]}{probability}{tissue}{ends[note]}"
            for x, y, x0, y0, x1, y1, kind, probability, tissue, note in rows
        )


def _corners(tiles: Tiles) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Upper left and lower right corners in QuPath's frame, inside the slide, [N, 2] each."""
    border_2 = np.array([tiles.size.width, tiles.size.height])
    origin_2 = np.array([tiles.bounds.x, tiles.bounds.y])
    return tiles.locations_N2 - origin_2, np.minimum(tiles.locations_N2 + tiles.extent, border_2) - origin_2


def _middle(name: str, color: tuple[int, int, int]) -> str:
    """From the geometry's end to the first measurement. QuPath's own class is Tumor, not tumor."""
    kind = {"name": name[:1].upper() + name[1:], "color": color}
    properties = '"properties":{"objectType":"tile","classification":'
    return f'}},{properties}{json.dumps(kind, separators=(",", ":"))},"measurements":{{'


def _numbers(name: str, value_N: NDArray[np.float64]) -> list[str]:
    """Member and comma of each measurement; nothing where it is not finite, for which JSON has no word."""
    rounded, finite = np.round(value_N, _DIGITS).tolist(), np.isfinite(value_N).tolist()
    return [f'"{name}":{value},' if told else "" for value, told in zip(rounded, finite, strict=True)]


def _end(note: str) -> str:
    told = f',"metadata":{json.dumps({NOTE: note}, separators=(",", ":"))}' if note else ""
    return f'"{RELIABLE}":{int(not note)}}}{told}}}}}'
