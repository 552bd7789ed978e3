"""GERNE's identities on a convolutional network with BatchNorm.

What must be equal bit for bit is compared with torch.equal, everything else in double precision.
"""

from collections.abc import Iterator
from itertools import islice, pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from models.algorithms.base import AbstractAlgorithm
from models.algorithms.parts.plans import BatchPlan
from models.groups import GroupLayout, TrainGroups
from models.training.making import make_algorithm

COUNTS = [[24, 6], [5, 19]]
ROUNDINGS = ("stochastic", "largest_remainder", "exact_weights")


@pytest.fixture(scope="module")
def groups() -> TrainGroups:
    group_N = np.random.default_rng(1).permutation(np.repeat(np.arange(4), np.ravel(COUNTS)))
    return TrainGroups(GroupLayout(2, 2), group_N // 2, group_N % 2)


@pytest.fixture(scope="module")
def images_NCHW(groups: TrainGroups) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(len(groups), 3, 9, 7, generator=generator, dtype=torch.float64)


def network(dtype: torch.dtype = torch.float64) -> nn.Module:
    """A small random CNN with BatchNorm."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        layers = [
            nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(),
            nn.Conv2d(5, 4, 3), nn.BatchNorm2d(4), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2),
        ]  # fmt: skip
        return nn.Sequential(*layers).to(dtype)


def losses(net: nn.Module, images: torch.Tensor, groups: TrainGroups, index_N: np.ndarray) -> torch.Tensor:
    """Cross-entropy of every sample of one forward pass."""
    label_N = torch.as_tensor(groups.label_N[index_N])
    logits_NK = net(images[torch.as_tensor(index_N)].to(next(net.parameters()).dtype))
    return nn.functional.cross_entropy(logits_NK, label_N, reduction="none")


def combined(algorithm: AbstractAlgorithm[Any, Any], losses_N: torch.Tensor, plan: BatchPlan) -> torch.Tensor:
    """The algorithm's loss, in double precision."""
    return (torch.as_tensor(algorithm.sample_weights(plan)) * losses_N).sum()


def gradient(net: nn.Module, loss: torch.Tensor) -> torch.Tensor:
    """Gradient of all parameters as one vector."""
    parts = torch.autograd.grad(loss, list(net.parameters()), retain_graph=True)
    return torch.cat([part.ravel() for part in parts])


def trained(
    algorithm: AbstractAlgorithm[Any, Any], images: torch.Tensor, groups: TrainGroups
) -> dict[str, torch.Tensor]:
    """Weights and BatchNorm buffers after six steps of SGD with momentum, single precision."""
    net = network(torch.float32).train()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    for plan in islice(algorithm.batches(np.random.default_rng(11)), 6):
        optimizer.zero_grad()
        algorithm.loss(losses(net, images, groups, plan.indices_N), plan).backward()
        optimizer.step()
    return net.state_dict()


def assert_equal_to_the_bit(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> None:
    assert one.keys() == two.keys()
    assert any("running_mean" in name for name in one)
    assert [name for name in one if not torch.equal(one[name], two[name])] == []


@pytest.mark.parametrize("draws", ["nested", "independent"])
@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_beta_minus_one_is_class_balanced_erm_bit_for_bit(
    groups: TrainGroups, images_NCHW: torch.Tensor, rounding: str, draws: str
) -> None:
    """On undivided classes; class-balanced ERM sees no attributes, so that it cannot draw by them."""
    common = {"batch_size": 6, "rounding": rounding}
    undivided = groups.labels.undivided
    gerne = make_algorithm("gerne", {**common, "c": 0.5, "beta": -1, "draws": draws}, undivided)
    balanced = make_algorithm("class_balanced", common, groups)
    assert_equal_to_the_bit(trained(gerne, images_NCHW, groups), trained(balanced, images_NCHW, groups))


def test_beta_minus_one_is_class_balanced_erm_in_expectation(groups: TrainGroups) -> None:
    gerne = make_algorithm("gerne", {"c": 0.5, "beta": -1}, groups).expectation()
    balanced = make_algorithm("class_balanced", {}, groups).expectation()
    np.testing.assert_allclose(gerne.share_N, balanced.share_N)
    np.testing.assert_allclose(gerne.samples_N, balanced.samples_N)


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_c_one_beta_zero_is_group_resampling_bit_for_bit(
    groups: TrainGroups, images_NCHW: torch.Tensor, rounding: str
) -> None:
    common = {"batch_size": 7, "rounding": rounding}
    settings = {**common, "c": 1, "beta": 0, "draws": "independent"}
    gerne, resampling = (
        make_algorithm("gerne", settings, groups),
        make_algorithm("group_resampling", common, groups),
    )
    assert_equal_to_the_bit(trained(gerne, images_NCHW, groups), trained(resampling, images_NCHW, groups))


def test_c_one_beta_zero_is_group_resampling_in_distribution_when_nested(groups: TrainGroups) -> None:
    """Every group gets B / A samples of every class, and every sample of a group comes equally often."""
    gerne = make_algorithm("gerne", {"batch_size": 6, "c": 1, "beta": 0}, groups)
    assert gerne.roles == ("less_biased",)
    assert gerne.samples_per_step == pytest.approx(12)
    times_N = np.zeros(len(groups))
    for plan in islice(gerne.batches(np.random.default_rng(0)), 4000):
        assert np.bincount(groups.group_N[plan.indices_N]).tolist() == [3, 3, 3, 3]
        assert len(set(plan.indices_N.tolist())) == 12
        np.add.at(times_N, plan.indices_N, 1 / 4000)
    np.testing.assert_allclose(times_N, 3 / groups.counts_KA.ravel()[groups.group_N], rtol=0.08)


def drawn(name: str, settings: dict[str, Any], groups: TrainGroups) -> list[list[int]]:
    """Samples of a method's first steps."""
    algorithm = make_algorithm(name, {"batch_size": 7, **settings}, groups)
    return [
        sorted(plan.indices_N.tolist()) for plan in islice(algorithm.batches(np.random.default_rng(11)), 6)
    ]


def test_only_one_special_case_sees_the_same_samples(groups: TrainGroups) -> None:
    """c = 1, beta = 0 with independent draws; others equal their method in expectation alone."""
    resampling = drawn("group_resampling", {}, groups)
    assert drawn("gerne", {"c": 1, "beta": 0, "draws": "independent"}, groups) == resampling
    assert drawn("gerne", {"c": 1, "beta": 0, "draws": "nested"}, groups) != resampling
    assert drawn("gerne", {"beta": -1}, groups) != drawn("class_balanced", {}, groups)
    assert drawn("gerne", {"beta": -1}, groups.labels.undivided) == drawn("class_balanced", {}, groups)


@pytest.mark.parametrize("draws", ["nested", "independent"])
@pytest.mark.parametrize("c", [0.25, 0.5])
def test_position_one_is_group_resampling_in_expectation_alone(
    groups: TrainGroups, c: float, draws: str
) -> None:
    settings = {"batch_size": 7, "c": c, "beta": 1 / c - 1, "draws": draws}
    gerne = make_algorithm("gerne", settings, groups)
    resampling = make_algorithm("group_resampling", {"batch_size": 7}, groups)
    np.testing.assert_allclose(gerne.expectation().share_N, resampling.expectation().share_N)
    assert gerne.samples_per_step > resampling.samples_per_step
    assert drawn("gerne", settings, groups) != drawn("group_resampling", {}, groups)


def plans(algorithm: AbstractAlgorithm[Any, Any]) -> Iterator[BatchPlan]:
    return islice(algorithm.batches(np.random.default_rng(5)), 3)


@pytest.mark.parametrize("draws", ["nested", "independent"])
@pytest.mark.parametrize("beta", [-0.5, 0.75, 2.0])
def test_the_gradient_is_the_extrapolation_of_both(
    groups: TrainGroups, images_NCHW: torch.Tensor, draws: str, beta: float
) -> None:
    """(1 + beta) g_lb - beta g_b, BatchNorm over the union included."""
    gerne = make_algorithm("gerne", {"batch_size": 8, "beta": beta, "draws": draws}, groups)
    net = network().train()
    for plan in plans(gerne):
        losses_N = losses(net, images_NCHW, groups, plan.indices_N)
        row_b, row_lb = (torch.as_tensor(row_N) for row_N in plan.weights_RN)
        g_b, g_lb = gradient(net, (row_b * losses_N).sum()), gradient(net, (row_lb * losses_N).sum())
        total = gradient(net, combined(gerne, losses_N, plan))
        torch.testing.assert_close(total, (1 + beta) * g_lb - beta * g_b)
        assert (g_b - g_lb).norm() > 1e-3


@pytest.mark.parametrize("beta", [1.0, 12.0])
def test_the_gradient_is_the_p_ext_weighted_sum_of_group_gradients(
    groups: TrainGroups, images_NCHW: torch.Tensor, beta: float
) -> None:
    """Exact weights and full groups: no sampling is left, the identity holds in every step.

    B is the 30 samples of a class; c is so small that both batches hold the whole groups, and beta
    carries the extrapolation.
    """
    counts = [[24, 6], [6, 24]]
    group_N = np.random.default_rng(2).permutation(np.repeat(np.arange(4), np.ravel(counts)))
    full = TrainGroups(GroupLayout(2, 2), group_N // 2, group_N % 2)
    images = torch.randn(60, 3, 9, 7, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    settings = {"batch_size": 30, "c": 0.05, "beta": beta, "rounding": "exact_weights"}
    gerne = make_algorithm("gerne", settings, full)
    net = network().train()
    plan = next(gerne.batches(np.random.default_rng(0)))
    assert sorted(plan.indices_N.tolist()) == list(range(60))
    losses_N = losses(net, images, full, plan.indices_N)
    p_KA = full.alpha_KA + 0.05 * (beta + 1) * (0.5 - full.alpha_KA)
    owner_N = torch.as_tensor(full.group_N[plan.indices_N])
    expected = sum(p_KA.ravel()[g] / 2 * gradient(net, losses_N[owner_N == g].mean()) for g in range(4))
    torch.testing.assert_close(gradient(net, combined(gerne, losses_N, plan)), expected)


@pytest.mark.parametrize("draws", ["nested", "independent"])
def test_the_gradient_is_affine_in_beta(groups: TrainGroups, images_NCHW: torch.Tensor, draws: str) -> None:
    net = network().train()
    found = []
    for beta in (0.5, 1.0, 1.5, 2.0):
        gerne = make_algorithm("gerne", {"batch_size": 8, "beta": beta, "draws": draws}, groups)
        plan = next(plans(gerne))
        losses_N = losses(net, images_NCHW, groups, plan.indices_N)
        found.append(gradient(net, combined(gerne, losses_N, plan)))
    first, *others = [after - before for before, after in pairwise(found)]
    assert first.norm() > 1e-3
    for other in others:
        torch.testing.assert_close(other, first)


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_the_nested_batch_equals_two_batches(
    groups: TrainGroups, images_NCHW: torch.Tensor, rounding: str
) -> None:
    """One weighted forward of the union gives the loss and gradient of B_b and B_lb forwarded apart.

    BatchNorm is frozen here: over two batches its statistics are a policy, not an identity.
    """
    beta = 1.5
    gerne = make_algorithm("gerne", {"batch_size": 8, "beta": beta, "rounding": rounding}, groups)
    net = network().eval()
    for plan in plans(gerne):
        union = combined(gerne, losses(net, images_NCHW, groups, plan.indices_N), plan)
        apart = []
        for row_N in plan.weights_RN:
            used_N = row_N > 0
            of_role = losses(net, images_NCHW, groups, plan.indices_N[used_N])
            apart.append((torch.as_tensor(row_N[used_N]) * of_role).sum())
        loss_b, loss_lb = apart
        two_batches = loss_lb + beta * (loss_lb - loss_b)
        torch.testing.assert_close(union, two_batches)
        torch.testing.assert_close(gradient(net, union), gradient(net, two_batches))


def test_the_single_precision_loss_is_the_same(groups: TrainGroups, images_NCHW: torch.Tensor) -> None:
    gerne = make_algorithm("gerne", {"batch_size": 8, "beta": 1.5}, groups)
    net = network().train()
    for plan in plans(gerne):
        losses_N = losses(net, images_NCHW, groups, plan.indices_N)
        expected = combined(gerne, losses_N, plan).item()
        assert gerne.loss(losses_N, plan).item() == pytest.approx(expected, abs=1e-6)
