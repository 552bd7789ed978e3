"""Intervals of groups, of the worst one and of differences: limits, symmetries, and what they promise."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from benchmarks.intervals.__main__ import cell
from benchmarks.intervals.cohorts import SETTINGS
from models.metrics.cross_fit import cross_fitted_worst
from models.metrics.intervals import (
    FEW_PATIENTS,
    PatientStatistics,
    bootstrap,
    paired_difference,
    patient_statistics,
)
from models.metrics.spread import Spread, effective_patients, over_trainings, shares_of, together, wilson
from models.metrics.worst_group import worst_ends

DRAWS = {"n_draws": 100}


def clustered(seed: int, *, n_patients: int = 16, repeats: int = 1, skill: float = 0.5) -> PatientStatistics:
    """Patients of one label each, whose patches are unequal in number; the last group is the smallest."""
    rng = np.random.default_rng(seed)
    count_PG = rng.poisson([9.0, 4.0, 6.0, 3.0], size=(n_patients, 4)) + 1
    count_PG[::2, 2:] = count_PG[1::2, :2] = 0
    count_PRG = np.repeat(count_PG[:, None], repeats, axis=1)
    chance_PRG = 1 / (
        1 + np.exp(-rng.normal(skill, 1, (n_patients, 1, 1)) - rng.normal(0, 0.4, (repeats, 4)))
    )
    return PatientStatistics(
        patients=tuple(f"p{number:02d}" for number in range(n_patients)),
        correct_PRG=rng.binomial(count_PRG, chance_PRG).astype(float),
        count_PRG=count_PRG.astype(float),
        rankings=(),
        estimable_G=np.ones(4, dtype=bool),
    )


def in_order(statistics: PatientStatistics, order: NDArray[np.int64]) -> PatientStatistics:
    """The same patients under other names."""
    return replace(
        statistics, correct_PRG=statistics.correct_PRG[order], count_PRG=statistics.count_PRG[order]
    )


CLOSED = ("group_0", "group_1", "group_2", "group_3", "wga")


@given(st.integers(0, 10**6), st.integers(1, 3))
@settings(max_examples=25, deadline=None)
def test_intervals_hold_their_estimate_and_grow_with_the_level(seed: int, repeats: int) -> None:
    one, two = clustered(seed, repeats=repeats), clustered(seed, repeats=repeats, skill=1)
    for make in (bootstrap, lambda sums, **options: paired_difference(sums, two, **options)):
        found = [make(one, level=level, **DRAWS) for level in (0.5, 0.8, 0.95, 0.99)]
        for name in found[0]:
            ends = [(each[name].low, each[name].high) for each in found]
            assert [low for low, _ in ends] == sorted((low for low, _ in ends), reverse=True)
            assert [high for _, high in ends] == sorted(high for _, high in ends)
            if name != "wga_cross_fitted":
                assert all(each[name].low <= each[name].estimate <= each[name].high for each in found)
        assert all(-1 <= each.low <= each.high <= 1 for each in found[-1].values())


@given(st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_other_names_of_patients_change_nothing(seed: int) -> None:
    statistics, other = clustered(seed, repeats=2), clustered(seed + 1, repeats=2)
    other = replace(
        other,
        count_PRG=statistics.count_PRG,
        correct_PRG=statistics.count_PRG - other.correct_PRG.clip(0, statistics.count_PRG),
    )
    order = np.random.default_rng(seed).permutation(16)
    same, as_well = in_order(statistics, order), in_order(other, order)
    for one, two in (
        (bootstrap(statistics, **DRAWS), bootstrap(same, **DRAWS)),
        (paired_difference(statistics, other, **DRAWS), paired_difference(same, as_well, **DRAWS)),
    ):
        for name in CLOSED:
            assert (one[name].low, one[name].high) == pytest.approx((two[name].low, two[name].high))
        assert one["gba"].estimate == pytest.approx(two["gba"].estimate)


@given(st.integers(0, 10**6), st.integers(1, 4))
@settings(max_examples=15, deadline=None)
def test_a_method_differs_from_itself_by_nothing(seed: int, repeats: int) -> None:
    statistics = clustered(seed, repeats=repeats)
    found = paired_difference(statistics, statistics, **DRAWS)
    assert {(each.estimate, each.low, each.high) for each in found.values()} == {(0, 0, 0)}


@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 3))
@settings(max_examples=15, deadline=None)
def test_a_difference_turned_round_is_its_negative(seed: int, repeats: int, others: int) -> None:
    one, two = clustered(seed, repeats=repeats), clustered(seed, repeats=others, skill=1.5)
    there, back = paired_difference(one, two, **DRAWS), paired_difference(two, one, **DRAWS)
    for name in CLOSED:
        assert (there[name].low, there[name].high) == pytest.approx((-back[name].high, -back[name].low))
    assert there["wga"].holds == ("patients" if 1 in (repeats, others) else "patients and training")


def test_wilsons_interval_is_that_of_independent_patches() -> None:
    """Of 40 patches, each a patient, 30 are right."""
    spread = Spread(np.array([0.75 * 0.25 / 40]), np.array([1e9]))
    low, high = wilson(np.array([0.75]), spread, np.array([1e6]), np.array([1e6]), 0.025)
    expected = stats.binomtest(30, 40).proportion_ci(method="wilson")
    assert (low[0], high[0]) == pytest.approx((expected.low, expected.high), abs=1e-4)


def test_as_many_patches_as_patients_do_not_count_more_than_once() -> None:
    spread = Spread(np.array([1e-6]), np.array([50.0]))
    few, many = (
        wilson(np.array([0.9]), spread, np.array([10.0]), np.array([patches]), 0.025)
        for patches in (20.0, 1e5)
    )
    assert few[1][0] - few[0][0] > 5 * (many[1][0] - many[0][0])


@pytest.mark.parametrize(("right", "end"), [(6, 1.0), (0, 0.0)])
def test_where_all_are_right_or_wrong_an_end_is_short_of_nothing(right: int, end: float) -> None:
    """Ten patients, all of whose patches are right: no draw differs, and yet another patient may."""
    found = {}
    for n in (3, 10, 100):
        prediction = [1] * right * n + [0] * (6 - right) * n
        patient = np.arange(6 * n) // 6
        found[n] = bootstrap(patient_statistics([1] * 6 * n, prediction, [0] * 6 * n, patient, 1), **DRAWS)
    reach = [max(abs(each["wga"].low - end), abs(each["wga"].high - end)) for each in found.values()]
    assert all(end in (each["wga"].low, each["wga"].high) for each in found.values())
    assert reach[0] > 0.5 > reach[1] > 0.1 > reach[2] > 0.01
    assert [each["wga"].few_patients for each in found.values()] == [True, False, False]


def test_one_patient_has_no_interval() -> None:
    """Group 1 is one patient's: neither it nor the worst group has ends, whatever the minimum."""
    statistics = patient_statistics(
        [1] * 8, [1, 0, 1, 1, 0, 1, 1, 0], [0, 0, 0, 0, 0, 0, 1, 1], list("aabbccdd"), 2, minimum_patients=1
    )
    found = bootstrap(statistics, **DRAWS)
    assert found["wga"].estimate == 0.5
    ends = [(found[name].low, found[name].high) for name in ("group_1", "wga", "gba")]
    assert np.isnan(ends).all()
    assert 0 < found["group_0"].low < found["group_0"].high < 1
    assert (found["group_1"].patients, found["wga"].patients, found["average"].patients) == (1, 1, 4)
    alone = bootstrap(patient_statistics([1, 1], [1, 0], [0, 0], ["a", "a"], 1, minimum_patients=1), **DRAWS)
    assert np.isnan([(each.low, each.high) for each in alone.values()]).all()
    assert alone["average"].estimate == 0.5


def test_a_group_without_patches_is_left_out() -> None:
    statistics = patient_statistics([1] * 6, [1, 0, 1, 1, 0, 0], [0, 0, 0, 2, 2, 2], list("abcabc"), 4)
    found = bootstrap(statistics, **DRAWS)
    assert np.isnan([found["group_1"].low, found["group_3"].estimate]).all()
    assert found["wga"].estimate == pytest.approx(1 / 3)
    assert found["wga"].low <= found["group_2"].high
    none = paired_difference(*[patient_statistics([1], [1], [0], ["a"], 1)] * 2, **DRAWS)
    assert np.isnan([none["wga"].estimate, none["wga"].low, none["wga"].high]).all()


def test_few_patients_are_those_of_the_smallest_group() -> None:
    found = bootstrap(clustered(0, n_patients=2 * FEW_PATIENTS), **DRAWS)
    assert {name for name, each in found.items() if each.few_patients} == set()
    assert (found["wga"].patients, found["average"].patients) == (FEW_PATIENTS, 2 * FEW_PATIENTS)
    found = bootstrap(clustered(0, n_patients=2 * FEW_PATIENTS - 1), **DRAWS)
    few = {name for name, each in found.items() if each.few_patients}
    assert few == {"group_2", "group_3", "wga", "wga_cross_fitted", "gba"}


def test_effective_patients_by_hand() -> None:
    count_PG = np.array([[10.0, 30, 0], [10, 1, 0], [10, 1, 5], [0, 1, 0]])
    effective_G = effective_patients(count_PG)
    assert effective_G[:2] == pytest.approx(
        [3, 2]
    )  # 33^2 / 903 is 1.2, and two at least are known to be there.
    assert np.isnan(effective_G[2])


def test_variances_are_added_with_satterthwaites_freedom() -> None:
    """By scipy: Welch's test of two samples is that sum."""
    rng = np.random.default_rng(0)
    one_R1, two_R1 = rng.normal(0, 1, (7, 1)), rng.normal(0, 3, (4, 1))
    both = together([over_trainings(one_R1), over_trainings(two_R1)])
    expected = stats.ttest_ind(one_R1[:, 0], two_R1[:, 0], equal_var=False)
    assert both.freedom[0] == pytest.approx(expected.df)
    reach = both.reach(0.025)[0]
    middle = one_R1.mean() - two_R1.mean()
    interval = expected.confidence_interval(0.95)
    assert (middle - reach, middle + reach) == pytest.approx((interval.low, interval.high))


def test_trainings_that_differ_widen_and_their_number_narrows() -> None:
    """Repeats of the same predictions, then with a patch of group 1 that every second one has not."""
    base = clustered(3)
    repeated = {
        n: replace(
            base, correct_PRG=base.correct_PRG.repeat(n, axis=1), count_PRG=base.count_PRG.repeat(n, axis=1)
        )
        for n in (2, 5)
    }
    one, same = bootstrap(base, **DRAWS), bootstrap(repeated[2], **DRAWS)
    for name in CLOSED:
        assert (one[name].low, one[name].high) == pytest.approx((same[name].low, same[name].high))
    assert (one["wga"].holds, same["wga"].holds) == ("patients", "patients and training")
    width = {}
    for n, statistics in repeated.items():
        every_second_R = np.where(np.arange(n) % 2, 2, 0)[:, None] * (np.arange(4) == 1)
        correct_PRG = (statistics.correct_PRG - every_second_R).clip(0)
        found = bootstrap(replace(statistics, correct_PRG=correct_PRG), **DRAWS)
        width[n] = {name: found[name].high - found[name].low for name in (*CLOSED, "gba", "average")}
    assert width[2]["group_1"] > 1.3 * width[5]["group_1"]
    assert width[2]["gba"] > 1.2 * width[5]["gba"]
    assert width[2]["group_3"] == pytest.approx(one["group_3"].high - one["group_3"].low)


def test_the_cross_fitted_worst_group_is_another_half_s() -> None:
    """Four groups alike: the lowest is below their accuracy, the cross-fitted one is not, on average."""
    rng = np.random.default_rng(2)
    count_PRG = np.full((24, 1, 4), 5.0)
    found = []
    for seed in range(150):
        correct_PRG = rng.binomial(5, rng.beta(6, 4, (24, 1, 1)), (24, 1, 4)).astype(float)
        lowest = (correct_PRG.sum(axis=0) / count_PRG.sum(axis=0)).min()
        found.append((lowest, cross_fitted_worst(correct_PRG, count_PRG, seed)[0]))
    plug_in, cross = np.mean(found, axis=0)
    assert plug_in < 0.57
    assert cross == pytest.approx(0.6, abs=0.015)


def test_the_cross_fitted_worst_group_by_hand() -> None:
    """Two patients a group: every split has one of each in a half, and group 1 is the worst in both."""
    correct_PRG = np.zeros((4, 1, 2))
    count_PRG = np.zeros((4, 1, 2))
    count_PRG[:2, 0, 0] = count_PRG[2:, 0, 1] = 4
    correct_PRG[:, 0] = [[4, 0], [3, 0], [0, 1], [0, 2]]
    assert cross_fitted_worst(correct_PRG, count_PRG, 0) == pytest.approx([(0.25 + 0.5) / 2])
    # A group of one patient is never in both halves.
    assert np.isnan(cross_fitted_worst(correct_PRG[:3], count_PRG[:3], 0)).all()
    assert np.isnan(cross_fitted_worst(correct_PRG[..., :0], count_PRG[..., :0], 0)).all()
    one = cross_fitted_worst(*(clustered(1).correct_PRG, clustered(1).count_PRG), 5)
    assert one == cross_fitted_worst(*(clustered(1).correct_PRG, clustered(1).count_PRG), 5)


def test_cohorts_together_are_cohorts_one_by_one() -> None:
    several = [clustered(seed, repeats=2) for seed in (4, 5, 6)]
    correct, count = (
        np.stack([getattr(each, part) for each in several], axis=2) for part in ("correct_PRG", "count_PRG")
    )
    together_C = worst_ends(shares_of(correct, count, np.ones(4, dtype=bool)), 0.025, training=True)
    alone = [worst_ends(each.shares(), 0.025, training=True) for each in several]
    np.testing.assert_allclose(np.array(together_C), np.array(alone).T)


def test_the_worst_group_is_covered_where_percentiles_miss_it() -> None:
    """Four equal groups of ten patients: the lowest is too low, and so are percentiles of it."""
    found = cell(SETTINGS[1], 20, 300)
    assert found["ours"]["first wga"]["coverage"] > 0.95
    assert found["others"]["first wga|percentile"]["coverage"] < 0.8
    assert min(found["ours"][f"first group {g}"]["coverage"] for g in range(4)) > 0.92
    assert found["others"]["first group 3|percentile"]["coverage"] < 0.92
    assert found["ours"]["wga difference"]["better"] < 0.03
    assert found["means"]["plug-in"] < -0.04
    assert abs(found["means"]["cross-fitted"]) < 0.012
    trained = cell(SETTINGS[0].trained(3, 0.5), 60, 200, others=False)
    assert trained["ours"]["group difference 2"]["coverage"] > 0.9
