"""The arithmetic of the audit, held against tables, statsmodels' formulas by hand, and plain counting."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.data.attributes import cramers_v
from models.metrics.audit.bins import NONE, estimable_bins, quantile_bins, quantile_edges
from models.metrics.audit.concentration import concentration
from models.metrics.audit.effects import Effects, binned_effects
from models.metrics.audit.levels import slide_levels
from models.metrics.audit.slices import worst_slices


def effects(
    outcome: NDArray[np.int64],
    bin_N: NDArray[np.int64],
    patient: NDArray[np.int64],
    stratum: NDArray[np.int64] | None = None,
) -> Effects:
    return binned_effects(outcome, bin_N, int(bin_N.max()) + 1, patient=patient, stratum=stratum)


@given(st.integers(0, 10_000), st.integers(2, 5))
@settings(max_examples=25, deadline=None)
def test_without_strata_the_tie_is_cramers_v_less_chance(seed: int, n_bins: int) -> None:
    rng = np.random.default_rng(seed)
    bin_N = np.append(np.repeat(np.arange(n_bins), 2), rng.integers(0, n_bins, 300))
    label_N = (rng.random(len(bin_N)) < 0.3 + 0.4 * bin_N / n_bins).astype(np.int64)
    # Every patch its own patient: then chance is that of independent patches.
    found = effects(label_N, bin_N, np.arange(len(bin_N)))
    table = np.zeros((2, n_bins))
    np.add.at(table, (label_N, bin_N), 1)
    raw = cramers_v(table) ** 2
    chance = (n_bins - 1) / (len(bin_N) - 1)
    assert found.explained == pytest.approx(max(raw - chance, 0), abs=0.5 * chance)
    assert found.mean_B == pytest.approx(table[1] / table.sum(axis=0))


def test_differences_at_equal_strata_are_those_of_a_regression_with_clustered_errors() -> None:
    rng = np.random.default_rng(3)
    n = 400
    patient, stratum, bin_N = rng.integers(0, 17, n), rng.integers(0, 4, n), rng.integers(0, 3, n)
    outcome = (rng.random(n) < 0.2 + 0.1 * stratum + 0.15 * bin_N).astype(np.int64)
    design = np.column_stack([np.eye(4)[stratum], np.eye(3)[bin_N][:, 1:]])
    constant, *_ = np.linalg.lstsq(design, outcome, rcond=None)
    left = outcome - design @ constant
    scores = np.stack([design[patient == p].T @ left[patient == p] for p in range(17)])
    bread = np.linalg.inv(design.T @ design)
    covariance = bread @ (scores.T @ scores) @ bread
    found = effects(outcome, bin_N, patient, stratum)
    assert found.pair_C2.tolist() == [[0, 1], [0, 2], [1, 2]]
    assert found.difference_C[:2] == pytest.approx(constant[4:])
    assert found.difference_C[2] == pytest.approx(constant[5] - constant[4])
    # Beside the sandwich, docs/intervals.md gives half a patient more, and m / (m - 1).
    m = found.spread_C.freedom[:2] + 1
    expected = (np.diag(covariance)[4:] + 0.5 * (constant[4:] / m) ** 2) * m / (m - 1)
    assert found.spread_C.variance[:2] == pytest.approx(expected)


def test_an_attribute_that_is_the_stratum_has_no_difference_of_its_own() -> None:
    rng = np.random.default_rng(0)
    bin_N, patient = rng.integers(0, 3, 200), rng.integers(0, 9, 200)
    found = effects(rng.integers(0, 2, 200), bin_N, patient, bin_N)
    assert len(found.pair_C2) == 0
    assert found.gap(0.95) is None


def test_what_strata_explain_is_no_tie_of_the_attribute() -> None:
    rng = np.random.default_rng(1)
    patient = np.repeat(np.arange(40), 50)
    stratum = rng.integers(0, 2, 2000)
    label = (rng.random(2000) < np.where(stratum, 0.9, 0.1)).astype(np.int64)
    bin_N = (rng.random(2000) < np.where(stratum, 0.8, 0.2)).astype(np.int64)
    assert effects(label, bin_N, patient).tie(0.95).low > 0.3
    beyond = effects(label, bin_N, patient, stratum)
    assert beyond.tie(0.95).low == 0
    assert not (beyond.sure_C(0.95) > 0).any()


def test_a_patient_counts_once_however_many_patches_it_has() -> None:
    """Of patches as the unit, chance findings of a slide's tint would be told half of the time."""
    told_by_patient, told_by_patch, n_trials = 0, 0, 200
    for seed in range(n_trials):
        rng = np.random.default_rng(seed)
        patient = np.repeat(np.arange(20), 60)
        share_P, tint_P = rng.uniform(0.2, 0.8, 20), rng.permutation(np.arange(20) % 2)
        label = (rng.random(1200) < share_P[patient]).astype(np.int64)
        bin_N = tint_P[patient]
        told_by_patient += bool((effects(label, bin_N, patient).sure_C(0.95) > 0).any())
        told_by_patch += bool((effects(label, bin_N, np.arange(1200)).sure_C(0.95) > 0).any())
    assert told_by_patient <= 0.08 * n_trials
    assert told_by_patch > 0.4 * n_trials


@pytest.mark.parametrize("outcome", [0, 1])
def test_an_outcome_that_does_not_vary_tells_nothing(outcome: int) -> None:
    bin_N, patient = np.arange(60) % 3, np.arange(60) // 10
    found = effects(np.full(60, outcome), bin_N, patient)
    assert np.isnan(found.tie(0.95).estimate)
    assert not (found.sure_C(0.95) > 0).any()


def test_one_patient_tells_nothing() -> None:
    rng = np.random.default_rng(0)
    found = effects(rng.integers(0, 2, 90), rng.integers(0, 3, 90), np.zeros(90, np.int64))
    assert np.isnan(found.mean_B).all()
    assert found.gap(0.95) is None


def test_small_bins_are_left_out_and_counted() -> None:
    bin_N = np.array([0] * 30 + [1] * 30 + [2] * 3 + [NONE] * 5)
    patient = np.arange(68) % 6
    minimums = {"minimum_patches": 10, "minimum_patients": 2}
    assert estimable_bins(bin_N, 3, patient, **minimums).tolist() == [True, True, False]
    found = binned_effects(np.arange(68) % 2, bin_N, 3, patient=patient, **minimums)
    assert found.count_B.tolist() == [30, 30, 3]
    assert np.isnan(found.mean_B[2])
    assert found.pair_C2.tolist() == [[0, 1]]


def test_bins_of_infinite_and_equal_values() -> None:
    value = np.array([1.0, 1, 1, 1, 2, np.inf, np.nan])
    edges = quantile_edges(value, 4)
    assert edges.tolist() == [1.0]
    assert quantile_bins(value, edges).tolist() == [0, 0, 0, 0, 1, NONE, NONE]


def test_a_slides_level_is_its_tint_and_not_its_tumor_or_tissue() -> None:
    rng = np.random.default_rng(5)
    n_slides, n = 12, 12 * 80
    slide = np.repeat(np.arange(n_slides), 80)
    tint_J, share_J = rng.normal(0, 1, n_slides), rng.uniform(0.1, 0.9, n_slides)
    label = (rng.random(n) < share_J[slide]).astype(np.int64)
    tissue = rng.integers(0, 4, n)
    value = tint_J[slide] + 3 * label + 2 * tissue + rng.normal(0, 0.1, n)
    value[:5] = np.nan
    known = slide < 8
    level_J = slide_levels(value, label, tissue, slide, known)[::80]
    assert np.corrcoef(level_J, tint_J)[0, 1] > 0.999
    plain_J = np.array([np.nanmean(value[slide == j]) for j in range(n_slides)])
    assert np.corrcoef(plain_J, tint_J)[0, 1] < 0.95


def test_levels_of_slides_with_one_label_keep_it() -> None:
    slide = np.repeat(np.arange(4), 10)
    label = slide % 2
    level = slide_levels(5.0 * label, label, np.zeros(40, np.int64), slide, np.ones(40, bool))
    assert np.ptp(level) == pytest.approx(5)


def planted(
    seed: int,
) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64], list[NDArray[np.int64]]]:
    """Correctness 0.9, but 0.4 in tumor patches of bin 3 of the first attribute and bin 0 of the third."""
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(20), 200)
    bins = [rng.integers(0, 4, 4000), rng.integers(0, 2, 4000), rng.integers(0, 3, 4000)]
    label = rng.integers(0, 2, 4000)
    bad = (label == 1) & (bins[0] == 3) & (bins[2] == 0)
    return rng.random(4000) < np.where(bad, 0.4, 0.9), label, patient, bins


def test_the_worst_slice_is_the_planted_one_and_no_second_tells_it_again() -> None:
    correct, label, patient, bins = planted(2)
    minimums = {"minimum_patches": 20, "minimum_patients": 2}
    found, looked_at = worst_slices(correct, label, patient, bins, most=5, level=0.95, **minimums)
    assert looked_at == 2 * (4 * 2 + 4 * 3 + 2 * 3)
    first = found[0]
    assert (first.place.label, first.place.attributes, first.place.bins) == (1, (0, 2), (3, 0))
    own = (label == 1) & (bins[0] == 3) & (bins[2] == 0)
    assert first.patches == own.sum()
    assert first.accuracy == pytest.approx(correct[own].mean())
    assert first.elsewhere == pytest.approx(correct[~own & (label == 1)].mean())
    assert first.low < first.accuracy < first.high < first.surely < first.elsewhere
    assert all(each.accuracy < each.elsewhere for each in found)


def test_no_slice_of_too_few_patients() -> None:
    correct, label, patient, bins = planted(0)
    minimums = {"minimum_patches": 20, "minimum_patients": 21}
    assert worst_slices(correct, label, patient, bins, most=5, level=0.95, **minimums) == ((), 0)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=1, max_size=60))
def test_half_of_the_errors_lie_in_the_counted_patients(rows: list[tuple[bool, int]]) -> None:
    wrong, unit = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    found = concentration(wrong, unit)
    per_unit = sorted((int(wrong[unit == u].sum()) for u in set(unit.tolist())), reverse=True)
    assert found.errors == sum(per_unit)
    assert 2 * sum(per_unit[: found.fewest]) >= found.errors
    assert found.fewest == 0 or 2 * sum(per_unit[: found.fewest - 1]) < found.errors
    assert found.units == len(per_unit)
