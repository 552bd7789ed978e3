"""Intervals where there is little to tell: few patients, a training without a group, odd patterns."""

import numpy as np
import pytest

from models.metrics.cross_fit import cross_fitted_worst
from models.metrics.draws import drawn_ends
from models.metrics.intervals import PatientStatistics, bootstrap, paired_difference, patient_statistics
from models.metrics.spread import Spread


def cohort(seed: int, n_patients: int, repeats: int = 1) -> PatientStatistics:
    """Patients of one label each, 30 patches in both of its groups; a half is right, on average."""
    rng = np.random.default_rng(seed)
    count_PRG = np.full((n_patients, repeats, 4), 30.0)
    count_PRG[::2, :, 2:] = count_PRG[1::2, :, :2] = 0
    chance_P11 = 1 / (1 + np.exp(-rng.normal(0, 1, (n_patients, 1, 1))))
    correct_PRG = rng.binomial(count_PRG.astype(int), chance_P11).astype(float)
    names = tuple(f"p{number:02d}" for number in range(n_patients))
    return PatientStatistics(names, correct_PRG, count_PRG, (), np.ones(4, dtype=bool))


@pytest.mark.parametrize("n_patients", [4, 6])
def test_intervals_of_draws_cover_with_two_and_three_patients_of_a_group(n_patients: int) -> None:
    """Draws of two patients reach no further than both: their percentiles hold the truth too seldom."""
    found = [bootstrap(cohort(seed, n_patients), n_draws=200)["gba"] for seed in range(200)]
    covered = np.mean([each.low <= 0.5 <= each.high for each in found])
    assert covered > 0.93
    assert all(0 <= each.low <= each.estimate <= each.high <= 1 for each in found)


def test_ends_of_few_patients_hold_those_of_a_lower_level() -> None:
    values_D = np.random.default_rng(0).normal(0.5, 0.1, 400) ** 2
    tails = (0.2, 0.05, 0.025, 0.01, 0.001, 1e-5)
    ends = [drawn_ends(values_D, float(values_D.mean()), tail, 3, [], 3) for tail in tails]
    lows, highs = (np.array(part) for part in zip(*ends, strict=True))
    assert (np.diff(lows) <= 0).all()
    assert (np.diff(highs) >= 0).all()
    # Percentiles end with the draws.
    assert lows[-1] < values_D.min()
    assert highs[-1] > values_D.max()
    # Of more patients, they are percentiles.
    assert drawn_ends(values_D, 0.26, 1e-5, 3, [], 4)[0] >= values_D.min()
    unknown = drawn_ends(values_D, 0.26, 0.025, 3, [Spread(np.array(np.nan), np.array(0.0))], 3)
    assert np.isnan(unknown).all()


def test_one_training_alone_with_a_group_tells_no_variation_between_trainings() -> None:
    """An interval as if its patches were independent would be too narrow."""
    both = cohort(3, 12, repeats=2)
    for part_PRG in (both.correct_PRG, both.count_PRG):
        part_PRG[:, 1, 3] = 0
    found = bootstrap(both, n_draws=50)
    other = bootstrap(cohort(3, 12), n_draws=50)
    assert np.isfinite(found["group_3"].estimate)
    for name in ("group_3", "wga", "gba"):
        assert np.isnan([found[name].low, found[name].high]).all(), name
        assert np.isfinite([other[name].low, other[name].high]).all(), name
    assert np.isfinite([found["group_2"].low, found["average"].high]).all()
    assert np.isnan(paired_difference(both, both, n_draws=50)["wga"].low)


def test_patients_of_patterns_of_their_own_come_into_either_half() -> None:
    """Group 3 has two patients, and between them in order is one of group 2 alone."""
    count_PRG = np.zeros((7, 1, 4))
    count_PRG[:4, 0, :2] = 10
    count_PRG[4, 0, 3] = count_PRG[5, 0, 2] = 10
    count_PRG[6, 0, 2:] = 10
    correct_PRG = count_PRG * np.array([0.5, 0.6, 0.7, 0.2])
    assert cross_fitted_worst(correct_PRG, count_PRG, 0) == pytest.approx([0.2])


def test_without_patches_nothing_is_estimable() -> None:
    nothing = patient_statistics([], [], [], [], 4, probability=[])
    for found in (bootstrap(nothing, n_draws=10), paired_difference(nothing, nothing, n_draws=10)):
        assert {"group_3", "wga", "wga_cross_fitted", "average", "auroc_within"} <= set(found)
        for interval in found.values():
            assert np.isnan([interval.estimate, interval.low, interval.high]).all()
            assert interval.few_patients
