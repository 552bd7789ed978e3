"""The Brier score of groups and of all patches, and its bootstrap over patients."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss

from models.metrics.brier import BrierStatistics, brier_statistics
from models.metrics.intervals import bootstrap, paired_difference
from patching.errors import GroupError


def statistics(seed: int, n: int = 60, shift: float = 0.0) -> tuple[BrierStatistics, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    label_N, probability_N = rng.integers(0, 2, n), np.clip(rng.random(n) + shift, 0, 1)
    label_N[:2] = (0, 1)
    group_N = label_N * 2 + rng.integers(0, 2, n)
    found = brier_statistics(label_N, probability_N, group_N, np.arange(n) % 7, 4)
    return found, label_N, probability_N


@given(st.integers(0, 10_000))
def test_it_is_that_of_scikit_learn(seed: int) -> None:
    found, label_N, probability_N = statistics(seed)
    whole = found.metrics(np.ones((1, 7)))[0, 0]
    assert found.names[-1] == "brier"
    assert whole[-1] == pytest.approx(brier_score_loss(label_N, probability_N))


def test_a_group_has_its_own_score_and_a_small_one_has_none() -> None:
    found = brier_statistics([0, 0, 1], [0.5, 0.1, 0.2], [0, 0, 3], ["a", "b", "a"], 4)
    scores = found.metrics(np.ones((1, 2)))[0, 0]
    assert scores[0] == pytest.approx((0.25 + 0.01) / 2)
    assert np.isnan(scores[1:4]).all()  # one patient is too few for an interval
    assert scores[4] == pytest.approx((0.25 + 0.01 + 0.64) / 3)


def test_a_draw_weighs_patients_as_often_as_they_are_drawn() -> None:
    found = brier_statistics([0, 0, 0], [0.5, 0.1, 0.1], [0, 0, 0], ["a", "b", "b"], 1)
    drawn = found.metrics(np.array([[3.0, 0.0], [1.0, 2.0]]))[:, 0, -1]
    np.testing.assert_allclose(drawn, [0.25, (0.25 + 4 * 0.01) / 5])


def test_a_difference_is_paired() -> None:
    one, two = statistics(1)[0], statistics(1, shift=0.2)[0]
    difference = paired_difference(two, one, n_draws=200)["brier"]
    alone = [bootstrap(each, n_draws=200)["brier"] for each in (two, one)]
    assert difference.estimate == pytest.approx(alone[0].estimate - alone[1].estimate)
    assert difference.high - difference.low < sum(each.high - each.low for each in alone)


def test_repeats_have_sums_of_what_they_tested() -> None:
    """The second repeat did not test the last patch; one that no repeat tested counts nowhere."""
    probability_RN = [[0.5, 0.1, 0.2, np.nan], [0.3, 0.4, np.nan, np.nan]]
    found = brier_statistics([0, 0, 1, 1], probability_RN, [0, 0, 1, 1], ["a", "b", "a", "b"], 2)
    assert found.count_PRG.tolist() == [[[1, 1], [1, 0]], [[1, 0], [1, 0]]]
    scores_RM = found.metrics(np.ones((1, 2)))[0]
    np.testing.assert_allclose(scores_RM[:, 0], [(0.25 + 0.01) / 2, (0.09 + 0.16) / 2])
    np.testing.assert_allclose(scores_RM[:, -1], [(0.25 + 0.01 + 0.64) / 3, (0.09 + 0.16) / 2])
    assert found.estimable_G.tolist() == [True, False]


def test_arrays_of_another_length_are_refused() -> None:
    with pytest.raises(GroupError):
        brier_statistics([0, 1], [0.5], [0, 1], ["a", "b"], 2)
