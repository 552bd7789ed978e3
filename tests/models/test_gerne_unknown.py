"""GERNE with unknown attributes: pseudo-groups, the biased model, and the known case on what it finds."""

from collections.abc import Callable
from itertools import islice

import numpy as np
import pytest

from models.algorithms.gerne_unknown import GerneUnknown, hard_samples
from models.algorithms.parts.composition import composition
from models.algorithms.parts.first_model import FirstModel
from models.data.dataset import PatchData
from models.groups import GroupLayout, TrainGroups, TrainLabels
from models.training.first_models import FirstModels, first_settings
from models.training.making import first_stage, make_algorithm
from models.training.settings import TrainSettings
from models.training.setup import Setup
from patching.errors import BetaBoundsError, ConfigError, EmptyGroupError
from tests.models.conftest import first_model

MakeData = Callable[..., PatchData]


def test_the_least_probable_share_of_every_class_is_hard() -> None:
    label_N = np.array([1, 0, 0, 1, 0, 0, 1, 0, 0, 1])
    own_N = np.array([0.9, 0.8, 0.1, 0.2, 0.7, 0.3, 0.6, 0.95, 0.5, 0.4])
    # t = 0.4. Six of label 0: floor(2.4) = 2, those at 0.1 and 0.3. Four of label 1: floor(1.6) = 1.
    assert hard_samples(own_N, label_N, 0.4).tolist() == [0, 0, 1, 1, 0, 1, 0, 0, 0, 0]


def test_of_equal_probabilities_the_first_in_order_are_hard() -> None:
    own_N = np.array([0.5, 0.3, 0.5, 0.3, 0.3, 0.5, 0.3])
    assert hard_samples(own_N, np.zeros(7, np.int64), 0.5).tolist() == [0, 1, 0, 1, 1, 0, 0]


@pytest.mark.parametrize(
    ("t", "n", "expected"), [(0.29, 100, 29), (0.07, 100, 7), (0.3, 10, 3), (0.1, 19, 1)]
)
def test_the_floor_is_of_the_product_and_not_of_its_rounding(t: float, n: int, expected: int) -> None:
    assert hard_samples(np.linspace(0, 1, n), np.zeros(n, np.int64), t).sum() == expected


def test_three_classes_are_ranked_apart() -> None:
    label_N = np.array([2, 1, 0, 2, 1, 0, 2, 1, 0, 2, 0, 2])
    own_N = np.where(label_N == 2, 0.01, 0.5) + np.arange(12) / 100
    hard_N = hard_samples(own_N, label_N, 0.4)
    # Of 4, 3 and 5 samples: 1, 1 and 2, though every sample of label 2 is less probable than all others.
    assert np.flatnonzero(hard_N).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("t", "told"),
    [(0.2, "4 training samples of label 1: 0 of"), (1.0, "6 training samples of label 0: 6 of")],
)
def test_both_pseudo_groups_need_a_sample(t: float, told: str) -> None:
    label_N = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 1])
    with pytest.raises(EmptyGroupError, match=told) as caught:
        hard_samples(np.linspace(0, 1, 10), label_N, t)
    assert ("0.25" if t == 0.2 else "0.167") in caught.value.do


@pytest.mark.parametrize("t", [0.0, 1.0])
def test_t_is_a_share(t: float) -> None:
    with pytest.raises(ConfigError, match="t"):
        first_stage("gerne_unknown", {"t": t})


def test_the_biased_model_is_slow_decayed_and_chosen_by_class() -> None:
    stage = first_stage("gerne_unknown", {"batch_size": 6, "rounding": "exact_weights", "first_share": 0.2})
    assert stage is not None
    assert (stage.algorithm, stage.share, stage.selection) == ("class_balanced", 0.2, "class_balanced")
    settings = TrainSettings(learning_rate=0.5, weight_decay=0.01, epochs=10)
    first = first_settings(settings, stage)
    assert first.learning_rate == pytest.approx(0.05)
    assert first.weight_decay == pytest.approx(0.02)
    assert first.epochs == pytest.approx(2)
    # Class-uniform batches, however rare a class is.
    labels = TrainLabels(3, np.repeat([0, 1, 2], [90, 7, 23]))
    biased = make_algorithm(stage.algorithm, stage.algorithm_settings, labels)
    for plan in islice(biased.batches(np.random.default_rng(0)), 10):
        assert np.bincount(labels.label_N[plan.indices_N]).tolist() == [6, 6, 6]


@pytest.mark.parametrize(("n_classes", "draws"), [(2, "nested"), (3, "nested"), (3, "independent")])
def test_it_is_the_known_case_on_its_pseudo_groups(n_classes: int, draws: str) -> None:
    labels = TrainLabels(n_classes, np.random.default_rng(0).permutation(np.arange(90) % n_classes))
    first = first_model(labels.label_N, n_classes)
    settings = {"batch_size": 9, "c": 0.75, "beta": 0.5, "draws": draws}
    unknown = make_algorithm("gerne_unknown", settings | {"t": 0.3}, labels, first)
    hard_N = hard_samples(first.own_class_probability(labels.label_N), labels.label_N, 0.3)
    pseudo = TrainGroups(GroupLayout(n_classes, 2), labels.label_N, hard_N)
    known = make_algorithm("gerne", settings, pseudo)
    assert (unknown.roles, unknown.coefficients) == (known.roles, known.coefficients)
    assert unknown.samples_per_step == known.samples_per_step
    pairs = zip(
        unknown.batches(np.random.default_rng(1)),
        islice(known.batches(np.random.default_rng(1)), 12),
        strict=False,
    )
    for own, its in pairs:
        assert own.indices_N.tolist() == its.indices_N.tolist()
        np.testing.assert_array_equal(own.weights_RN, its.weights_RN)
    np.testing.assert_array_equal(unknown.expectation().share_N, known.expectation().share_N)


def test_the_table_of_the_true_groups_tells_nothing_of_pseudo_groups() -> None:
    """Both are 2 x 2, but the true attribute is here independent of what is hard."""
    labels = TrainLabels(2, np.arange(80) // 2 % 2)
    unknown = make_algorithm("gerne_unknown", {"t": 0.1}, labels, first_model(labels.label_N, 2))
    table = composition(
        unknown.expectation(), TrainGroups(GroupLayout(2, 2), labels.label_N, np.arange(80) % 2)
    )
    assert not table.p_by_role
    assert set(table.rows()[0]) == {"group", "count", "alpha", "p_trained", "share", "samples_per_step"}


def test_bounds_of_beta_are_those_of_the_pseudo_groups() -> None:
    labels = TrainLabels(2, np.arange(40) % 2)
    first = first_model(labels.label_N, 2)
    # alpha = 0.9 and c = 1: beta_max = 0.9 / 0.4 - 1 = 1.25.
    make_algorithm("gerne_unknown", {"t": 0.1, "c": 1.0, "beta": 1.24}, labels, first)
    with pytest.raises(BetaBoundsError, match=r"1\.25"):
        make_algorithm("gerne_unknown", {"t": 0.1, "c": 1.0, "beta": 1.26}, labels, first)


def first_on(data: PatchData, settings: TrainSettings) -> FirstModel:
    made = Setup(data, data, settings, seed=0, quiet=True)
    stage = first_stage("gerne_unknown", {"batch_size": 16})
    assert stage is not None
    return FirstModels(made, "gerne_unknown").get(stage)


def test_the_minority_is_found_hard(shortcut_data: MakeData, quick: TrainSettings) -> None:
    """The label is a fine pattern, and brightness tells it in 90 % of the samples: after a short, slow
    training, those of the other brightness are what the model finds hard."""
    data = shortcut_data(400, tie=0.9)
    settings = quick.model_copy(update={"epochs": 24.0, "attributes": "nowhere", "learning_rate": 0.2})
    hard_N = hard_samples(first_on(data, settings).own_class_probability(data.label_N), data.label_N, 0.1)
    minority_N = data.attribute_N != data.label_N
    assert minority_N.mean() == pytest.approx(0.1)
    # By chance 10 % of the hard were of the minority; with four other seeds of the data, 50 to 95 % were.
    assert minority_N[hard_N == 1].mean() > 0.3


def test_the_pseudo_groups_are_what_is_drawn_from() -> None:
    labels = TrainLabels(2, np.arange(40) % 2)
    first = first_model(labels.label_N, 2)
    unknown = make_algorithm("gerne_unknown", {"t": 0.25}, labels, first)
    assert isinstance(unknown, GerneUnknown)
    assert unknown.known_case.train.counts_KA.tolist() == [[15, 5], [15, 5]]
