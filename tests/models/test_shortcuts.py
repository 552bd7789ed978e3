"""Answers without a network: cuts, the linear model, folds of patients, and the permutation null."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from scipy.special import logit
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from models.data.attributes import ThresholdRule
from models.metrics.accuracy import group_metrics
from models.metrics.shortcuts.answers import (
    balanced_cut,
    balanced_weights,
    linear_answers,
    tissue_answers,
)
from models.metrics.shortcuts.patches import (
    CheckedPatches,
    ShortcutSettings,
    patient_folds,
    require_both_labels,
)
from models.metrics.shortcuts.permutations import (
    against_null,
    cross_validated,
    figures_of,
    permutation_null,
    permuted_labels,
)
from patching.errors import GroupError

RULES = {"low": ThresholdRule(quantile=0.4), "fixed": ThresholdRule(value=0.6)}
MINIMUMS = {"minimum_patches": 1, "minimum_patients": 1}


def cohort(
    *, whole: bool, signal: float = 0.0, patients: int = 12, seed: int = 0, features: int = 3
) -> CheckedPatches:
    """Patients of unequal size whose pixels differ from patient to patient, labels by patient or by runs.

    Args:
        whole: every patient has one label.
        signal: what a tumor patch adds to the first statistic.
    """
    rng = np.random.default_rng(seed)
    counts_P = rng.integers(8, 30, patients)
    patient = np.repeat([f"p{n:02d}" for n in range(patients)], counts_P)
    if whole:
        label_N = np.repeat(rng.permutation(np.arange(patients) % 2), counts_P)
    else:
        label_N = np.concatenate([in_runs(rng, n) for n in counts_P])
    own_NS = np.repeat(rng.normal(0, 1, (patients, features)), counts_P, axis=0)
    statistics_NS = own_NS + rng.normal(0, 1, (len(label_N), features))
    statistics_NS[:, 0] += signal * label_N
    return CheckedPatches(
        statistics_NS, rng.uniform(0.1, 0.95, len(label_N)), label_N.astype(np.int64), patient
    )


def in_runs(rng: np.random.Generator, n: int) -> NDArray[np.int64]:
    """Labels of a patient: mostly those of the neighbor, and of both kinds."""
    label_N = np.cumsum(rng.random(n) < 0.2) % 2
    label_N[:2] = 0, 1
    return label_N


@given(
    st.lists(st.tuples(st.integers(-4, 4), st.integers(0, 1)), min_size=2).filter(
        lambda pairs: len({y for _, y in pairs}) == 2
    )
)
def test_the_cut_is_the_best_there_is(pairs: list[tuple[int, int]]) -> None:
    score_N, label_N = (np.array(each) for each in zip(*pairs, strict=True))
    cut, sign = balanced_cut(score_N.astype(np.float64), label_N.astype(np.int64))

    def balanced(above_N: NDArray[np.bool_]) -> float:
        return float(above_N[label_N == 1].mean() + 1 - above_N[label_N == 0].mean()) / 2

    others = [balanced(side * (score_N - other) > 0) for other in np.arange(-5, 6) + 0.5 for side in (-1, 1)]
    reached = balanced(sign * (score_N - cut) > 0)
    assert reached >= max(others) - 1e-12


def test_the_cut_lies_midway_and_on_either_side() -> None:
    score_N, label_N = np.array([1.0, 2, 4, 10]), np.array([0, 0, 1, 1])
    assert balanced_cut(score_N, label_N) == (3, 1)
    assert balanced_cut(score_N, 1 - label_N) == (3, -1)
    # Classes weigh the same, however many patches they have: 1 of 1 and 3 of 4 beat 0 of 1 and 4 of 4.
    assert balanced_cut(np.array([1.0, 2, 3, 5, 9]), np.array([0, 0, 0, 1, 0])) == (4, 1)


def test_groups_weigh_the_same() -> None:
    group_N = np.array([0, 0, 0, 2, 3, 3])
    weight_N = balanced_weights(group_N)
    assert weight_N.mean() == pytest.approx(1)
    assert np.bincount(group_N, weights=weight_N) == pytest.approx([2, 0, 2, 2])


def test_tissue_is_cut_by_other_patients_and_on_the_scale_of_log_odds() -> None:
    patient = np.array(["a", "b", "c", "d", "e"])
    tissue_N = np.array([0.01, 0.02, 0.06, 0.5, 0.9])
    patches = CheckedPatches(np.zeros((5, 1)), tissue_N, np.array([1, 1, 0, 0, 0]), patient)
    # Without c, the cut is between 0.02 and 0.5, and c is under it: at 0.125 on the scale of log-odds;
    fold_N = np.array([0, 1, 2, 3, 4])
    found = tissue_answers(patches, tissue_N, fold_N, {"low": ThresholdRule(quantile=0.5)})["low"]
    cut = (logit(0.02) + logit(0.5)) / 2
    assert found.score_N[2] == pytest.approx(cut - logit(0.06))
    assert found.prediction_N.tolist() == [1, 1, 1, 0, 0]
    # and the attribute of each is above the median of the four others, not of all five.
    assert found.attribute_N.tolist() == [0, 0, 0, 1, 1]


def test_the_patients_mean_is_one_number_for_all_of_its_patches() -> None:
    patient = np.array(["b", "a", "b", "a", "a"])
    patches = CheckedPatches(np.zeros((5, 1)), np.array([0.2, 0.3, 0.4, 0.6, 0.9]), np.zeros(5, int), patient)
    assert patches.patient_tissue_N == pytest.approx([0.3, 0.6, 0.3, 0.6, 0.6])


def test_the_linear_model_is_scikit_learns_on_the_other_patients() -> None:
    patches = cohort(whole=False, signal=1.0)
    statistics_NS = np.column_stack([50 * patches.statistics_NS, np.full(len(patches.label_N), 3.0)])
    patches = replace(patches, statistics_NS=statistics_NS)
    fold_N = patient_folds(patches, patches.label_N, 3, 0)
    found = linear_answers(patches, patches.label_N, fold_N, RULES, ridge=0.5)
    logs = FunctionTransformer(lambda x: np.sign(x) * np.log(1 + np.abs(x)))
    for name, rule in RULES.items():
        for fold in range(3):
            train_N, test_N = fold_N != fold, fold_N == fold
            above = rule.threshold(patches.tissue_fraction_N[train_N])
            attribute_N = (patches.tissue_fraction_N > above).astype(int)
            group_M = (2 * patches.label_N + attribute_N)[train_N]
            weight_M = len(group_M) / (4 * np.bincount(group_M)[group_M])
            model = make_pipeline(logs, StandardScaler(), LogisticRegression(C=2, tol=1e-9, max_iter=5000))
            model.fit(
                statistics_NS[train_N], patches.label_N[train_N], logisticregression__sample_weight=weight_M
            )
            expected = model.decision_function(statistics_NS[test_N])
            assert found[name].score_N[test_N] == pytest.approx(expected, rel=1e-3, abs=1e-3)
            assert found[name].attribute_N[test_N].tolist() == attribute_N[test_N].tolist()


def test_a_tested_patients_labels_do_not_reach_its_answers() -> None:
    patches = cohort(whole=False, signal=1.0)
    fold_N = patient_folds(patches, patches.label_N, 3, 0)
    before = linear_answers(patches, patches.label_N, fold_N, RULES, 0.01)["low"].score_N
    other_N = np.where(fold_N == 1, 1 - patches.label_N, patches.label_N)
    after = linear_answers(patches, other_N, fold_N, RULES, 0.01)["low"].score_N
    assert after[fold_N == 1].tolist() == before[fold_N == 1].tolist()
    assert after[fold_N == 0].tolist() != before[fold_N == 0].tolist()
    tissue_N = patches.tissue_fraction_N
    by_tissue = [
        tissue_answers(replace(patches, label_N=each), tissue_N, fold_N, RULES)["low"].score_N[fold_N == 1]
        for each in (patches.label_N, other_N)
    ]
    assert by_tissue[0].tolist() == by_tissue[1].tolist()


def test_training_patches_of_one_label_give_that_answer() -> None:
    patches = cohort(whole=True, patients=4)
    label_N = (patches.patient_N == 2).astype(np.int64)
    fold_N = (patches.patient_N == 2).astype(np.int64)
    found = linear_answers(patches, label_N, fold_N, RULES, 0.01)["low"]
    assert set(found.prediction_N[fold_N == 1]) == {0}


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_patients_stay_whole_and_labels_are_shared_out(whole: bool, seed: int) -> None:
    patches = cohort(whole=whole, patients=20, seed=seed)
    fold_N = patient_folds(patches, patches.label_N, 4, seed)
    assert all(len(set(fold_N[patches.patient == name])) == 1 for name in patches.patient)
    assert sorted(set(fold_N)) == [0, 1, 2, 3]
    for y in (0, 1):
        share_F = np.bincount(fold_N[patches.label_N == y]) / (patches.label_N == y).sum()
        assert share_F.min() > 0.1
        assert share_F.max() < 0.4
    assert fold_N.tolist() == patient_folds(patches, patches.label_N, 4, seed).tolist()


def test_of_fewer_patients_than_folds_each_is_left_out_in_turn() -> None:
    patches = cohort(whole=True, patients=4)
    fold_N = patient_folds(patches, patches.label_N, 9, 0)
    assert len({(p, f) for p, f in zip(patches.patient_N, fold_N, strict=True)}) == 4
    assert sorted(set(fold_N)) == [0, 1, 2, 3]


def test_one_patient_of_a_label_is_too_few() -> None:
    patches = cohort(whole=True, patients=4)
    require_both_labels(patches)
    with pytest.raises(GroupError, match="3 patients with patches of label 0 and 1 with patches of label 1"):
        require_both_labels(replace(patches, label_N=(patches.patient_N == 2).astype(np.int64)))


def test_whole_patients_change_their_label_and_keep_their_patches() -> None:
    patches = cohort(whole=True, patients=9)
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(60):
        label_N = permuted_labels(patches.label_N, patches.patient_N, rng)
        of_patients = [set(label_N[patches.patient_N == p]) for p in range(9)]
        assert all(len(each) == 1 for each in of_patients)
        assert sum(each == {1} for each in of_patients) == 4
        seen.add(tuple(label_N))
    assert len(seen) > 40


def test_a_patients_labels_are_anothers_turned() -> None:
    # Patches of three patients of five lie mixed in the table, each patient's in their order.
    rng = np.random.default_rng(3)
    patient_N = rng.permutation(np.repeat([0, 1, 2], 5))
    labels_P = np.array([[0, 0, 0, 0, 1], [0, 0, 1, 1, 1], [0, 1, 0, 1, 1]])
    label_N = np.empty(15, np.int64)
    for p in range(3):
        label_N[patient_N == p] = labels_P[p]
    turned = [{tuple(np.roll(each, k)) for k in range(5)} for each in labels_P]
    givers, begun = set(), set()
    for _ in range(80):
        permuted_N = permuted_labels(label_N, patient_N, rng)
        rows = [tuple(permuted_N[patient_N == p]) for p in range(3)]
        giver = tuple(next(q for q in range(3) if row in turned[q]) for row in rows)
        assert sorted(giver) == [0, 1, 2]
        givers.add(giver)
        begun |= {row for row in rows if row in turned[0]}
    assert len(givers) == 6
    assert begun == turned[0]


def test_labels_are_stretched_and_thinned_to_their_taker() -> None:
    label_N, patient_N = np.repeat([0, 1, 1], [20, 10, 6]), np.repeat([0, 1], [30, 6])
    for seed in range(10):
        permuted_N = permuted_labels(label_N, patient_N, np.random.default_rng(seed))
        long, short = permuted_N[:30], permuted_N[30:]
        if set(long) == {1}:
            assert short.sum() == 2  # a third of 6, and in one piece of the ring
            assert np.abs(np.diff(np.append(short, short[0]))).sum() == 2
        else:
            assert long.sum() == 10
            assert set(short) == {1}


def mean_difference(label_N: NDArray[np.int64], value_N: NDArray[np.float64]) -> float:
    return float(abs(value_N[label_N == 1].mean() - value_N[label_N == 0].mean()))


@pytest.mark.parametrize("whole", [True, False])
def test_p_is_uniform_where_there_is_nothing(whole: bool) -> None:
    """With a cheap statistic, so that there can be many cohorts. Were patches permuted, half of them would be
    told from chance: within patients, pixels are alike and labels are."""
    p_values = []
    for seed in range(200):
        patches = cohort(whole=whole, seed=seed, patients=14, features=1)
        value_N, rng = patches.statistics_NS[:, 0], np.random.default_rng(seed)
        # Neighbors are alike in their pixels too.
        value_N = value_N + np.convolve(rng.normal(size=len(value_N)), np.ones(5), mode="same")
        permuted = [permuted_labels(patches.label_N, patches.patient_N, rng) for _ in range(39)]
        null_M = np.array([mean_difference(label_N, value_N) for label_N in permuted])
        p_values.append(against_null(mean_difference(patches.label_N, value_N), null_M)["p"])
    assert stats.kstest(p_values, "uniform").pvalue > 0.01
    assert np.mean(np.array(p_values) <= 0.05) < 0.09


@pytest.mark.parametrize("whole", [True, False])
def test_a_planted_shortcut_is_found_and_noise_is_not(whole: bool) -> None:
    settings = ShortcutSettings(folds=3, permutations=19)
    found = {}
    for signal in (0.0, 4.0):
        patches = cohort(whole=whole, signal=signal, patients=14, seed=5)
        null = permutation_null(patches, RULES, settings, MINIMUMS)
        answers = cross_validated(patches, patches.label_N, RULES, settings)
        for name in RULES:
            observed = figures_of(patches, patches.label_N, answers[name], MINIMUMS)
            found[signal, name] = [
                against_null(o, null_M) for o, null_M in zip(observed, null[name].T, strict=True)
            ]
    for name in RULES:
        assert [each["p"] for each in found[4.0, name]] == [0.05] * 3
        assert min(each["p"] for each in found[0.0, name]) > 0.05
        assert all(each["observed"] > 0.6 for each in found[4.0, name])


def test_labels_that_lie_alike_in_all_patients_are_no_null() -> None:
    """Every patient's are 0, 1, 0, 1, ...: whoever gives them, they would fit, were they not turned."""
    patches = cohort(whole=False, patients=10)
    even = patches.patient_N < 10
    label_N = np.arange(len(even)) % 2
    patches = replace(patches, label_N=label_N, statistics_NS=label_N[:, None] + 0.1 * patches.statistics_NS)
    settings = ShortcutSettings(folds=2, permutations=19)
    null = permutation_null(patches, RULES, settings, MINIMUMS)["low"]
    assert np.mean(null[:, 1]) < 0.7


def test_the_null_is_that_of_its_seed() -> None:
    patches = cohort(whole=False)
    settings = ShortcutSettings(folds=2, permutations=3)
    first, again, other = (
        permutation_null(patches, RULES, each, MINIMUMS)["low"].tolist()
        for each in (settings, settings, settings.model_copy(update={"seed": 1}))
    )
    assert first == again != other


def test_folds_are_made_for_the_labels_that_are_answered() -> None:
    patches = cohort(whole=True, signal=1.0)
    label_N = permuted_labels(patches.label_N, patches.patient_N, np.random.default_rng(1))
    settings = ShortcutSettings(folds=3)
    true_N, fold_N = (patient_folds(patches, each, 3, 0) for each in (patches.label_N, label_N))
    found = cross_validated(patches, label_N, RULES, settings)["low"]
    expected = linear_answers(patches, label_N, fold_N, RULES, settings.ridge)["low"]
    assert found.score_N.tolist() == expected.score_N.tolist()
    assert fold_N.tolist() != true_N.tolist()


def test_a_permutation_is_judged_by_its_own_labels() -> None:
    patches, settings = cohort(whole=False, signal=1.0), ShortcutSettings(folds=2, permutations=2)
    null = permutation_null(patches, RULES, settings, MINIMUMS)["fixed"]
    label_N = permuted_labels(patches.label_N, patches.patient_N, np.random.default_rng([0, 1]))
    answers = cross_validated(patches, label_N, RULES, settings)["fixed"]
    assert null[1].tolist() == figures_of(patches, label_N, answers, MINIMUMS).tolist()
    assert null[1].tolist() != figures_of(patches, patches.label_N, answers, MINIMUMS).tolist()


def test_figures_are_those_of_the_metrics() -> None:
    patches = cohort(whole=False, signal=1.0)
    answers = cross_validated(patches, patches.label_N, RULES, ShortcutSettings(folds=2))["low"]
    wga, gba, within = figures_of(patches, patches.label_N, answers, MINIMUMS)
    group_N = 2 * patches.label_N + answers.attribute_N
    expected = group_metrics(patches.label_N, answers.score_N > 0, group_N, 4)
    assert (wga, gba) == (expected.wga, expected.gba)
    areas = []
    for a in (0, 1):
        tumor, normal = (answers.score_N[group_N == 2 * y + a] for y in (1, 0))
        areas.append((tumor[:, None] > normal).mean())
    assert within == pytest.approx(np.mean(areas))
    too_many = {"minimum_patches": int(np.bincount(group_N).min()) + 1, "minimum_patients": 1}
    assert np.isnan(figures_of(patches, patches.label_N, answers, too_many)[2])


def test_p_counts_what_is_as_high_and_what_is_not_estimable() -> None:
    null_M = np.array([0.1, 0.2, 0.3, np.nan, 0.5])
    found = against_null(0.3, null_M)
    assert found["p"] == pytest.approx(4 / 6)
    assert found["mean"] == pytest.approx(0.275)
    assert against_null(0.9, null_M[:3])["p"] == 0.25
    assert np.isnan(against_null(np.nan, null_M)["p"])
    assert np.isnan(against_null(0.3, np.array([np.nan]))["mean"])
