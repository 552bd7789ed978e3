"""The shift between two modalities is found to a tenth of a pixel, whatever their contrast."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import scipy.ndimage
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from patching import Location, Size, open_slide
from patching.errors import ChannelError
from patching.readers.joined_reader import JoinedSlide, Shift
from patching.readers.registration import SubpixelShift, estimate_shift, modality_shifts
from tests.patching.sparse import write_sparse


def texture(height: int = 200, width: int = 300) -> NDArray[np.float32]:
    noise_HW = np.random.default_rng(2).integers(0, 4000, (height, width)).astype(np.float32)
    return cv2.GaussianBlur(noise_HW, (0, 0), 3)


@given(x=st.floats(-15, 15), y=st.floats(-15, 15))
@settings(max_examples=15, deadline=None)
def test_known_shifts(x: float, y: float) -> None:
    """Content moved by (-x, -y), inverted and scaled: its outlines stay."""
    reference_HW = texture()
    moved_HW = scipy.ndimage.shift(reference_HW, (-y, -x), order=3, mode="reflect")
    found = estimate_shift(reference_HW, 5000 - 0.5 * moved_HW)
    assert (found.x, found.y) == (pytest.approx(x, abs=0.35), pytest.approx(y, abs=0.35))


@pytest.mark.parametrize("shape", [(50, 60), (1, 60)])
def test_an_empty_modality_is_not_moved(shape: tuple[int, int], caplog: pytest.LogCaptureFixture) -> None:
    content_HW = np.random.default_rng(3).integers(0, 255, shape)
    for pair in ((np.zeros(shape), np.zeros(shape)), (content_HW, np.full(shape, 7))):
        caplog.clear()
        assert estimate_shift(*pair) == SubpixelShift(0, 0)
        assert "one of them is empty" in caplog.text


def test_the_nearest_whole_pixels() -> None:
    assert SubpixelShift(2.6, -1.4).rounded() == Shift(3, -1)


def write_pair(folder: Path, levels: int = 1) -> tuple[list[Path], NDArray[Any]]:
    """Two pyramidal files of 300 by 200; the second's content lies 8 pixels left and 4 down."""
    wide_HW = texture(240, 340).astype(np.uint16)
    images = (wide_HW[20:220, 20:320], wide_HW[16:216, 28:328])
    paths = [folder / "one.tif", folder / "two.tif"]
    for path, image_HW in zip(paths, images, strict=True):
        with tifffile.TiffWriter(path) as tiff:
            for level in range(levels):
                plane_HW = np.ascontiguousarray(image_HW[:: 2**level, :: 2**level])
                tiff.write(plane_HW, tile=(64, 64), subfiletype=int(level > 0), metadata=None)
    return paths, np.stack(images, axis=-1)


def test_shifts_of_modalities(tmp_path: Path) -> None:
    paths, _ = write_pair(tmp_path)
    with open_slide(paths) as slide:
        assert isinstance(slide, JoinedSlide)
        first, second = modality_shifts(slide)
    assert first == SubpixelShift(0, 0)
    assert second.rounded() == Shift(8, -4)


@pytest.mark.parametrize("level", [0, 1])
def test_content_is_moved_and_filled_up(level: int, tmp_path: Path) -> None:
    paths, image_HWC = write_pair(tmp_path, levels=2)
    step = 2**level
    expected_HWC = image_HWC[::step, ::step].copy()
    moved_HW = np.zeros_like(expected_HWC[..., 1])
    moved_HW[: -4 // step, 8 // step :] = expected_HWC[4 // step :, : -8 // step, 1]
    expected_HWC[..., 1] = moved_HW
    with open_slide(paths, shift=(Shift(0, 0), Shift(8, -4))) as slide:
        whole_HWC = slide.read_region(Location(0, 0), level, slide.levels[level].size)
        np.testing.assert_array_equal(whole_HWC, expected_HWC)
        slide.expect(level, np.array([[100, 60], [0, 0]]), Size(50, 30))
        for x, y in ((100, 60), (0, 0)):
            region_HWC = slide.read_region(Location(x, y), level, Size(50, 30))
            left, top = x // step, y // step
            np.testing.assert_array_equal(region_HWC, expected_HWC[top : top + 30, left : left + 50])


def test_a_shift_beyond_the_slide_leaves_background(tmp_path: Path) -> None:
    paths, image_HWC = write_pair(tmp_path)
    with open_slide(paths, shift=(Shift(0, 0), Shift(-400, 0))) as slide:
        region_HWC = slide.read_region(Location(10, 10), 0, Size(20, 20))
    np.testing.assert_array_equal(region_HWC[..., 0], image_HWC[10:30, 10:30, 0])
    assert not region_HWC[..., 1].any()


def test_a_shift_for_each_file(tmp_path: Path) -> None:
    paths, _ = write_pair(tmp_path)
    with pytest.raises(ChannelError, match="1 shifts for 2 files"):
        open_slide(paths, shift=(Shift(0, 0),))


def test_gaps_at_the_same_places_do_not_hold_modalities_fast(tmp_path: Path) -> None:
    """A mosaic lacks the same tiles in every modality, whose borders would be the strongest edges."""
    wide_HW = texture(240, 340).astype(np.uint16)
    images = (wide_HW[20:220, 20:320], wide_HW[16:216, 28:328] // 9 + 700)
    paths = [
        write_sparse(tmp_path / name, [image_HW[..., None]], [[(1, 2), (2, 0), (0, 4)]], compression="zlib")
        for name, image_HW in zip(("one.tif", "two.tif"), images, strict=True)
    ]
    with open_slide(paths) as slide:
        assert isinstance(slide, JoinedSlide)
        assert modality_shifts(slide)[1].rounded() == Shift(8, -4)
