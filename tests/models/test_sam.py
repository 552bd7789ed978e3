"""SAM: a step computed by hand, and its limit."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from models.data.dataset import PatchData
from models.groups import GroupLayout, TrainGroups
from models.training.attempts import FitResult
from models.training.fit import fit
from models.training.making import make_algorithm
from models.training.settings import TrainSettings
from models.training.setup import Setup

MakeData = Callable[..., PatchData]


def descended(rho: float, *weights: float) -> tuple[float, list[float], list[float]]:
    """Value, gradient and weights after `descend` on L = (w_0^2 + 2 w_1^2) / 2, w in two tensors."""
    groups = TrainGroups(GroupLayout(2, 1), torch.tensor([0, 1]).numpy(), torch.tensor([0, 0]).numpy())
    sam = make_algorithm("sam", {"rho": rho}, groups)
    parameters = [torch.nn.Parameter(torch.tensor([w])) for w in weights]
    parameters.append(torch.nn.Parameter(torch.tensor([1.0])))  # of which the loss does not depend
    value = sam.descend(
        lambda: (parameters[0] ** 2 + 2 * parameters[1] ** 2).sum() / 2,
        parameters,
        torch.autograd.backward,
    )
    gradients = [math.nan if p.grad is None else p.grad.item() for p in parameters]
    return value, gradients[:2], [p.item() for p in parameters]


def test_one_step_is_computed_by_hand() -> None:
    # g = (3, 2 * 2), |g| = 5; at w + 0.5 g / 5 = (3.3, 2.4) the gradient is (3.3, 4.8).
    value, gradient, weights = descended(0.5, 3.0, 2.0)
    assert value == 8.5
    assert gradient == pytest.approx([3.3, 4.8])
    assert weights == [3.0, 2.0, 1.0]


def test_without_radius_or_gradient_nothing_is_added() -> None:
    assert descended(0.0, 3.0, 2.0)[1] == [3.0, 4.0]
    assert descended(0.5, 0.0, 0.0) == (0.0, [0.0, 0.0], [0.0, 0.0, 1.0])


@pytest.fixture
def trained(shortcut_data: MakeData, quick: TrainSettings) -> Callable[..., FitResult]:
    def train(name: str, clip_norm: float | None = None, **own: Any) -> FitResult:
        changes = {"clip_norm": clip_norm, "backbone_settings": {"dropout_prob": 0.3}}
        settings = quick.model_copy(update=changes)
        setup = Setup(shortcut_data(24), shortcut_data(12, seed=9), settings, seed=0, quiet=True)
        return fit(setup, name, {"batch_size": 4, **own})

    return train


def test_radius_zero_trains_as_erm(trained: Callable[..., FitResult]) -> None:
    """To the last bit, with BatchNorm's statistics and dropout."""
    erm, sam = trained("erm"), trained("sam", rho=0.0)
    assert sam.history == erm.history
    own, others = sam.classifier.state_dict(), erm.classifier.state_dict()
    assert all(torch.equal(own[key], others[key]) for key in own)
    assert trained("sam", rho=0.5).history != erm.history


def test_the_second_gradient_is_clipped(trained: Callable[..., FitResult]) -> None:
    rows = trained("sam", clip_norm=1e-6, rho=0.1).history
    assert all(row["clip_rate"] == 1 for row in rows)
