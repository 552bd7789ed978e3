"""How much the step's loss varies: nested draws against independent ones (GERNE, appendix B)."""

from itertools import islice

import numpy as np
import pytest

from models.groups import GroupLayout, TrainGroups
from models.training.making import make_algorithm

BATCH, STEPS = 10, 5_000


def variance(c: float, beta: float, draws: str) -> float:
    """Variance of the combined loss in units of Var(L_A) / (K B): of two highly biased classes, whose large
    groups have losses of variance 1 and whose small groups have none."""
    group_N = np.repeat([0, 1, 2, 3], [10_000, 10, 15, 12_000])
    groups = TrainGroups(GroupLayout(2, 2), group_N // 2, group_N % 2)
    loss_N = np.where(
        (group_N == 0) | (group_N == 3), np.random.default_rng(2).standard_normal(len(group_N)), 0
    )
    settings = {"batch_size": BATCH, "c": c, "beta": beta, "draws": draws}
    gerne = make_algorithm("gerne", settings, groups)
    combined = [
        gerne.sample_weights(plan) @ loss_N[plan.indices_N]
        for plan in islice(gerne.batches(np.random.default_rng(3)), STEPS)
    ]
    return float(np.var(combined)) * 2 * BATCH


@pytest.mark.parametrize(("c", "beta"), [(0.5, 1.0), (1.0, 0.8), (0.5, 2.0)])
def test_variance_of_nested_and_independent_draws(c: float, beta: float) -> None:
    """At c = 0.5, beta = 1 they are 1.0 and 4.0."""
    nested = 1 - c / 2 + c / 2 * beta**2
    independent = (1 + beta) ** 2 * (1 - c / 2) + beta**2
    assert variance(c, beta, "nested") == pytest.approx(nested, rel=0.05)
    assert variance(c, beta, "independent") == pytest.approx(independent, rel=0.05)
