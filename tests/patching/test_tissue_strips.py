"""Strips of rows give what the whole image gives, and large images are judged by a sample."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from patching.tissue.parts import histogram as thresholds
from patching.tissue.parts import regions, strips
from patching.tissue.parts.strips import Projected, as_floats, held, of_values, smoothed
from patching.tissue.registry import make_detector

HEIGHT, WIDTH = 200, 300


def slide(*, brightfield: bool) -> NDArray[np.generic]:
    rng, (y, x) = np.random.default_rng(3), np.mgrid[:HEIGHT, :WIDTH]
    inside = (((x - 100) / 70) ** 2 + ((y - 120) / 50) ** 2 < 1)[..., None]
    if brightfield:
        noisy = np.where(inside, (190, 90, 150), (240, 238, 232)) + rng.normal(0, 6, (HEIGHT, WIDTH, 3))
        return noisy.clip(0, 255).astype(np.uint8)
    gain = np.exp(-0.7 * (x / WIDTH) ** 2)[..., None]
    return (rng.poisson(gain * np.where(inside, 40, 6), (HEIGHT, WIDTH, 3)) * 20).astype(np.uint16)


@pytest.mark.parametrize("brightfield", [True, False])
@pytest.mark.parametrize("name", ["otsu", "triangle", "entropy"])
def test_strips_change_no_pixel(name: str, brightfield: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    image = slide(brightfield=brightfield)
    whole = make_detector(name).detect(image, None, brightfield=brightfield)
    monkeypatch.setattr(strips, "_STRIP", 64 * WIDTH)
    monkeypatch.setattr(regions, "_ROWS", 7)
    np.testing.assert_array_equal(make_detector(name).detect(image, None, brightfield=brightfield), whole)


@pytest.mark.parametrize("brightfield", [True, False])
@pytest.mark.parametrize("name", ["otsu", "triangle", "entropy"])
def test_a_sample_gives_nearly_the_same_mask(
    name: str, brightfield: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = slide(brightfield=brightfield)
    whole = make_detector(name).detect(image, None, brightfield=brightfield)
    monkeypatch.setattr(strips, "_STRIP", 64 * WIDTH)
    monkeypatch.setattr(strips, "SAMPLE", 7000)
    sampled = make_detector(name).detect(image, None, brightfield=brightfield)
    assert 0.1 < whole.mean() < 0.9
    assert (sampled != whole).mean() < 0.01


def test_sample_is_every_step_th_row_and_column(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strips, "_STRIP", 64 * WIDTH)
    monkeypatch.setattr(strips, "SAMPLE", 7000)
    image = slide(brightfield=True).astype(np.float32)
    projected = Projected((HEIGHT, WIDTH), as_floats(image))
    assert projected.step == 3
    np.testing.assert_array_equal(projected.sample, image[::3, ::3])
    np.testing.assert_array_equal(projected.map(lambda v: v[..., 0] > 200), image[..., 0] > 200)


@pytest.mark.parametrize("sigma", [0.3, 1, 5])
def test_margins_hold_the_whole_kernel(sigma: float) -> None:
    image = slide(brightfield=True).astype(np.float32)
    blurred = smoothed((HEIGHT, WIDTH), as_floats(image), sigma)
    parts = [blurred(slice(top, min(HEIGHT, top + 64))) for top in range(0, HEIGHT, 64)]
    np.testing.assert_array_equal(np.concatenate(parts), blurred(slice(0, HEIGHT)))


@pytest.mark.parametrize("brightfield", [True, False])
def test_what_is_kept_for_the_map_changes_no_pixel(
    brightfield: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strips, "SAMPLE", 7000)
    image = slide(brightfield=brightfield)
    kept = make_detector("otsu").detect(image, None, brightfield=brightfield)
    monkeypatch.setattr(strips, "_KEPT", 0)
    again = make_detector("otsu").detect(image, None, brightfield=brightfield)
    np.testing.assert_array_equal(again, kept)


@pytest.mark.parametrize(("most", "times"), [(HEIGHT * WIDTH, 1), (HEIGHT * WIDTH - 1, 2)])
def test_only_what_is_small_is_held(most: int, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strips, "_KEPT", most)
    image = slide(brightfield=True)[..., 0].astype(np.float32)
    rows_read = []

    def compute(rows: slice) -> strips.Floats:
        rows_read.extend(range(HEIGHT)[rows])
        return image[rows]

    values = held((HEIGHT, WIDTH), compute)
    for rows in (slice(0, HEIGHT), slice(0, 70), slice(70, HEIGHT)):
        np.testing.assert_array_equal(values(rows), image[rows])
    assert sorted(rows_read) == sorted([*range(HEIGHT)] * times)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16])
def test_a_table_gives_what_each_value_gives(
    dtype: type[np.generic], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.random.default_rng(4).integers(3, 250, (HEIGHT, WIDTH, 2))
    image = (values - (100 if dtype is np.int16 else 0)).astype(dtype)

    def function(values: strips.Floats) -> strips.Floats:
        return np.log1p(np.maximum(values - np.float32([2, 50]), 0))

    rows = slice(64, 128)
    direct = function(as_floats(image)(rows))
    monkeypatch.setattr(strips, "_TABLE", 0)
    np.testing.assert_array_equal(of_values(image, function)(rows), direct)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bins_are_those_of_numpy(dtype: type[np.floating]) -> None:
    values = np.random.default_rng(5).normal(1, 0.2, 5000).astype(dtype).round(2)
    low, high = np.quantile(values, (0.001, 0.999))
    counts, edges = thresholds._histogram(np.sort(values), low, high)
    expected, expected_edges = np.histogram(np.clip(values, low, high), bins=256, range=(low, high))
    np.testing.assert_array_equal(counts, expected)
    np.testing.assert_array_equal(edges, expected_edges)


@given(
    values=st.lists(st.floats(-(2.0**59), 2.0**59, width=32), min_size=1, max_size=40),
    repeats=st.integers(1, 100),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_limits_are_those_of_numpy(values: list[float], repeats: int, dtype: type[np.floating]) -> None:
    sorted_N = np.sort(np.repeat(np.array(values, dtype), repeats))
    assert thresholds._limits_of_sorted(sorted_N) == thresholds._limits(sorted_N)


@pytest.mark.parametrize("high", [1.0, 300.0, 1e6])
@pytest.mark.parametrize("steps", [1, 90, 200, 3000])
def test_a_range_of_few_float_steps_has_a_threshold(high: float, steps: int) -> None:
    top = np.float32(high)
    values = (top - np.arange(400, dtype=np.float32) % 7 / 6 * steps * np.spacing(top)).astype(np.float32)
    for threshold in (thresholds.otsu_threshold, thresholds.triangle_threshold, thresholds.entropy_threshold):
        assert values.min() <= threshold(values) <= top
