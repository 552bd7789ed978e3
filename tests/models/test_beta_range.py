"""Every beta that a search may propose is one that GERNE takes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.algorithms.gerne import beta_bounds, extrapolated_distribution
from models.groups import GroupLayout, TrainGroups
from models.training.making import make_algorithm
from patching.errors import AlgorithmError, ConfigError, EmptyGroupError
from pipeline.experiments.beta_range import beta_at, largest_beta, position
from tests.models.conftest import bound


def groups_of(counts: list[list[int]]) -> TrainGroups:
    layout = GroupLayout(len(counts), len(counts[0]))
    cells = np.arange(layout.n_groups).repeat(np.ravel(counts))
    return TrainGroups(layout, cells // layout.n_attributes, cells % layout.n_attributes)


WATERBIRDS = groups_of([[3498, 184], [56, 1057]])


@pytest.mark.parametrize(("c", "largest"), [(0.5, 3.222088), (1.0, 1.111044)])
def test_the_papers_bounds(c: float, largest: float) -> None:
    found = largest_beta("gerne", {"c": c}, WATERBIRDS)
    assert found == pytest.approx(largest, abs=1e-6)
    assert found == pytest.approx(beta_bounds(WATERBIRDS.alpha_KA, c)[1])


def test_shares_count_from_class_balanced() -> None:
    assert beta_at(0.0, 3.222088) == -1.0
    assert beta_at(1.0, 3.222088) == 3.2220
    assert beta_at(0.25, 3.0) == 0.0


def test_the_share_alone_decides_the_position() -> None:
    for c in (0.25, 0.5, 1.0):
        beta = beta_at(0.5, largest_beta("gerne", {"c": c}, WATERBIRDS))
        assert position({"c": c, "beta": beta}) == pytest.approx(0.5 * 0.5 * (3.222088 + 1), abs=1e-4)


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.lists(st.integers(1, 400), min_size=3, max_size=3), min_size=2, max_size=4),
    c=st.floats(0.01, 1.0),
    share=st.floats(0.0, 1.0),
    rounding=st.sampled_from(["stochastic", "largest_remainder"]),
    batch_size=st.integers(3, 64),
)
def test_every_proposal_is_legal(
    counts: list[list[int]], c: float, share: float, rounding: str, batch_size: int
) -> None:
    groups = groups_of(counts)
    own = {"c": c, "rounding": rounding, "batch_size": batch_size}
    # An unbiased split has no upper bound: a search caps the position.
    beta = beta_at(share, largest_beta("gerne", own, groups, 3.0))
    assert c * (beta + 1) <= 3.0 + 1e-9
    make_algorithm("gerne", own | {"beta": beta}, groups)
    if rounding == "stochastic":
        p_KA = extrapolated_distribution(groups.alpha_KA, c, beta)
        assert p_KA.min() > -1e-9
        assert p_KA.max() < 1 + 1e-9


@settings(max_examples=15, deadline=None)
@given(
    sizes=st.lists(st.integers(20, 300), min_size=2, max_size=4),
    t=st.floats(0.06, 0.5),
    c=st.floats(0.01, 1.0),
    share=st.floats(0.0, 1.0),
)
def test_every_proposal_for_pseudo_groups_is_legal(
    sizes: list[int], t: float, c: float, share: float
) -> None:
    labels = groups_of([[size] for size in sizes]).labels
    own = {"c": c, "t": t}
    beta = beta_at(share, largest_beta("gerne_unknown", own, labels, 3.0))
    bound("gerne_unknown", own | {"beta": beta}, labels)


def test_an_unbiased_split_has_no_largest_beta() -> None:
    assert largest_beta("gerne", {}, groups_of([[5, 5], [7, 7]])) == np.inf


def test_what_has_no_beta_or_no_attributes_is_told() -> None:
    with pytest.raises(ConfigError, match="no bounds of beta"):
        largest_beta("erm", {}, WATERBIRDS)
    with pytest.raises(AlgorithmError, match="attribute of every training patch"):
        largest_beta("gerne", {}, WATERBIRDS.labels)
    with pytest.raises(EmptyGroupError, match=r"t = 0\.0005"):
        largest_beta("gerne_unknown", {"t": 0.0005}, WATERBIRDS.labels)


def test_positions_need_both_settings() -> None:
    assert position({"c": 1.0, "beta": 0.0, "t": 0.1}) == 1.0
    assert position({"batch_size": 32}) is None
