"""The size of a pixel in micrometres, and how much coarser a level is."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patching.geometry import Level, Mpp, Size, even_levels

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


ROUNDINGS: list[Callable[[float], int]] = [math.floor, math.ceil, round]


@given(
    st.integers(1, 150_000),
    st.integers(1, 150_000),
    st.sampled_from([2, 3, 4, 16, 64, 256, 1.5, 2.7]),
    st.sampled_from(ROUNDINGS),
    st.sampled_from(ROUNDINGS),
)
def test_one_factor_explains_both_sides_however_they_were_rounded(
    width: int, height: int, factor: float, of_x: Callable[[float], int], of_y: Callable[[float], int]
) -> None:
    full = Size(width, height)
    level = Size(max(1, of_x(width / factor)), max(1, of_y(height / factor)))
    if max(width, height) < factor:  # nothing tells how much smaller a level of one pixel is
        return
    found = Level.of(full, level).downsample
    assert even_levels("slide", [full, level]) == [0, 1]
    assert found >= 1
    assert abs(width / found - level.width) < 1
    assert abs(height / found - level.height) < 1


@pytest.mark.parametrize("rounded", ROUNDINGS)
@pytest.mark.parametrize("step", [2, 4])
def test_a_pyramid_may_round_each_level_from_the_one_before(
    rounded: Callable[[float], int], step: int
) -> None:
    sizes = [Size(46_001, 32_914)]
    while min(sizes[-1].width, sizes[-1].height) > 3 * step:
        sizes.append(Size(rounded(sizes[-1].width / step), rounded(sizes[-1].height / step)))
    assert even_levels("slide", sizes) == list(range(len(sizes)))
    for number, size in enumerate(sizes[:5]):
        assert Level.of(sizes[0], size).downsample == pytest.approx(step**number, rel=0.01)


@pytest.mark.parametrize(
    ("full", "level", "factor"),
    [
        (Size(300, 200), Size(75, 50), 4.0),
        (Size(4443, 3567), Size(2221, 1783), 2.0),
        (Size(100_000, 30), Size(5_000, 2), 20.0),  # the mean of both ratios is 17.5
        (Size(100_000, 3), Size(50_000, 1), 2.0),
        (Size(7, 60_000), Size(1, 938), 64.0),
        (Size(300, 200), Size(200, 133), 1.5),
        (Size(300, 200), Size(1, 1), 300.0),
    ],
)
def test_the_longer_side_tells_how_much_coarser_a_level_is(full: Size, level: Size, factor: float) -> None:
    assert Level.of(full, level) == Level(level, factor)


@pytest.mark.parametrize(
    "level",
    [
        Size(150, 200),  # half the columns
        Size(300, 100),  # half the rows
        Size(150, 50),
        Size(128, 64),  # 75 x 50 padded to whole tiles of 64
        Size(150, 102),
        Size(600, 400),  # finer than the first
        Size(300, 201),
        Size(200, 300),  # turned
        Size(1, 200),
    ],
)
def test_levels_that_no_one_factor_explains_are_left_out_and_told(
    level: Size, caplog: pytest.LogCaptureFixture
) -> None:
    assert even_levels("a.svs", [Size(300, 200), level, Size(75, 50)]) == [0, 2]
    assert f"a.svs: level 1 is left out: {level.width} x {level.height} pixels" in caplog.text
