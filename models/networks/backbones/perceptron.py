"""Multilayer perceptrons from MONAI, for small images such as Colored MNIST's."""

from collections.abc import Sequence
from typing import Any

from torch import nn


def perceptron(
    in_channels: int, n_classes: int, *, side: int, hidden: Sequence[int], **settings: Any
) -> nn.Module:
    """Linear layers of `hidden` units with ReLU, over all pixels of images of `side` x `side`."""
    from monai.networks.nets import FullyConnectedNet

    net: nn.Module = FullyConnectedNet(
        in_channels * side * side,
        n_classes,
        list(hidden),
        **({"act": "relu", "adn_ordering": "A"} | settings),
    )
    return net
