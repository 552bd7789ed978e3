"""The template of whole H&E slides outlined in QuPath: from `init` to groups, with nothing configured."""

import json
import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile
from numpy.typing import NDArray

from pipeline.artifacts import Paths
from pipeline.cli import main
from pipeline.yaml_file import load_yaml

PLACES = 256
"""Side of a patch at the slides' own 0.5 µm."""


def he_slide(seed: int) -> NDArray[np.uint8]:
    """1024 x 768 px of pink tissue with gaps, on white."""
    rng = np.random.default_rng(seed)
    pixels_HW3 = np.full((768, 1024, 3), 244, np.uint8)
    for row in range(3):
        for column in range(4):
            top, left, height = row * PLACES, column * PLACES, int(PLACES * rng.uniform(0.3, 0.98))
            stained_HW3 = rng.normal((190, 110, 170), 25, (height, PLACES, 3)).clip(0, 235)
            pixels_HW3[top : top + height, left : left + PLACES] = stained_HW3
    return np.asarray(cv2.GaussianBlur(pixels_HW3, (5, 5), 0), np.uint8)


def outline(name: str, left: int, top: int, width: int, height: int) -> dict[str, Any]:
    right, bottom = left + width, top + height
    ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"objectType": "annotation", "classification": {"name": name, "color": [200, 0, 0]}},
    }


DRAWN = (
    outline("Tumor", 0, 0, 512, 768),
    outline("Stroma", 512, 0, 256, 256),
    outline("Immune cells", 512, 256, 256, 256),
    outline("Necrosis", 768, 0, 256, 256),
    outline("Other", 768, 256, 256, 256),
    outline("Ignore*", 512, 512, 256, 256),
)
"""Six patches of tumor, three to be ignored, three normal: two of a class, one without."""


@pytest.mark.slow
def test_the_template_works_as_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert main(["init", str(tmp_path), "--cohort", "mine"]) == 0
    lines = [(tmp_path / "slides.csv").read_text().strip()]
    pixel = {"resolution": (20000, 20000), "resolutionunit": "CENTIMETER"}
    for number in range(8):
        name = f"s{number}"
        tifffile.imwrite(
            tmp_path / f"{name}.tif", he_slide(number), photometric="rgb", tile=(256, 256), **pixel
        )
        (tmp_path / f"{name}.geojson").write_text(
            json.dumps({"type": "FeatureCollection", "features": list(DRAWN)})
        )
        lines.append(f"{name},{number:03},{name}.tif,,{name}.geojson,,,")
    (tmp_path / "slides.csv").write_text("\n".join(lines) + "\n")
    for verb in ("select", "ingest", "tile", "split", "attribute"):
        assert main([verb, "--root", str(tmp_path), "--cohort", "mine"]) == 0, verb
    paths = Paths(tmp_path, "mine")
    index = pd.read_parquet(paths.index)
    counts = index.groupby("slide_id")["label"].agg(["size", "sum"])
    assert counts["size"].tolist() == [9] * 8
    assert counts["sum"].tolist() == [6] * 8
    assert index.loc[index["label"] == 0, ["x", "y"]].drop_duplicates().to_numpy().tolist() == [
        [512, 0],
        [512, 256],
        [768, 512],
    ]
    groups = json.loads(paths.groups.read_text())["thresholds"]
    assert 0 < groups["low"]["value"] < groups["high"]["value"] < 1
    assert np.min(groups["high"]["counts"]["train"]) > 0
    told = "'Stroma' is normal as QuPath's own class (8)"
    assert told in caplog.text
    assert not [
        record for record in caplog.records if record.name.endswith("foreseen") and record.levelno > 20
    ]


def test_the_template_maps_nothing_that_qupath_offers(repository: Path) -> None:
    content = load_yaml(repository / "configs" / "cohorts" / "he-qupath.yaml")
    assert "classes" not in content["tile"]
    assert (
        content["tile"]["mask_pixels_per_patch"]
        > load_yaml(repository / "configs" / "tile.yaml")["mask_pixels_per_patch"]
    )
