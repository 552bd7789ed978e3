"""Methods that change the loss: hand-computed values, limit cases, resumed trainings."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from models.algorithms.base import AbstractAlgorithm
from models.algorithms.lc import partners
from models.algorithms.mat import held_out_shift
from models.algorithms.parts.first_model import FirstModel
from models.algorithms.parts.group_means import group_means
from models.algorithms.parts.networks import Networks
from models.algorithms.parts.plans import Batch, BatchPlan
from models.data.dataset import PatchData
from models.data.normalization import measure_normalization
from models.groups import GroupLayout, TrainGroups
from models.metrics.selection import Judge
from models.training.fit import fit
from models.training.loop import Trainer
from models.training.making import first_stage, make_algorithm
from models.training.settings import TrainSettings
from models.training.setup import Setup, new_classifier
from patching.errors import ConfigError, EmptyGroupError
from tests.models.conftest import bound

MakeData = Callable[..., PatchData]
LOSSES = ("group_dro", "irm", "balanced_softmax", "spectral_decoupling", "lff", "lc", "mat")
WITH_STATE = ("group_dro", "irm", "lff", "lc")


class Pixels(nn.Module):
    """A network whose logits are the first pixels of the image, by a factor."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        return self.factor * images_BCHW[:, 0, 0]


def networks(*, biased: float | None = None) -> Networks:
    companions: Any = {} if biased is None else {"biased": Pixels(biased)}
    return Networks(Pixels(), Pixels(), companions)  # type: ignore[arg-type]


def batch_of(logits: list[list[float]], label: list[int], indices: list[int] | None = None) -> Batch:
    """A batch of ERM that `Pixels` gives these logits; by default of the first samples of the split."""
    n = len(label)
    indices_N = np.arange(n) if indices is None else np.array(indices)
    images = torch.tensor(logits)[:, None, None]
    return Batch(images, torch.tensor(label), BatchPlan(indices_N, np.full((1, n), 1 / n)), 0.0, 3)


def split(label: list[int], attribute: list[int], n_attributes: int = 2) -> TrainGroups:
    return TrainGroups(GroupLayout(2, n_attributes), np.array(label), np.array(attribute))


def entropy(logits: list[list[float]], label: list[int]) -> NDArray[np.float64]:
    """Cross-entropy by hand."""
    logits_BK = np.array(logits, dtype=np.float64)
    own_B = logits_BK[np.arange(len(label)), label]
    result: NDArray[np.float64] = np.log(np.exp(logits_BK).sum(axis=1)) - own_B
    return result


def probability(logits: list[list[float]]) -> NDArray[np.float64]:
    power_BK = np.exp(np.array(logits, dtype=np.float64))
    result: NDArray[np.float64] = power_BK / power_BK.sum(axis=1, keepdims=True)
    return result


LOGITS = [[2.0, 0.0], [0.5, -1.0], [1.0, 1.5], [0.0, 3.0], [-1.0, 0.25]]
LABEL = [0, 1, 0, 1, 1]
ATTRIBUTE = [0, 0, 1, 1, 0]


# Group DRO


def test_q_follows_the_losses_of_the_groups() -> None:
    # Groups 0..3 of 4, 1, 1, 4 samples; in the batch two of group 0 and one each of 1 and 3.
    train = split([0, 0, 0, 0, 0, 1, 1, 1, 1, 1], [0, 0, 0, 0, 1, 0, 1, 1, 1, 1])
    dro = make_algorithm("group_dro", {"step_size": 0.5, "adjustment": 2.0}, train)
    plan = BatchPlan(np.array([0, 1, 4, 6]), np.full((1, 4), 0.25))
    losses_N = torch.tensor([1.0, 3.0, 4.0, 0.5], requires_grad=True)
    # Means 2, 4, absent: 0, 0.5; adjusted by 2 / sqrt(4), 2, 2, 1: 3, 6, 2, 1.5.
    grown = np.exp(0.5 * np.array([3.0, 6.0, 2.0, 1.5]))
    q = grown / grown.sum()
    loss = dro.loss(losses_N, plan)
    assert dro.state["log_q_G"].exp().tolist() == pytest.approx(q.tolist())
    assert loss.item() == pytest.approx(q @ [3.0, 6.0, 2.0, 1.5])
    loss.backward()
    assert losses_N.grad is not None
    assert losses_N.grad.tolist() == pytest.approx([q[0] / 2, q[0] / 2, q[1], q[3]])
    dro.loss(losses_N.detach(), plan)
    again = q * grown
    assert dro.state["log_q_G"].exp().tolist() == pytest.approx((again / again.sum()).tolist())


def test_a_group_that_was_easy_for_long_comes_back() -> None:
    """Its q underflows in float32, and the losses then turn."""
    dro = make_algorithm("group_dro", {"step_size": 1.0}, split([0, 0, 1, 1], [0, 1, 0, 1]))
    plan = BatchPlan(np.arange(4), np.full((1, 4), 0.25))
    for losses, steps in (([5.0, 0.0, 5.0, 0.0], 40), ([0.0, 5.0, 0.0, 5.0], 41)):
        for _ in range(steps):
            dro.loss(torch.tensor(losses), plan)
    # One step more for groups 1 and 3: their q is e^5 times that of the others.
    expected = np.exp([0.0, 5.0, 0.0, 5.0]) / (2 + 2 * np.exp(5.0))
    assert dro.state["log_q_G"].exp().tolist() == pytest.approx(expected.tolist(), rel=1e-3)


def test_a_small_step_of_q_is_group_resampling() -> None:
    train = split([0] * 9 + [1] * 11, [0] * 7 + [1] * 2 + [0] * 3 + [1] * 8)
    dro = make_algorithm("group_dro", {"batch_size": 6, "step_size": 1e-9}, train)
    resampling = make_algorithm("group_resampling", {"batch_size": 6}, train)
    losses_N = torch.linspace(0, 3, 12)
    pairs = zip(*(a.batches(np.random.default_rng(0)) for a in (dro, resampling)), strict=True)
    for one, other in islice(pairs, 5):
        assert one.indices_N.tolist() == other.indices_N.tolist()
        assert dro.loss(losses_N, one).item() == pytest.approx(resampling.loss(losses_N, other).item())


# IRM


def slopes() -> NDArray[np.float64]:
    """Derivative of every loss to the scale of its logits at 1: sum_k p_k f_k - f_y."""
    own_B = np.array(LOGITS)[np.arange(5), LABEL]
    result: NDArray[np.float64] = (probability(LOGITS) * LOGITS).sum(axis=1) - own_B
    return result


@pytest.mark.parametrize("estimate", ["halves", "square"])
def test_the_penalty_is_the_squared_slope_of_the_risk(estimate: str) -> None:
    settings = {"estimate": estimate, "penalty_weight": 3.0, "anneal_steps": 1}
    irm = make_algorithm("irm", settings, split(LABEL, ATTRIBUTE))
    slope, loss = slopes(), entropy(LOGITS, LABEL)
    # Environment 0 are samples 0, 1, 4, whose halves are 0, 4 and 1; environment 1 are 2 and 3.
    risk = (loss[[0, 1, 4]].mean() + loss[[2, 3]].mean()) / 2
    if estimate == "halves":
        penalty = (slope[[0, 4]].mean() * slope[1] + slope[2] * slope[3]) / 2
    else:
        penalty = (slope[[0, 1, 4]].mean() ** 2 + slope[[2, 3]].mean() ** 2) / 2
    found = [irm.objective(networks(), batch_of(LOGITS, LABEL)).item() for _ in range(3)]
    assert found == pytest.approx([risk + penalty] + 2 * [(risk + 3 * penalty) / 3], rel=1e-5)
    assert irm.state["steps"].item() == 3


def test_the_penalty_has_a_gradient() -> None:
    made = networks()
    irm = make_algorithm("irm", {"anneal_steps": 0, "estimate": "square"}, split(LABEL, ATTRIBUTE))
    irm.objective(made, batch_of(LOGITS, LABEL)).backward()
    assert isinstance(made.main, Pixels)
    found = made.main.factor.grad
    with torch.no_grad():
        made.main.factor += 1e-2
    above = irm.objective(made, batch_of(LOGITS, LABEL)).item()
    with torch.no_grad():
        made.main.factor -= 2e-2
    below = irm.objective(made, batch_of(LOGITS, LABEL)).item()
    assert found is not None
    assert found.item() == pytest.approx((above - below) / 2e-2, rel=1e-2)


def test_without_penalty_irm_is_the_mean_risk_of_the_environments() -> None:
    irm = make_algorithm("irm", {"penalty_weight": 0.0, "anneal_steps": 0}, split(LABEL, ATTRIBUTE))
    loss = entropy(LOGITS, LABEL)
    expected = (loss[[0, 1, 4]].mean() + loss[[2, 3]].mean()) / 2
    assert irm.objective(networks(), batch_of(LOGITS, LABEL)).item() == pytest.approx(expected)


def test_environments_are_drawn_equally_often_with_their_own_classes() -> None:
    train = split([0] * 30 + [1] * 12, [0] * 28 + [1] * 2 + [0] * 4 + [1] * 8)
    irm = make_algorithm("irm", {"batch_size": 10}, train)
    indices = np.concatenate([p.indices_N for p in islice(irm.batches(np.random.default_rng(0)), 400)])
    count_KA = np.bincount(train.group_N[indices], minlength=4).reshape(2, 2)
    assert count_KA.sum(axis=0).tolist() == [4000, 4000]
    np.testing.assert_allclose(count_KA[0] / 4000, [28 / 32, 2 / 10], atol=0.01)
    with pytest.raises(EmptyGroupError, match="attribute \\[1\\]"):
        make_algorithm("irm", {}, split([0, 1], [0, 2], 3))


# Balanced softmax


def test_balanced_softmax_shifts_logits_by_the_size_of_the_class() -> None:
    train = split([0, 0, 0, 1], [0, 0, 1, 1])
    balanced = make_algorithm("balanced_softmax", {}, train)
    found = balanced.objective(networks(), batch_of([[0.5, 0.0], [1.0, 2.0]], [0, 1]))
    # -ln of 3 e^0.5 / (3 e^0.5 + e^0) and of e^2 / (3 e^1 + e^2).
    first, second = 3 * np.exp(0.5), 3 * np.exp(1.0)
    expected = -np.log(first / (first + 1)) - np.log(np.exp(2.0) / (second + np.exp(2.0)))
    assert found.item() == pytest.approx(expected / 2)


def test_balanced_softmax_with_classes_of_one_size_is_erm() -> None:
    train = split([0, 1, 0, 1], [0, 0, 0, 1])
    batch = batch_of(LOGITS[:4], LABEL[:4])
    found = [make_algorithm(n, {}, train).objective(networks(), batch) for n in ("balanced_softmax", "erm")]
    torch.testing.assert_close(found[0], found[1])


@pytest.mark.parametrize("name", ["balanced_softmax", "mat"])
def test_an_empty_class_is_an_error(name: str) -> None:
    with pytest.raises(EmptyGroupError, match="label \\[1\\]"):
        bound(name, {}, split([0, 0, 0], [0, 1, 1]))


# Spectral decoupling


def test_spectral_decoupling_adds_the_squared_logits() -> None:
    decoupled = make_algorithm("spectral_decoupling", {"penalty": 0.5}, split(LABEL, ATTRIBUTE))
    batch = batch_of(LOGITS, LABEL)
    losses_B = decoupled.sample_losses(torch.tensor(LOGITS), batch)
    expected_B = entropy(LOGITS, LABEL) + 0.25 * (np.array(LOGITS) ** 2).sum(axis=1)
    assert losses_B.tolist() == pytest.approx(expected_B.tolist())


def test_spectral_decoupling_without_penalty_is_erm() -> None:
    train, batch = split(LABEL, ATTRIBUTE), batch_of(LOGITS, LABEL)
    without = make_algorithm("spectral_decoupling", {"penalty": 0.0}, train)
    erm = make_algorithm("erm", {}, train)
    torch.testing.assert_close(without.objective(networks(), batch), erm.objective(networks(), batch))


# LfF


def test_lff_weights_the_main_network_by_relative_difficulty() -> None:
    lff = make_algorithm("lff", {"q": 0.5, "decay": 0.75}, split(LABEL, ATTRIBUTE))
    made = networks(biased=2.0)
    biased = [[2 * value for value in row] for row in LOGITS]
    loss_b, loss_d = entropy(biased, LABEL), entropy(LOGITS, LABEL)
    label = np.array(LABEL)

    def shares(average: NDArray[np.float64]) -> NDArray[np.float64]:
        return average / np.array([average[label == y].max() for y in LABEL])

    weight = shares(loss_b) / (shares(loss_b) + shares(loss_d))
    p = probability(biased)[np.arange(5), LABEL]
    expected = ((1 - p**0.5) / 0.5 + weight * loss_d).mean()
    found = lff.objective(made, batch_of(LOGITS, LABEL))
    assert found.item() == pytest.approx(expected, rel=1e-5)
    found.backward()
    # CE's derivative to the factor of the logits is the slope; W and p^q are constants to it.
    assert isinstance(made.main, Pixels)
    assert made.main.factor.grad is not None
    assert made.main.factor.grad.item() == pytest.approx((weight * slopes()).mean(), rel=1e-4)
    slope_b = (probability(biased) * LOGITS).sum(axis=1) - np.array(LOGITS)[np.arange(5), LABEL]
    companion = made.companions["biased"]
    assert isinstance(companion, Pixels)
    assert companion.factor.grad is not None
    assert companion.factor.grad.item() == pytest.approx((p**0.5 * slope_b).mean(), rel=1e-4)


def test_lff_averages_the_losses_of_every_sample_over_its_visits() -> None:
    lff = make_algorithm("lff", {"decay": 0.75}, split([0, 0, 1, 1], [0, 1, 0, 1]))
    lff.objective(networks(biased=2.0), batch_of([[1.0, 0.0]], [0], [1]))
    lff.objective(networks(biased=2.0), batch_of([[0.0, 3.0], [0.0, 1.0]], [0, 1], [1, 2]))
    first, second = entropy([[1.0, 0.0]], [0])[0], entropy([[0.0, 3.0]], [0])[0]
    last = entropy([[0.0, 1.0]], [1])[0]
    expected = [-1.0, 0.75 * first + 0.25 * second, last, -1.0]
    assert lff.state["debiased_N"].tolist() == pytest.approx(expected)


# LC


def test_lc_corrects_logits_by_the_prior_of_the_predicted_attribute() -> None:
    train = split([0, 0, 0, 1, 1], ATTRIBUTE)
    lc = make_algorithm("lc", {"decay": 0.25, "mixup": "none", "biased_weight": 2.0, "q": 0.5}, train)
    found = lc.objective(networks(biased=-1.0), batch_of(LOGITS, LABEL))
    biased = [[-value for value in row] for row in LOGITS]
    attribute = probability(biased)
    now = np.array([attribute[[0, 2]].sum(axis=0), attribute[[1, 3, 4]].sum(axis=0)]) / 5
    start = np.array([[0.3, 0.3], [0.2, 0.2]])
    joint = 0.25 * start + 0.75 * now
    np.testing.assert_allclose(lc.state["joint_KK"], joint, rtol=1e-5)
    shifted = np.array(LOGITS) + np.log(joint[:, attribute.argmax(axis=1)].T + 1e-4)
    p = attribute[np.arange(5), LABEL]
    expected = (entropy(shifted.tolist(), LABEL) + 2 * (1 - p**0.5) / 0.5).mean()
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_lc_with_a_biased_network_that_says_nothing_is_balanced_softmax() -> None:
    train, batch = split([0, 1, 0, 1, 1], ATTRIBUTE), batch_of(LOGITS, LABEL)
    lc = make_algorithm("lc", {"mixup": "none", "q": 1.0}, train)
    balanced = make_algorithm("balanced_softmax", {}, train)
    expected = balanced.objective(networks(), batch).item() + 0.5
    assert lc.objective(networks(biased=0.0), batch).item() == pytest.approx(expected, abs=1e-3)


def test_group_mixup_mixes_the_minority_with_the_majority_of_its_label() -> None:
    label_B = np.array([0, 0, 0, 0, 1, 1, 1, 2])
    minority_B = np.array([True, False, False, True, True, True, True, False])
    partner_B, own_B = partners(label_B, minority_B, np.random.default_rng(0), every=False)
    assert set(partner_B[[0, 3]]) <= {1, 2}
    assert partner_B[[1, 2, 4, 5, 6, 7]].tolist() == [1, 2, 4, 5, 6, 7]
    assert own_B[[1, 2, 4, 5, 6, 7]].tolist() == [1] * 6, "class 1 has no majority, class 2 no minority"
    assert ((own_B[[0, 3]] >= 0.5) & (own_B[[0, 3]] < 1)).all()
    assert own_B[0] != own_B[3]
    partner_B, own_B = partners(label_B, minority_B, np.random.default_rng(0), every=True)
    assert set(partner_B[:4]) <= {0, 3}
    assert set(partner_B[4:7]) <= {4, 5, 6}
    assert (own_B[:7] < 0.5).all()
    assert own_B[7] == 1


@pytest.mark.parametrize("mixup", ["minority", "every"])
def test_group_mixup_mixes_images_and_priors_alike(mixup: str) -> None:
    lc = make_algorithm("lc", {"mixup": mixup}, split([0, 0, 1, 1], [0, 1, 0, 1]))
    batch = batch_of([[4.0, 0.0], [8.0, 1.0], [-1.0, 5.0], [0.0, 2.0]], [0, 0, 1, 1])
    prior_BK = torch.tensor([[0.4, 0.1], [0.1, 0.4], [0.2, 0.8], [0.2, 0.8]])
    mixed, mixed_BK = lc.mixed(batch, prior_BK, np.array([False, True, False, False]))
    _, own_B = partners(
        np.array([0, 0, 1, 1]),
        np.array([False, True, False, False]),
        np.random.default_rng(batch.mixing_seed),
        every=mixup == "every",
    )
    row = 1 if mixup == "minority" else 0
    share = own_B[row]
    own, other = (8.0, 4.0) if mixup == "minority" else (4.0, 8.0)
    assert mixed.images_BCHW[row, 0, 0, 0].item() == pytest.approx(share * own + (1 - share) * other)
    expected_K = share * prior_BK[row] + (1 - share) * prior_BK[1 - row]
    torch.testing.assert_close(mixed_BK[row], expected_K.float())
    torch.testing.assert_close(mixed.images_BCHW[2:], batch.images_BCHW[2:])
    torch.testing.assert_close(mixed_BK[2:], prior_BK[2:])
    assert torch.equal(mixed.label_B, batch.label_B)
    again, _ = lc.mixed(batch, prior_BK, np.array([False, True, False, False]))
    assert torch.equal(again.images_BCHW, mixed.images_BCHW)
    other_step = replace(batch, mixing_seed=4)
    others, _ = lc.mixed(other_step, prior_BK, np.array([False, True, False, False]))
    assert not torch.equal(others.images_BCHW, mixed.images_BCHW)


# MAT


def test_the_shift_is_the_calibrated_held_out_prediction() -> None:
    # Predicted class 0 with probability 3/4, 3/4, 1/4 for labels 0, 1, 1, at a temperature of 2.
    odds = 2 * np.log([3.0, 3.0, 1 / 3])
    logits_NK = np.stack([odds, np.zeros(3)], axis=1).astype(np.float32)
    found_NK = held_out_shift(logits_NK, np.array([0, 1, 1]), 2.0)
    # p(y=0 | 0) = 0.75 / 1.75, p(y=0 | 1) = 0.25 / 1.25.
    p = np.array([0.75 * 3 / 7 + 0.25 / 5, 0.25 * 3 / 7 + 0.75 / 5])
    np.testing.assert_allclose(found_NK[[0, 2], 0], np.log(p + 1e-6), rtol=1e-6)
    np.testing.assert_allclose(np.exp(found_NK).sum(axis=1), 1, atol=1e-5)


def mat(train: TrainGroups, logits_NK: NDArray[np.float32], **settings: Any) -> AbstractAlgorithm[Any, Any]:
    first = FirstModel(Pixels(), logits_NK, np.zeros(len(train), dtype=bool))  # type: ignore[arg-type]
    return make_algorithm("mat", settings, train, first)


def test_mat_shifts_the_logits_of_the_batch() -> None:
    train = split(LABEL, ATTRIBUTE)
    logits_NK = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    found = mat(train, logits_NK, temperature=0.5).objective(
        networks(), batch_of(LOGITS[:2], [1, 0], indices=[4, 2])
    )
    shift_NK = held_out_shift(logits_NK, train.label_N, 0.5)
    expected = entropy((np.array(LOGITS[:2]) + shift_NK[[4, 2]]).tolist(), [1, 0]).mean()
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_mat_with_first_models_that_say_nothing_is_balanced_softmax() -> None:
    train, batch = split(LABEL, ATTRIBUTE), batch_of(LOGITS, LABEL)
    blank = mat(train, np.zeros((5, 2), np.float32)).objective(networks(), batch)
    balanced = make_algorithm("balanced_softmax", {}, train).objective(networks(), batch)
    torch.testing.assert_close(blank, balanced, rtol=1e-4, atol=1e-5)


def test_mat_asks_for_models_that_have_not_seen_the_patients() -> None:
    stage = first_stage("mat", {"batch_size": 7, "first_share": 0.4})
    assert stage is not None
    assert (stage.folds, stage.share, stage.algorithm) == (2, 0.4, "erm")
    assert stage.algorithm_settings == {"batch_size": 7}


# What they share


def test_the_mean_of_a_group_without_samples_is_zero() -> None:
    found_G = group_means(torch.tensor([1.0, 3.0, 5.0]), torch.tensor([2, 0, 2]), 4)
    assert found_G.tolist() == [3.0, 0.0, 3.0, 0.0]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("group_dro", {"step_size": 0}),
        ("group_dro", {"adjustment": -1}),
        ("spectral_decoupling", {"penalty": -0.1}),
        ("irm", {"anneal_steps": -1}),
        ("irm", {"estimate": "mean"}),
        ("lff", {"q": 0}),
        ("lff", {"decay": 1}),
        ("lc", {"mixup": "cutmix"}),
        ("mat", {"temperature": 0}),
    ],
)
def test_wrong_settings_are_told(name: str, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        bound(name, settings, split(LABEL, ATTRIBUTE))


@pytest.mark.parametrize("name", LOSSES)
def test_only_sums_over_samples_are_called_additive(name: str) -> None:
    """The objective of a batch is the sum of those of its parts, or is not said to be."""
    train = split([0, 1, 0, 1, 1, 0], [0, 0, 1, 1, 0, 1])
    plan = BatchPlan(np.arange(6), np.full((1, 6), 1 / 6))
    logits_BK = torch.tensor([*LOGITS, [0.3, -2.0]])
    batch = Batch(logits_BK[:, None, None], torch.from_numpy(train.label_N), plan, 0.0, 3)

    def value(part: Batch) -> float:
        made = bound(name, {}, train)
        return float(made.objective(networks(biased=-3.0), part).detach())

    parts = [batch.rows(np.array(rows)) for rows in ([0, 1, 2], [3, 4, 5])]
    summed, whole = sum(map(value, parts)), value(batch)
    assert bound(name, {}, train).additive is (summed == pytest.approx(whole, rel=1e-4))


def trainer(make: MakeData, name: str, settings: TrainSettings) -> Trainer:
    train, validation = make(24), make(8, tie=0.5, seed=9)
    groups = TrainGroups(GroupLayout(2, 2), train.label_N, train.attribute_N)
    algorithm = bound(name, {"batch_size": 4} | ({"anneal_steps": 2} if name == "irm" else {}), groups)
    normalization = measure_normalization(train.images, train.tissue_fraction_N, settings.transform)
    main, *others = (new_classifier(normalization, settings, 3, 2, s) for s in (1, 2))
    judge = Judge(validation, GroupLayout(2, 2), "auto", 1, 1)
    companions = dict(zip(algorithm.companions, others, strict=False))
    return Trainer(main, algorithm, train.labelled, judge, settings, 1, companions=companions)


class StopError(Exception):
    """Ends a training in the middle."""


@pytest.mark.parametrize("name", WITH_STATE)
def test_a_training_goes_on_with_the_state_it_had(
    name: str, shortcut_data: MakeData, quick: TrainSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, stopped, resumed = (trainer(shortcut_data, name, quick) for _ in range(3))
    expected = whole.run(quiet=True)
    plans = stopped.algorithm.batches

    def until_the_last(rng: np.random.Generator) -> Iterator[BatchPlan]:
        yield from islice(plans(rng), stopped.steps - 1)
        raise StopError

    monkeypatch.setattr(stopped.algorithm, "batches", until_the_last)
    path = tmp_path / "state.safetensors"
    with pytest.raises(StopError):
        stopped.run(state_path=path, fingerprint="a", quiet=True)
    assert resumed.run(state_path=path, fingerprint="a", quiet=True) == expected
    for key, value in whole.algorithm.state.items():
        assert torch.equal(resumed.algorithm.state[key], value)
        assert not torch.equal(value, trainer(shortcut_data, name, quick).algorithm.state[key])


@pytest.mark.parametrize("name", LOSSES)
def test_they_train(name: str, shortcut_data: MakeData, quick: TrainSettings) -> None:
    data = shortcut_data(24)
    data = replace(data, patient_N=np.array([f"p{n // 4}" for n in range(24)]))
    settings = quick.model_copy(update={"log_gradients": True})
    setup = Setup(data, shortcut_data(8, tie=0.5, seed=9), settings, seed=1, quiet=True)
    result = fit(setup, name, {"batch_size": 4})
    assert all(np.isfinite(row["train_loss"]) for row in result.history)
