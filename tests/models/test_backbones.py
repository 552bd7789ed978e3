"""Conformance of every backbone, and starting weights."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from models.networks.backbones.registry import BACKBONES, make_backbone
from models.networks.backbones.weights import adapt_channels, load_local_weights
from patching.errors import CheckpointError, ConfigError

CONVOLUTIONAL = [name for name in BACKBONES if name != "mlp"]
"""A perceptron takes images of one size."""


@pytest.mark.parametrize("name", CONVOLUTIONAL)
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_maps_images_of_any_channel_count_to_logits(name: str, channels: int) -> None:
    backbone = make_backbone(name, channels, 2).eval()
    with torch.no_grad():
        logits_BK = backbone(torch.randn(2, channels, 48, 32))
    assert logits_BK.shape == (2, 2)
    assert torch.isfinite(logits_BK).all()


def test_a_perceptron_takes_images_of_its_size() -> None:
    mlp = make_backbone("mlp", 3, 10, {"side": 6, "hidden": [8, 7]})
    assert mlp(torch.randn(2, 3, 6, 6)).shape == (2, 10)
    assert [tuple(p.shape) for p in mlp.parameters() if p.ndim == 2] == [(8, 108), (7, 8), (10, 7)]
    assert any(isinstance(module, nn.ReLU) for module in mlp.modules())


@pytest.mark.parametrize("name", BACKBONES)
def test_gradients_reach_every_parameter(name: str) -> None:
    torch.manual_seed(0)
    backbone = make_backbone(name, 3, 4, {"side": 32} if name == "mlp" else {})
    backbone(torch.randn(3, 3, 32, 32)).square().sum().backward()
    # A ReLU behind a one-pixel map may shut single layers; whole stages must not be cut off.
    reached = [p.grad is not None and bool(p.grad.abs().sum() > 0) for p in backbone.parameters()]
    assert all(p.grad is not None for p in backbone.parameters())
    assert sum(reached) >= 0.9 * len(reached)


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_first_convolution_halves_the_image(name: str) -> None:
    stem = next(m for m in make_backbone(name, 3, 2).modules() if isinstance(m, nn.Conv2d))
    assert stem.stride == (2, 2)


def test_slim_resnet_is_small() -> None:
    parameters = sum(p.numel() for p in make_backbone("resnet10_slim", 3, 2).parameters())
    assert 250_000 < parameters < 350_000


@pytest.mark.parametrize(
    ("name", "settings"), [("resnet17", {}), ("resnet18", {"depth": 3}), ("densenet_slim", {"depth": 3})]
)
def test_refuses_unknown_names_and_settings(name: str, settings: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=r"resnet17|depth"):
        make_backbone(name, 3, 2, settings)


def test_settings_reach_the_network() -> None:
    plain = make_backbone("resnet10_slim", 3, 2)
    wide = make_backbone("resnet10_slim", 3, 2, {"widen_factor": 2})
    assert sum(p.numel() for p in wide.parameters()) > 3 * sum(p.numel() for p in plain.parameters())


def saved(folder: Path, backbone: nn.Module) -> Path:
    path = folder / "weights.safetensors"
    save_file({key: value.contiguous() for key, value in backbone.state_dict().items()}, path)
    return path


def test_starts_from_local_weights_of_other_channels_and_classes(tmp_path: Path) -> None:
    source = make_backbone("resnet10_slim", 3, 7).eval()
    backbone = make_backbone("resnet10_slim", 5, 2, weights=saved(tmp_path, source))
    own, theirs = backbone.state_dict(), source.state_dict()
    assert own["conv1.weight"].shape[1] == 5
    assert own["fc.weight"].shape == (2, 128)
    same = [key for key in own if key not in ("conv1.weight", "fc.weight", "fc.bias")]
    assert all(torch.equal(own[key], theirs[key]) for key in same)


def test_starts_from_equal_weights_unchanged(tmp_path: Path) -> None:
    source = make_backbone("densenet_slim", 3, 2)
    backbone = make_backbone("densenet_slim", 3, 2, weights=saved(tmp_path, source))
    pairs = zip(source.state_dict().values(), backbone.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("channels", [1, 2, 3, 6])
def test_adapted_convolution_sees_gray_images_alike(channels: int) -> None:
    weight_OIHW = torch.randn(4, 3, 5, 5)
    gray = torch.randn(1, 1, 9, 9)
    expected = torch.conv2d(gray.expand(1, 3, 9, 9), weight_OIHW)
    found = torch.conv2d(gray.expand(1, channels, 9, 9), adapt_channels(weight_OIHW, channels))
    torch.testing.assert_close(found, expected)


def test_refuses_weights_of_another_network(tmp_path: Path) -> None:
    path = saved(tmp_path, make_backbone("densenet_slim", 3, 2))
    with pytest.raises(CheckpointError, match="do not fit"):
        load_local_weights(make_backbone("resnet10_slim", 3, 2), path)
    path.write_bytes(b"\x80\x04 this is a pickle")
    with pytest.raises(CheckpointError, match="safetensors"):
        load_local_weights(make_backbone("resnet10_slim", 3, 2), path)
    with pytest.raises(CheckpointError, match="missing"):
        load_local_weights(make_backbone("resnet10_slim", 3, 2), tmp_path / "missing.safetensors")
