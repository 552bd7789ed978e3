"""Confident mispredictions, sparse activations and pruning, against cases worked out by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from models.data.dataset import MemoryPatches
from models.data.normalization import Normalization
from models.groups import GroupLayout, TrainGroups
from models.metrics.compressibility import (
    activation_sparsity,
    bias_conflicting,
    confident_misprediction_rate,
    pruned,
)
from models.networks.classifier import Classifier
from patching.errors import ConfigError

PLAIN = Normalization("none", (0.0,), (1.0,), (1.0,))


def classifier_of(*layers: nn.Module) -> Classifier:
    return Classifier(nn.Sequential(nn.Flatten(), *layers), PLAIN)


def linear(rows: list[list[float]], bias: float = 0.0) -> nn.Linear:
    layer = nn.Linear(len(rows[0]), len(rows))
    layer.weight.data, layer.bias.data = (
        torch.tensor(rows, dtype=torch.float32),
        torch.full((len(rows),), float(bias)),
    )
    return layer


def patches_of(values: list[list[float]]) -> MemoryPatches:
    """One-channel patches of one row of pixels."""
    return MemoryPatches(np.array(values, np.float32)[:, None, :, None])


def groups_of(counts: list[list[int]]) -> TrainGroups:
    layout = GroupLayout(len(counts), len(counts[0]))
    cells = np.arange(layout.n_groups).repeat(np.ravel(counts))
    return TrainGroups(layout, cells // layout.n_attributes, cells % layout.n_attributes)


def test_minorities_are_below_their_even_share() -> None:
    # A = 3: of ten samples of a class, three are a minority and four are none.
    conflicting_KA = bias_conflicting(groups_of([[4, 3, 3], [2, 2, 2]]))
    assert conflicting_KA.tolist() == [[False, True, True], [False, False, False]]


def test_an_empty_group_is_a_minority() -> None:
    assert bias_conflicting(groups_of([[5, 0], [1, 4]])).tolist() == [[False, True], [True, False]]


def test_confident_mispredictions_are_counted_among_the_chosen() -> None:
    probability_NK = np.array([[0.95, 0.05], [0.95, 0.05], [0.9, 0.1], [0.01, 0.99], [0.01, 0.99]])
    label_N, among_N = np.array([1, 0, 1, 0, 0]), np.array([True, True, True, True, False])
    # Row 0 and 3 are wrong and above 0.9; row 2 is wrong at exactly 0.9; row 4 is not among them.
    assert confident_misprediction_rate(label_N, probability_NK, among_N, 0.9) == 0.5
    assert confident_misprediction_rate(label_N, probability_NK, among_N, 0.96) == 0.25
    assert confident_misprediction_rate(label_N, probability_NK, among_N, 0.5) == 0.75


def test_without_a_minority_there_is_no_rate() -> None:
    assert np.isnan(confident_misprediction_rate(np.array([1]), np.array([[1.0, 0.0]]), np.array([False]), 0))


def test_sparsity_is_the_share_of_zeros_of_all_activations() -> None:
    # The first layer copies the two pixels; the second has one unit, their sum minus 1.
    net = classifier_of(
        linear([[1, 0], [0, 1]]), nn.ReLU(), linear([[1, 1]], -1), nn.ReLU(), linear([[1], [2]])
    )
    patches = patches_of([[-1, 2], [0.5, 0.4], [-3, -3]])
    # Zeros: (-1), none, (-3, -3) of 6; then of the sums 1, -0.1 and -1 two of 3.
    assert activation_sparsity(net, patches, 0.0) == pytest.approx(5 / 9)
    # 0.4 counts too once that is near zero.
    assert activation_sparsity(net, patches, 0.4) == pytest.approx(6 / 9)


def test_a_module_called_twice_counts_twice() -> None:
    relu = nn.ReLU()
    net = classifier_of(linear([[1, 0], [0, 1]]), relu, linear([[1, 1]], -1), relu, linear([[1], [2]]))
    assert activation_sparsity(net, patches_of([[-1, 2]]), 0.0) == pytest.approx(1 / 3)


def test_a_network_without_activations_has_no_sparsity() -> None:
    assert np.isnan(activation_sparsity(classifier_of(linear([[1], [2]])), patches_of([[1.0]]), 0.1))


def test_measuring_leaves_no_hooks_and_the_mode() -> None:
    net = classifier_of(linear([[1, 0], [0, 1]]), nn.ReLU()).train()
    activation_sparsity(net, patches_of([[1, 1]]), 0.0)
    assert net.training
    assert not any(module._forward_hooks for module in net.modules())


def test_pruning_takes_the_smallest_weights_of_all_layers_together() -> None:
    net = classifier_of(linear([[0.1, -5], [0.2, 4]], 0.01), nn.ReLU(), linear([[3, -0.3], [0.05, 2]]))
    # Magnitudes: 0.05 0.1 0.2 0.3 2 3 4 5: three of the first layer's four survive only by being large.
    half = pruned(net, 0.5)
    first, second = half.backbone[1], half.backbone[3]
    assert first.weight.tolist() == [[0, -5], [0, 4]]
    assert second.weight.tolist() == [[3, 0], [0, 2]]
    assert first.bias.tolist() == pytest.approx([0.01, 0.01])
    assert (pruned(net, 0.875).backbone[1].weight != 0).sum() == 1


def test_pruning_is_exact_among_equal_weights_and_spares_the_original() -> None:
    net = classifier_of(linear([[1.0] * 10]))
    assert (pruned(net, 0.3).backbone[1].weight == 0).sum() == 3
    assert (net.backbone[1].weight == 1).all()


def test_pruning_nothing_changes_nothing() -> None:
    net = classifier_of(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    batch = torch.rand(5, 1, 1, 3)
    assert torch.equal(pruned(net, 0.0)(batch), net(batch))


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_pruning_everything_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match="from 0 to below 1"):
        pruned(classifier_of(nn.Linear(1, 2)), share)
