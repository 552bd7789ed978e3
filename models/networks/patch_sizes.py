"""Which sizes of patches a network takes: tried on zeros, since every network has its own halvings."""

from collections.abc import Mapping
from typing import Any

import torch

from models.networks.backbones.registry import make_backbone
from patching.errors import ConfigError

_LARGEST = 256
"""Pixels of the side up to which the smallest size is looked for."""


def check_patch_size(
    name: str, settings: Mapping[str, Any], height: int, width: int, channels: int, n_classes: int
) -> None:
    """Check that a network takes patches of a size, by a forward pass of two in training mode.

    Args:
        name: of a backbone or an assembly, as `make_backbone` takes it.
        settings: its own.
        height: of the patches, pixels.
        width: the same.
        channels: C.
        n_classes: K.

    Raises:
        ConfigError: it does not, and which square ones it takes; or as `make_backbone`.
    """
    with torch.random.fork_rng(devices=[]):
        network = make_backbone(name, channels, n_classes, settings)
        refusal = _refusal(network, (2, channels, height, width))
        if refusal is None:
            return
        sides = range(1, _LARGEST + 1)
        fitting = (side for side in sides if _refusal(network, (2, channels, side, side)) is None)
        smallest = next(fitting, None)
    told = f"up to {_LARGEST} x {_LARGEST} none" if smallest is None else f"{smallest} x {smallest}"
    raise ConfigError(
        has=f"patches of {height} x {width} pixels, which the backbone {settings.get('of', name)} does not "
        f"take: {refusal}",
        needs=f"patches of a size that it takes; the smallest is {told}",
        do="set another `train.backbone` (resnet10_slim takes patches of any size), or `tile.patch.size`; "
        "for mlp, set `train.backbone_settings: {side: ...}` to the size of the patches",
    )


def _refusal(network: torch.nn.Module, shape_BCHW: tuple[int, ...]) -> str | None:
    """What the network says of images of this shape, None where it takes them."""
    try:
        with torch.no_grad():
            network.train()(torch.zeros(shape_BCHW))
    except (RuntimeError, ValueError) as error:  # torch has no error of its own for shapes
        return str(error).splitlines()[0]
    return None
