"""Group metrics by hand, and their properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.metrics.accuracy import auroc, group_metrics, patients_per_group
from patching.errors import GroupError

# Group 0: 3 of 4 right, group 1: 1 of 2, group 2: none there, group 3: 4 of 5.
LABEL = [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1]
PREDICTION = [0, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1]
GROUP = [0, 0, 0, 0, 1, 1, 3, 3, 3, 3, 3]
PATIENT = ["a", "a", "b", "b", "b", "b", "a", "c", "c", "c", "c"]


def test_by_hand() -> None:
    metrics = group_metrics(LABEL, PREDICTION, GROUP, 4)
    np.testing.assert_allclose(metrics.accuracy_G, [0.75, 0.5, np.nan, 0.8])
    assert metrics.count_G.tolist() == [4, 2, 0, 5]
    assert metrics.correct_G.tolist() == [3, 1, 0, 4]
    assert metrics.estimable_G.tolist() == [True, True, False, True]
    assert metrics.wga == 0.5
    assert metrics.gba == pytest.approx((0.75 + 0.5 + 0.8) / 3)
    assert metrics.average == pytest.approx(8 / 11)
    assert metrics.worst_class == pytest.approx(4 / 6)


def test_small_groups_are_not_estimable_and_not_zero() -> None:
    metrics = group_metrics(LABEL, PREDICTION, GROUP, 4, minimum_patches=3)
    assert metrics.estimable_G.tolist() == [True, False, False, True]
    assert np.isnan(metrics.accuracy_G[1])
    assert metrics.correct_G[1] == 1
    assert metrics.wga == 0.75
    few = group_metrics(LABEL, PREDICTION, GROUP, 4, patient=PATIENT, minimum_patients=2)
    assert few.estimable_G.tolist() == [True, False, False, True]
    assert patients_per_group(np.array(GROUP), 4, PATIENT).tolist() == [2, 1, 0, 2]


def test_nothing_estimable_is_nan() -> None:
    metrics = group_metrics(LABEL, PREDICTION, GROUP, 4, minimum_patches=100)
    assert np.isnan(metrics.wga)
    assert np.isnan(metrics.gba)
    assert metrics.average == pytest.approx(8 / 11)
    nothing = group_metrics([], [], np.array([], dtype=int), 4)
    assert np.isnan([nothing.wga, nothing.gba, nothing.average, nothing.worst_class]).all()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(GroupError, match="group numbers from 0 to 3"):
        group_metrics(LABEL, PREDICTION, GROUP, 3)
    with pytest.raises(GroupError, match="arrays of 11, 10, 11"):
        group_metrics(LABEL[1:], PREDICTION, GROUP, 4)
    with pytest.raises(GroupError, match="patient"):
        group_metrics(LABEL, PREDICTION, GROUP, 4, minimum_patients=2)


def test_auroc_counts_ties_half() -> None:
    # Pairs (0.8, 0.2), (0.8, 0.5), (0.5, 0.2) won, (0.5, 0.5) tied: 3.5 of 4.
    assert auroc([1, 1, 0, 0], [0.8, 0.5, 0.2, 0.5]) == pytest.approx(3.5 / 4)
    assert np.isnan(auroc([1, 1], [0.8, 0.5]))


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(0, 2)), min_size=1))
def test_worst_is_lowest_and_average_is_weighted(rows: list[tuple[int, int, int]]) -> None:
    label_N, prediction_N, attribute_N = np.array(rows).T
    metrics = group_metrics(label_N, prediction_N, label_N * 3 + attribute_N, 6)
    assert metrics.wga <= metrics.gba
    assert metrics.wga <= metrics.worst_class + 1e-12
    assert metrics.worst_class <= metrics.average + 1e-12
    weighted = np.nansum(metrics.accuracy_G * metrics.count_G) / metrics.count_G.sum()
    assert metrics.average == pytest.approx(weighted)
