"""Micrometres and pixels meet in Mpp alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patching.geometry import Micrometres, Mpp, SquareMicrometres

microns = st.floats(0.05, 20)


def test_lengths_and_areas_on_pixels_that_are_not_square() -> None:
    mpp = Mpp(0.5, 0.25)
    assert mpp.mean == 0.375
    assert mpp.pixel_area_um2 == 0.125
    assert mpp.pixels(Micrometres(3.0)) == 8
    assert mpp.square_pixels(SquareMicrometres(2.0)) == 16
    assert mpp.coarser(4) == Mpp(2.0, 1.0)


@pytest.mark.parametrize(
    ("x", "y", "square"), [(0.5, 0.5, True), (0.25, 0.2524, True), (0.25, 0.2526, False), (0.6, 0.5, False)]
)
def test_pixels_are_square_within_one_percent(x: float, y: float, square: bool) -> None:
    assert Mpp(x, y).square == Mpp(y, x).square == square


@given(microns, microns, st.floats(1, 100), st.floats(0, 1e4))
def test_a_coarser_grid_has_as_many_fewer_pixels(
    x: float, y: float, downsample: float, length: float
) -> None:
    fine = Mpp(x, y)
    coarse = fine.coarser(downsample)
    assert coarse.pixels(Micrometres(length)) * downsample == pytest.approx(fine.pixels(Micrometres(length)))
    assert coarse.square_pixels(SquareMicrometres(length)) * downsample**2 == pytest.approx(
        fine.square_pixels(SquareMicrometres(length))
    )
    assert fine.square_pixels(fine.pixel_area_um2) == 1
