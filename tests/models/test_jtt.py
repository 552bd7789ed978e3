"""JTT: which samples are repeated, and how often."""

from collections import Counter
from itertools import islice

import numpy as np
import pytest

from models.algorithms.jtt import Jtt
from models.algorithms.parts.first_model import FirstModel
from models.groups import TrainLabels
from models.training.making import first_stage, make_algorithm
from patching.errors import AlgorithmError
from tests.models.conftest import first_model

LABELS = TrainLabels(2, np.array([0, 0, 1, 1, 1]))


def said(*prediction: int) -> FirstModel:
    """A first model with these predictions."""
    untrained = first_model(LABELS.label_N, 2)
    logits_NK = np.eye(2, dtype=np.float32)[list(prediction)]
    return FirstModel(untrained.classifier, logits_NK, untrained.unseen_N)


def test_errors_come_lambda_times_as_often() -> None:
    # Wrong about samples 1 and 4: D_up = {0, 1, 1, 1, 2, 3, 4, 4, 4}, in 9 steps of 2 samples twice.
    jtt = make_algorithm("jtt", {"batch_size": 1, "lambda_up": 3}, LABELS, said(0, 1, 1, 1, 0))
    assert isinstance(jtt, Jtt)
    assert jtt.copies_N.tolist() == [1, 3, 1, 1, 3]
    plans = list(islice(jtt.batches(np.random.default_rng(0)), 9))
    times = Counter(n for plan in plans for n in plan.indices_N.tolist())
    assert times == {0: 2, 1: 6, 2: 2, 3: 2, 4: 6}
    np.testing.assert_allclose(jtt.expectation().share_N, np.array([1, 3, 1, 1, 3]) / 9)


def test_a_batch_may_hold_an_error_more_than_once() -> None:
    jtt = make_algorithm("jtt", {"batch_size": 4, "lambda_up": 50}, LABELS, said(0, 1, 1, 1, 0))
    plan = next(jtt.batches(np.random.default_rng(0)))
    assert len(plan) == 8
    assert max(Counter(plan.indices_N.tolist()).values()) > 2


def test_lambda_one_is_erm() -> None:
    labels = TrainLabels(2, np.arange(60) % 2)
    jtt = make_algorithm("jtt", {"batch_size": 7, "lambda_up": 1}, labels, first_model(labels.label_N, 2))
    erm = make_algorithm("erm", {"batch_size": 7}, labels)
    pairs = zip(
        jtt.batches(np.random.default_rng(3)), islice(erm.batches(np.random.default_rng(3)), 20), strict=False
    )
    for own, its in pairs:
        assert own.indices_N.tolist() == its.indices_N.tolist()
        np.testing.assert_array_equal(own.weights_RN, its.weights_RN)


def test_a_first_model_without_errors_is_told() -> None:
    with pytest.raises(AlgorithmError, match="right about all 5") as caught:
        make_algorithm("jtt", {}, LABELS, said(0, 0, 1, 1, 1))
    assert "first_share" in caught.value.do


def test_the_first_model_is_erm_with_its_share() -> None:
    stage = first_stage("jtt", {"batch_size": 6, "first_share": 0.25, "folds": 3})
    assert stage is not None
    assert (stage.algorithm, dict(stage.algorithm_settings)) == ("erm", {"batch_size": 6})
    assert (stage.share, stage.folds, stage.selection) == (0.25, 3, "average")
    assert (stage.learning_rate, stage.weight_decay) == (1, 1)
