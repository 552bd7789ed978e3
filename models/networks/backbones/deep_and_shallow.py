"""A deep and a shallow encoder whose features add up in front of one head (DeNetDM's first stage).

Sreelatha et al., NeurIPS 2024 (arXiv 2403.19863).
"""

from collections.abc import Callable

import torch
from torch import nn

from models.networks.heads import take_head


class DeepAndShallow(nn.Module):
    """In training logits of both experts' product; else those of the shallow expert, the debiased one.

    As the head is linear, logits of added features are the sum of both experts' logits: a product of
    experts, whose bias counts once. The deep encoder is the backbone. The shallow one gives as many features:
    behind convolutions, four convolutions (of D/8, D/4, D and D channels, the first of 7 x 7, the others of
    3 x 3 pixels), each with BatchNorm and ReLU, with max-pooling in between, and an average over the image
    (the paper's for bFFHQ, but with borders padded); for a perceptron, two hidden layers fewer than the deep
    one (the paper: 3 against 5), at least one, of D units.

    Args:
        part: makes a backbone, whose last layer is taken away.
        n_classes: K.
    """

    def __init__(self, part: Callable[[], nn.Module], n_classes: int) -> None:
        super().__init__()
        self.deep = part()
        width = take_head(self.deep)
        self.shallow = _shallow(self.deep, width)
        self.head = nn.Linear(width, n_classes)

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """Logits [B, K]."""
        features_BD = self.shallow(images_BCHW)
        if self.training:
            features_BD = features_BD + self.deep(images_BCHW)
        logits_BK: torch.Tensor = self.head(features_BD)
        return logits_BK


def _shallow(deep: nn.Module, width: int) -> nn.Module:
    convolutions = [module for module in deep.modules() if isinstance(module, nn.Conv2d)]
    if convolutions:
        return _convolutional(convolutions[0].in_channels, width)
    hidden = [module for module in deep.modules() if isinstance(module, nn.Linear)]
    layers: list[nn.Module] = [nn.Flatten(), nn.Linear(hidden[0].in_features, width), nn.ReLU()]
    for _ in hidden[3:]:
        layers += [nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(*layers)


def _convolutional(in_channels: int, width: int) -> nn.Module:
    channels = (in_channels, max(8, width // 8), max(8, width // 4), width, width)
    layers: list[nn.Module] = []
    for i in range(4):
        kernel = 7 if i == 0 else 3
        layers += [
            nn.Conv2d(channels[i], channels[i + 1], kernel, padding=kernel // 2),
            nn.BatchNorm2d(channels[i + 1]),
            nn.ReLU(),
        ]
        if i < 3:
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
