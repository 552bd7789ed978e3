"""A reader tells where the scanned region begins, from where viewers count their pixels."""

from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pytest
import tifffile
from numpy.typing import NDArray

from patching import Location, Mpp, Size, open_slide
from patching.readers.joined_reader import Shift
from patching.readers.tiff.slide import TiffSlide
from tests.patching.leica import write_leica

WHOLE = {"x": "160", "y": "100", "width": "300", "height": "200"}


@pytest.fixture
def scn(brightfield_HWC: NDArray[np.uint8], tmp_path: Path) -> Path:
    return write_leica(tmp_path / "leica.scn", brightfield_HWC)


def test_the_scanned_region_begins_at_the_bounds(scn: Path, brightfield_HWC: NDArray[np.uint8]) -> None:
    with open_slide(scn, channels=("red", "green", "blue")) as slide:
        assert (slide.bounds, slide.size) == (Location(160, 100), Size(600, 360))
        np.testing.assert_array_equal(slide.read_region(slide.bounds, 0, Size(300, 200)), brightfield_HWC)
        margin_HWC = slide.read_region(Location(0, 0), 0, Size(160, 360))
    assert (margin_HWC == slide.background).all()


def test_slides_that_tell_none_begin_at_their_corner(rgb_tiff: Any, ome_tiff: Any, png: Any) -> None:
    for path, reader in ((rgb_tiff.path, "openslide"), (ome_tiff.path, None), (png.path, None)):
        with open_slide(path, reader=reader) as slide:
            assert slide.bounds == Location(0, 0)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (WHOLE, Location(160, 100)),
        (WHOLE | {"x": "-3"}, Location(-3, 100)),
        (WHOLE | {"x": "160.5"}, Location(0, 0)),
        (WHOLE | {"y": ""}, Location(0, 0)),
        (WHOLE | {"height": "tall"}, Location(0, 0)),
        (WHOLE | {"x": "9" * 5000}, Location(0, 0)),
        ({"x": "160", "y": "100"}, Location(0, 0)),
        ({"x": "160", "width": "300", "height": "200"}, Location(0, 0)),
    ],
)
def test_bounds_count_where_a_viewer_takes_them(
    told: dict[str, str], expected: Location, rgb_tiff: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    properties = {f"openslide.bounds-{name}": value for name, value in told.items()}
    monkeypatch.setattr(openslide.OpenSlide, "properties", properties)
    with open_slide(rgb_tiff.path, reader="openslide") as slide:
        assert slide.bounds == expected


def test_joined_files_begin_where_the_first_one_has_moved(scn: Path, tmp_path: Path) -> None:
    second = tmp_path / "second.scn"
    second.write_bytes(scn.read_bytes().replace(b'offsetX="40000"', b'offsetX="60000"'))
    with open_slide([scn, second], shift=(Shift(8, -4), Shift(0, 0))) as slide:
        assert slide.bounds == Location(168, 96)
    with open_slide([second, scn]) as slide:
        assert slide.bounds == Location(240, 100)


def test_a_projection_begins_where_its_planes_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "stack.tif"
    planes_ZYX = np.arange(3 * 20 * 30, dtype=np.uint16).reshape(3, 20, 30)
    tifffile.imwrite(path, planes_ZYX, ome=True, photometric="minisblack", metadata={"axes": "ZYX"})
    monkeypatch.setattr(TiffSlide, "bounds", Location(7, 3))
    with open_slide(path, z="max") as slide:
        assert not isinstance(slide, TiffSlide)
        assert slide.bounds == Location(7, 3)


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        ("0.25", "0.5", Mpp(0.25, 0.5)),
        ("0,25", "5e-1", Mpp(0.25, 0.5)),
        ("0.25\0", " .5 ", Mpp(0.25, 0.5)),
        ("0.25x", "0.25", None),
        ("nan", "nan", None),
        ("0.25", None, None),
        ("0", "0", None),
        (None, None, None),
    ],
)
def test_pixel_sizes_of_openslide_are_read_whole(
    x: str | None,
    y: str | None,
    expected: Mpp | None,
    rgb_tiff: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    told = {f"openslide.mpp-{axis}": text for axis, text in (("x", x), ("y", y)) if text is not None}
    monkeypatch.setattr(openslide.OpenSlide, "properties", told)
    with open_slide(rgb_tiff.path, reader="openslide") as slide:
        assert slide.mpp == expected
    assert ("no length" in caplog.text) == (expected is None and x is not None)


@pytest.mark.parametrize(
    ("told", "light"),
    [("SLIDE_TYPE_FLUORESCENCE", False), ("SLIDE_TYPE_BRIGHTFIELD", True), ("", True), (None, True)],
)
def test_a_mirax_slide_of_fluorescence_is_no_transmitted_light(
    told: str | None,
    light: bool,
    rgb_tiff: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    properties = {} if told is None else {"mirax.GENERAL.SLIDE_TYPE": told}
    monkeypatch.setattr(openslide.OpenSlide, "properties", properties)
    with open_slide(rgb_tiff.path, reader="openslide") as slide:
        assert (slide.brightfield, slide.background) == (light, 255 if light else 0)
    assert ("three filters are read as R, G, B, and no others" in caplog.text) == (not light)
