"""The expected calibration error: against plain formulas, in its limit cases, and what chance makes of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from models.metrics.calibration import calibration_error
from patching.errors import GroupError


@given(st.integers(0, 10_000), st.sampled_from([1, 2, 5, 10]))
def test_it_is_that_of_scikit_learns_quantile_bins(seed: int, n_bins: int) -> None:
    """Of equal counts, so that its bins' differences count alike."""
    rng = np.random.default_rng(seed)
    label_N, probability_N = rng.integers(0, 2, 100), rng.random(100)
    true_B, told_B = calibration_curve(label_N, probability_N, n_bins=n_bins, strategy="quantile")
    found = calibration_error(label_N, probability_N, n_bins=n_bins)
    assert found.error == pytest.approx(np.abs(true_B - told_B).mean())


def test_by_hand_with_ties_in_one_bin() -> None:
    """Five patches, two bins: three of 0.2 share the first, whose rank is below the half."""
    found = calibration_error([0, 1, 0, 1, 1], [0.2, 0.2, 0.2, 0.7, 0.9], n_bins=2)
    assert found.error == pytest.approx((abs(0.6 - 1) + abs(1.6 - 2)) / 5)
    expected = np.sqrt(2 / np.pi) * (np.sqrt(3 * 0.2 * 0.8) + np.sqrt(0.7 * 0.3 + 0.9 * 0.1)) / 5
    assert found.by_chance == pytest.approx(expected)


@given(st.integers(0, 10_000), st.integers(1, 12))
def test_limits_and_what_it_does_not_depend_on(seed: int, n_bins: int) -> None:
    rng = np.random.default_rng(seed)
    label_N, probability_N = rng.integers(0, 2, 57), rng.random(57).round(1)
    found = calibration_error(label_N, probability_N, n_bins=n_bins)
    order_N = rng.permutation(57)
    assert found == pytest.approx(calibration_error(label_N[order_N], probability_N[order_N], n_bins=n_bins))
    assert abs(probability_N.mean() - label_N.mean()) <= found.error + 1e-12
    assert found.error <= np.abs(probability_N - label_N).mean() + 1e-12
    sure = calibration_error(label_N, label_N, n_bins=n_bins)
    assert sure == (0, 0)
    assert calibration_error(label_N, 1 - label_N, n_bins=57).error == pytest.approx(1)
    one = calibration_error(label_N, np.full(57, 0.3), n_bins=n_bins)
    assert one.error == pytest.approx(abs(0.3 - label_N.mean()))


@pytest.mark.parametrize("n", [50, 400])
def test_right_probabilities_show_what_chance_makes_of_them(n: int) -> None:
    """The bias that is told, by simulation: 0.14 of 50 patches, 0.05 of 400."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(600):
        probability_N = rng.beta(1, 2, n)
        found.append(calibration_error(rng.random(n) < probability_N, probability_N))
    error, by_chance = np.mean(found, axis=0)
    assert by_chance == pytest.approx(error, rel=0.04)
    assert error == pytest.approx({50: 0.14, 400: 0.05}[n], abs=0.005)


def test_what_is_not_there_or_no_label_of_two_is_told() -> None:
    assert np.isnan(calibration_error([], [])).all()
    with pytest.raises(GroupError):
        calibration_error([0, 2], [0.1, 0.2])
    with pytest.raises(GroupError):
        calibration_error([0, 1], [0.1])
