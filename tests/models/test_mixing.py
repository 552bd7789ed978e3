"""Mixup and LISA: hand-computed mixtures, pairs that differ as they must, and what is refused."""

from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.algorithms.lisa import Lisa
from models.algorithms.parts.mixing import mixed, mixed_fraction
from models.algorithms.parts.plans import Batch, BatchPlan
from models.data.dataset import PatchData
from models.groups import GroupLayout, TrainGroups
from models.training.fit import fit
from models.training.making import make_algorithm
from models.training.settings import TrainSettings
from models.training.setup import Setup
from patching.errors import AlgorithmError, ConfigError, EmptyGroupError

MakeData = Callable[..., PatchData]
SHARES = st.floats(0, 1)


def train_groups(counts: list[list[int]]) -> TrainGroups:
    layout = GroupLayout(len(counts), len(counts[0]))
    group_N = np.random.default_rng(1).permutation(np.repeat(np.arange(layout.n_groups), np.ravel(counts)))
    return TrainGroups(layout, group_N // layout.n_attributes, group_N % layout.n_attributes)


def batch_of(*values: float, labels: tuple[int, ...], seed: int = 0) -> Batch:
    """Patches of 2 x 3 pixels and one channel, each of one value."""
    n = len(values)
    images_BCHW = torch.tensor(values).reshape(n, 1, 1, 1).expand(n, 1, 2, 3)
    plan = BatchPlan(np.arange(n), np.full((1, n), 1 / n))
    return Batch(images_BCHW, torch.tensor(labels), plan, label_smoothing=0.0, mixing_seed=seed)


def test_a_mixture_is_computed_by_hand() -> None:
    batch = batch_of(10.0, 20.0, 40.0, labels=(0, 2, 1))
    found = mixed(batch, np.array([2, 0, 1]), np.array([0.75, 0.5, 0.25]), 3)
    # Three quarters of 10 and one of 40, half of 20 and of 10, one quarter of 40 and three of 20.
    assert found.images_BCHW[:, 0, 1, 2].tolist() == [17.5, 15.0, 25.0]
    assert found.target_BK is not None
    assert found.target_BK.tolist() == [[0.75, 0.25, 0], [0.5, 0, 0.5], [0, 0.25, 0.75]]
    assert found.images_BCHW.shape == batch.images_BCHW.shape
    again = mixed(found, np.array([1, 1, 1]), np.array([0.0, 0.5, 1.0]), 3)
    assert again.target_BK is not None
    assert again.target_BK.tolist() == [[0.5, 0, 0.5], [0.5, 0, 0.5], [0, 0.25, 0.75]]


@given(SHARES, SHARES, SHARES)
def test_a_mixed_tissue_fraction_lies_between_both(f1: float, f2: float, lam: float) -> None:
    fraction = mixed_fraction(f1, f2, lam)
    assert min(f1, f2) - 1e-12 <= fraction <= max(f1, f2) + 1e-12
    assert fraction == pytest.approx(mixed_fraction(f2, f1, 1 - lam))
    assert mixed_fraction(f1, f2, 1) == f1
    assert mixed_fraction(f1, f2, 0) == f2


def test_mixup_mixes_a_batch_with_itself_by_one_lambda() -> None:
    mixup = make_algorithm("mixup", {"alpha": 8.0}, train_groups([[3, 2], [2, 3]]))
    values, labels = (1.0, 10.0, 100.0, 1000.0, 10000.0), (0, 1, 1, 0, 1)
    found = mixup.prepared(batch_of(*values, labels=labels, seed=7))
    rng = np.random.default_rng(7)
    lam, partner_B = rng.beta(8.0, 8.0), rng.permutation(5)
    expected_B = lam * np.array(values) + (1 - lam) * np.array(values)[partner_B]
    np.testing.assert_allclose(found.images_BCHW[:, 0, 0, 0].numpy(), expected_B, rtol=1e-5)
    assert found.target_BK is not None
    expected_B = lam * np.array(labels) + (1 - lam) * np.array(labels)[partner_B]
    np.testing.assert_allclose(found.target_BK[:, 1].numpy(), expected_B, rtol=1e-5)
    assert 0.1 < lam < 0.9
    # The loss of a mixed label is the mixture of the losses.
    logits_BK = torch.randn(5, 2)
    loss_BK = -logits_BK.log_softmax(dim=1)
    expected = (found.target_BK * loss_BK).sum(dim=1)
    torch.testing.assert_close(mixup.sample_losses(logits_BK, found), expected)


@pytest.mark.parametrize("alpha", [0.0, 1e-9])
def test_mixup_towards_alpha_zero_is_erm(alpha: float) -> None:
    """Lambda is then 0 or 1: the batch itself, or in another order."""
    mixup = make_algorithm("mixup", {"alpha": alpha}, train_groups([[3, 2], [2, 3]]))
    for seed in range(6):
        batch = batch_of(3.0, 1.0, 4.0, labels=(0, 1, 1), seed=seed)
        found = mixup.prepared(batch)
        logits_BK = torch.stack([found.images_BCHW[:, 0, 0, 0], torch.ones(3)], dim=1)
        own_BK = torch.stack([batch.images_BCHW[:, 0, 0, 0], torch.ones(3)], dim=1)
        loss = mixup.loss(mixup.sample_losses(logits_BK, found), batch.plan)
        torch.testing.assert_close(loss, mixup.loss(mixup.sample_losses(own_BK, batch), batch.plan))


def test_mixup_without_mixing_trains_as_erm(shortcut_data: MakeData, quick: TrainSettings) -> None:
    def history(name: str, **own: Any) -> Any:
        setup = Setup(shortcut_data(24), shortcut_data(12, seed=9), quick, seed=0, quiet=True)
        return fit(setup, name, {"batch_size": 4, **own}).history

    assert history("mixup", alpha=0.0) == history("erm")
    assert history("mixup", alpha=1.0) != history("erm")


@pytest.mark.parametrize(("p_sel", "same", "different"), [(1.0, 0, 1), (0.0, 1, 0)])
def test_lisa_pairs_differ_in_one_of_label_and_attribute(p_sel: float, same: int, different: int) -> None:
    groups = train_groups([[40, 9, 3], [2, 30, 15]])
    lisa = make_algorithm("lisa", {"batch_size": 11, "p_sel": p_sel}, groups)
    columns = np.stack([groups.label_N, groups.attribute_N])
    met = set()
    for plan in islice(lisa.batches(np.random.default_rng(0)), 60):
        assert len(plan) == 22
        first_2P, second_2P = columns[:, plan.indices_N[:11]], columns[:, plan.indices_N[11:]]
        assert (first_2P[same] == second_2P[same]).all()
        assert (first_2P[different] != second_2P[different]).all()
        met |= set(zip(first_2P[different].tolist(), second_2P[different].tolist(), strict=True))
    n = 3 if different == 1 else 2
    assert len(met) == n * (n - 1), "every pair of values is mixed"


def test_lisa_chooses_the_kind_of_pair_batch_by_batch() -> None:
    groups = train_groups([[9, 4], [5, 8]])
    lisa = make_algorithm("lisa", {"batch_size": 6, "p_sel": 0.7}, groups)
    kinds = []
    for plan in islice(lisa.batches(np.random.default_rng(3)), 400):
        label_2P = groups.label_N[plan.indices_N].reshape(2, 6)
        kinds.append((label_2P[0] == label_2P[1]).mean())
    assert set(kinds) == {0.0, 1.0}
    assert np.mean(kinds) == pytest.approx(0.7, abs=0.07)


def test_lisa_mixes_pairs_in_both_directions() -> None:
    groups = train_groups([[9, 4], [5, 8]])
    lisa = make_algorithm("lisa", {"alpha": 2.0}, groups)
    values, labels = np.array([1.0, 5.0, 11.0, 105.0]), (0, 1, 1, 1)
    found = lisa.prepared(batch_of(*values.tolist(), labels=labels, seed=5))
    one, two = np.random.default_rng(5).beta(2.0, 2.0, 2)
    expected_B = [11 - 10 * one, 105 - 100 * two, 1 + 10 * one, 5 + 100 * two]
    np.testing.assert_allclose(found.images_BCHW[:, 0, 0, 0].numpy(), expected_B, rtol=1e-5)
    assert found.target_BK is not None
    np.testing.assert_allclose(found.target_BK[:, 1].numpy(), [1 - one, 1, one, 1], rtol=1e-5)
    np.testing.assert_allclose(found.images_BCHW.sum().item(), 6 * values.sum(), rtol=1e-6)


def test_lisa_needs_two_labels_two_attribute_values_and_every_group() -> None:
    with pytest.raises(AlgorithmError, match="2 labels and 1 attribute"):
        make_algorithm("lisa", {}, train_groups([[5], [7]]))
    with pytest.raises(EmptyGroupError, match="label 1, attribute 0"):
        make_algorithm("lisa", {}, train_groups([[3, 5], [0, 5]]))
    odd = make_algorithm("lisa", {"batch_size": 5}, train_groups([[3, 3]] * 3))
    assert isinstance(odd, Lisa)
    assert odd.samples_per_step == 14
    assert len(next(odd.batches(np.random.default_rng(0)))) == 14


@pytest.mark.parametrize("name", ["mixup", "lisa"])
def test_cutting_is_refused_with_the_reason(name: str) -> None:
    for cut in ("cutmix", "CutMix", "cut_mix"):
        with pytest.raises(ConfigError, match="changes the tissue area"):
            make_algorithm(name, {"mixing": cut}, train_groups([[3, 2], [2, 3]]))
    with pytest.raises(ConfigError, match="mixing"):
        make_algorithm(name, {"mixing": "manifold"}, train_groups([[3, 2], [2, 3]]))
