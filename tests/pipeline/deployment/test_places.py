"""What predicting reads of annotations and writes for viewers lies in the same places."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import shapely

from patching.annotations.registry import load_annotation
from patching.geometry import Location
from patching.manifest import SlideRow
from patching.readers.cells import Reading
from patching.survey.survey import survey_slide
from patching.tiling.settings import TileSettings
from pipeline.deployment.outputs import tiles_of
from pipeline.deployment.planning import ScoringSettings, _annotated
from pipeline.look.geojson import write_tiles
from tests.patching.leica import write_leica
from tests.pipeline.deployment import planted as by
from tests.pipeline.deployment.planted import planted

CLASSES = {"Tumor": "tumor", "Non-tumor": "normal"}


@pytest.mark.parametrize("bounds", [Location(0, 0), Location(37, 11), Location(-8, 5)])
def test_predicted_tiles_are_an_annotation_of_the_same_places(bounds: Location, tmp_path: Path) -> None:
    prediction = planted(edge="drop", stride=96, bounds=bounds)
    write_tiles(tiles_of(prediction), tmp_path / "a.geojson.gz")
    path = tmp_path / "a.geojson"
    path.write_bytes(gzip.decompress((tmp_path / "a.geojson.gz").read_bytes()))
    found = load_annotation(path, label=None, size=by.SIZE, classes=CLASSES, bounds=bounds)
    table = prediction.patches
    tumor_N = (table["probability"] >= 0.5).to_numpy()
    assert 0 < tumor_N.sum() < len(tumor_N)
    locations_N2 = table[["x", "y"]].to_numpy()
    np.testing.assert_array_equal(found.fractions(locations_N2, 96), tumor_N.astype(float))


@pytest.mark.parametrize(("origin", "corner"), [(None, (200, 130)), ("slide", (40, 30))])
def test_scores_are_of_the_places_that_the_row_says(
    origin: str | None, corner: tuple[int, int], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rng = np.random.default_rng(0)
    scn = write_leica(tmp_path / "leica.scn", rng.integers(0, 255, (200, 300, 3), np.uint8))
    outline = shapely.to_geojson(shapely.box(40, 30, 140, 100))
    path = tmp_path / "a.geojson"
    path.write_text(f'{{"type":"Feature","properties":{{"classification":"tumor"}},"geometry":{outline}}}')
    row = SlideRow("s", "p", (scn,), annotation=path, reading=Reading(annotation_origin=origin))
    settings = TileSettings.model_validate(
        {"patch": {"size": 10, "downsample": 1}, "tissue": {"method": "all"}, "classes": {}}
    )
    with row.open() as slide:
        survey = survey_slide(slide, "s", settings)
        scored = _annotated(row, slide, survey.locations_N2, survey, ScoringSettings())
    assert scored is not None
    tumor_N2 = survey.locations_N2[scored.judged.label_N == 1]
    assert (tuple(tumor_N2.min(axis=0)), len(tumor_N2)) == (corner, 70)
    assert tuple(scored.outlines[0].min(axis=0)) == corner
    # Only what was scanned can be tissue.
    assert ("s: 0 % of the area that a.geojson outlines as tumor" in caplog.text) == (origin == "slide")
