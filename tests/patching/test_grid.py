"""Grid arithmetic: exact examples, and properties over odd sizes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from patching.errors import MissingMppError, SlideError
from patching.geometry import Level, Mpp, Size
from patching.grid import PatchSpec, grid_locations, read_plan, resolve

LEVELS = tuple(Level(Size(3000 // d, 2000 // d), d) for d in (1.0, 4.0, 16.0))


def test_drop_and_pad_on_an_asymmetric_slide() -> None:
    dropped = grid_locations(Size(300, 200), 100, 80)
    assert sorted({x for x, _ in dropped.tolist()}) == [0, 80, 160]
    assert sorted({y for _, y in dropped.tolist()}) == [0, 80]
    padded = grid_locations(Size(300, 200), 100, 80, "pad")
    assert sorted({x for x, _ in padded.tolist()}) == [0, 80, 160, 240]
    assert sorted({y for _, y in padded.tolist()}) == [0, 80, 160]
    assert dropped[1].tolist() == [80, 0], "row by row: x runs first"


def test_a_slide_smaller_than_a_patch() -> None:
    assert grid_locations(Size(50, 200), 100, 100).shape == (0, 2)
    assert grid_locations(Size(50, 200), 100, 100, "pad").tolist() == [[0, 0], [0, 100]]


sides, steps = st.integers(1, 70), st.integers(1, 30)


@settings(deadline=None)
@given(sides, sides, steps, steps)
def test_dropped_grid_lies_inside_and_misses_no_place(
    width: int, height: int, extent: int, stride: int
) -> None:
    found = {tuple(p) for p in grid_locations(Size(width, height), extent, stride).tolist()}
    every = {
        (x, y)
        for x in range(0, width, stride)
        for y in range(0, height, stride)
        if x + extent <= width and y + extent <= height
    }
    assert found == every


@settings(deadline=None)
@given(sides, sides, steps)
def test_padded_grid_covers_every_pixel_once(width: int, height: int, extent: int) -> None:
    count = np.zeros((height + extent, width + extent), int)
    for x, y in grid_locations(Size(width, height), extent, extent, "pad"):
        count[y : y + extent, x : x + extent] += 1
        assert x < width
        assert y < height
    assert (count[:height, :width] == 1).all()


@pytest.mark.parametrize(
    ("downsample", "level", "factor"),
    [(1, 0, 1.0), (3.9, 0, 3.9), (3.99, 1, 1.0), (4, 1, 1.0), (4.03, 1, 1.0), (6, 1, 1.5), (64, 2, 4.0)],
)
def test_the_nearest_finer_level_is_read(downsample: float, level: int, factor: float) -> None:
    assert read_plan(LEVELS, downsample, 0.01) == (level, pytest.approx(factor))


def test_up_sampling_is_refused() -> None:
    with pytest.raises(SlideError, match=r"up-sampling is refused\s+do: .*`tile\.patch\.mpp`"):
        resolve(PatchSpec(size=64, mpp=0.25), LEVELS, Mpp(0.5, 0.5))


def test_spec_in_micrometres_on_a_slide_without_pixel_size_names_the_ways_out() -> None:
    with pytest.raises(MissingMppError) as caught:
        resolve(PatchSpec(size=64, mpp=0.5), LEVELS, None)
    for way in ("mpp column", "`tile.patch.downsample`"):
        assert way in caught.value.do


def test_mixed_magnifications_come_out_equal() -> None:
    spec = PatchSpec(size=64, mpp=1.0, stride=32)
    fine, coarse = resolve(spec, LEVELS, Mpp(0.25, 0.25)), resolve(spec, LEVELS, Mpp(0.5, 0.5))
    assert (fine.level, fine.read, fine.extent, fine.stride) == (1, 64, 256, 128)
    assert (coarse.level, coarse.read, coarse.extent, coarse.stride) == (0, 128, 128, 64)
    assert fine.extent * 0.25 == coarse.extent * 0.5


@settings(deadline=None)
@given(st.integers(8, 512), st.floats(1, 40))
def test_extent_is_within_half_a_pixel(size: int, downsample: float) -> None:
    found = resolve(PatchSpec(size=size, downsample=downsample, tolerance=0), LEVELS, None)
    assert abs(found.extent - size * downsample) <= 0.5
    assert found.read >= size
    assert found.downsample * size == pytest.approx(found.extent)


@pytest.mark.parametrize(
    "wrong", [{}, {"mpp": 0.5, "downsample": 2}, {"downsample": 0.5}, {"mpp": 1, "step": 3}]
)
def test_a_wrong_spec_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        PatchSpec(size=64, **wrong)
