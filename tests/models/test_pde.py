"""PDE: the set that is trained on, step by step."""

from itertools import islice, pairwise

import numpy as np
import pytest

from models.algorithms.parts.composition import composition
from models.algorithms.parts.plans import BatchPlan
from models.algorithms.pde import Pde
from models.groups import GroupLayout, TrainGroups
from models.training.making import make_algorithm
from patching.errors import EmptyGroupError


def train_groups(counts: list[list[int]]) -> TrainGroups:
    layout = GroupLayout(len(counts), len(counts[0]))
    group_N = np.random.default_rng(1).permutation(np.repeat(np.arange(layout.n_groups), np.ravel(counts)))
    return TrainGroups(layout, group_N // layout.n_attributes, group_N % layout.n_attributes)


# 20 samples, the smallest group has 2; a step of 10 is half an epoch.
GROUPS = train_groups([[8, 2], [4, 6]])
SETTINGS = {"batch_size": 5, "warm_up": 1.0, "every": 1.0, "added": 3}


def plans_of(n: int, groups: TrainGroups = GROUPS, seed: int = 0, **settings: float) -> list[BatchPlan]:
    pde = make_algorithm("pde", SETTINGS | settings, groups)
    return list(islice(pde.batches(np.random.default_rng(seed)), n))


def drawn(plans: list[BatchPlan]) -> set[int]:
    return {n for plan in plans for n in plan.indices_N.tolist()}


def test_the_set_grows_from_equal_groups_by_a_fixed_number() -> None:
    # Warm-up: steps 1 and 2, on 4 groups of 2. Expansions before steps 3, 5, 7, 9: 11, 14, 17, 20 samples.
    plans = plans_of(12)
    sets = [drawn(plans[step : step + 2]) for step in range(0, 12, 2)]
    assert [len(each) for each in sets] == [8, 11, 14, 17, 20, 20]
    assert all(smaller <= larger for smaller, larger in pairwise(sets))
    assert np.bincount(GROUPS.group_N[sorted(sets[0])]).tolist() == [2, 2, 2, 2]
    # What is added comes from all that is left, 6 : 0 : 2 : 4, not from equal groups.
    added = np.bincount(GROUPS.group_N[sorted(sets[4] - sets[0])], minlength=4)
    assert added.tolist() == [6, 0, 2, 4]


def test_expansions_are_counted_in_epochs_of_samples_seen() -> None:
    pde = Pde(GROUPS, Pde.settings_type.model_validate({"warm_up": 2, "every": 0.1}))
    assert [pde.expansions(seen) for seen in (0, 39, 40, 41, 42, 60)] == [0, 0, 1, 1, 2, 11]


def test_within_the_warm_up_it_is_subg() -> None:
    subg = make_algorithm("subg", {"batch_size": 5}, GROUPS)
    for own, its in zip(plans_of(9, warm_up=50), subg.batches(np.random.default_rng(0)), strict=False):
        assert own.indices_N.tolist() == its.indices_N.tolist()


def test_all_at_once_is_erm() -> None:
    # Every two steps of 10 samples are a pass through all 20.
    plans = plans_of(8, warm_up=0, added=100)
    assert all(len(drawn(plans[step : step + 2])) == 20 for step in range(0, 8, 2))


def test_the_same_seed_expands_alike_and_another_otherwise() -> None:
    assert [p.indices_N.tolist() for p in plans_of(8)] == [p.indices_N.tolist() for p in plans_of(8)]
    wide = train_groups([[30, 2], [40, 9]])
    first, other = (drawn(plans_of(8, wide, seed, warm_up=0.1)) for seed in (0, 1))
    assert first != other


def test_the_table_tells_both_ends() -> None:
    table = composition(make_algorithm("pde", SETTINGS, GROUPS).expectation(), GROUPS)
    np.testing.assert_allclose(table.share_KA, 0.25)
    assert table.p_by_role["warm_up"].tolist() == [[0.5, 0.5], [0.5, 0.5]]
    np.testing.assert_allclose(table.p_by_role["all_added"], [[0.8, 0.2], [0.4, 0.6]])


def test_an_empty_group_cannot_be_balanced() -> None:
    with pytest.raises(EmptyGroupError, match="label 1, attribute 0"):
        make_algorithm("pde", {}, train_groups([[3, 5], [0, 5]]))
