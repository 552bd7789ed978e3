"""EfficientNets (Tan and Le 2019) from MONAI."""

from typing import Any

from torch import nn


def efficientnet(in_channels: int, n_classes: int, *, variant: str, **settings: Any) -> nn.Module:
    """A 2D EfficientNet; `variant` is `b0` to `b8`."""
    from monai.networks.nets import EfficientNetBN

    net: nn.Module = EfficientNetBN(
        f"efficientnet-{variant}",
        pretrained=False,
        spatial_dims=2,
        in_channels=in_channels,
        num_classes=n_classes,
        **settings,
    )
    return net
