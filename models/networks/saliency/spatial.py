"""The last layer of each backbone that still has places: what Grad-CAM looks at.

A table here and no attribute of the encoders, whose files every training depends on. A test walks the
table of backbones: one that has no row fails it.
"""

from collections.abc import Mapping
from typing import Any

LAYERS: dict[str, str | None] = {
    "resnet10_slim": "layer4",
    "resnet18": "layer4",
    "resnet50": "layer4",
    "densenet_slim": "class_layers.relu",
    "densenet121": "class_layers.relu",
    "efficientnet-b0": "_bn1",
    "mlp": None,
}
"""Name of a submodule by backbone; None where there are no places from the first layer on."""
_SHALLOW = "shallow.14"
"""The fourth and last ReLU of DeNetDM's shallow encoder, which alone answers outside training."""


def spatial_layers(backbone: str, settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the layers whose maps together are a network's last ones; empty where it has none.

    Args:
        backbone: as in a model's card.
        settings: the same; of an assembly, those that name its parts.

    Raises:
        KeyError: a backbone without a row in LAYERS.
    """
    layer = LAYERS[settings["of"] if backbone in ("disentangled", "deep_and_shallow") else backbone]
    if layer is None:
        return ()
    if backbone == "disentangled":
        return tuple(f"{part}.{layer}" for part in ("intrinsic", "bias"))
    return (_SHALLOW,) if backbone == "deep_and_shallow" else (layer,)
