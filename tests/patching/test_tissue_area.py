"""Area fractions against brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patching.geometry import Size
from patching.tissue_area import AreaTable


def by_hand(coverage: np.ndarray, x: float, y: float, w: float, h: float) -> float:
    """Sum of coverage times overlap, pixel by pixel."""
    total = 0.0
    for i, j in np.ndindex(coverage.shape):
        overlap_x = max(0.0, min(j + 1, x + w) - max(j, x))
        overlap_y = max(0.0, min(i + 1, y + h) - max(i, y))
        total += coverage[i, j] * overlap_x * overlap_y
    return total / (w * h)


@settings(deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 9),
    st.integers(1, 13),
    st.integers(1, 40),
    st.floats(0.7, 7),
)
def test_fractions_are_exact(seed: int, height: int, width: int, extent: int, downsample: float) -> None:
    rng = np.random.default_rng(seed)
    coverage = rng.random((height, width))
    # Some stick out on every side: outside there is nothing.
    locations = rng.integers(-20, int(13 * downsample) + 20, (5, 2))
    found = AreaTable(coverage).fractions(locations, extent, downsample)
    side = extent / downsample
    wanted = [by_hand(coverage, x / downsample, y / downsample, side, side) for x, y in locations]
    np.testing.assert_allclose(found, wanted, atol=1e-8)


def test_both_directions_have_their_own_scale() -> None:
    mask = np.zeros((4, 6), bool)
    mask[:, :3] = True
    found = AreaTable(mask).fractions(np.array([[0, 0], [20, 0]]), 20, (10.0, 5.0))
    assert found.tolist() == [1.0, 0.5]


def test_what_lies_outside_the_slide_is_no_tissue() -> None:
    # 5 level-0 pixels wide, 2 to a mask pixel: the last mask pixel is half outside.
    table = AreaTable.of_slide(np.ones((2, 3), bool), Size(5, 4), 2.0)
    assert table.fractions(np.array([[2, 0]]), 4, 2.0) == pytest.approx([3 / 4])


def test_empty_is_exactly_zero_and_full_exactly_one() -> None:
    mask = np.random.default_rng(0).random((300, 500)) < 0.5
    mask[100:200, 200:400] = False
    mask[:50, :70] = True
    table = AreaTable(mask)
    assert table.fractions(np.array([[200, 100], [0, 0]]), 50, 1.0).tolist() == [0.0, 1.0]


def test_no_fraction_is_a_negative_zero() -> None:
    coverage = np.random.default_rng(0).random((80, 100))
    coverage[20:60, 30:70] = 0
    grid = np.stack(np.meshgrid(np.arange(0, 300, 7), np.arange(0, 200, 7)), -1).reshape(-1, 2)
    assert not np.signbit(AreaTable(coverage).fractions(grid, 17, 3.3)).any()


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 90), st.floats(0.5, 30))
def test_a_mask_is_counted_as_exactly_as_it_is_summed(
    seed: int, height: int, width: int, downsample: float
) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((height, width)) < 0.4
    locations = rng.integers(-20, 900, (50, 2))
    counted, summed = (AreaTable(part).fractions(locations, 64, downsample) for part in (mask, mask * 1.0))
    np.testing.assert_array_equal(counted, summed)
