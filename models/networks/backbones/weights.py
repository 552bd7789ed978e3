"""Starting weights from a local safetensors file."""

import logging
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from models.networks.heads import head_name
from patching.errors import CheckpointError

logger = logging.getLogger(__name__)


def load_local_weights(backbone: nn.Module, path: Path) -> None:
    """Load weights of the same network, trained on other channels or classes.

    The first convolution is inflated or averaged to the backbone's channels (`adapt_channels`). A
    last layer for another number of classes stays as it was initialized. All else must fit exactly.

    Raises:
        CheckpointError: no such file, no safetensors, or weights of another network.
    """
    weights = _read(path)
    own = backbone.state_dict()
    stem, head = _stem_and_head(backbone)
    if stem in weights and weights[stem].ndim == 4:
        weights[stem] = adapt_channels(weights[stem], own[stem].shape[1])
    for key in (f"{head}.weight", f"{head}.bias"):
        if key in weights and weights[key].shape != own[key].shape:
            logger.info("%s of %s is for other classes; starting it anew", key, path.name)
            weights[key] = own[key]
    wrong = sorted(key for key in own.keys() | weights.keys() if _shape(own, key) != _shape(weights, key))
    if wrong:
        raise CheckpointError(
            has=f"{path}, of which {len(wrong)} tensors do not fit, among them {', '.join(wrong[:5])}",
            needs="weights of the same network",
            do="use the backbone these weights were trained for, with the same backbone_settings",
        )
    backbone.load_state_dict(weights)


def adapt_channels(weight_OIHW: torch.Tensor, channels: int) -> torch.Tensor:
    """Fit a convolution to another number of input channels.

    The filters are averaged over their input channels, repeated, and scaled by old / new channels,
    so that an image whose channels are all alike excites them as before (I3D's inflation,
    Carreira and Zisserman 2017, over channels instead of time).
    """
    old = weight_OIHW.shape[1]
    if old == channels:
        return weight_OIHW
    mean_O1HW = weight_OIHW.mean(dim=1, keepdim=True)
    return mean_O1HW.repeat(1, channels, 1, 1) * (old / channels)


def _read(path: Path) -> dict[str, torch.Tensor]:
    try:
        return dict(load_file(path))
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            has=f"{path}: {error}",
            needs="a safetensors file of backbone weights",
            do="check the path in `weights`; convert pickled weights to safetensors elsewhere first",
        ) from error


def _stem_and_head(backbone: nn.Module) -> tuple[str, str]:
    convolutions = [name for name, module in backbone.named_modules() if isinstance(module, nn.Conv2d)]
    # A perceptron has no convolution, and its first layer fits one image size only.
    return f"{convolutions[0]}.weight" if convolutions else "", head_name(backbone)


def _shape(tensors: dict[str, torch.Tensor], key: str) -> torch.Size | None:
    return tensors[key].shape if key in tensors else None
