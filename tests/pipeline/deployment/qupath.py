"""What QuPath 0.4 to 0.6 reads of a GeoJSON file, and nothing that it would pass over."""

import gzip
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Strict(BaseModel):
    """No other key, no NaN, no number in the place of a text."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True)


class Polygon(Strict):
    type: Literal["Polygon"]
    coordinates: list[list[list[int]]] = Field(min_length=1, max_length=1)


class Classification(Strict):
    name: str
    color: list[int] = Field(min_length=3, max_length=3)


class Properties(Strict):
    objectType: Literal["tile"]
    classification: Classification
    measurements: dict[str, float | int]
    metadata: dict[str, str] = Field(default_factory=dict)


class Feature(Strict):
    type: Literal["Feature"]
    id: str
    geometry: Polygon
    properties: Properties


class Collection(Strict):
    type: Literal["FeatureCollection"]
    features: list[Feature]


def read_features(path: Path) -> list[Feature]:
    """The tiles of a `.geojson.gz`."""
    return Collection.model_validate_json(gzip.decompress(path.read_bytes())).features
