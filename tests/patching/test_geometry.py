"""The size of a pixel in micrometres."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patching.geometry import Mpp

microns = st.floats(0.05, 20)


def test_lengths_and_areas_on_pixels_that_are_not_square() -> None:
    mpp = Mpp(0.5, 0.25)
    assert mpp.mean == 0.375
    assert mpp.pixel_area_um2 == 0.125
    assert mpp.coarser(4) == Mpp(2.0, 1.0)


@pytest.mark.parametrize(
    ("x", "y", "square"), [(0.5, 0.5, True), (0.25, 0.2524, True), (0.25, 0.2526, False), (0.6, 0.5, False)]
)
def test_pixels_are_square_within_one_percent(x: float, y: float, square: bool) -> None:
    assert Mpp(x, y).square == Mpp(y, x).square == square


@given(microns, microns, st.floats(1, 100))
def test_a_coarser_grid_has_as_many_fewer_pixels(x: float, y: float, downsample: float) -> None:
    fine = Mpp(x, y)
    coarse = fine.coarser(downsample)
    assert coarse.mean == pytest.approx(fine.mean * downsample)
    assert coarse.pixel_area_um2 == pytest.approx(fine.pixel_area_um2 * downsample**2)
