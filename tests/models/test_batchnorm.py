"""BatchNorm policies: whose statistics normalize a role, and whose are remembered."""

import numpy as np
import pytest
import torch
from torch import nn

from models.algorithms.parts.networks import Networks
from models.algorithms.parts.plans import Batch, BatchPlan
from models.networks.batchnorm import BatchNormPolicy, train_mode

# Five samples: 0 only biased, 1 and 2 shared, 3 and 4 only less biased.
PLAN = BatchPlan(np.arange(5), np.array([[0.4, 0.3, 0.3, 0, 0], [0, 0.25, 0.25, 0.25, 0.25]]))


@pytest.fixture
def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2))


@pytest.fixture
def images_BCHW() -> torch.Tensor:
    return (
        torch.randn(5, 2, 6, 6, generator=torch.Generator().manual_seed(0))
        * torch.arange(1, 6)[:, None, None, None]
    )


LABEL_B = torch.tensor([0, 1, 0, 1, 1])


def losses_of(logits_BK: torch.Tensor, label_B: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(logits_BK, label_B, reduction="none")


def running_after(model: nn.Sequential, images_BCHW: torch.Tensor) -> torch.Tensor:
    """Running mean of a fresh BatchNorm after one forward pass."""
    fresh = nn.BatchNorm2d(3)
    fresh(model[0](images_BCHW))
    assert fresh.running_mean is not None
    return fresh.running_mean


def run(
    model: nn.Module, images_BCHW: torch.Tensor, policy: BatchNormPolicy, plan: BatchPlan = PLAN
) -> list[tuple[torch.Tensor, BatchPlan]]:
    """Per-sample losses of every part, with its plan."""
    networks = Networks(model, model, batch_norm=policy)  # type: ignore[arg-type] # a plain net will do
    networks.train_mode()
    batch = Batch(images_BCHW, LABEL_B, plan, label_smoothing=0, mixing_seed=0)
    return [(losses_of(logits_BK, part.label_B), part.plan) for logits_BK, part in networks.forward(batch)]


def test_union_forwards_every_sample_once(model: nn.Sequential, images_BCHW: torch.Tensor) -> None:
    expected = running_after(model, images_BCHW)
    ((losses_N, plan),) = run(model, images_BCHW, "union")
    assert losses_N.shape == (5,)
    assert plan is PLAN
    torch.testing.assert_close(model[1].running_mean, expected)


def test_separate_forwards_every_role_and_remembers_the_last(
    model: nn.Sequential, images_BCHW: torch.Tensor
) -> None:
    expected = running_after(model, images_BCHW[1:])
    biased, less_biased = run(model, images_BCHW, "separate")
    torch.testing.assert_close(model[1].running_mean, expected)
    assert model[1].momentum == 0.1
    assert biased[1].indices_N.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(biased[1].weights_RN, [[0.4, 0.3, 0.3], [0, 0, 0]])
    assert less_biased[1].indices_N.tolist() == [1, 2, 3, 4]
    torch.testing.assert_close(less_biased[0], losses_of(model(images_BCHW[1:]), LABEL_B[1:]))
    assert not torch.allclose(biased[0][1:], less_biased[0][:2])


def test_frozen_normalizes_by_running_statistics(model: nn.Sequential, images_BCHW: torch.Tensor) -> None:
    before = model[1].running_mean.clone()
    ((losses_N, _),) = run(model, images_BCHW, "frozen")
    assert torch.equal(model[1].running_mean, before)
    assert model.training
    assert not model[1].training
    model.eval()
    torch.testing.assert_close(losses_N, losses_of(model(images_BCHW), LABEL_B))


def test_frozen_is_undone_by_another_policy(model: nn.Sequential) -> None:
    train_mode(model, "frozen")
    train_mode(model, "union")
    assert model[1].training


def test_one_role_is_the_same_under_union_and_separate(
    model: nn.Sequential, images_BCHW: torch.Tensor
) -> None:
    plan = BatchPlan(PLAN.indices_N, PLAN.weights_RN[1:])
    ((losses_N, found),) = run(model, images_BCHW, "separate", plan)
    assert losses_N.shape == (5,)
    assert found is plan
