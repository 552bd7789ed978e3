"""Methods that weight ERM's samples, or leave some out: hand-computed weights and limit cases."""

from itertools import islice
from typing import Any

import numpy as np
import pytest

from models.groups import GroupLayout, TrainGroups
from models.training.making import make_algorithm
from patching.errors import ConfigError


def train_groups(counts: list[list[int]]) -> TrainGroups:
    layout = GroupLayout(len(counts), len(counts[0]))
    group_N = np.random.default_rng(1).permutation(np.repeat(np.arange(layout.n_groups), np.ravel(counts)))
    return TrainGroups(layout, group_N // layout.n_attributes, group_N % layout.n_attributes)


def weights_of(name: str, counts: list[list[int]], **settings: Any) -> list[float]:
    """Weight of a sample of each group, where it is drawn."""
    groups = train_groups(counts)
    algorithm = make_algorithm(name, {"batch_size": 4, **settings}, groups)
    found = np.full(groups.layout.n_groups, np.nan)
    for plan in islice(algorithm.batches(np.random.default_rng(0)), 50):
        found[groups.group_N[plan.indices_N]] = plan.weights_RN[0] * len(plan.indices_N)
    return found.tolist()


def test_reweight_is_inverse_to_the_size_of_the_group() -> None:
    # 20 samples in four groups: 20 / (4 * n).
    assert weights_of("reweight", [[8, 2], [5, 5]]) == pytest.approx([0.625, 2.5, 1, 1])


def test_the_root_lies_between() -> None:
    # sqrt: 3, 1, 2, 2; shares 3/8, 1/8, 2/8, 2/8 of 18 samples.
    assert weights_of("sqrt_reweight", [[9, 1], [4, 4]]) == pytest.approx([0.75, 2.25, 1.125, 1.125])


def test_classes_are_weighted_by_their_effective_number() -> None:
    # overlap 0.5: E = (1 - 0.5^n) / 0.5 = 1.75 for 3 samples and 1 for one; weights 1 / 1.75 and 1 / 1,
    # divided by their mean over the split, (3 / 1.75 + 1) / 4.
    mean = (3 / 1.75 + 1) / 4
    expected = [1 / 1.75 / mean, 1 / 1.75 / mean, 1 / mean, np.nan]
    assert weights_of("cb_loss", [[2, 1], [1, 0]], overlap=0.5) == pytest.approx(expected, nan_ok=True)


def test_the_effective_number_goes_from_erm_to_class_balanced() -> None:
    counts = [[60, 20], [15, 5]]
    assert weights_of("cb_loss", counts, overlap=0.0) == pytest.approx([1, 1, 1, 1])
    nearly = weights_of("cb_loss", counts, overlap=1 - 1e-9)
    assert nearly == pytest.approx([100 / 160, 100 / 160, 100 / 40, 100 / 40], rel=1e-6)
    with pytest.raises(ConfigError, match="overlap"):
        make_algorithm("cb_loss", {"overlap": 1.0}, train_groups(counts))


def test_subg_keeps_as_many_of_every_group_as_the_smallest_has() -> None:
    groups = train_groups([[30, 4], [9, 17]])
    subg = make_algorithm("subg", {"batch_size": 8}, groups)
    plans = list(islice(subg.batches(np.random.default_rng(0)), 40))
    seen = np.unique(np.concatenate([plan.indices_N for plan in plans]))
    assert np.bincount(groups.group_N[seen]).tolist() == [4, 4, 4, 4]
    assert set(groups.members(0, 1).tolist()) <= set(seen.tolist())
    others = next(subg.batches(np.random.default_rng(1))).indices_N
    assert set(others.tolist()) - set(seen.tolist()), "another seed keeps others"


def test_one_step_of_reweight_is_the_mean_of_group_losses_in_expectation() -> None:
    groups = train_groups([[12, 3], [5, 20]])
    loss_G = np.array([1.0, 5.0, 2.0, 0.5])
    reweight = make_algorithm("reweight", {"batch_size": 10}, groups)
    plans = islice(reweight.batches(np.random.default_rng(0)), 4000)
    steps = [float(p.weights_RN[0] @ loss_G[groups.group_N[p.indices_N]]) for p in plans]
    assert np.mean(steps) == pytest.approx(loss_G.mean(), rel=0.02)
