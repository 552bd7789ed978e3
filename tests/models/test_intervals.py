"""Bootstrap over patients: against a plain loop, by hand, and its statistical promises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from models.metrics.accuracy import auroc, group_metrics
from models.metrics.draws import drawn, drawn_ends
from models.metrics.intervals import PatientStatistics, bootstrap, paired_difference, patient_statistics
from patching.errors import GroupError


class Predictions:
    """Random predictions of a small cohort; probabilities with ties."""

    def __init__(self, seed: int, n_patches: int = 90, n_patients: int = 7, repeats: int = 2) -> None:
        rng = np.random.default_rng(seed)
        self.label_N = rng.integers(0, 2, n_patches)
        self.group_N = self.label_N * 2 + rng.integers(0, 2, n_patches)
        self.patient_N = np.array([f"p{n}" for n in rng.integers(0, n_patients, n_patches)])
        noise_RN = rng.normal(0, 0.3, (repeats, n_patches))
        self.probability_RN = np.clip(0.4 + 0.3 * self.label_N + noise_RN, 0, 1).round(1)
        self.prediction_RN = (self.probability_RN > 0.5).astype(int)

    def statistics(self, **options: int) -> PatientStatistics:
        return patient_statistics(
            self.label_N,
            self.prediction_RN,
            self.group_N,
            self.patient_N,
            4,
            probability=self.probability_RN,
            **options,
        )


@given(st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_a_draw_is_what_a_loop_over_resampled_patches_gives(seed: int) -> None:
    data = Predictions(seed)
    statistics = data.statistics(minimum_patients=1)
    patients = np.array(statistics.patients)
    times_P = np.random.default_rng(seed).multinomial(len(patients), [1 / len(patients)] * len(patients))
    values_RM = statistics.metrics(times_P[None].astype(float))[0]
    chosen = np.concatenate(
        [np.tile(np.flatnonzero(data.patient_N == p), n) for p, n in zip(patients, times_P, strict=True)]
    )
    for r, (probability_N, prediction_N) in enumerate(
        zip(data.probability_RN, data.prediction_RN, strict=True)
    ):
        label_N, group_N = data.label_N[chosen], data.group_N[chosen]
        metrics = group_metrics(label_N, prediction_N[chosen], group_N, 4)
        strata = [
            auroc(label_N[of_a], probability_N[chosen][of_a]) for a in (0, 1) for of_a in [group_N % 2 == a]
        ]
        whole = metrics.estimable_G[statistics.estimable_G].all()
        expected = [
            *metrics.accuracy_G,
            metrics.wga if whole else np.nan,
            metrics.gba if whole else np.nan,
            metrics.average,
            auroc(label_N, probability_N[chosen]),
            *strata,
            np.mean(strata),
        ]
        np.testing.assert_allclose(values_RM[r], expected, atol=1e-12)


def test_estimates_are_means_over_repeats_and_spread_is_theirs() -> None:
    data = Predictions(3)
    found = bootstrap(data.statistics(), n_draws=50)
    single = [group_metrics(data.label_N, row_N, data.group_N, 4) for row_N in data.prediction_RN]
    assert found["wga"].estimate == pytest.approx(np.mean([m.wga for m in single]))
    assert found["wga"].spread == pytest.approx(np.std([m.wga for m in single], ddof=1))
    assert found["group_2"].estimate == pytest.approx(np.mean([m.accuracy_G[2] for m in single]))
    ranked = ["auroc", "auroc_0", "auroc_1", "auroc_within"]
    assert list(found) == [
        *(f"group_{g}" for g in range(4)),
        "wga",
        "wga_cross_fitted",
        "gba",
        "average",
        *ranked,
    ]
    within = [found["auroc_0"].estimate, found["auroc_1"].estimate]
    assert found["auroc_within"].estimate == pytest.approx(np.mean(within))
    assert np.isnan(bootstrap(Predictions(3, repeats=1).statistics(), n_draws=5)["wga"].spread)


def test_draws_of_two_patients_by_hand() -> None:
    """Patient a: 4 of 4 right, b: 0 of 4. A draw is aa (1/4), ab (1/2) or bb (1/4): accuracy 1, 0.5, 0."""
    statistics = patient_statistics([1] * 8, [1] * 4 + [0] * 4, [0] * 8, ["a"] * 4 + ["b"] * 4, 1)
    draws = statistics.metrics(np.array([[2.0, 0], [1, 1], [0, 2]]))[:, 0, 0]
    assert draws.tolist() == [1, 0.5, 0]
    # With Student's t of one degree of freedom and twice the variance a tail of 0.34 becomes one of 0.22,
    # which ends in the quarters of aa and bb; one of 0.4 becomes one of 0.323, which does not.
    values_D = drawn(statistics, 4000, 0)[:, statistics.names.index("average")]
    assert drawn_ends(values_D, 0.5, 0.34, 2, []) == (0, 1)
    assert drawn_ends(values_D, 0.5, 0.4, 2, []) == (0.5, 0.5)
    # So few draws are not enough: Student's t is further out, by 0.325 of a standard deviation of a half.
    found = bootstrap(statistics, n_draws=4000, level=0.2)["average"]
    reach = 0.5 * stats.t(1).ppf(0.6)
    assert (found.low, found.high) == pytest.approx((0.5 - reach, 0.5 + reach), abs=0.005)


def test_groups_get_bonferroni_levels_and_wider_intervals() -> None:
    statistics = Predictions(4, n_patches=400, n_patients=30).statistics()
    found, plain = bootstrap(statistics), bootstrap(statistics, level=1 - 0.05 * 4)
    assert found["group_1"].level == pytest.approx(1 - 0.05 / 4)
    assert found["wga"].level == 0.95
    assert plain["group_1"].level == pytest.approx(0.95)
    assert found["group_1"].high - found["group_1"].low > plain["group_1"].high - plain["group_1"].low


def test_draws_without_a_group_are_left_out_and_their_share_told() -> None:
    """Group 1 lies in patients a and b of four: a draw misses both with chance (1/2)^4."""
    label = [1] * 8
    statistics = patient_statistics(label, [1, 0] * 4, [0, 1, 0, 1, 0, 0, 0, 0], list("aabbccdd"), 2)
    found = bootstrap(statistics, n_draws=20000)
    assert found["group_1"].undefined_share == pytest.approx(1 / 16, abs=0.006)
    assert found["wga"].undefined_share == found["group_1"].undefined_share
    assert found["average"].undefined_share == 0
    assert found["group_1"].estimate == 0
    assert "auroc" not in found


def test_groups_of_one_patient_are_not_estimable() -> None:
    statistics = patient_statistics([1] * 6, [1, 0, 1, 1, 1, 0], [0, 0, 0, 0, 1, 1], list("abacbb"), 2)
    assert statistics.estimable_G.tolist() == [True, False]
    found = bootstrap(statistics, n_draws=100)
    assert np.isnan([found["group_1"].estimate, found["group_1"].low, found["group_1"].high]).all()
    assert found["wga"].estimate == found["group_0"].estimate == 0.75
    assert found["group_0"].level == pytest.approx(0.95)
    none = bootstrap(patient_statistics([1], [1], [0], ["a"], 1), n_draws=10)
    assert np.isnan(none["wga"].estimate)
    assert not none["wga"].excludes_zero


def test_a_repeat_may_test_some_patches_only() -> None:
    """Two repeats with different test patients: -1 marks what a repeat did not predict."""
    prediction = [[1, 0, -1, -1], [-1, -1, 1, 1]]
    found = bootstrap(patient_statistics([1, 1, 1, 1], prediction, [0] * 4, list("abcd"), 1), n_draws=2000)
    assert found["average"].estimate == pytest.approx((0.5 + 1) / 2)
    assert found["average"].holds == "patients and training"
    assert found["average"].low < 0.75


def test_paired_differences_are_of_the_same_patients() -> None:
    """A method that is right on one more patch of every patient: only an unseen one may differ."""
    patients = np.repeat([f"p{n}" for n in range(12)], 5)
    worse = np.concatenate([[1] * hits + [0] * (5 - hits) for hits in [0, 1, 2, 3, 4, 2, 1, 0, 3, 4, 2, 1]])
    better = worse.copy().reshape(12, 5)
    better[np.arange(12), worse.reshape(12, 5).sum(axis=1)] = 1
    one, two = (
        patient_statistics(np.ones(60), prediction, np.zeros(60, int), patients, 1)
        for prediction in (better.ravel(), worse)
    )
    difference = paired_difference(one, two)["wga"]
    # Half of a thirteenth patient, with no difference: 0.2 / 12 * sqrt(0.5 * 12 / 11) * t, which is 2.2.
    reach = 0.2 / 12 * np.sqrt(6 / 11) * stats.t.ppf(0.975, 11)
    assert (difference.estimate, difference.low, difference.high) == pytest.approx(
        (0.2, 0.2 - reach, 0.2 + reach)
    )
    assert difference.excludes_zero
    drawn = paired_difference(one, two)["average"]
    assert (drawn.low, drawn.high) == pytest.approx((0.2, 0.2))
    assert bootstrap(one)["wga"].high - bootstrap(one)["wga"].low > 0.2
    mirrored = paired_difference(two, one)["wga"]
    assert mirrored.high == pytest.approx(reach - 0.2)
    assert mirrored.excludes_zero
    assert not paired_difference(one, one)["wga"].excludes_zero


def test_methods_with_different_seeds_are_compared_by_their_means() -> None:
    many, one = Predictions(5, repeats=3), Predictions(5, repeats=3)
    one.prediction_RN, one.probability_RN = one.prediction_RN[:1], one.probability_RN[:1]
    found = paired_difference(many.statistics(), one.statistics(), n_draws=50)["gba"]
    gba = [group_metrics(many.label_N, row_N, many.group_N, 4).gba for row_N in many.prediction_RN]
    assert found.estimate == pytest.approx(np.mean(gba) - gba[0])


def test_only_the_same_patches_can_be_paired() -> None:
    with pytest.raises(GroupError, match="same patches"):
        paired_difference(Predictions(0).statistics(), Predictions(0, n_patients=5).statistics())
    fewer = Predictions(0)
    fewer.prediction_RN[:, 4] = -1
    with pytest.raises(GroupError, match="same patches"):
        paired_difference(Predictions(0).statistics(), fewer.statistics())


def test_arrays_must_fit() -> None:
    with pytest.raises(GroupError):
        patient_statistics([1, 1], [1, 1], [0, 0], ["a"], 1)
    with pytest.raises(GroupError):
        patient_statistics([1, 1], [1, 1], [0, 0], ["a", "b"], 1, probability=[0.5])


def test_the_interval_covers_the_truth() -> None:
    """Patients differ in difficulty: 95 % intervals over patients cover, where patches alone would not."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(120):
        chances = np.clip(rng.normal(0.7, 0.15, 40), 0, 1)
        prediction = (rng.random((40, 25)) < chances[:, None]).astype(int).ravel()
        patients = np.repeat(np.arange(40), 25)
        found = bootstrap(
            patient_statistics(np.ones(1000), prediction, np.zeros(1000, int), patients, 1),
            n_draws=400,
        )
        covered += found["average"].low <= 0.7 <= found["average"].high
    assert 0.88 <= covered / 120 <= 0.995
