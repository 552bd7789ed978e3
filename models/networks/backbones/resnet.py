"""ResNets (He et al. 2016) from MONAI, with the usual stride-2 first convolution."""

from collections.abc import Sequence
from typing import Any

from torch import nn


def resnet(
    in_channels: int,
    n_classes: int,
    *,
    block: str,
    layers: Sequence[int],
    planes: Sequence[int],
    **settings: Any,
) -> nn.Module:
    """A 2D ResNet with `layers` blocks of `planes` channels in its four stages."""
    from monai.networks.nets import ResNet

    # MONAI leaves the first convolution at stride 1, which is four times the work.
    defaults = {"conv1_t_stride": 2, "bias_downsample": False}
    net: nn.Module = ResNet(
        block=block,
        layers=list(layers),
        block_inplanes=list(planes),
        spatial_dims=2,
        n_input_channels=in_channels,
        num_classes=n_classes,
        **(defaults | settings),
    )
    return net
