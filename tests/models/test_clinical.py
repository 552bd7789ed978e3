"""Predictive values, average precision, thresholds, net benefit and regions, against others' code."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.metrics import (
    average_precision_score,
    confusion_matrix,
    precision_score,
    recall_score,
)

from models.metrics.clinical.neighbors import touching_regions
from models.metrics.clinical.precision_recall import PrecisionStatistics, precision_statistics
from models.metrics.clinical.predictive_values import predictive_intervals, predictive_values
from models.metrics.clinical.thresholds import N_STEPS, net_benefit, steps_exceeded, threshold_steps, told_at
from models.metrics.intervals import Interval, PatientStatistics, bootstrap, patient_statistics
from models.metrics.patients import patients_behind
from models.networks.card import DecisionCard
from models.networks.decision import told
from patching.errors import GroupError


class Verdicts:
    """Patches of patients of unequal numbers; a third hold tumor, with ties among the probabilities."""

    def __init__(self, seed: int, n: int = 300, n_patients: int = 9, digits: int = 2) -> None:
        rng = np.random.default_rng(seed)
        self.patient_N = rng.choice(n_patients, n, p=rng.dirichlet(np.full(n_patients, 2.0)))
        self.label_N = (rng.random(n) < 0.35).astype(int)
        logit_N = 1.5 * self.label_N - 0.6 + rng.normal(0, 1, n)
        self.probability_N = (1 / (1 + np.exp(-logit_N))).round(digits)
        self.prediction_N = (self.probability_N > 0.4).astype(int)
        names_P = np.unique(self.patient_N)
        draws_DP = rng.multinomial(len(names_P), np.full(len(names_P), 1 / len(names_P)), size=6)
        self.draws_DP = np.concatenate([np.ones((1, len(names_P))), draws_DP]).astype(float)
        self.weights_DN = self.draws_DP[:, np.searchsorted(names_P, self.patient_N)]

    def classes(self, n_runs: int = 1) -> PatientStatistics:
        prediction_RN = np.tile(self.prediction_N, (n_runs, 1))
        return patient_statistics(self.label_N, prediction_RN, self.label_N, self.patient_N, 2)

    def precision(self, **options: int) -> PrecisionStatistics:
        return precision_statistics(
            self.classes(), self.label_N, self.probability_N, self.patient_N, **options
        )


@given(st.integers(0, 10**6), st.sampled_from([0.02, 0.1, 0.6]))
@settings(max_examples=20, deadline=None)
def test_predictive_values_are_scikit_learns_at_that_prevalence(seed: int, prevalence: float) -> None:
    data = Verdicts(seed)
    label_N, told_N = data.label_N, data.prediction_N
    sensitivity, specificity = (recall_score(label_N, told_N, pos_label=y) for y in (1, 0))
    # Patches weighted until this share of them holds tumor have the predictive values of that prevalence.
    tumor = label_N.mean()
    weight_N = np.where(label_N == 1, prevalence / tumor, (1 - prevalence) / (1 - tumor))
    expected = [precision_score(label_N, told_N, pos_label=y, sample_weight=weight_N) for y in (1, 0)]
    np.testing.assert_allclose(predictive_values(sensitivity, specificity, prevalence), expected)


def test_an_interval_of_a_predictive_value_holds_what_both_intervals_hold() -> None:
    data = Verdicts(3)
    found = bootstrap(data.classes())
    sensitivity, specificity = found["group_1"], found["group_0"]
    ppv, npv = predictive_intervals(sensitivity, specificity, 0.1)
    assert 0 < ppv.low < ppv.estimate < ppv.high < 1
    assert ppv.estimate == float(predictive_values(sensitivity.estimate, specificity.estimate, 0.1)[0])
    corners = [
        predictive_values(one, other, 0.1)
        for one in (sensitivity.low, sensitivity.high)
        for other in (specificity.low, specificity.high)
    ]
    for interval, values in zip((ppv, npv), zip(*corners, strict=True), strict=True):
        assert (interval.low, interval.high) == (min(values), max(values))
    assert ppv.patients == min(sensitivity.patients or 0, specificity.patients or 0)


def test_a_verdict_that_nothing_gets_has_an_interval_all_the_same() -> None:
    none = Interval(0.0, 0.0, 0.3, 0.95, 0.0, np.nan, patients=4)
    most = Interval(0.9, 0.8, 0.95, 0.95, 0.0, np.nan, patients=6)
    ppv, npv = predictive_intervals(none, most, 0.5)
    assert (ppv.estimate, ppv.low) == (0, 0)
    assert ppv.high == pytest.approx(0.3 / 0.35)
    assert npv.low == pytest.approx(0.8 / 1.8)
    unknown = Interval(np.nan, np.nan, np.nan, 0.95, 0.0, np.nan)
    assert np.isnan(predictive_intervals(unknown, most, 0.5)[0].estimate)


@given(st.integers(0, 10**6), st.integers(1, 9))
@settings(max_examples=20, deadline=None)
def test_average_precision_of_every_draw_is_scikit_learns(seed: int, digits: int) -> None:
    data = Verdicts(seed, digits=digits)
    found_D = data.precision().metrics(data.draws_DP)[:, 0, 2]
    expected = [
        average_precision_score(data.label_N, data.probability_N, sample_weight=weight_N)
        for weight_N in data.weights_DN
    ]
    np.testing.assert_allclose(found_D, expected, atol=1e-12)


def test_bins_of_neighboring_scores_hardly_change_the_average_precision() -> None:
    data = Verdicts(0, n=60_000, n_patients=40, digits=9)
    exact = average_precision_score(data.label_N, data.probability_N)
    (found,) = data.precision().metrics(data.draws_DP[:1])[:, 0, 2]
    (coarse,) = data.precision(most_bins=20).metrics(data.draws_DP[:1])[:, 0, 2]
    assert 0 < abs(found - exact) < 2e-4
    assert abs(coarse - exact) > 5e-4


def test_several_seeds_are_a_mean() -> None:
    one, other = Verdicts(1), Verdicts(2)
    probability_RN = np.stack([one.probability_N, other.probability_N])
    twice = precision_statistics(one.classes(2), one.label_N, probability_RN, one.patient_N)
    found_R = twice.metrics(one.draws_DP[:1])[0, :, 2]
    expected = [average_precision_score(one.label_N, row_N) for row_N in probability_RN]
    np.testing.assert_allclose(found_R, expected)
    interval = bootstrap(twice, n_draws=300)["auprc"]
    assert interval.estimate == pytest.approx(np.mean(expected))
    assert interval.holds == "patients and training"


def test_average_precision_stands_on_the_smaller_class() -> None:
    label_N, patient_N = np.repeat([0, 1], [60, 40]), np.r_[np.arange(60) % 6, np.arange(40) % 3]
    classes = patient_statistics(label_N, label_N, label_N, patient_N, 2)
    ranked = precision_statistics(classes, label_N, label_N / 2, patient_N)
    assert patients_behind(ranked, 2).fewest == 3


def test_one_class_alone_has_no_average_precision() -> None:
    ones, patient_N = np.ones(50, int), np.arange(50) % 5
    classes = patient_statistics(ones, ones, ones, patient_N, 2)
    ranked = precision_statistics(classes, ones, ones * 0.7, patient_N)
    found = bootstrap(ranked, n_draws=50)
    assert np.isnan([found["auprc"].estimate, found["group_0"].estimate]).all()
    assert found["group_1"].estimate == 1


@pytest.mark.parametrize("prevalence", [0.0, 1.0, -0.1, np.nan])
def test_a_prevalence_is_a_share(prevalence: float) -> None:
    with pytest.raises(GroupError, match="prevalence"):
        predictive_values(0.8, 0.9, prevalence)


def on_and_beside_steps() -> st.SearchStrategy[float]:
    """Probabilities, among them the thresholds themselves and the nearest doubles on either side."""
    steps = st.integers(0, N_STEPS).map(lambda k: k / N_STEPS)
    beside = st.tuples(steps, st.sampled_from([-1.0, 2.0])).map(lambda each: np.nextafter(*each))
    return st.one_of(steps, beside.map(lambda p: float(np.clip(p, 0, 1))), st.floats(0, 1))


@given(st.lists(st.tuples(on_and_beside_steps(), st.integers(0, 3)), max_size=40))
@settings(max_examples=150, deadline=None)
def test_counts_at_every_step_are_those_of_a_comparison(patches: list[tuple[float, int]]) -> None:
    probability_N = np.array([p for p, _ in patches])
    group_N = np.array([g for _, g in patches], int)
    found_GT = told_at(steps_exceeded(probability_N, group_N, 4))
    assert found_GT.shape == (4, N_STEPS + 1)
    above_TN = probability_N > threshold_steps()[:, None]
    expected_GT = [(above_TN & (group_N == g)).sum(axis=1) for g in range(4)]
    np.testing.assert_array_equal(found_GT, expected_GT)


def test_counts_at_a_threshold_are_those_of_the_decision() -> None:
    logit_N = np.array([0.0, 1e-9, -1e-9, 3.0, -3.0, 0.4])
    for threshold in (0.5, 0.599, 0.047, 0.048):
        probability_N, class_N = told(DecisionCard(threshold=threshold), logit_N)
        counts = told_at(steps_exceeded(probability_N, np.zeros(6, int), 1))
        assert counts[0, round(threshold * N_STEPS)] == class_N.sum()


@given(st.integers(0, 10**6), st.integers(1, 99))
@settings(max_examples=30, deadline=None)
def test_net_benefit_by_scikit_learns_counts(seed: int, percent: int) -> None:
    data, threshold = Verdicts(seed), percent / 100
    told_N = data.probability_N > threshold
    (_, false_positive), (_, true_positive) = confusion_matrix(data.label_N, told_N, labels=[0, 1])
    n = len(told_N)
    expected = (true_positive - false_positive * percent / (100 - percent)) / n
    assert float(net_benefit(true_positive, false_positive, n, threshold)) == pytest.approx(expected)


def test_acting_on_everything_has_no_benefit_at_the_prevalence() -> None:
    assert float(net_benefit(30, 70, 100, 0.3)) == pytest.approx(0)
    assert float(net_benefit(30, 70, 100, 0.1)) == pytest.approx(0.3 - 0.7 / 9)
    assert np.isnan(net_benefit(30, 70, 100, 1.0))
    assert np.isnan(net_benefit(0, 0, 0, 0.5))


@given(st.integers(0, 10**6), st.floats(0.05, 0.95))
@settings(max_examples=40, deadline=None)
def test_regions_are_those_of_an_image(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    mask_HW = rng.random((7, 11)) < share
    y_N, x_N = np.nonzero(mask_HW)
    locations_N2 = np.stack([64 * x_N + 5, 64 * y_N + 130], axis=1)
    order = rng.permutation(len(x_N))
    found_N = touching_regions(locations_N2[order], 64)
    expected_HW, n_regions = ndimage.label(mask_HW, structure=np.ones((3, 3)))
    expected_N = expected_HW[y_N, x_N][order]
    assert len(np.unique(found_N)) == n_regions
    assert len(set(zip(found_N.tolist(), expected_N.tolist(), strict=True))) == n_regions
    _, first = np.unique(found_N, return_index=True)
    assert (np.diff(first) > 0).all()


def test_patches_further_apart_than_the_reach_are_of_two_regions() -> None:
    places: NDArray[np.int64] = np.array([[0, 0], [17, 0], [40, 16], [56, 32]])
    assert touching_regions(places, 16).tolist() == [0, 1, 2, 2]
    assert touching_regions(places, 17).tolist() == [0, 0, 1, 1]
    assert touching_regions(places[:0], 16).tolist() == []
