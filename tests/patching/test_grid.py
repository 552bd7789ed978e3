"""Grid arithmetic: exact examples, and properties over odd sizes."""

import math
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from patching.errors import MissingMppError, SlideError
from patching.geometry import Level, Mpp, Size
from patching.grid import MAX_PATCHES, MAX_READ, EdgeRule, PatchSpec, grid_locations, read_plan, resolve

EDGES: tuple[EdgeRule, ...] = get_args(EdgeRule)
LEVELS = tuple(Level(Size(3000 // d, 2000 // d), d) for d in (1.0, 4.0, 16.0))


def test_every_edge_rule_on_an_asymmetric_slide() -> None:
    dropped = grid_locations(Size(300, 200), 100, 80)
    assert sorted({x for x, _ in dropped.tolist()}) == [0, 80, 160]
    assert sorted({y for _, y in dropped.tolist()}) == [0, 80]
    padded = grid_locations(Size(300, 200), 100, 80, "pad")
    assert sorted({x for x, _ in padded.tolist()}) == [0, 80, 160, 240]
    assert sorted({y for _, y in padded.tolist()}) == [0, 80, 160]
    shifted = grid_locations(Size(300, 200), 100, 80, "shift")
    assert sorted({x for x, _ in shifted.tolist()}) == [0, 80, 160, 200]
    assert sorted({y for _, y in shifted.tolist()}) == [0, 80, 100]
    assert dropped[1].tolist() == [80, 0], "row by row: x runs first"


def test_a_slide_smaller_than_a_patch() -> None:
    assert grid_locations(Size(50, 200), 100, 100).shape == (0, 2)
    assert grid_locations(Size(50, 200), 100, 100, "shift").shape == (0, 2)
    assert grid_locations(Size(50, 200), 100, 100, "pad").tolist() == [[0, 0], [0, 100]]


def test_a_padded_patch_is_never_wholly_outside() -> None:
    """Steps longer than a patch leave gaps, here from 10 to 120; nothing starts behind the slide's 100."""
    assert grid_locations(Size(100, 10), 10, 120, "pad").tolist() == [[0, 0]]
    assert grid_locations(Size(100, 10), 10, 95, "pad").tolist() == [[0, 0], [95, 0]]


@pytest.mark.parametrize("edge", EDGES)
def test_sizes_that_lie_are_refused_before_anything_is_allocated(edge: EdgeRule) -> None:
    with pytest.raises(SlideError, match=rf"at most {MAX_PATCHES} patches"):
        grid_locations(Size(2**40, 2**40), 256, 256, edge)
    with pytest.raises(SlideError):
        grid_locations(Size(3000, 3000), 1, 1, edge)
    assert len(grid_locations(Size(MAX_PATCHES, 1), 1, 1, edge)) == MAX_PATCHES
    with pytest.raises(SlideError):
        grid_locations(Size(MAX_PATCHES + 1, 1), 1, 1, edge)


sides, steps = st.integers(1, 70), st.integers(1, 30)


@settings(deadline=None)
@given(sides, sides, steps, steps, st.sampled_from(EDGES))
def test_any_grid_is_ordered_unique_and_touches_the_slide(
    width: int, height: int, extent: int, stride: int, edge: EdgeRule
) -> None:
    found_N2 = grid_locations(Size(width, height), extent, stride, edge)
    assert found_N2.dtype == np.int64
    assert found_N2.shape == (len(found_N2), 2)
    found = [(y, x) for x, y in found_N2.tolist()]
    assert found == sorted(set(found))
    assert all(0 <= x < width and 0 <= y < height for y, x in found)
    if edge != "pad":
        assert all(x + extent <= width and y + extent <= height for y, x in found)


@settings(deadline=None)
@given(sides, sides, steps, steps)
def test_dropped_grid_misses_no_place(width: int, height: int, extent: int, stride: int) -> None:
    found = {tuple(p) for p in grid_locations(Size(width, height), extent, stride).tolist()}
    every = {
        (x, y)
        for x in range(0, width, stride)
        for y in range(0, height, stride)
        if x + extent <= width and y + extent <= height
    }
    assert found == every


@settings(deadline=None)
@given(sides, sides, steps, st.data(), st.sampled_from(("pad", "shift")))
def test_padded_and_shifted_grids_cover_every_pixel(
    width: int, height: int, extent: int, data: st.DataObject, edge: EdgeRule
) -> None:
    stride = data.draw(st.integers(1, extent))
    count = np.zeros((height + extent, width + extent), int)
    grid_N2 = grid_locations(Size(width, height), extent, stride, edge)
    for x, y in grid_N2:
        count[y : y + extent, x : x + extent] += 1
    if edge == "shift" and min(width, height) < extent:
        assert not len(grid_N2)
        return
    assert (count[:height, :width] >= 1).all()
    if edge == "pad" and stride == extent:
        assert (count[:height, :width] == 1).all()


@settings(deadline=None)
@given(sides, sides, steps, st.data())
def test_shifted_and_padded_grids_differ_in_the_last_row_and_column_only(
    width: int, height: int, extent: int, data: st.DataObject
) -> None:
    stride = data.draw(st.integers(1, extent))
    if min(width, height) < extent:
        return
    size = Size(width, height)
    padded_N2, shifted_N2 = (grid_locations(size, extent, stride, edge) for edge in ("pad", "shift"))
    inside = np.minimum(padded_N2, [width - extent, height - extent])
    np.testing.assert_array_equal(shifted_N2, inside)
    rows, columns = (1 + math.ceil((length - extent) / stride) for length in (height, width))
    assert len(padded_N2) == rows * columns


@pytest.mark.parametrize(
    ("downsample", "level", "factor"),
    [(1, 0, 1.0), (3.9, 0, 3.9), (3.99, 1, 1.0), (4, 1, 1.0), (4.03, 1, 1.0), (6, 1, 1.5), (64, 2, 4.0)],
)
def test_the_nearest_finer_level_is_read(downsample: float, level: int, factor: float) -> None:
    assert read_plan(LEVELS, downsample, 0.01) == (level, pytest.approx(factor))


def test_up_sampling_is_refused_and_the_finest_resolution_told() -> None:
    with pytest.raises(SlideError, match=r"up-sampling is refused\s+do: .*`tile\.patch\.mpp`") as caught:
        resolve(PatchSpec(size=64, mpp=0.25), LEVELS, Mpp(0.5, 0.5))
    assert "2 times coarser" in caught.value.has
    assert "downsample 1, which is mpp 0.5, or more" in caught.value.needs
    with pytest.raises(SlideError, match="downsample 4, or more"):
        read_plan(LEVELS[1:], 3.9)


@pytest.mark.parametrize(("mpp", "refused"), [(0.496, False), (0.4949, True)])
def test_one_percent_too_coarse_is_taken_as_it_is(mpp: float, refused: bool) -> None:
    spec = PatchSpec(size=64, mpp=mpp)
    if refused:
        with pytest.raises(SlideError):
            resolve(spec, LEVELS, Mpp(0.5, 0.5))
    else:
        found = resolve(spec, LEVELS, Mpp(0.5, 0.5))
        assert (found.level, found.read, found.extent, found.downsample) == (0, 64, 64, 1.0)


def test_spec_in_micrometres_on_a_slide_without_pixel_size_names_the_ways_out() -> None:
    with pytest.raises(MissingMppError) as caught:
        resolve(PatchSpec(size=64, mpp=0.5), LEVELS, None)
    for way in ("column mpp", "`ingest.mpp`", "`tile.patch.downsample`"):
        assert way in caught.value.do


def test_pixels_that_are_not_square_are_refused_by_specs_in_micrometres_only() -> None:
    with pytest.raises(SlideError, match=r"pixels of 0\.5 x 0\.51 µm"):
        resolve(PatchSpec(size=64, mpp=1), LEVELS, Mpp(0.5, 0.51))
    assert resolve(PatchSpec(size=64, mpp=1), LEVELS, Mpp(0.4995, 0.5005)).extent == 128
    assert resolve(PatchSpec(size=64, downsample=2), LEVELS, Mpp(0.5, 0.9)).extent == 128


def test_mixed_magnifications_come_out_equal() -> None:
    spec = PatchSpec(size=64, mpp=1.0, stride=32)
    fine, coarse = resolve(spec, LEVELS, Mpp(0.25, 0.25)), resolve(spec, LEVELS, Mpp(0.5, 0.5))
    assert (fine.level, fine.read, fine.extent, fine.stride) == (1, 64, 256, 128)
    assert (coarse.level, coarse.read, coarse.extent, coarse.stride) == (0, 128, 128, 64)
    assert fine.extent * 0.25 == coarse.extent * 0.5


def test_a_patch_read_from_too_many_pixels_is_refused() -> None:
    """A pixel size that lies, or a plane without coarser levels, must not allocate gigabytes."""
    for mpp in (Mpp(1e-9, 1e-9), Mpp(0.002, 0.002)):
        with pytest.raises(SlideError, match=f"at most {MAX_READ}"):
            resolve(PatchSpec(size=256, mpp=0.5), LEVELS[:1], mpp)
    assert resolve(PatchSpec(size=256, mpp=0.5), LEVELS[:1], Mpp(0.5 / 32, 0.5 / 32)).read == MAX_READ


@pytest.mark.parametrize(
    ("given", "stride"),
    [
        ({}, 200),
        ({"stride": 50}, 100),
        ({"overlap": 0}, 200),
        ({"overlap": 0.25}, 150),
        ({"overlap": 0.999}, 1),
    ],
)
def test_overlap_is_the_shared_part_of_a_side(given: dict[str, float], stride: int) -> None:
    assert resolve(PatchSpec(size=100, downsample=2, **given), LEVELS, None).stride == stride


sampled = st.builds(
    PatchSpec,
    size=st.integers(8, 512),
    downsample=st.floats(1, 16),
    overlap=st.none() | st.floats(0, 0.99),
    tolerance=st.sampled_from((0.0, 0.01)),
)
ladders = st.lists(st.floats(1.5, 4.2), max_size=4).map(
    lambda ratios: tuple(Level(Size(9, 9), float(d)) for d in np.cumprod([1.0, *ratios]))
)


@settings(deadline=None)
@given(sampled, ladders)
def test_what_is_read_fits_what_was_asked_for(spec: PatchSpec, levels: tuple[Level, ...]) -> None:
    assert spec.downsample is not None
    found = resolve(spec, levels, None)
    scale = levels[found.level].downsample
    assert found.read >= spec.size, "never up-sampled"
    assert scale <= spec.downsample * (1 + spec.tolerance)
    finer = [other.downsample for other in levels if other.downsample <= spec.downsample]
    assert scale >= max(finer), "no coarser level would do"
    assert found.downsample * spec.size == pytest.approx(found.extent)
    assert abs(found.extent - found.read * scale) <= 0.5, "read pixels and extent are the same place"
    slack = spec.tolerance * spec.size * spec.downsample
    assert abs(found.extent - spec.size * spec.downsample) <= 0.5 * scale + 0.5 + slack
    assert abs(found.stride - spec.step * spec.downsample) <= scale + 0.5 + slack
    if spec.overlap in (None, 0.0):
        assert found.stride == found.extent, "neighbors meet"


@settings(deadline=None)
@given(st.integers(8, 512), st.floats(0.3, 8), st.sampled_from((0.1, 0.25, 0.2527, 0.274, 0.3)))
def test_micrometres_and_downsample_are_two_names_of_one_thing(size: int, wanted: float, mpp: float) -> None:
    by_mpp = resolve(PatchSpec(size=size, mpp=wanted), LEVELS, Mpp(mpp, mpp))
    assert by_mpp == resolve(PatchSpec(size=size, downsample=max(1.0, wanted / mpp)), LEVELS, None)


@settings(deadline=None)
@given(st.integers(8, 300), st.floats(1, 40), steps)
def test_patches_start_on_whole_pixels_of_the_level_they_are_read_from(
    size: int, downsample: float, stride: int
) -> None:
    found = resolve(PatchSpec(size=size, downsample=downsample, stride=stride), LEVELS, None)
    scale = LEVELS[found.level].downsample
    assert found.extent == found.read * scale
    assert found.stride % scale == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"mpp": 0.5, "downsample": 2},
        {"downsample": 0.5},
        {"mpp": 1, "step": 3},
        {"mpp": 1, "stride": 64, "overlap": 0.0},
        {"mpp": 1, "overlap": 1.0},
        {"mpp": 1, "overlap": -0.1},
        {"mpp": float("inf")},
        {"downsample": float("nan")},
        {"mpp": 1, "edge": "wrap"},
        {"mpp": 1, "size": MAX_READ + 1},
    ],
)
def test_a_wrong_spec_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        PatchSpec(**({"size": 64} | wrong))
