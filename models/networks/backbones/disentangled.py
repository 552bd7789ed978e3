"""Two encoders, one for what defines a class and one for its bias, and two heads that see both (DFA).

Lee et al., NeurIPS 2021 (arXiv 2107.01372).
"""

from collections.abc import Callable

import torch
from torch import nn

from models.networks.heads import take_head


class Disentangled(nn.Module):
    """Logits of the intrinsic head on the features of both encoders, the intrinsic ones first.

    The bias head has the same input; it serves training alone.

    Args:
        part: makes a backbone, whose last layer is taken away.
        n_classes: K.
    """

    def __init__(self, part: Callable[[], nn.Module], n_classes: int) -> None:
        super().__init__()
        self.intrinsic, self.bias = part(), part()
        width = take_head(self.intrinsic) + take_head(self.bias)
        self.bias_head = nn.Linear(width, n_classes)
        # Defined last: a backbone's last linear layer gives its logits (models.networks.heads).
        self.intrinsic_head = nn.Linear(width, n_classes)

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """Logits [B, K]."""
        features_BD = torch.cat([self.intrinsic(images_BCHW), self.bias(images_BCHW)], dim=1)
        logits_BK: torch.Tensor = self.intrinsic_head(features_BD)
        return logits_BK
