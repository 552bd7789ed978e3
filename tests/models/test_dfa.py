"""DFA: the loss computed from its equations, who trains whom, and its limits."""

from typing import Any

import numpy as np
import pytest
import torch

from models.algorithms.dfa import Dfa
from models.algorithms.parts.networks import Networks
from models.algorithms.parts.plans import Batch, BatchPlan
from models.data.normalization import Normalization
from models.groups import TrainLabels
from models.networks.backbones.disentangled import Disentangled
from models.networks.backbones.registry import make_backbone
from models.networks.classifier import Classifier
from models.training.making import make_algorithm
from patching.errors import AlgorithmError

LABEL_N = np.array([0, 1, 0, 0, 1, 1, 0])
INDICES_B = np.array([5, 0, 2, 4])
LABEL_B = LABEL_N[INDICES_B]  # 1, 0, 0, 1
SEED = 0


def method(**settings: Any) -> Dfa:
    made = make_algorithm("dfa", {"batch_size": 2, **settings}, TrainLabels(2, LABEL_N))
    assert isinstance(made, Dfa)
    return made


@pytest.fixture
def networks() -> Networks:
    torch.manual_seed(0)
    settings = {"of": "mlp", "of_settings": {"side": 2, "hidden": [3]}}
    backbone = make_backbone("disentangled", 1, 2, settings)
    classifier = Classifier(backbone, Normalization("none", (0.0,), (1.0,), (1.0,)))
    return Networks(classifier, classifier)


def batch(progress: float = 0.5) -> Batch:
    images_BCHW = torch.randn(4, 1, 2, 2, generator=torch.Generator().manual_seed(1))
    plan = BatchPlan(INDICES_B, np.full((1, 4), 0.25))
    return Batch(images_BCHW, torch.from_numpy(LABEL_B), plan, 0.0, SEED, progress=progress)


def softmaxes(networks: Networks, order_B: list[int]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Probabilities of the intrinsic and the bias head, with bias features in this order."""
    network = networks.classifier.backbone
    assert isinstance(network, Disentangled)
    with torch.no_grad():
        images_BCHW = batch().images_BCHW
        z_BD = torch.cat([network.intrinsic(images_BCHW), network.bias(images_BCHW)[order_B]], dim=1)
        heads = network.intrinsic_head, network.bias_head
        intrinsic, bias = (head(z_BD).softmax(dim=1).double().numpy() for head in heads)
    return intrinsic, bias


def own(probability_BK: np.ndarray[Any, Any], label_B: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    found: np.ndarray[Any, Any] = probability_BK[np.arange(4), label_B]
    return found


def expected(networks: Networks, lambda_dis: float, lambda_swap: float, lambda_swap_b: float) -> float:
    """Equations 1 to 4 at the first visit of every sample, q = 0.5."""
    intrinsic, bias = softmaxes(networks, [0, 1, 2, 3])
    loss_i, loss_b = -np.log(own(intrinsic, LABEL_B)), -np.log(own(bias, LABEL_B))
    largest_i = np.array([loss_i[[1, 2]].max(), loss_i[[0, 3]].max()])[LABEL_B]
    largest_b = np.array([loss_b[[1, 2]].max(), loss_b[[0, 3]].max()])[LABEL_B]
    weight = (loss_b / largest_b) / (loss_b / largest_b + loss_i / largest_i)
    dis = weight * loss_i + lambda_dis * (1 - own(bias, LABEL_B) ** 0.5) / 0.5
    order_B = np.random.default_rng(SEED).permutation(4)
    assert LABEL_B[order_B].tolist() != LABEL_B.tolist()
    swapped_i, swapped_b = softmaxes(networks, order_B.tolist())
    swap = weight * -np.log(own(swapped_i, LABEL_B))
    swap += lambda_swap_b * (1 - own(swapped_b, LABEL_B[order_B]) ** 0.5) / 0.5
    return float((dis + lambda_swap * swap).mean())


@pytest.mark.parametrize("lambdas", [(1.0, 1.0, 1.0), (10.0, 0.5, 3.0), (2.0, 0.0, 7.0)])
def test_the_loss_is_that_of_the_equations(networks: Networks, lambdas: tuple[float, float, float]) -> None:
    names = ("lambda_dis", "lambda_swap", "lambda_swap_b")
    loss = method(q=0.5, **dict(zip(names, lambdas, strict=True))).objective(networks, batch())
    assert loss.item() == pytest.approx(expected(networks, *lambdas), rel=1e-5)


def test_nothing_is_swapped_before_its_time(networks: Networks) -> None:
    before = method(q=0.5, lambda_dis=2.0, swap_after=0.6).objective(networks, batch(progress=0.5))
    assert before.item() == pytest.approx(expected(networks, 2.0, 0.0, 1.0), rel=1e-5)
    after = method(q=0.5, lambda_dis=2.0, swap_after=0.6).objective(networks, batch(progress=0.6))
    assert after.item() == pytest.approx(expected(networks, 2.0, 1.0, 1.0), rel=1e-5)


def gradients(networks: Networks, **settings: float) -> dict[str, torch.Tensor]:
    networks.classifier.zero_grad()
    torch.autograd.backward(method(**settings).objective(networks, batch()))
    named = networks.classifier.backbone.named_parameters()
    return {name: torch.zeros(()) if p.grad is None else p.grad.clone() for name, p in named}


def test_each_head_trains_its_own_encoder_alone(networks: Networks) -> None:
    intrinsic_alone = gradients(networks, lambda_dis=0.0, lambda_swap_b=0.0)
    both = gradients(networks)
    for name, gradient in intrinsic_alone.items():
        assert gradient.any() == name.startswith("intrinsic")
        if name.startswith("intrinsic"):
            torch.testing.assert_close(gradient, both[name])
        else:
            assert both[name].any()


def test_what_a_sample_cost_before_weighs_in(networks: Networks) -> None:
    dfa = method(decay=0.5)
    dfa.objective(networks, batch())
    first_N = dfa.state["intrinsic_N"].clone()
    loss_B = -np.log(own(softmaxes(networks, [0, 1, 2, 3])[0], LABEL_B))
    np.testing.assert_allclose(first_N[torch.from_numpy(INDICES_B)].numpy(), loss_B, rtol=1e-5)
    assert first_N[[1, 3, 6]].tolist() == [-1, -1, -1]
    with torch.no_grad():
        for parameter in networks.classifier.parameters():
            parameter.zero_()
    dfa.objective(networks, batch())
    halved_B = 0.5 * first_N[torch.from_numpy(INDICES_B)] + 0.5 * np.log(2)
    torch.testing.assert_close(dfa.state["intrinsic_N"][torch.from_numpy(INDICES_B)], halved_B)


def test_needs_its_own_network() -> None:
    classifier = Classifier(make_backbone("mlp", 1, 2, {"side": 2}), Normalization("none", (0,), (1,), (1,)))
    with pytest.raises(AlgorithmError, match="two encoders"):
        method().objective(Networks(classifier, classifier), batch())
