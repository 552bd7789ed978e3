"""Single places of a slide for QuPath: plain GeoJSON annotations, which it opens by drag and drop.

Coordinates are as in `pipeline.look.geojson`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from patching.geometry import Location, Size


@dataclass(frozen=True)
class Place:
    """A square of a slide; lengths in level-0 pixels."""

    name: str
    """As it stands in QuPath's list."""
    location: Location
    extent: int
    kind: str
    """What it is classified as."""
    color: tuple[int, int, int]
    facts: dict[str, str]
    """More to tell, by name."""


def places_geojson(places: Sequence[Place], bounds: Location, size: Size) -> bytes:
    """A FeatureCollection; what sticks out of the slide is cut at its border.

    Args:
        places: of one slide.
        bounds: where QuPath's frame begins.
        size: of the slide.
    """
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [_ring(place, bounds, size)]},
            "properties": {
                "objectType": "annotation",
                "name": place.name,
                "isLocked": True,
                "classification": {"name": place.kind, "color": list(place.color)},
                "metadata": place.facts,
            },
        }
        for place in places
    ]
    return orjson.dumps({"type": "FeatureCollection", "features": features}, option=orjson.OPT_INDENT_2)


def _ring(place: Place, bounds: Location, size: Size) -> list[list[int]]:
    x0, y0 = place.location.x, place.location.y
    x1, y1 = min(x0 + place.extent, size.width), min(y0 + place.extent, size.height)
    corners = ((x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0))
    return [[x - bounds.x, y - bounds.y] for x, y in corners]
