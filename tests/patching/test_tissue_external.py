"""Masks that come from files."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from patching.errors import AnnotationError, ConfigError, MissingFileError
from patching.geometry import Size
from patching.tissue.base import SlideOrigin
from patching.tissue.registry import make_detector

SIZE = Size(300, 200)


def detect(folder: Path, downsample: float, slide_id: str = "a") -> np.ndarray:
    shape = int(np.ceil(SIZE.height / downsample)), int(np.ceil(SIZE.width / downsample)), 1
    return make_detector("external", folder=str(folder)).detect(
        np.zeros(shape, np.uint8), None, brightfield=False, origin=SlideOrigin(slide_id, SIZE, downsample)
    )


def outline(folder: Path, x0: int, y0: int, x1: int, y1: int) -> None:
    ring = [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]
    feature = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    (folder / "a.geojson").write_text(json.dumps(feature))


@pytest.mark.parametrize("scale", [1, 2, 5])
@pytest.mark.parametrize("downsample", [1.0, 2.0, 10.0])
def test_a_mask_of_any_scale(tmp_path: Path, scale: int, downsample: float) -> None:
    mask = np.zeros((200 // scale, 300 // scale), np.uint8)
    mask[: 100 // scale, : 50 // scale] = 255
    Image.fromarray(mask).save(tmp_path / "a.png")
    found = detect(tmp_path, downsample)
    rows, columns = int(100 / downsample), int(50 / downsample)
    assert found[:rows, :columns].all()
    assert found.sum() == rows * columns


def test_outlines_of_any_class(tmp_path: Path) -> None:
    outline(tmp_path, 40, 20, 100, 60)
    found = detect(tmp_path, 10.0)
    assert found[2:6, 4:10].all()
    assert found.sum() == 4 * 6


def test_a_pixel_half_covered_is_tissue_and_the_edge_counts_inside_only(tmp_path: Path) -> None:
    outline(tmp_path, 0, 0, 300, 21)
    found = detect(tmp_path, 14.0)
    assert found.shape == (15, 22)
    # Row 1 is level-0 rows 14 to 28: covered by half. The last column has 6 of 14 pixels on the slide.
    assert found[:2].all()
    assert not found[2:].any()


def test_files_that_are_missing_double_or_wrong(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"`tile\.tissue\.folder`"):
        detect(tmp_path, 2.0)
    outline(tmp_path, 500, 20, 600, 60)
    with pytest.raises(AnnotationError, match="outside"):
        detect(tmp_path, 2.0)
    Image.fromarray(np.zeros((200, 300), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(AnnotationError, match="remove the others"):
        detect(tmp_path, 2.0)


def test_an_image_without_origin_has_no_mask(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="pass `origin`"):
        make_detector("external", folder=str(tmp_path)).detect(
            np.zeros((4, 5, 1), np.uint8), None, brightfield=False
        )
