"""Pixels that are not square: one number stands for both sides only where the log says so."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from patching.geometry import Mpp
from patching.manifest import SlideRow
from patching.survey.survey import pixel_size
from patching.tiling.examination import examine


def slide(path: Path, x: float, y: float) -> Path:
    pixels_HW = np.random.default_rng(1).integers(0, 99, (60, 90), np.uint8)
    metadata = {"axes": "YX", "PhysicalSizeX": x, "PhysicalSizeY": y}
    tifffile.imwrite(path, pixels_HW, ome=True, metadata=metadata)
    return path


@pytest.mark.parametrize(
    ("x", "y", "given", "expected", "told"),
    [
        (0.5, 0.25, None, 0.375, "pixels of 0.5 x 0.25 µm: the column mpp holds their mean"),
        (0.5, 0.25, 0.375, 0.375, "pixels of 0.5 x 0.25 µm: the column mpp holds their mean"),
        (
            0.25,
            0.5,
            0.5,
            0.5,
            "pixels of 0.25 x 0.5 µm: the column mpp says 0.5, and they are taken for square",
        ),
        (0.5, 0.5, None, 0.5, ""),
        (0.5, 0.502, 0.25, 0.25, ""),
    ],
)
def test_ingest_tells_of_pixels_that_one_number_cannot_tell(
    x: float,
    y: float,
    given: float | None,
    expected: float,
    told: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    row = SlideRow("s", "p", (slide(tmp_path / "a.ome.tif", x, y),), label=1, mpp=given)
    assert examine(row, None, 1.0).mpp == expected
    assert told in caplog.text
    assert ("pixels of" in caplog.text) == bool(told)


@pytest.mark.parametrize(
    ("given", "found", "expected", "told"),
    [
        (None, Mpp(0.5, 0.25), Mpp(0.5, 0.25), False),
        (0.375, Mpp(0.5, 0.25), Mpp(0.5, 0.25), False),
        (0.5, Mpp(0.5, 0.25), Mpp(0.5, 0.5), True),
        (0.5, Mpp(0.25, 0.25), Mpp(0.5, 0.5), False),
        (0.5, None, Mpp(0.5, 0.5), False),
    ],
)
def test_a_given_size_makes_pixels_square_and_the_log_tells(
    given: float | None, found: Mpp | None, expected: Mpp, told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    assert pixel_size(given, found) == expected
    assert ("taken for square ones of 0.5" in caplog.text) == told
