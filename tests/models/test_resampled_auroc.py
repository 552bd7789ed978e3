"""The AUROC of resampled patients: both ways of counting against scikit-learn, and within strata."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from models.metrics.accuracy import ratio
from models.metrics.auroc import BinnedPatches, PairedPatches, Ranking, ranking, rankings
from models.metrics.intervals import patient_statistics
from patching.errors import GroupError


class Scores:
    """Scores of patients of one label each, with ties; patient 0 and label 1 have the lesser share."""

    def __init__(self, seed: int, n_patches: int, n_patients: int, digits: int = 2) -> None:
        rng = np.random.default_rng(seed)
        self.n_patients = n_patients
        self.patient_N = rng.integers(0, n_patients, n_patches)
        self.patient_N[:n_patients] = np.arange(n_patients)
        self.label_N = (np.arange(n_patients) % 3 == 1).astype(int)[self.patient_N]
        self.attribute_N = rng.integers(0, 2, n_patches) | (rng.random(n_patches) < 0.3)
        own_P = rng.normal(0, 1, n_patients)
        logit_N = self.label_N + 0.7 * self.attribute_N + own_P[self.patient_N] + rng.normal(0, 1, n_patches)
        self.score_N = (1 / (1 + np.exp(-logit_N))).round(digits)
        self.draws_DP = rng.multinomial(n_patients, np.full(n_patients, 1 / n_patients), size=5).astype(float)

    def ranked(self, **options: int) -> Ranking:
        return ranking(
            self.score_N,
            2 * self.label_N + self.attribute_N,
            self.patient_N,
            n_patients=self.n_patients,
            n_attributes=2,
            **options,
        )

    def expected(self, weights_P: NDArray[np.float64]) -> list[float]:
        """By scikit-learn, of all patches and of each attribute value."""
        strata = [np.ones(len(self.label_N), dtype=bool), self.attribute_N == 0, self.attribute_N == 1]
        return [
            roc_auc_score(label_N, self.score_N[own], sample_weight=weight_N)
            if len(np.unique(label_N[weight_N > 0])) == 2
            else np.nan
            for own in strata
            for label_N, weight_N in [(self.label_N[own], weights_P[self.patient_N[own]])]
        ]


@given(st.integers(0, 10**6), st.integers(2, 9), st.integers(0, 3))
@settings(max_examples=25, deadline=None)
def test_both_ways_are_exact_where_scores_are_few(seed: int, n_patients: int, digits: int) -> None:
    data = Scores(seed, 80, n_patients, digits)
    paired, binned = data.ranked(), data.ranked(most_paired=0)
    assert isinstance(paired, PairedPatches)
    assert isinstance(binned, BinnedPatches)
    expected = [data.expected(weights_P) for weights_P in data.draws_DP]
    np.testing.assert_allclose(ratio(*paired.pairs(data.draws_DP)), expected, atol=1e-12)
    np.testing.assert_allclose(ratio(*binned.pairs(data.draws_DP)), expected, atol=1e-12)


def test_bins_agree_with_the_exact_figure_where_patches_are_many() -> None:
    data = Scores(1, 120_000, 1500, digits=9)
    binned = data.ranked()
    assert isinstance(binned, BinnedPatches)
    expected = np.array([data.expected(weights_P) for weights_P in data.draws_DP])
    assert np.abs(ratio(*binned.pairs(data.draws_DP)) - expected).max() < 3e-6
    coarse = ratio(*data.ranked(most_bins=40).pairs(data.draws_DP))
    assert 1e-5 < np.abs(coarse - expected).max() < 3e-4
    whole = np.ones((1, data.n_patients))
    np.testing.assert_allclose(ratio(*binned.pairs(whole))[0], data.expected(whole[0]), atol=1e-12)


def test_pairs_are_not_counted_by_two_patients_where_patients_or_patches_are_many() -> None:
    assert isinstance(Scores(0, 301, 301).ranked(), BinnedPatches)
    assert isinstance(Scores(0, 300, 300).ranked(), PairedPatches)
    assert isinstance(Scores(0, 90_000, 100, digits=1).ranked(), BinnedPatches)


def test_a_moved_threshold_of_one_stratum_leaves_the_strata_alone() -> None:
    data = Scores(3, 400, 12, digits=9)
    before = ratio(*data.ranked().pairs(data.draws_DP))
    data.score_N = data.score_N - 2.0 * (data.attribute_N == 1)
    after = ratio(*data.ranked().pairs(data.draws_DP))
    np.testing.assert_array_equal(after[:, 1:], before[:, 1:])
    assert np.abs(after[:, 0] - before[:, 0]).min() > 0.01


@given(st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_patches_of_two_networks_are_ranked_apart(seed: int) -> None:
    """The share of the right pairs among those of one network, whatever separates two of them."""
    data = Scores(seed, 90, 9)
    network_N = np.array([0, 4])[(data.patient_N >= 5).astype(int)]
    group_N = 2 * data.label_N + data.attribute_N
    given_N = (group_N, data.patient_N, network_N)
    found = rankings(data.score_N, *given_N, n_attributes=2)
    wins, pairs = np.zeros((5, 3)), np.zeros((5, 3))
    for network in (0, 4):
        own = network_N == network
        alone = Scores(seed, 90, 9)
        for name in ("score_N", "label_N", "attribute_N", "patient_N"):
            setattr(alone, name, getattr(alone, name)[own])
        part = alone.ranked().pairs(data.draws_DP)
        np.testing.assert_allclose(
            ratio(*part), [alone.expected(weights_P) for weights_P in data.draws_DP], atol=1e-12
        )
        wins, pairs = wins + part[0], pairs + part[1]
    np.testing.assert_allclose(found.auroc(data.draws_DP), ratio(wins, pairs), atol=1e-12)
    # A threshold that is moved for one network alone changes nothing.
    moved = rankings(data.score_N + 3 * (network_N == 4), *given_N, n_attributes=2)
    np.testing.assert_array_equal(moved.auroc(data.draws_DP), found.auroc(data.draws_DP))
    together = rankings(data.score_N, group_N, data.patient_N, np.zeros(90), n_attributes=2)
    np.testing.assert_array_equal(together.auroc(data.draws_DP), ratio(*data.ranked().pairs(data.draws_DP)))


def test_a_draw_without_one_label_has_no_auroc() -> None:
    data = Scores(0, 60, 4)
    only_negative = np.array([[1.0, 0, 1, 1]])
    for options in ({}, {"most_paired": 0}):
        assert np.isnan(ratio(*data.ranked(**options).pairs(only_negative))).all()


def test_a_stratum_counts_where_both_of_its_groups_are_estimable() -> None:
    """Of the patches of attribute 1, one patient has the positives."""
    group = [0, 1, 2, 2, 0, 1, 2, 3]
    label = [0, 0, 1, 1, 0, 0, 1, 1]
    score = [0.1, 0.6, 0.5, 0.3, 0.4, 0.2, 0.9, 0.7]
    statistics = patient_statistics(label, label, group, list("abcdefgh"), 4, probability=score)
    values = dict(zip(statistics.names, statistics.metrics(np.ones((1, 8)))[0, 0], strict=True))
    assert values["auroc"] == pytest.approx(13 / 16)
    assert values["auroc_0"] == pytest.approx(5 / 6)
    assert np.isnan([values["auroc_1"], values["auroc_within"]]).all()


@pytest.mark.parametrize(("group", "n_groups"), [([0, 1, 2], 3), ([0, 1, 1], 4)])
def test_probabilities_need_the_groups_of_two_classes(group: list[int], n_groups: int) -> None:
    with pytest.raises(GroupError, match="two classes"):
        patient_statistics([0, 0, 1], [0, 0, 1], group, list("abc"), n_groups, probability=[0.1, 0.2, 0.3])
