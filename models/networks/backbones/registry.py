"""The table of backbones: MONAI nets by name, for any number of input channels."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from models.networks.backbones.deep_and_shallow import DeepAndShallow
from models.networks.backbones.densenet import densenet
from models.networks.backbones.disentangled import Disentangled
from models.networks.backbones.efficientnet import efficientnet
from models.networks.backbones.perceptron import perceptron
from models.networks.backbones.resnet import resnet
from models.networks.backbones.weights import load_local_weights
from patching.errors import ConfigError

_WIDE = (64, 128, 256, 512)

BACKBONES: dict[str, Callable[..., nn.Module]] = {
    "resnet10_slim": partial(resnet, block="basic", layers=(1, 1, 1, 1), planes=(16, 32, 64, 128)),
    "resnet18": partial(resnet, block="basic", layers=(2, 2, 2, 2), planes=_WIDE),
    "resnet50": partial(resnet, block="bottleneck", layers=(3, 4, 6, 3), planes=_WIDE),
    "densenet_slim": partial(densenet, features=16, growth=8, blocks=(2, 4, 4, 2)),
    "densenet121": partial(densenet, features=64, growth=32, blocks=(6, 12, 24, 16)),
    "efficientnet-b0": partial(efficientnet, variant="b0"),
    "mlp": partial(perceptron, side=28, hidden=(100, 100, 100)),
}

ASSEMBLIES: dict[str, Callable[[Callable[[], nn.Module], int], nn.Module]] = {
    "disentangled": Disentangled,
    "deep_and_shallow": DeepAndShallow,
}
"""Networks built around a backbone, of a function that makes one and the number of classes. Their settings
are `of`, the backbone's name, and `of_settings`."""


def make_backbone(
    name: str,
    in_channels: int,
    n_classes: int,
    settings: Mapping[str, Any] | None = None,
    weights: Path | None = None,
) -> nn.Module:
    """Build a network that maps images [B, C, H, W] to logits [B, K].

    Args:
        name: a key of BACKBONES or ASSEMBLIES.
        in_channels: C, any number from 1.
        n_classes: K.
        settings: keyword arguments of the MONAI class, over the table's own.
        weights: a local safetensors file to start from; see `load_local_weights`. An assembly's backbones
            all start from it.

    Raises:
        ConfigError: no such backbone, or a setting that the MONAI class does not know.
        CheckpointError: the weights do not fit.
    """
    if name in ASSEMBLIES:
        return _assembled(name, in_channels, n_classes, settings or {}, weights)
    if name not in BACKBONES:
        raise ConfigError(
            has=f"backbone {name!r}",
            needs=f"one of {', '.join(BACKBONES)}",
            do="correct the name, or add the network to models/networks/backbones/registry.py",
        )
    try:
        backbone = BACKBONES[name](in_channels, n_classes, **(settings or {}))
    except TypeError as error:
        raise ConfigError(
            has=f"backbone {name} with {dict(settings or {})}: {error}",
            needs="keyword arguments of the MONAI class behind it",
            do="correct backbone_settings",
        ) from error
    if weights is not None:
        load_local_weights(backbone, weights)
    return backbone


def _assembled(
    name: str, in_channels: int, n_classes: int, settings: Mapping[str, Any], weights: Path | None
) -> nn.Module:
    if set(settings) != {"of", "of_settings"} or settings["of"] not in BACKBONES:
        raise ConfigError(
            has=f"backbone {name} with {dict(settings)}",
            needs=f"of, one of {', '.join(BACKBONES)}, and of_settings",
            do="set backbone and backbone_settings to those of the parts; the algorithm builds the rest",
        )
    part = partial(make_backbone, settings["of"], in_channels, n_classes, settings["of_settings"], weights)
    return ASSEMBLIES[name](part, n_classes)
