"""The scale of the tissue mask: a stored level a little coarser than wanted spares reading a finer one."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from patching.geometry import Level, Size
from patching.manifest import SlideRow
from patching.readers.registry import open_slide
from patching.survey import survey as surveying
from patching.tiling.planning import plan_slide
from patching.tiling.settings import TileSettings

WIDTH, HEIGHT = 960, 720


@pytest.fixture(scope="module")
def pyramid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three channels of noise in levels of 1, 4 and 16, tiles of 64."""
    path = tmp_path_factory.mktemp("pyramid") / "slide.ome.tif"
    image = np.random.default_rng(1).integers(0, 900, (3, HEIGHT, WIDTH)).astype(np.uint16)
    options = {"tile": (64, 64), "compression": "zlib", "photometric": "minisblack"}
    with tifffile.TiffWriter(path, ome=True) as tiff:
        tiff.write(image, subifds=2, metadata={"axes": "CYX"}, **options)
        for step in (4, 16):
            tiff.write(np.ascontiguousarray(image[:, ::step, ::step]), subfiletype=1, **options)
    return path


def mask_scale(path: Path, size: int, pixels: int) -> tuple[float, int]:
    """Level-0 pixels per mask pixel, and the tiles that were decoded."""
    settings = TileSettings(
        patch={"size": size, "downsample": 1},
        tissue={"method": "all"},
        mask_pixels_per_patch=pixels,
        classes={"*": "tumor"},
    )
    with open_slide(path) as slide:
        plan = plan_slide(slide, SlideRow("s", "p", (path,), label=1), "f", settings)
        return plan.attributes.tissue_downsample, slide.segments_decoded


@pytest.mark.parametrize(
    ("size", "pixels", "expected"),
    [
        (256, 16, 16),  # met by a level
        (240, 16, 16),  # 15 wanted
        (192, 16, 16),  # 12 wanted: coarser by just a third
        (176, 16, 11),  # coarser by more
        (120, 8, 15),  # 7.5 mask pixels would be too few
        (60, 16, 4),  # 3.75 wanted
        (20, 16, 1),  # level 0 is taken as it is
    ],
)
def test_a_stored_level_may_be_coarser_by_a_third(
    size: int, pixels: int, expected: float, pyramid: Path
) -> None:
    assert mask_scale(pyramid, size, pixels)[0] == expected


def test_nothing_finer_is_read(pyramid: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surveying, "_THUMBNAIL", 32)
    assert mask_scale(pyramid, 240, 16) == (16, 3)
    assert mask_scale(pyramid, 256, 16) == (16, 3)
    assert mask_scale(pyramid, 176, 16) == (8, 3 * 4 * 3)


def test_thumbnail_in_strips_is_the_whole_one(monkeypatch: pytest.MonkeyPatch) -> None:
    image_HWC = np.random.default_rng(2).integers(0, 900, (70, 50, 5)).astype(np.uint16)
    whole = surveying.false_color(image_HWC, brightfield=False)
    monkeypatch.setattr(surveying, "_PAINTED", 16)
    np.testing.assert_array_equal(surveying._picture(image_HWC, 2, brightfield=False), whole)


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ((1, 4, 16), 16),  # 8 wanted of 10,240 pixels: else level 4 would be halved
        ((1, 4, 32), 8),  # the picture would have 320 pixels
        ((1, 8, 16), 8),  # met by a level
        ((1, 5, 16), 8),  # level 5 is hardly shrunk
        ((1,), 8),
    ],
)
def test_the_picture_of_a_slide_may_be_half_as_fine(levels: tuple[int, ...], expected: float) -> None:
    sizes = [Size(10_240 // step, 8_000 // step) for step in levels]
    pyramid = [Level.of(sizes[0], size) for size in sizes]
    assert surveying._unshrunk(pyramid, 10_240 / 1280, 10_240 / 640) == expected
