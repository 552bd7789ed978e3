"""Accuracy along the tissue fraction: by hand, against plain formulas, and what it promises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.metrics.along_attribute import AttributeBins, attribute_curve, sizes_of
from models.metrics.intervals import bootstrap, paired_difference, patient_statistics
from models.metrics.slopes import slope_statistics
from patching.errors import GroupError

VALUES = [0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9]
"""Of four patches of label 0, then four of label 1."""
LABEL = [0] * 4 + [1] * 4
PREDICTION = [1, 1, 1, 0, 1, 0, 1, 1]
PATIENT = list("abababab")
FEW_DRAWS = {"n_draws": 20}


def test_two_labels_by_hand() -> None:
    """Label 0 is right on its last patch alone, label 1 on all but its second."""
    curve = attribute_curve(LABEL, PREDICTION, VALUES, 2, patient=PATIENT, n_bins=4, **FEW_DRAWS)  # type: ignore[arg-type]
    quarters = [(0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1)]
    assert curve.bins.places == tuple((label, *ends) for label in range(2) for ends in quarters)
    assert curve.count_B.tolist() == [2, 2, 0, 0, 0, 0, 2, 2]
    assert curve.correct_B.tolist() == [0, 1, 0, 0, 0, 0, 1, 2]
    nan = np.nan
    np.testing.assert_array_equal(curve.accuracy_B, [0, 0.5, nan, nan, nan, nan, 0.5, 1])
    assert curve.patients_B.tolist() == [2, 2, 0, 0, 0, 0, 2, 2]
    assert curve.worst_bin == 0
    np.testing.assert_array_equal(curve.mean_K, [0.25, 0.75])
    # Around the mean of 0.25, x is -0.15, -0.05, 0.05, 0.15: sum of x c is 0.15, of x² 0.05.
    # Around 0.75 the same x: right on -0.15, 0.05, 0.15 gives 0.05 over 0.05.
    np.testing.assert_allclose(curve.slope_K, [3, 1])


def test_a_bin_holds_its_lower_edge_and_the_last_one_its_upper() -> None:
    bins = AttributeBins(2)
    assert len(bins) == 20
    assert [list(bins.of_label(y)) for y in range(2)] == [list(range(10)), list(range(10, 20))]
    tenths = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    assert bins.numbers([0] * 11, tenths).tolist() == [*range(10), 9]
    assert bins.numbers([1] * 10, np.nextafter(tenths[1:], 0)).tolist() == list(range(10, 20))
    assert bins.numbers([0, 1], np.float32([0.0, 1.0]) + np.float32([-1e-7, 2e-7])).tolist() == [0, 19]


def test_bins_depend_on_no_data() -> None:
    """Not on how many patches a class has, nor on where they lie."""
    few = attribute_curve([0, 1, 1], [0, 1, 0], [0.31, 0.95, 0.96], 2, patient=list("abc"), **FEW_DRAWS)  # type: ignore[arg-type]
    assert few.bins == attribute_curve(LABEL, PREDICTION, VALUES, 2, patient=PATIENT, **FEW_DRAWS).bins  # type: ignore[arg-type]
    assert few.count_B[[3, 19]].tolist() == [1, 2]
    assert few.count_B.sum() == 3


def test_a_failure_where_patches_are_few_is_not_averaged_away() -> None:
    """As the phantom's: ERM fails on all tumor patches with little tissue, which are a twentieth of them."""
    tissue = np.concatenate(
        [np.linspace(0.02, 0.09, 30), np.linspace(0.11, 0.19, 30), np.linspace(0.4, 1, 540)]
    )
    right = np.concatenate([np.zeros(30), np.arange(30) % 5 < 2, np.ones(540)]).astype(int)
    label, patient = np.ones(600, int), np.arange(600) % 9
    curve = attribute_curve(label, right, tissue, 2, patient=patient, minimum_patches=20, n_draws=100)
    np.testing.assert_allclose(curve.accuracy_B[10:12], [0, 0.4])
    assert curve.bins.places[curve.worst_bin or 0] == (1, 0, 0.1)
    assert 0 < curve.interval_B[10].high < 0.5
    assert curve.interval_B[11].low < 0.4 < curve.interval_B[11].high < 1
    fifth = tissue <= np.quantile(tissue, 0.2)
    assert right[fifth].mean() > 0.5  # what a fifth of the patches would have told


def test_too_few_patches_or_patients_are_not_estimable() -> None:
    few = {"patient": ["a", "b", "a", "b", "c", "c", "c", "c"], "n_bins": 2, "n_draws": 20}
    curve = attribute_curve(LABEL, PREDICTION, VALUES, 2, **few, minimum_patients=2)  # type: ignore[arg-type]
    assert curve.estimable_B.tolist() == [True, False, False, False]
    assert curve.correct_B.tolist() == [1, 0, 0, 3]
    assert np.isnan(curve.slope_K).tolist() == [False, True]
    assert np.isnan(curve.mean_K).tolist() == [False, True]
    none = attribute_curve(LABEL, PREDICTION, VALUES, 2, **few, minimum_patches=5)  # type: ignore[arg-type]
    assert none.worst_bin is None
    assert not none.estimable_B.any()


def test_an_attribute_that_does_not_vary_has_no_slope() -> None:
    curve = attribute_curve([0, 0, 1], [0, 1, 1], [0.3, 0.3, 0.1 + 0.2], 2, patient=list("abc"), **FEW_DRAWS)  # type: ignore[arg-type]
    assert np.isnan(curve.slope_K).all()


@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_bins_cover_every_patch_once_and_slopes_are_least_squares(
    seed: int, n_classes: int, n_bins: int
) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 60))
    label_N, prediction_N = rng.integers(0, n_classes, (2, n))
    value_N = rng.random(n).round(int(rng.integers(1, 4)))
    patient_N = rng.integers(0, 5, n)
    curve = attribute_curve(
        label_N, prediction_N, value_N, n_classes, patient=patient_N, n_bins=n_bins, **FEW_DRAWS  # type: ignore[arg-type]
    )  # fmt: skip
    bin_N = curve.bins.numbers(label_N, value_N)
    assert curve.count_B.sum() == n
    for b, (label, low, high) in enumerate(curve.bins.places):
        inside_N = (label_N == label) & (value_N >= low) & ((value_N < high) | (high == 1))
        assert ((bin_N == b) == inside_N).all()
        assert curve.correct_B[b] == (prediction_N == label_N)[inside_N].sum()
        assert curve.patients_B[b] == len(np.unique(patient_N[inside_N]))
    for y in range(n_classes):
        x_N, right_N = value_N[label_N == y], (prediction_N == label_N)[label_N == y].astype(float)
        if len(np.unique(x_N)) > 1 and len(np.unique(patient_N[label_N == y])) > 1:
            np.testing.assert_allclose(curve.slope_K[y], np.polyfit(x_N, right_N, 1)[0], atol=1e-8)


def test_sizes_are_means_over_repeats_and_patients_of_any() -> None:
    """Patient b is tested in group 1 by the second repeat alone."""
    prediction_RN = [[0, 1, -1], [0, -1, 1]]
    statistics = patient_statistics([0, 1, 1], prediction_RN, [0, 1, 1], ["a", "a", "b"], 2)
    patches_G, patients_G = sizes_of(statistics)
    assert patches_G.tolist() == [1, 1]
    assert patients_G.tolist() == [1, 2]


@given(st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_a_draw_is_what_a_loop_over_resampled_patches_gives(seed: int) -> None:
    rng = np.random.default_rng(seed)
    label_N, patient_N, value_N = rng.integers(0, 2, 50), rng.integers(0, 5, 50), rng.random(50)
    prediction_RN = rng.integers(0, 2, (2, 50))
    prediction_RN[1, :9] = -1
    statistics = slope_statistics(label_N, prediction_RN, value_N, patient_N, 2, minimum_patients=1)
    times_P = rng.multinomial(5, [0.2] * 5)
    found_RK = statistics.metrics(times_P[None].astype(float))[0]
    rows_N = np.repeat(np.arange(50), times_P[patient_N])
    for r in range(2):
        for y in range(2):
            kept_N = rows_N[(label_N[rows_N] == y) & (prediction_RN[r, rows_N] >= 0)]
            if len(np.unique(value_N[kept_N])) > 1:
                right_N = (prediction_RN[r, kept_N] == y).astype(float)
                expected = np.polyfit(value_N[kept_N], right_N, 1)[0]
                np.testing.assert_allclose(found_RK[r, y], expected, atol=1e-8)


def test_slopes_are_bootstrapped_over_patients_and_paired() -> None:
    rng = np.random.default_rng(0)
    value_N, patient_N = rng.random(600), np.repeat([f"p{n}" for n in range(20)], 30)
    label_N = np.ones(600, int)
    shortcut_N, sound_N = (value_N > 0.5).astype(int), (rng.random(600) < 0.8).astype(int)
    one, two = (
        slope_statistics(label_N, prediction_N, value_N, patient_N, 2)
        for prediction_N in (shortcut_N, sound_N)
    )
    found = bootstrap(one, n_draws=200)
    assert set(found) == {"slope_0", "slope_1"}
    assert found["slope_1"].low > 1
    assert np.isnan(found["slope_0"].estimate)
    assert bootstrap(two, n_draws=200)["slope_1"].low < 0 < bootstrap(two, n_draws=200)["slope_1"].high
    assert paired_difference(one, two, n_draws=200)["slope_1"].excludes_zero
    with pytest.raises(GroupError, match="same patches"):
        paired_difference(one, slope_statistics([1], [1], [0.5], ["p0"], 2))


def test_values_that_are_no_shares_are_refused() -> None:
    bins = AttributeBins(2)
    with pytest.raises(GroupError, match="1 of 2 values"):
        bins.numbers([0, 1], [0.5, float("nan")])
    for wrong in (1.1, -0.1):
        with pytest.raises(GroupError, match="shares from 0 to 1"):
            bins.numbers([0, 1], [0.5, wrong])
    with pytest.raises(GroupError):
        slope_statistics([0, 1], [0, 1], [0.5], ["a", "b"], 2)
    with pytest.raises(GroupError, match="0 to 1"):
        bins.numbers([0, 2], [0.5, 0.6])
