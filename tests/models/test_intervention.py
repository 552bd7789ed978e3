"""Changed patches: which pixels, from where; and slopes within patches against scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.linear_model import LinearRegression

from models.data.intervention.material import Material, background_of, pieced, tissue_shares
from models.data.intervention.replacing import first_share, front_order, series
from models.metrics.intervals import bootstrap
from models.metrics.responses.within import mean_statistics, within_slopes

SIDE = 12


def patch_of(tissue_HW: NDArray[np.float64], value: int) -> Material:
    image_HWC = np.full((*tissue_HW.shape, 2), value, np.uint16)
    image_HWC[..., 1] += np.arange(tissue_HW.size, dtype=np.uint16).reshape(tissue_HW.shape)
    return Material(image_HWC, tissue_HW)


def half(columns: int) -> NDArray[np.float64]:
    tissue_HW = np.zeros((SIDE, SIDE))
    tissue_HW[:, :columns] = 1
    return tissue_HW


def test_the_front_orders_every_pixel_and_sweeps_from_one_side() -> None:
    order_HW = front_order(32, np.random.default_rng(3))
    assert sorted(order_HW.ravel()) == list(range(32 * 32))
    early = np.argwhere(order_HW < 200).mean(axis=0)
    late = np.argwhere(order_HW >= 32 * 32 - 200).mean(axis=0)
    # The first and the last fifth lie on opposite sides, most of the patch apart.
    assert np.linalg.norm(early - late) > 20
    assert not np.array_equal(order_HW, front_order(32, np.random.default_rng(4)))


@given(seed=st.integers(0, 50), share=st.floats(0, 1))
def test_a_share_is_met_to_half_a_pixel_and_grows_by_pixels_alone(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    weight_HW = rng.random((SIDE, SIDE)) * (rng.random((SIDE, SIDE)) < 0.6)
    order_HW = front_order(SIDE, rng)
    chosen_HW = first_share(order_HW, weight_HW, share)
    assert abs(weight_HW[chosen_HW].sum() - share * weight_HW.sum()) <= weight_HW.max() / 2 + 1e-9
    assert not chosen_HW[weight_HW == 0].any()
    more_HW = first_share(order_HW, weight_HW, min(share + 0.2, 1))
    assert (more_HW | ~chosen_HW).all()


def test_steps_begin_at_the_patch_and_end_without_its_tissue() -> None:
    patch, new = patch_of(half(5), 1000), patch_of(np.zeros((SIDE, SIDE)), 9)
    order_HW = front_order(SIDE, np.random.default_rng(0))
    steps = series(patch, new, patch.tissue_HW, order_HW, (0.0, 0.5, 1.0))
    assert np.array_equal(steps[0].patch.image_HWC, patch.image_HWC)
    fractions = [step.patch.tissue_fraction for step in steps]
    assert fractions == pytest.approx([5 / 12, 5 / 24, 0], abs=1 / SIDE**2)
    # What is not tissue stays, and what was is the new pixel of the same place.
    assert np.array_equal(steps[2].patch.image_HWC[:, 5:], patch.image_HWC[:, 5:])
    assert np.array_equal(steps[2].patch.image_HWC[:, :5], new.image_HWC[:, :5])


def test_the_rim_goes_with_the_tissue_and_never_eats_into_what_is_left() -> None:
    patch, new = patch_of(half(5), 1000), patch_of(np.zeros((SIDE, SIDE)), 9)
    order_HW = np.arange(SIDE**2).reshape(SIDE, SIDE)  # row after row
    (step,) = series(patch, new, patch.tissue_HW, order_HW, (0.5,), rim=2)
    expected_HW = np.zeros((SIDE, SIDE), np.bool_)
    expected_HW[:6, :5] = True
    expected_HW[:8, 5:7] = True
    assert np.array_equal(step.replaced_HW, expected_HW)
    assert step.patch.tissue_fraction == pytest.approx(5 / 24)


def test_background_keeps_its_distance() -> None:
    tissue_HW = np.zeros((SIDE, SIDE))
    tissue_HW[3, 7] = 0.1
    free_HW = background_of(patch_of(tissue_HW, 0), 2)
    assert (~free_HW).sum() == 25
    assert not free_HW[1:6, 5:10].any()


def test_masks_of_other_resolutions_keep_the_tissue() -> None:
    mask_HW = np.zeros((48, 48), np.bool_)
    mask_HW[:14, :30] = True
    finer_HW = tissue_shares(mask_HW, SIDE)
    assert finer_HW.mean() == pytest.approx(mask_HW.mean())
    assert finer_HW[3, 0] == 0.5
    coarser_HW = tissue_shares(mask_HW[::8, ::8], SIDE)
    assert set(np.unique(coarser_HW)) == {0, 1}
    assert coarser_HW[0, 0] == 1
    assert coarser_HW[0, -1] == 0


def test_every_pixel_is_a_usable_one_of_the_first_donor_that_has_one() -> None:
    donors = [patch_of(half(2), 100), patch_of(half(9), 1000)]
    usable = [donor.tissue_HW > 0 for donor in donors]
    found = pieced(donors, usable, np.random.default_rng(1))
    assert found is not None
    assert found.material.tissue_HW.all()
    real = {tuple(pixel) for donor, own in zip(donors, usable, strict=True) for pixel in donor.image_HWC[own]}
    assert {tuple(pixel) for pixel in found.material.image_HWC.reshape(-1, 2)} <= real
    # In its symmetries the first donor fills a frame of two pixels; the second one fills the rest.
    assert (found.donor_HW == 0).sum() == SIDE**2 - (SIDE - 4) ** 2
    assert (found.donor_HW[2:-2, 2:-2] == 1).all()
    assert not found.drawn_HW.any()


def test_where_no_donor_has_a_pixel_one_is_drawn() -> None:
    donor = patch_of(half(1), 100)
    found = pieced([donor], [donor.tissue_HW > 0], np.random.default_rng(1))
    assert found is not None
    assert found.drawn_HW.sum() == (SIDE - 2) ** 2
    real = {tuple(pixel) for pixel in donor.image_HWC[:, 0]}
    assert {tuple(pixel) for pixel in found.material.image_HWC.reshape(-1, 2)} == real
    assert pieced([donor], [np.zeros((SIDE, SIDE), np.bool_)], np.random.default_rng(1)) is None


def rows_of(rng: np.random.Generator) -> pd.DataFrame:
    """Patches of unequal steps, with levels that would bend a slope between patches."""
    frames = []
    for patch in range(40):
        part, patient = patch % 3, f"p{patch % 7}"
        at_S = np.sort(rng.uniform(0, 1, 4 + patch % 3))
        # Between patches the value falls as x grows; within them it rises by 0.3 or falls by 0.1.
        level = 5 - 4 * at_S.mean()
        value_S = level + (0.3, -0.1, 0.0)[part] * at_S + rng.normal(0, 0.02, len(at_S))
        frames.append(
            pd.DataFrame({"patch": patch, "part": part, "patient": patient, "x": at_S, "y": value_S})
        )
    return pd.concat(frames, ignore_index=True)


def test_slopes_within_patches_are_those_of_a_regression_with_a_level_for_each() -> None:
    rows = rows_of(np.random.default_rng(0))
    sums = within_slopes(rows["y"], rows["x"], rows["patch"], rows["part"], rows["patient"], 3)
    found = bootstrap(sums, n_draws=200)
    for part in range(3):
        own = rows[rows["part"] == part]
        levels = pd.get_dummies(own["patch"]).to_numpy(np.float64)
        model = LinearRegression(fit_intercept=False).fit(np.column_stack([own["x"], levels]), own["y"])
        interval = found[f"slope_{part}"]
        assert interval.estimate == pytest.approx(model.coef_[0])
        assert interval.low < interval.estimate < interval.high
    assert found["slope_0"].low > 0 > found["slope_1"].high


def test_a_part_of_few_patches_has_no_slope_and_counts_patches_not_rows() -> None:
    rows = rows_of(np.random.default_rng(0))
    columns = rows["y"], rows["x"], rows["patch"], rows["part"], rows["patient"]
    few = rows.groupby("part")["patch"].nunique()
    sums = within_slopes(*columns, 3, minimum_patches=int(few.max()))
    assert sums.estimable_G.tolist() == (few == few.max()).tolist()
    assert np.isnan(bootstrap(sums, n_draws=50)["slope_1"].estimate)


def test_means_of_steps_are_means() -> None:
    rng = np.random.default_rng(2)
    table = pd.DataFrame({"step": np.tile([0, 1], 30), "patient": np.repeat(["a", "b", "c"], 20)})
    table["value"] = rng.uniform(0.2, 0.9, 60)
    found = bootstrap(mean_statistics(table["value"], table["step"], table["patient"], 3), n_draws=200)
    means = table.groupby("step")["value"].mean()
    assert [found[f"mean_{step}"].estimate for step in (0, 1)] == pytest.approx(means.tolist())
    assert np.isnan(found["mean_2"].estimate)
