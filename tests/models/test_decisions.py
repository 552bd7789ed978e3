"""Decisions: fitted to validation patients by rule, calibrated, given a threshold; applied as fitted."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression

from models.decisions.fitting import check_decision, fit_decision
from models.decisions.patches import equal_weights
from models.decisions.settings import DecisionSettings, FitSettings, Sensitivity
from models.networks.card import CalibrationCard, DecisionCard, FittedCard, Rule
from models.networks.decision import needs_tissue, network_logit, ruled, told, verdicts
from patching.errors import AlgorithmError, ConfigError

ABOVE = 0.55
RULES: tuple[Rule, ...] = ("threshold", "by_attribute", "by_tissue")
SAID = FittedCard(how="by hand", patients=3, patches=70)
CARDS = {
    "plain": DecisionCard(),
    "threshold": DecisionCard(rule="threshold", slope=0.5, offsets=(-1.5,), fitted=SAID),
    "by_attribute": DecisionCard(
        rule="by_attribute", slope=2.0, offsets=(1.0, -3.0), knots=(ABOVE,), fitted=SAID
    ),
    "by_tissue": DecisionCard(
        rule="by_tissue", slope=1.0, offsets=(2.0, -1.0, 0.0), knots=(0.2, 0.6, 0.7), fitted=SAID
    ),
}


@dataclass(frozen=True)
class Made:
    """Validation patches of a network that takes tissue for tumor."""

    logit_N: NDArray[np.float64]
    label_N: NDArray[np.int64]
    tissue_N: NDArray[np.float64]
    patient_N: NDArray[Any]

    def fit(self, rule: Rule, **changes: Any) -> DecisionCard:
        return fit_decision(
            rule,
            logit_N=self.logit_N,
            label_N=self.label_N,
            tissue_fraction_N=self.tissue_N,
            above=ABOVE,
            patient_N=self.patient_N,
            settings=FitSettings(**changes),
        )

    def rows(self, chosen_M: NDArray[Any]) -> "Made":
        return Made(
            *(column[chosen_M] for column in (self.logit_N, self.label_N, self.tissue_N, self.patient_N))
        )


def made(patients: int = 12, patches: int = 30, seed: int = 0, shift: float = 0.0) -> Made:
    rng = np.random.default_rng(seed)
    patient_N = np.repeat(np.arange(patients), rng.integers(patches // 2, 2 * patches, patients))
    label_N = rng.integers(0, 2, len(patient_N))
    tissue_N = rng.beta(2 + 2 * label_N, 4 - 2 * label_N).round(3)
    logit_N = 1.6 * (2 * label_N - 1) + 5 * (tissue_N - 0.5) + rng.normal(0, 2, len(label_N)) + shift
    return Made(logit_N, label_N, tissue_N, np.char.add("p", patient_N.astype(str)))


def values(card: DecisionCard) -> list[float]:
    assert card.calibration is not None
    return [card.slope, *card.offsets, *card.knots, card.calibration.temperature, card.threshold]


def test_every_rule_says_what_its_formula_says() -> None:
    logit_N, tissue_N = np.array([2.0, 2.0, 2.0, -1.0]), np.array([0.1, 0.4, 0.6, 1.0])
    assert ruled(CARDS["plain"], logit_N).tolist() == [2, 2, 2, -1]
    assert ruled(CARDS["threshold"], logit_N).tolist() == [-0.5, -0.5, -0.5, -2]
    assert ruled(CARDS["by_attribute"], logit_N, tissue_N).tolist() == [5, 5, 1, -5]
    assert ruled(CARDS["by_tissue"], logit_N, tissue_N) == pytest.approx([4, 2.5, 1, -1])
    at_the_threshold = ruled(CARDS["by_attribute"], [0.0, 0.0], [ABOVE, np.nextafter(ABOVE, 1)])
    assert at_the_threshold.tolist() == [1, -3]


def test_rule_then_temperature_then_threshold() -> None:
    calibration = CalibrationCard(temperature=4.0, **SAID.model_dump())
    card = CARDS["by_attribute"].model_copy(
        update={"calibration": calibration, "uncalibrated": "", "threshold": 0.7}
    )
    probability_N, prediction_N = told(card, [0.0, 2.0, 2.0], [0.3, 0.3, 0.9])
    assert probability_N == pytest.approx(1 / (1 + np.exp([-0.25, -1.25, -0.25])))
    assert prediction_N.tolist() == [0, 1, 0]


@given(st.lists(st.floats(-90, 90), min_size=1, max_size=20), st.floats(1e-3, 1e3))
def test_a_temperature_changes_no_verdict_at_the_plain_threshold(
    logits: list[float], temperature: float
) -> None:
    calibration = CalibrationCard(temperature=temperature, **SAID.model_dump())
    card = DecisionCard(calibration=calibration, uncalibrated="")
    # As far from 0 as two different probabilities in float32 are.
    logit_N = np.where(np.abs(logits) < 1e-7, 0.0, logits)
    np.testing.assert_array_equal(told(card, logit_N)[1], told(DecisionCard(), logit_N)[1])
    np.testing.assert_array_equal(told(card, logit_N)[1], logit_N > 0)


@given(st.lists(st.tuples(st.floats(-120, 120), st.integers(-9, 9), st.floats(-120, 120)), min_size=1))
def test_plain_verdicts_are_those_of_before_to_the_bit(rows: list[tuple[float, int, float]]) -> None:
    """Before, a patch was tumor where its probability exceeded 0.5, in float32; close calls are hard."""
    import torch

    first_N, steps_N, other_N = np.array(rows, np.float32).T
    near_N = first_N + steps_N * np.spacing(first_N)
    logits_N2 = np.concatenate([np.stack([first_N, near_N], axis=1), np.stack([first_N, other_N], axis=1)])
    probability_N2 = torch.from_numpy(logits_N2).softmax(dim=1).numpy()
    calibration = CalibrationCard(temperature=3.7, **SAID.model_dump())
    for card in (DecisionCard(), DecisionCard(calibration=calibration, uncalibrated="")):
        probability_N, prediction_N = verdicts(card, probability_N2)
        np.testing.assert_array_equal(prediction_N, probability_N2[:, 1] > 0.5)
        np.testing.assert_array_equal(probability_N > 0.5, probability_N2[:, 1] > 0.5)
    np.testing.assert_allclose(verdicts(DecisionCard(), probability_N2)[0], probability_N2[:, 1], atol=1e-6)
    assert np.isfinite(network_logit(probability_N2)).all()


@given(
    st.sampled_from(sorted(CARDS)),
    st.floats(0, 1),
    st.floats(-50, 50),
    st.floats(0, 50),
)
def test_more_log_odds_are_never_less_probable(rule: str, tissue: float, logit: float, more: float) -> None:
    probability_N, prediction_N = told(CARDS[rule], [logit, logit + more], [tissue, tissue])
    assert probability_N[0] <= probability_N[1]
    assert prediction_N[0] <= prediction_N[1]


@pytest.mark.parametrize("rule", ["by_attribute", "by_tissue"])
def test_a_missing_tissue_fraction_is_refused(rule: str) -> None:
    assert needs_tissue(CARDS[rule])
    with pytest.raises(ConfigError, match="3 of 3 patches without a tissue fraction"):
        told(CARDS[rule], [0.0, 1.0, 2.0])
    with pytest.raises(ConfigError, match="1 of 3 patches"):
        told(CARDS[rule], [0.0, 1.0, 2.0], [0.2, np.nan, 0.3])
    probability_N2 = np.full((2, 2), 0.5, np.float32)
    with pytest.raises(ConfigError, match="2 of 2"):
        verdicts(CARDS[rule], probability_N2, [np.nan, np.nan])


@pytest.mark.parametrize("rule", ["plain", "threshold"])
def test_a_rule_that_does_not_ask_for_tissue_does_without(rule: str) -> None:
    assert not needs_tissue(CARDS[rule])
    np.testing.assert_array_equal(told(CARDS[rule], [0.5, 9.0]), told(CARDS[rule], [0.5, 9.0], [np.nan, 0.1]))


@pytest.mark.parametrize("rule", RULES)
def test_an_infinite_ridge_is_plain(rule: Rule) -> None:
    card = made().fit(rule, ridge=1e12)
    assert card.slope == pytest.approx(1, abs=1e-6)
    assert card.offsets == pytest.approx([0] * len(card.offsets), abs=1e-6)


@pytest.mark.parametrize("rule", RULES)
def test_without_a_ridge_it_is_the_weighted_logistic_regression(rule: Rule) -> None:
    data = made(patients=40, patches=60)
    card = data.fit(rule, ridge=1e-9)
    group_N = 2 * data.label_N + (data.tissue_N > ABOVE)
    columns = {
        "threshold": [np.ones_like(data.tissue_N)],
        "by_attribute": [data.tissue_N <= ABOVE, data.tissue_N > ABOVE],
        # Straight between knots: a constant, a slope, and a bend at every inner knot.
        "by_tissue": [
            np.ones_like(data.tissue_N),
            *(
                np.maximum(np.clip(data.tissue_N, card.knots[0], card.knots[-1]) - k, 0)
                for k in card.knots[:-1]
            ),
        ]
        if rule == "by_tissue"
        else [],
    }[rule]
    design_NC = np.column_stack([data.logit_N, *columns])
    oracle = LogisticRegression(C=np.inf, fit_intercept=False, solver="newton-cholesky", tol=1e-12)
    oracle.fit(design_NC, data.label_N, sample_weight=by_hand(group_N, data.patient_N))
    expected_N = oracle.decision_function(design_NC)
    np.testing.assert_allclose(ruled(card, data.logit_N, data.tissue_N), expected_N, atol=1e-5)


def by_hand(part_N: NDArray[Any], patient_N: NDArray[Any]) -> NDArray[np.float64]:
    """Equal weights, a patch at a time."""
    rows = list(zip(part_N.tolist(), patient_N.tolist(), strict=True))
    patients = {part: len({p for g, p in rows if g == part}) for part in set(part_N.tolist())}
    return np.array([1 / (len(patients) * patients[part] * rows.count((part, p))) for part, p in rows])


def test_weights_are_equal_over_parts_patients_and_patches() -> None:
    data = made(patients=5, patches=8)
    group_N = 2 * data.label_N + (data.tissue_N > ABOVE)
    _, patient_N = np.unique(data.patient_N, return_inverse=True)
    weight_N = equal_weights(group_N, patient_N)
    np.testing.assert_allclose(weight_N, by_hand(group_N, patient_N))
    assert [weight_N[group_N == g].sum() for g in range(4)] == pytest.approx([0.25] * 4)


@pytest.mark.parametrize("rule", [*RULES, "plain"])
def test_a_planted_shift_is_taken_back(rule: Rule) -> None:
    data = made(patients=30)
    shifted = made(patients=30, shift=1.7)
    found, expected = shifted.fit(rule, ridge=1e-9), data.fit(rule, ridge=1e-9)
    if rule == "plain":
        assert (found.slope, found.offsets) == (1.0, ())
    else:
        assert found.slope == pytest.approx(expected.slope, abs=1e-4)
        back = np.array(expected.offsets) - 1.7 * expected.slope
        assert found.offsets == pytest.approx(back, abs=1e-4)


def test_offsets_of_both_attribute_values_are_recovered() -> None:
    """Log-odds that are right but for a shift in one of both."""
    rng = np.random.default_rng(3)
    tissue_N = rng.random(40000)
    label_N = rng.integers(0, 2, 40000)
    truth_N = rng.normal(2 * label_N - 1, np.sqrt(2))  # N(±1, 2): log-odds of themselves
    logit_N = truth_N + np.where(tissue_N > ABOVE, 3.0, -0.5)
    patient_N = np.arange(40000) % 400
    card = Made(logit_N, label_N, tissue_N, patient_N).fit("by_attribute")
    assert (card.slope, *card.offsets) == pytest.approx((1.0, 0.5, -3.0), abs=0.06)
    smooth = Made(logit_N, label_N, tissue_N, patient_N).fit("by_tissue", knots=10)
    assert ruled(smooth, [0.0, 0.0], [0.2, 0.9]) == pytest.approx([0.5, -3.0], abs=0.15)


@pytest.mark.parametrize("rule", ["plain", *RULES])
def test_neither_order_nor_names_nor_doubled_patches_change_the_decision(rule: Rule) -> None:
    data, rng = made(), np.random.default_rng(1)
    changes = {"operating": Sensitivity(sensitivity=0.9)}
    expected = values(data.fit(rule, **changes))
    order_N = rng.permutation(len(data.label_N))
    assert values(data.rows(order_N).fit(rule, **changes)) == pytest.approx(expected, abs=1e-6)
    names = dict(zip(np.unique(data.patient_N), rng.permutation(12), strict=True))
    renamed = Made(
        data.logit_N, data.label_N, data.tissue_N, np.array([f"x{names[p]}" for p in data.patient_N])
    )
    assert values(renamed.fit(rule, **changes)) == pytest.approx(expected, abs=1e-6)
    twice = np.flatnonzero(data.patient_N == "p4")
    doubled = data.rows(np.concatenate([np.arange(len(order_N)), twice]))
    assert values(doubled.fit(rule, **changes)) == pytest.approx(expected, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(RULES), st.floats(1e-3, 1e3))
def test_a_fitted_rule_rises_with_the_log_odds_or_is_refused(seed: int, rule: Rule, ridge: float) -> None:
    rng = np.random.default_rng(seed)
    size = 80
    noise = Made(
        rng.normal(0, 10 ** rng.uniform(-2, 1.5), size),
        np.arange(size) % 2,
        np.tile([0.2, 0.3, 0.8, 0.9], size // 4)[rng.permutation(size)],
        np.arange(size) % 5,
    )
    try:
        card = noise.fit(rule, ridge=ridge, minimum_patients=1)
    except AlgorithmError as error:
        assume("a slope of" not in error.has)
        raise
    logit_M = np.linspace(-40, 40, 99)
    for tissue in (0.0, 0.5, 1.0):
        assert (np.diff(ruled(card, logit_M, np.full(99, tissue))) > 0).all()


def test_a_network_that_is_wrong_within_the_strata_is_refused() -> None:
    data = made()
    against = Made(-data.logit_N, data.label_N, data.tissue_N, data.patient_N)
    with pytest.raises(AlgorithmError, match=r"slope of -"):
        against.fit("by_attribute")


class _Given(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Says the log-odds that it is given."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "_Given":
        self.classes_ = np.unique(y)
        return self

    def decision_function(self, X: Any) -> Any:
        return X[:, 0]

    def predict(self, X: Any) -> Any:
        return self.classes_[(X[:, 0] > 0).astype(int)]


@pytest.mark.parametrize("rule", ["plain", "by_attribute"])
def test_the_temperature_is_scikit_learns(rule: Rule) -> None:
    data = made(patients=9)
    card = data.fit(rule, ridge=3.0)
    assert card.calibration is not None
    group_N = 2 * data.label_N + (data.tissue_N > ABOVE)
    weight_N = by_hand(np.zeros_like(group_N) if rule == "plain" else group_N, data.patient_N)
    score_N1 = ruled(card, data.logit_N, data.tissue_N)[:, None]
    everyone = np.arange(len(group_N))
    oracle = CalibratedClassifierCV(_Given(), method="temperature", ensemble=False, cv=[(everyone, everyone)])
    oracle.fit(score_N1, data.label_N, sample_weight=weight_N)
    np.testing.assert_allclose(
        told(card, data.logit_N, data.tissue_N)[0], oracle.predict_proba(score_N1)[:, 1], atol=1e-6
    )
    assert (card.calibration.patients, card.calibration.patches) == (9, len(everyone))


@pytest.mark.parametrize(
    ("label", "logit", "reason"),
    [
        ([0, 0, 0, 0], [1.0, -1.0, 2.0, -2.0], "0 with label 1"),
        ([0, 1, 0, 1], [-1.0, 1.0, -2.0, 2.0], "all on the right side"),
        ([1, 0, 0, 1], [-1.0, 1.0, -2.0, -2.0], "no larger log-odds"),
    ],
)
def test_what_cannot_be_calibrated_says_why(label: list[int], logit: list[float], reason: str) -> None:
    card = fit_decision(
        "plain",
        logit_N=logit,
        label_N=label,
        tissue_fraction_N=None,
        above=None,
        patient_N=["a", "b", "c", "d"],
        settings=FitSettings(minimum_patients=1),
    )
    assert card.calibration is None
    assert reason in card.uncalibrated
    assert told(card, logit)[1].tolist() == [int(z > 0) for z in logit]


def test_too_few_patients_are_not_calibrated_and_get_no_other_threshold() -> None:
    few = made(patients=2)
    assert "validation patients: 2 with label 0" in few.fit("plain").uncalibrated
    assert few.fit("plain", minimum_patients=2).calibration is not None
    assert few.fit("plain", minimum_patients=2, calibration="none").uncalibrated == "not asked for"
    with pytest.raises(AlgorithmError, match="2 with label 0"):
        few.fit("plain", operating="balanced")


@pytest.mark.parametrize("rule", ["plain", "by_tissue"])
@pytest.mark.parametrize("sensitivity", [0.5, 0.9, 0.999])
def test_a_threshold_finds_the_share_of_tumor_that_is_asked_for(rule: Rule, sensitivity: float) -> None:
    data = made()
    card = data.fit(rule, operating={"sensitivity": sensitivity})
    weight_N = by_hand(data.label_N, data.patient_N) * data.label_N
    probability_N, prediction_N = told(card, data.logit_N, data.tissue_N)
    assert weight_N @ prediction_N / weight_N.sum() >= sensitivity - 1e-9
    # The next higher threshold that tells patches apart misses it.
    higher_N = probability_N > probability_N[prediction_N == 1].min()
    assert weight_N @ higher_N / weight_N.sum() < sensitivity
    assert card.operating is not None
    assert (card.operating.patients, card.operating.patches) == (12, len(prediction_N))


def test_the_balanced_threshold_is_the_best_and_of_equals_the_nearest_to_a_half() -> None:
    data = made(shift=2.0)
    card = data.fit("plain", operating="balanced")
    probability_N, _ = told(card, data.logit_N)
    weight_N = by_hand(data.label_N, data.patient_N)

    def balanced(threshold: float) -> float:
        return float(weight_N @ ((probability_N > threshold) == data.label_N))

    assert balanced(card.threshold) == pytest.approx(max(map(balanced, [0, *probability_N])))
    assert balanced(card.threshold) > balanced(0.5)
    apart = Made(np.array([-3.0, -2, 2, 9]), np.array([0, 0, 1, 1]), np.full(4, 0.5), np.arange(4))
    assert apart.fit("plain", operating="balanced", minimum_patients=1).threshold == 0.5


def test_tumor_that_is_surely_none_sets_a_limit_to_sensitivity() -> None:
    sure = Made(np.array([-1000.0, 1, -1, 2]), np.array([1, 0, 0, 1]), np.full(4, 0.5), np.arange(4))
    asked = {"operating": {"sensitivity": 0.9}, "calibration": "none", "minimum_patients": 1}
    with pytest.raises(AlgorithmError, match=r"sensitivity 0\.5 at every threshold"):
        sure.fit("plain", **asked)


def test_a_group_without_patients_enough_is_named() -> None:
    data = made()
    little_tumor = (data.label_N == 1) & (data.tissue_N <= ABOVE)
    rest = data.rows(np.flatnonzero(~little_tumor | np.isin(data.patient_N, ["p1", "p3"])))
    for rule in RULES:
        with pytest.raises(AlgorithmError, match="2 with label 1 and little tissue"):
            rest.fit(rule)
        assert rest.fit(rule, minimum_patients=2).rule == rule
    with pytest.raises(AlgorithmError, match="0 with label 1 and little tissue"):
        data.rows(np.flatnonzero(~little_tumor)).fit("threshold", minimum_patients=1)


def test_other_rules_need_tissue_that_makes_the_attribute() -> None:
    data = made()
    given = {"logit_N": data.logit_N, "label_N": data.label_N, "patient_N": data.patient_N}
    for rule in RULES:
        with pytest.raises(ConfigError, match="an attribute that tissue does not make"):
            fit_decision(rule, **given, tissue_fraction_N=data.tissue_N, above=None)
        with pytest.raises(
            ConfigError, match=f"{len(data.label_N)} of {len(data.label_N)} validation patches"
        ):
            fit_decision(rule, **given, tissue_fraction_N=None, above=ABOVE)
    assert fit_decision("plain", **given, tissue_fraction_N=None, above=None).calibration is not None


@pytest.mark.parametrize(
    "change", [{"label_N": [0, 2]}, {"logit_N": [np.nan, 1]}, {"patient_N": ["a"]}, {"label_N": []}]
)
def test_columns_that_do_not_fit_are_refused(change: dict[str, Any]) -> None:
    given = {"logit_N": [0.0, 1.0], "label_N": [0, 1], "patient_N": ["a", "b"]} | change
    with pytest.raises(AlgorithmError, match="one finite log-odds"):
        fit_decision("plain", **given, tissue_fraction_N=None, above=None)


def test_what_can_be_known_before_a_training_is_told_before_it() -> None:
    data = made(patients=2)
    given = {
        "n_classes": 2,
        "grouped": True,
        "label_N": data.label_N,
        "tissue_fraction_N": data.tissue_N,
        "above": ABOVE,
        "patient_N": data.patient_N,
    }
    check_decision(DecisionSettings(), **given | {"n_classes": 10, "above": None, "grouped": False})
    check_decision(DecisionSettings(rule="by_tissue", minimum_patients=2), **given)
    for asked, change, error, said in (
        (DecisionSettings(rule="by_tissue"), {}, AlgorithmError, "2 with label 0 and little tissue"),
        (DecisionSettings(operating="balanced"), {}, AlgorithmError, "2 with label 0"),
        (DecisionSettings(rule="by_tissue"), {"n_classes": 3}, ConfigError, "for 3 classes"),
        (DecisionSettings(operating="balanced"), {"n_classes": 3}, ConfigError, "for 3 classes"),
        (DecisionSettings(rule="threshold"), {"grouped": False}, ConfigError, "attributes: nowhere"),
        (DecisionSettings(rule="by_attribute"), {"above": None}, ConfigError, "tissue does not make"),
    ):
        with pytest.raises(error, match=said):
            check_decision(asked, **given | change)


@pytest.mark.parametrize("rule", ["plain", *RULES])
def test_a_card_comes_back_and_says_what_it_stands_on(rule: Rule) -> None:
    data = made()
    card = data.fit(rule, operating="balanced")
    assert DecisionCard.model_validate_json(json.dumps(card.model_dump(mode="json"))) == card
    for part in (card.fitted, card.calibration, card.operating):
        if part is None:
            assert rule == "plain"
        else:
            assert (part.patients, part.patches) == (12, len(data.label_N))


@pytest.mark.parametrize(
    "wrong",
    [
        {"slope": 2.0},
        {"offsets": (1.0,)},
        {"rule": "threshold"},
        {"rule": "by_attribute", "offsets": (1.0, 2.0)},
        {"rule": "by_tissue", "offsets": (1.0,), "knots": (0.5,)},
        {"rule": "by_tissue", "offsets": (1.0, 2.0), "knots": (0.5, 0.5)},
        {"rule": "threshold", "offsets": (1.0,), "slope": 0.0},
        {"rule": "threshold", "offsets": (float("nan"),)},
        {"threshold": 1.0},
        {"uncalibrated": ""},
        {"version": 1},
    ],
)
def test_a_card_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        DecisionCard(**wrong)
