"""Accuracy along the tissue fraction: by hand, against plain formulas, and what it promises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.metrics.along_attribute import AttributeBins, attribute_bins, attribute_curve
from models.metrics.intervals import bootstrap, paired_difference
from models.metrics.slopes import slope_statistics
from patching.errors import GroupError

VALUES = [0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9]
"""Of four patches of label 0, then four of label 1."""
LABEL = [0] * 4 + [1] * 4
PREDICTION = [1, 1, 1, 0, 1, 0, 1, 1]
PATIENT = list("abababab")


def test_two_labels_by_hand() -> None:
    """Label 0 is right on its last patch alone, label 1 on all but its second."""
    curve = attribute_curve(LABEL, PREDICTION, VALUES, 2, patient=PATIENT, n_bins=2)
    edges = [pytest.approx(place) for place in curve.bins.places]
    assert edges == [(0, 0.1, 0.25), (0, 0.25, 0.4), (1, 0.6, 0.75), (1, 0.75, 0.9)]
    assert curve.metrics.count_G.tolist() == [2, 2, 2, 2]
    assert curve.metrics.accuracy_G.tolist() == [0, 0.5, 0.5, 1]
    assert curve.patients_B.tolist() == [2, 2, 2, 2]
    assert curve.worst_bin == 0
    assert curve.area_K.tolist() == [0.25, 0.75]
    # Around the mean of 0.25, x is -0.15, -0.05, 0.05, 0.15: sum of x c is 0.15, of x² 0.05.
    # Around 0.75 the same x: right on -0.15, 0.05, 0.15 gives 0.05 over 0.05.
    np.testing.assert_allclose(curve.slope_K, [3, 1])


def test_a_bin_holds_its_lower_edge_and_the_last_one_its_upper() -> None:
    bins = AttributeBins((np.array([0.0, 0.5, 1.0]), np.array([0.2, 0.2])))
    assert len(bins) == 3
    assert [list(bins.of_label(y)) for y in range(2)] == [[0, 1], [2]]
    assert bins.numbers([0, 0, 0, 0, 0, 1, 1], [-1, 0, 0.5, 1, 2, 0.2, 0.9]).tolist() == [0, 0, 1, 1, 1, 2, 2]


def test_ties_make_fewer_bins_and_an_absent_label_one() -> None:
    bins = attribute_bins([0] * 8, [0.3] + [1.0] * 7, 3, n_bins=4)
    assert [edges.tolist() for edges in bins.edges] == [[0.3, 1.0], [0, 1], [0, 1]]
    curve = attribute_curve([0] * 8, [0] * 8, [0.3] + [1.0] * 7, 3, patient=["a"] * 8)
    assert curve.metrics.count_G.tolist() == [8, 0, 0]
    assert np.isnan(curve.area_K).tolist() == [False, True, True]
    assert np.isnan(curve.slope_K).tolist() == [False, True, True]


def test_too_few_patches_or_patients_are_not_estimable() -> None:
    few = {"patient": ["a", "b", "a", "b", "c", "c", "c", "c"], "n_bins": 2}
    curve = attribute_curve(LABEL, PREDICTION, VALUES, 2, **few, minimum_patients=2)  # type: ignore[arg-type]
    assert curve.metrics.estimable_G.tolist() == [True, True, False, False]
    assert np.isnan(curve.slope_K).tolist() == [False, True]
    assert np.isnan(curve.area_K).tolist() == [False, True]
    none = attribute_curve(LABEL, PREDICTION, VALUES, 2, **few, minimum_patches=5)  # type: ignore[arg-type]
    assert none.worst_bin is None
    assert np.isnan(none.metrics.wga)


def test_an_attribute_that_does_not_vary_has_no_slope() -> None:
    curve = attribute_curve([0, 0, 1], [0, 1, 1], [0.3, 0.3, 0.1 + 0.2], 2, patient=list("abc"))
    assert np.isnan(curve.slope_K).all()
    assert len(curve.bins) == 2


@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_bins_cover_every_patch_once_and_slopes_are_least_squares(
    seed: int, n_classes: int, n_bins: int
) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 60))
    label_N, prediction_N = rng.integers(0, n_classes, (2, n))
    value_N = rng.random(n).round(int(rng.integers(1, 4)))
    curve = attribute_curve(
        label_N, prediction_N, value_N, n_classes, patient=rng.integers(0, 5, n), n_bins=n_bins
    )
    bin_N = curve.bins.numbers(label_N, value_N)
    assert curve.metrics.count_G.sum() == n
    for b, (label, low, high) in enumerate(curve.bins.places):
        inside_N = value_N[bin_N == b]
        assert (label_N[bin_N == b] == label).all()
        assert ((inside_N >= low) & (inside_N <= high)).all()
    for y in range(n_classes):
        x_N, right_N = value_N[label_N == y], (prediction_N == label_N)[label_N == y].astype(float)
        if len(np.unique(x_N)) > 1:
            np.testing.assert_allclose(curve.slope_K[y], np.polyfit(x_N, right_N, 1)[0], atol=1e-8)


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


def test_values_that_are_not_finite_are_refused() -> None:
    with pytest.raises(GroupError, match="1 of 2 values"):
        attribute_bins([0, 1], [0.5, float("nan")], 2)
    with pytest.raises(GroupError):
        slope_statistics([0, 1], [0, 1], [0.5], ["a", "b"], 2)
    with pytest.raises(GroupError, match="0 to 1"):
        attribute_bins([0, 2], [0.5, 0.6], 2)
