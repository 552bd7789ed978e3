"""Groups: numbering, counts, p(a|y), and the errors of an empty one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from models.groups import GroupLayout, TrainGroups, conditional_distribution, require_every_group
from patching.errors import EmptyGroupError, GroupError


@pytest.fixture
def groups() -> TrainGroups:
    """Two classes, three attribute values; counts 2 1 0 and 0 3 1."""
    label_N = np.array([0, 1, 0, 1, 1, 0, 1])
    attribute_N = np.array([0, 1, 1, 2, 1, 0, 1])
    return TrainGroups(GroupLayout(2, 3), label_N, attribute_N)


def test_groups_number_attributes_fastest() -> None:
    layout = GroupLayout(2, 3)
    assert layout.n_groups == 6
    assert layout.group([0, 0, 1, 1], [0, 2, 0, 2]).tolist() == [0, 2, 3, 5]
    assert layout.names[4] == "label 1, attribute 1"
    assert int(layout.group(1, 1)) == 4


def test_counts_alpha_and_members(groups: TrainGroups) -> None:
    assert groups.counts_KA.tolist() == [[2, 1, 0], [0, 3, 1]]
    np.testing.assert_allclose(groups.alpha_KA, [[2 / 3, 1 / 3, 0], [0, 0.75, 0.25]])
    assert groups.members(0, 0).tolist() == [0, 5]
    assert groups.members(1, 1).tolist() == [1, 4, 6]
    assert groups.members(0, 2).size == 0
    assert len(groups) == 7


def test_an_empty_group_is_named_with_the_ways_out(groups: TrainGroups) -> None:
    with pytest.raises(EmptyGroupError) as caught:
        require_every_group(groups.counts_KA)
    message = str(caught.value)
    assert "label 0, attribute 2" in message
    assert "label 1, attribute 0" in message
    assert "label 1, attribute 1" not in message
    for way in ("merge", "drop the attribute value", "gather data"):
        assert way in message


@pytest.mark.parametrize(
    ("label", "attribute"),
    [([0, 2], [0, 0]), ([0, -1], [0, 0]), ([0, 1], [0, 3]), ([0.0, 1.0], [0, 0]), ([0, 1], [0]), ([], [])],
    ids=["label too large", "negative label", "attribute too large", "not integers", "lengths", "empty"],
)
def test_values_outside_the_layout_are_refused(label: list[float], attribute: list[int]) -> None:
    with pytest.raises(GroupError):
        TrainGroups(GroupLayout(2, 3), np.array(label), np.array(attribute))


@given(hnp.arrays(np.int64, st.tuples(st.integers(1, 5), st.integers(1, 6)), elements=st.integers(1, 10**6)))
def test_conditional_distribution_has_rows_of_one(counts_KA: np.ndarray) -> None:
    alpha_KA = conditional_distribution(counts_KA)
    np.testing.assert_allclose(alpha_KA.sum(axis=1), 1)
    np.testing.assert_allclose(alpha_KA * counts_KA.sum(axis=1, keepdims=True), counts_KA)


def test_conditional_distribution_refuses_what_is_no_count() -> None:
    with pytest.raises(EmptyGroupError, match=r"label \[1\]"):
        conditional_distribution([[1, 2], [0, 0]])
    for wrong in ([1, 2], [[1, -1]], [[np.nan, 1]]):
        with pytest.raises(GroupError):
            conditional_distribution(wrong)
