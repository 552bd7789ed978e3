"""Generalized cross-entropy and relative difficulty: hand-computed values and limits."""

import numpy as np
import pytest
import torch

from models.algorithms.parts.relative_difficulty import ClassNormalizedLosses, gce, relative_difficulty


def logits(*own_class_probability: float) -> torch.Tensor:
    """Two-class logits with these probabilities of class 1."""
    p_B = torch.tensor(own_class_probability)
    return torch.stack([torch.zeros_like(p_B), (p_B / (1 - p_B)).log()], dim=1).requires_grad_()


def test_gce_is_computed_by_hand() -> None:
    # (1 - 0.25^0.5) / 0.5 = 1 for class 1, (1 - 0.75^0.5) / 0.5 for class 0.
    found_B = gce(logits(0.25, 0.25), torch.tensor([1, 0]), 0.5)
    assert found_B.tolist() == pytest.approx([1.0, 2 * (1 - 0.75**0.5)])


def test_gce_weighs_the_gradient_of_cross_entropy_by_the_power_of_p() -> None:
    label_B = torch.ones(3, dtype=torch.long)
    one, other = logits(0.1, 0.5, 0.9), logits(0.1, 0.5, 0.9)
    gce(one, label_B, 0.7).sum().backward()
    torch.nn.functional.cross_entropy(other, label_B, reduction="sum").backward()
    assert one.grad is not None
    assert other.grad is not None
    power_B1 = torch.tensor([[0.1], [0.5], [0.9]]) ** 0.7
    torch.testing.assert_close(one.grad, power_B1 * other.grad)


def test_gce_towards_zero_is_cross_entropy_and_stays_finite() -> None:
    label_B = torch.tensor([1, 0, 0])
    expected_B = torch.nn.functional.cross_entropy(logits(0.2, 0.2, 0.9), label_B, reduction="none")
    torch.testing.assert_close(gce(logits(0.2, 0.2, 0.9), label_B, 1e-4), expected_B, rtol=1e-3, atol=0)
    hopeless = torch.tensor([[0.0, 500.0]], requires_grad=True)
    gce(hopeless, torch.tensor([0]), 0.7).sum().backward()
    assert hopeless.grad is not None
    assert hopeless.grad.isfinite().all()


def test_the_relative_difficulty_is_a_share() -> None:
    found_B = relative_difficulty(torch.tensor([3.0, 0.0, 0.0]), torch.tensor([1.0, 2.0, 0.0]))
    assert found_B.tolist() == pytest.approx([0.75, 0.0, 0.0])


def test_averages_are_normalized_by_class_and_kept_in_the_state() -> None:
    state: dict[str, torch.Tensor] = {}
    losses = ClassNormalizedLosses(state, "biased", np.array([0, 0, 1, 1]), decay=0.75)
    # Class 0: 2 and 4; class 1: 1 alone is its own largest.
    assert losses.update(torch.tensor([2.0, 4.0, 1.0]), np.array([0, 1, 3])).tolist() == [0.5, 1.0, 1.0]
    # Sample 1: 0.75 * 4 + 0.25 * 8 = 5; sample 2 is new: 10, so that sample 3 is a tenth of its class's.
    assert losses.update(torch.tensor([8.0, 10.0]), np.array([1, 2])).tolist() == [1.0, 1.0]
    assert state["biased"].tolist() == [2.0, 5.0, 10.0, 1.0]
    found_B = losses.update(torch.tensor([2.0, 1.0]), np.array([0, 3]))
    assert found_B.tolist() == pytest.approx([0.4, 0.1])
    assert losses.update(torch.zeros(1), np.array([0])).item() == pytest.approx(1.5 / 5)


def test_a_class_without_any_loss_has_no_difficulty() -> None:
    losses = ClassNormalizedLosses({}, "b", np.array([0, 1]), decay=0.7)
    assert losses.update(torch.zeros(2), np.array([0, 1])).tolist() == [0.0, 0.0]
