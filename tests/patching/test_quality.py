"""Quality of patches: limit cases that are known exactly, and laws that hold for any patch."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from patching.survey.quality import full_scale, measure_quality, pen_and_folds, quality_names

DTYPES = (np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.float32, np.float64)
RGB = ("R", "G", "B")


def measured(
    patch_HWC: NDArray[Any], *, brightfield: bool = False, channels: Sequence[str] | None = None
) -> dict[str, float]:
    names = quality_names(channels or [f"c{n}" for n in range(patch_HWC.shape[-1])])
    maximum = full_scale(patch_HWC.dtype)
    values = measure_quality(patch_HWC, brightfield=brightfield, detector_maximum=maximum)
    assert values.dtype == np.float32
    return dict(zip(names, values.tolist(), strict=True))


def textured(channels: int = 3, height: int = 200, width: int = 300, seed: int = 0) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 250, (height, width, channels), dtype=np.uint8)


@pytest.mark.parametrize("brightfield", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 2, 3, 8])
def test_a_constant_patch_has_neither_detail_nor_spread(
    dtype: type, channels: int, *, brightfield: bool
) -> None:
    patch_HWC = np.tile((10 * np.arange(1, channels + 1)).astype(dtype), (200, 300, 1))
    found = measured(patch_HWC, brightfield=brightfield)
    assert found["focus"] == 0
    for channel in range(channels):
        assert found[f"mean_c{channel}"] == 10 * (channel + 1)
        assert found[f"spread_c{channel}"] == 0
    assert np.isnan(found["pen_fraction"]) == (not (brightfield and channels >= 3))
    assert np.isnan(found["saturated_fraction"]) == (np.dtype(dtype).kind == "f")


@pytest.mark.parametrize("value", [0, 1e-20, 123456.7, 3e30])
def test_a_constant_float_patch_of_any_size(value: float) -> None:
    found = measured(np.full((64, 48, 3), value, np.float32))
    assert (found["focus"], found["spread_c0"]) == (0, 0)
    assert found["mean_c1"] == pytest.approx(value)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("brightfield", [False, True])
def test_blur_lowers_focus(dtype: type, *, brightfield: bool) -> None:
    sharp_HWC = textured()
    focus = [
        measured(image.astype(dtype), brightfield=brightfield)["focus"]
        for image in (sharp_HWC, *(cv2.GaussianBlur(sharp_HWC, (0, 0), sigma) for sigma in (0.7, 1.5, 3)))
    ]
    assert focus[0] > 2 * focus[1] > 4 * focus[2] > 8 * focus[3] > 0


@given(gain=st.sampled_from([2, 16, 257]), seed=st.integers(0, 50))
@settings(max_examples=25, deadline=None)
def test_focus_and_brightness_do_not_depend_on_the_number_type(gain: int, seed: int) -> None:
    patch_HWC = textured(seed=seed)
    one = measured(patch_HWC)
    wide_HWC = patch_HWC.astype(np.uint16) * gain
    values = measure_quality(wide_HWC, brightfield=False, detector_maximum=255.0 * gain)
    assert values[:2].tolist() == pytest.approx([one["focus"], one["brightness"]], rel=1e-4)
    assert measured(wide_HWC.astype(np.float32))["focus"] == pytest.approx(one["focus"], rel=1e-4)


def test_focus_is_the_variance_of_the_laplacian_over_the_squared_mean() -> None:
    # A patch whose every third row and both its neighbors are looked at, that is all of it.
    patch_HWC = textured(channels=1, height=48, width=40)
    image = patch_HWC[..., 0].astype(float)
    laplacian = (
        image[:-2, 1:-1] + image[2:, 1:-1] + image[1:-1, :-2] + image[1:-1, 2:] - 4 * image[1:-1, 1:-1]
    )
    expected = laplacian[::3].var() / image.mean() ** 2
    assert measured(patch_HWC)["focus"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("shape", [(200, 300), (256, 256), (37, 91)])
def test_sampled_rows_tell_what_all_rows_tell(shape: tuple[int, int]) -> None:
    patch_HWC = cv2.GaussianBlur(textured(3, *shape, seed=3), (0, 0), 1)
    found = measured(patch_HWC)
    for channel in range(3):
        plane = patch_HWC[..., channel]
        assert found[f"mean_c{channel}"] == pytest.approx(plane.mean(), rel=0.02)
        assert found[f"spread_c{channel}"] == pytest.approx(plane.std(), rel=0.08)
    assert found["brightness"] == pytest.approx(patch_HWC.mean() / 255, rel=0.02)


@given(
    channels=st.integers(1, 8),
    places=st.sets(st.tuples(st.integers(0, 36), st.integers(0, 90), st.integers(0, 7)), max_size=20),
    dtype=st.sampled_from([np.uint8, np.uint16, np.int32]),
)
@settings(max_examples=60, deadline=None)
def test_every_clipped_pixel_is_counted_once(
    channels: int, places: set[tuple[int, int, int]], dtype: type
) -> None:
    patch_HWC = textured(channels, 37, 91).astype(dtype)
    clipped = {(y, x, c % channels) for y, x, c in places}
    for place in clipped:
        patch_HWC[place] = np.iinfo(dtype).max
    pixels = {(y, x) for y, x, _ in clipped}
    found = measured(patch_HWC)["saturated_fraction"]
    assert found == pytest.approx(len(pixels) / (37 * 91), abs=1e-7)


def test_a_detector_may_saturate_below_its_type() -> None:
    patch_HWC = np.full((40, 60, 2), 1000, np.uint16)
    patch_HWC[:10, :, 1] = 4095
    values = measure_quality(patch_HWC, brightfield=False, detector_maximum=4095)
    assert values[2] == pytest.approx(0.25)
    assert values[1] == pytest.approx((1000 + 1000 * 0.75 + 4095 * 0.25) / 2 / 4095, rel=0.05)


@given(order=st.permutations(range(4)), dtype=st.sampled_from([np.uint8, np.uint16, np.float32]))
@settings(max_examples=25, deadline=None)
def test_permuting_channels_permutes_the_columns(order: list[int], dtype: type) -> None:
    patch_HWC, names = textured(4).astype(dtype), ("a", "b", "c", "d")
    patch_HWC[..., 1] //= 2
    one = measured(patch_HWC, channels=names)
    other = measured(
        np.ascontiguousarray(patch_HWC[..., order]), channels=[names[channel] for channel in order]
    )
    assert other == pytest.approx(one, rel=1e-5, nan_ok=True)


def light(*colors: tuple[int, int, int]) -> NDArray[np.float32]:
    return np.array(colors, np.float32).T / 255


def test_inks_are_pen_and_stains_are_not() -> None:
    inks = light((20, 140, 60), (30, 90, 200), (0, 160, 170), (25, 25, 30))
    # Hematoxylin, eosin, pale stroma, DAB, blue counterstain, glass, peach background, erythrocytes.
    stains = light(
        (90, 60, 140),
        (220, 110, 160),
        (235, 200, 220),
        (120, 80, 40),
        (120, 150, 190),
        (245, 245, 245),
        (230, 201, 185),
        (190, 40, 60),
    )
    assert pen_and_folds(inks)[0].all()
    assert not pen_and_folds(stains)[0].any()


def test_dark_and_saturated_is_a_fold() -> None:
    # One layer of tissue, and two: light is squared.
    layer = light((225, 150, 190), (180, 100, 170))
    assert not pen_and_folds(layer)[1].any()
    assert pen_and_folds(layer[:, 1:] ** 3)[1].all()
    assert not pen_and_folds(light((0, 0, 0), (255, 255, 255)))[1].any()


def test_fractions_are_shares_of_the_patch() -> None:
    patch_HWC = np.full((256, 256, 3), 240, np.uint8)
    patch_HWC[:64] = (20, 140, 60)
    patch_HWC[64:192, :128] = (90, 10, 70)
    found = measured(patch_HWC, brightfield=True, channels=RGB)
    assert found["pen_fraction"] == pytest.approx(0.25, abs=0.01)
    assert found["fold_fraction"] == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 300, 3), (300, 2, 3), (3, 3, 2), (5, 1000, 1)])
def test_the_smallest_patches(shape: tuple[int, int, int]) -> None:
    found = measured(textured(shape[2], *shape[:2]), brightfield=shape[2] == 3)
    assert np.isnan(found["focus"]) == (min(shape[:2]) < 3)
    assert np.isfinite(found["mean_c0"])


def test_what_is_no_number_stays_none() -> None:
    patch_HWC = np.full((40, 60, 2), np.nan, np.float32)
    assert all(np.isnan(value) for value in measured(patch_HWC).values())


def test_a_view_gives_what_a_copy_gives() -> None:
    whole_HWC = textured(5, 300, 400)
    view_HWC = whole_HWC[7:263, 9:265, 1:4]
    assert measured(view_HWC, brightfield=True) == measured(view_HWC.copy(), brightfield=True)


def test_names_are_safe_and_distinct() -> None:
    names = quality_names(("CARS", "SHG 2ω", "a b", "a-b", "a_b_2", "ω", "µ/é"))
    assert names[:5] == ("focus", "brightness", "saturated_fraction", "pen_fraction", "fold_fraction")
    assert names[5:12] == (
        "mean_cars",
        "mean_shg_2",
        "mean_a_b",
        "mean_a_b_2",
        "mean_a_b_2_2",
        "mean_channel",
        "mean_e",
    )
    assert len(set(names)) == len(names) == 5 + 2 * 7


@given(st.lists(st.text(max_size=4), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_names_of_any_channels_are_distinct_identifiers(channels: list[str]) -> None:
    names = quality_names(channels)
    assert len(set(names)) == 5 + 2 * len(channels)
    assert all(name.isidentifier() and name.isascii() for name in names)
