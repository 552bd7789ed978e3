"""Networks built around a backbone: conformance, starting weights, and the way to disk and back."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from models.data.normalization import Normalization
from models.networks.backbones.deep_and_shallow import DeepAndShallow
from models.networks.backbones.disentangled import Disentangled
from models.networks.backbones.registry import ASSEMBLIES, BACKBONES, make_backbone
from models.networks.checkpoint import load_classifier, save_classifier
from models.networks.classifier import Classifier
from models.networks.heads import features_and_logits, head_of, take_head
from patching.errors import CheckpointError, ConfigError
from tests.models.test_checkpoint import card

PARTS: dict[str, dict[str, Any]] = {"resnet10_slim": {}, "densenet_slim": {}, "mlp": {"side": 32}}


def assembly(name: str, part: str, channels: int = 3, weights: Path | None = None) -> nn.Module:
    return make_backbone(name, channels, 4, {"of": part, "of_settings": PARTS[part]}, weights)


@pytest.mark.parametrize("name", ASSEMBLIES)
@pytest.mark.parametrize("part", PARTS)
def test_maps_images_to_logits_and_trains_every_parameter(name: str, part: str) -> None:
    torch.manual_seed(0)
    network = assembly(name, part, channels=5)
    logits_BK = network(torch.randn(3, 5, 32, 32))
    assert logits_BK.shape == (3, 4)
    logits_BK.square().sum().backward()
    idle = [key for key, p in network.named_parameters() if p.grad is None]
    assert idle == (["bias_head.weight", "bias_head.bias"] if name == "disentangled" else [])


@pytest.mark.parametrize("name", BACKBONES)
def test_a_backbone_without_its_head_gives_features(name: str) -> None:
    backbone = make_backbone(name, 3, 4, {"side": 32} if name == "mlp" else {}).eval()
    images_BCHW = torch.randn(2, 3, 32, 32)
    features_BD, _ = features_and_logits(backbone, backbone, images_BCHW)
    assert take_head(backbone) == features_BD.shape[1]
    torch.testing.assert_close(backbone(images_BCHW), features_BD)


def test_the_intrinsic_head_sees_intrinsic_features_first() -> None:
    network = assembly("disentangled", "mlp")
    assert isinstance(network, Disentangled)
    assert head_of(network) is network.intrinsic_head
    images_BCHW = torch.randn(2, 3, 32, 32)
    features_BD, logits_BK = features_and_logits(network, network, images_BCHW)
    intrinsic_BD, bias_BD = features_BD.chunk(2, dim=1)
    torch.testing.assert_close(intrinsic_BD, network.intrinsic(images_BCHW))
    torch.testing.assert_close(bias_BD, network.bias(images_BCHW))
    torch.testing.assert_close(logits_BK, network.intrinsic_head(features_BD))
    assert not torch.equal(intrinsic_BD, bias_BD)


@pytest.mark.parametrize("part", PARTS)
def test_experts_multiply_in_training_and_the_shallow_one_predicts(part: str) -> None:
    network = assembly("deep_and_shallow", part)
    assert isinstance(network, DeepAndShallow)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.0  # so that forward passes leave no trace
    images_BCHW = torch.randn(4, 3, 32, 32)
    shallow_BK, deep_BK = network.head(network.shallow(images_BCHW)), network.head(network.deep(images_BCHW))
    product_BK = shallow_BK + deep_BK - network.head.bias
    torch.testing.assert_close(network(images_BCHW), product_BK, rtol=1e-4, atol=1e-4)
    network.eval()
    torch.testing.assert_close(network(images_BCHW), network.head(network.shallow(images_BCHW)))


@pytest.mark.parametrize(("hidden", "shallow"), [(5, 3), (4, 2), (3, 1), (2, 1)])
def test_a_shallow_perceptron_has_two_layers_fewer(hidden: int, shallow: int) -> None:
    settings = {"of": "mlp", "of_settings": {"side": 6, "hidden": [9] * hidden}}
    network = make_backbone("deep_and_shallow", 3, 2, settings)
    assert isinstance(network, DeepAndShallow)
    assert sum(isinstance(module, nn.Linear) for module in network.shallow.modules()) == shallow


@pytest.mark.parametrize("side", [16, 33])
def test_a_shallow_network_takes_small_images(side: int) -> None:
    network = assembly("deep_and_shallow", "resnet10_slim").eval()
    assert network(torch.randn(2, 3, side, side + 4)).shape == (2, 4)


@pytest.mark.parametrize("name", ASSEMBLIES)
def test_comes_back_from_disk_with_the_same_predictions(name: str, tmp_path: Path) -> None:
    settings = {"of": "densenet_slim", "of_settings": {"dropout_prob": 0.1}}
    normalization = Normalization("sqrt", (1.5, 2.5, 3.5), (0.1, 0.2, 0.3), (4.0, 5.0, 6.0))
    classifier = Classifier(make_backbone(name, 3, 2, settings), normalization, test_time_symmetries=True)
    save_classifier(tmp_path, classifier, card(backbone=name, backbone_settings=settings))
    loaded, found = load_classifier(tmp_path)
    assert found.backbone == name
    patches_NHWC = np.random.default_rng(0).integers(0, 4000, (5, 32, 32, 3), np.uint16)
    np.testing.assert_array_equal(loaded.predict_proba(patches_NHWC), classifier.predict_proba(patches_NHWC))


def test_every_part_starts_from_the_weights(tmp_path: Path) -> None:
    source = make_backbone("resnet10_slim", 3, 7)
    path = tmp_path / "weights.safetensors"
    save_file({key: value.contiguous() for key, value in source.state_dict().items()}, path)
    network = assembly("disentangled", "resnet10_slim", weights=path)
    assert isinstance(network, Disentangled)
    for encoder in (network.intrinsic, network.bias):
        own = encoder.state_dict()
        assert all(torch.equal(own[key], value) for key, value in source.state_dict().items() if key in own)
    with pytest.raises(CheckpointError, match="do not fit"):
        assembly("deep_and_shallow", "densenet_slim", weights=path)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"of": "resnet10_slim"},
        {"of": "disentangled", "of_settings": {}},
        {"of": "resnet17", "of_settings": {}},
        {"of": "resnet10_slim", "of_settings": {}, "depth": 3},
        {"of": "resnet10_slim", "of_settings": {"depth": 3}},
    ],
)
def test_wrong_parts_are_told(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"disentangled|depth"):
        make_backbone("disentangled", 3, 2, settings)
