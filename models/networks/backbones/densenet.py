"""DenseNets (Huang et al. 2017) from MONAI."""

from collections.abc import Sequence
from typing import Any

from torch import nn


def densenet(
    in_channels: int, n_classes: int, *, features: int, growth: int, blocks: Sequence[int], **settings: Any
) -> nn.Module:
    """A 2D DenseNet: `features` channels at first, `growth` more per layer, `blocks` layers per block."""
    from monai.networks.nets import DenseNet

    net: nn.Module = DenseNet(
        spatial_dims=2,
        in_channels=in_channels,
        out_channels=n_classes,
        init_features=features,
        growth_rate=growth,
        block_config=tuple(blocks),
        **settings,
    )
    return net
