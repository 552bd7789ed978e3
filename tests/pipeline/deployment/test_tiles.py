"""Patches as QuPath opens them: the right places in the right frame, read back by strangers."""

import json
import math
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from models.networks.card import DecisionCard
from patching.geometry import Location, Size
from patching.grid import EdgeRule
from pipeline.deployment.outputs import tiles_of
from pipeline.look.geojson import DECISION, NOTE, Tiles, write_tiles
from tests.pipeline.deployment import planted as by
from tests.pipeline.deployment.planted import planted
from tests.pipeline.deployment.qupath import Feature, read_features
from tests.pipeline.rules import BY_TISSUE, RULES


def written(tiles: Tiles, folder: Path) -> list[Feature]:
    path = folder / "a.geojson.gz"
    write_tiles(tiles, path)
    return read_features(path)


CASES: list[dict[str, Any]] = [
    {"edge": edge, "stride": stride, "bounds": bounds}
    for edge in ("drop", "pad", "shift")
    for stride, bounds in ((96, Location(0, 0)), (61, Location(37, 11)))
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_tiles_lie_where_the_patches_lie_in_qupaths_frame(case: dict[str, Any], tmp_path: Path) -> None:
    prediction = planted(**case)
    features = written(tiles_of(prediction), tmp_path)
    slide = shapely.box(0, 0, by.SIZE.width, by.SIZE.height)
    rows = prediction.patches.itertuples()
    for feature, row in zip(features, rows, strict=True):
        ring = feature.geometry.coordinates[0]
        assert ring[0] == ring[-1]
        assert len(ring) == 5
        shape = shapely.from_geojson(json.dumps(feature.geometry.model_dump()))
        assert shape.is_valid
        assert shape.exterior.is_ccw, "RFC 7946: exterior rings run counterclockwise"
        patch = shapely.box(row.x, row.y, row.x + 96, row.y + 96) & slide
        frame = shapely.transform(patch, lambda points: points - (case["bounds"].x, case["bounds"].y))
        assert shape.equals(frame)
        properties = feature.properties
        assert properties.measurements == {
            "Tumor probability": pytest.approx(row.probability, abs=1e-6),
            "Tissue fraction": pytest.approx(row.tissue_fraction, abs=1e-6),
            "Reliable": int(row.note == ""),
        }
        tumor = row.probability >= 0.5
        assert properties.classification.name == ("Tumor" if tumor else "Non-tumor")
        assert properties.classification.color == ([200, 0, 0] if tumor else [90, 90, 180])
        assert properties.metadata == ({NOTE: row.note} if row.note else {})


def test_patches_that_stick_out_are_cut_at_the_border(tmp_path: Path) -> None:
    prediction = planted(edge="pad", bounds=Location(30, 20))
    features = written(tiles_of(prediction), tmp_path)
    points = np.array([feature.geometry.coordinates[0] for feature in features])
    assert points.max(axis=(0, 1)).tolist() == [by.SIZE.width - 30, by.SIZE.height - 20]
    assert points.min(axis=(0, 1)).tolist() == [-30, -20]
    assert (prediction.locations_N2 + 96).max(axis=0).tolist() > [by.SIZE.width, by.SIZE.height]


def test_every_tile_has_an_id_of_its_own_that_another_run_gives_again(tmp_path: Path) -> None:
    prediction = planted(stride=61)
    ids = [feature.id for feature in written(tiles_of(prediction), tmp_path)]
    assert len(set(ids)) == len(ids)
    places = [(int(uuid.UUID(each).hex[17:24], 16), int(uuid.UUID(each).hex[24:], 16)) for each in ids]
    assert places == [tuple(place) for place in prediction.locations_N2.tolist()]
    assert len({each[:18] for each in ids}) == 1
    assert {uuid.UUID(each).version for each in ids} == {8}
    assert {uuid.UUID(each).variant for each in ids} == {uuid.RFC_4122}
    other = written(tiles_of(planted(stride=61, name="slide-8")), tmp_path)
    assert not {feature.id for feature in other} & set(ids)


def test_what_is_not_finite_is_left_out(tmp_path: Path) -> None:
    prediction = planted()
    prediction.patches.loc[1, "tissue_fraction"] = math.nan
    prediction.patches.loc[2, "probability"] = math.inf
    tiles = tiles_of(prediction)
    measured = [set(feature.properties.measurements) for feature in written(tiles, tmp_path)]
    assert measured[1] == {"Tumor probability", "Reliable"}
    assert measured[2] == {"Tissue fraction", "Reliable"}
    assert len(measured[0]) == 3


def test_a_tile_says_what_decided_it_where_that_is_not_plain_to_see(tmp_path: Path) -> None:
    told = written(tiles_of(planted(decision=BY_TISSUE)), tmp_path)
    decided = "tumor above 0.51; decided by tissue, calibrated"
    assert told[0].properties.metadata == {DECISION: decided}
    assert told[3].properties.metadata == {DECISION: decided, NOTE: by.NOTE}
    plain = written(tiles_of(planted(decision=RULES["plain"])), tmp_path)
    assert plain[0].properties.metadata == {}
    moved = written(tiles_of(planted(decision=DecisionCard(threshold=0.3))), tmp_path)
    assert moved[0].properties.metadata[DECISION].startswith("tumor above 0.3;")


def test_names_and_notes_are_quoted(tmp_path: Path) -> None:
    prediction = planted()
    note = 'blank: "µ"\n\\'
    patches = prediction.patches.assign(note=note)
    object.__setattr__(prediction, "patches", patches)
    object.__setattr__(prediction, "classes", ("", 'tumor "x"'))
    features = written(tiles_of(prediction), tmp_path)
    assert {feature.properties.classification.name for feature in features} == {"", 'Tumor "x"'}
    assert features[0].properties.metadata == {NOTE: note}


@pytest.mark.parametrize("edge", ["drop", "pad"])
def test_the_same_tiles_give_the_same_bytes(edge: EdgeRule, tmp_path: Path) -> None:
    for name in ("a.geojson.gz", "b.geojson.gz"):
        write_tiles(tiles_of(planted(edge=edge)), tmp_path / name)
    content = (tmp_path / "a.geojson.gz").read_bytes()
    assert content == (tmp_path / "b.geojson.gz").read_bytes()
    assert content[3:8] == bytes(5), "neither a name nor a time in the header"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.geojson.gz", "b.geojson.gz"]


def test_more_tiles_than_are_written_at_a_time(tmp_path: Path) -> None:
    prediction = planted(size=Size(1300, 900), extent=10, stride=10)
    assert len(prediction.patches) > 2 * 4096
    assert len(written(tiles_of(prediction), tmp_path)) == len(prediction.patches)
