"""Grad-CAM: which places of the last spatial layer speak for a class, by the gradient of its log-odds.

Selvaraju et al., ICCV 2017 (arXiv 1610.02391), as MONAI computes it.
"""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.networks.classifier import Classifier, to_tensor


class _Towards(nn.Module):
    """Log-odds towards each class: log(p / (1 - p)), of two classes plus and minus the network's own."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """Log-odds [B, K] of normalized images."""
        logits_BK: torch.Tensor = self.backbone(images_BCHW)
        others_KK = torch.zeros((logits_BK.shape[1],) * 2, device=logits_BK.device)
        others_KK.fill_diagonal_(-torch.inf)
        others_BK = (logits_BK[:, None] + others_KK).logsumexp(dim=2)
        return logits_BK - others_BK


class GradCams:
    """Maps of one network, patch by patch.

    With test-time symmetries a map is the mean over the views, each turned back.

    Args:
        classifier: in eval mode; a copy of its backbone is looked into, for MONAI's hooks stay there.
        layers: as `models.networks.saliency.spatial.spatial_layers` names them; their maps are added up.

    Raises:
        ValueError: no layers.
    """

    def __init__(self, classifier: Classifier, layers: Sequence[str]) -> None:
        if not layers:
            raise ValueError("a network without places has no Grad-CAM")
        from monai.visualize import GradCAM

        self._classifier, self._count = classifier, len(layers)
        towards = _Towards(deepcopy(classifier.backbone))
        self._cam = GradCAM(towards, [f"backbone.{layer}" for layer in layers])

    def of(self, image_HWC: NDArray[Any], towards: int) -> NDArray[np.float64]:
        """Places that speak for a class, [h, w], 0 or more: the layer's own few places, without a unit.

        Args:
            image_HWC: raw pixels of a square patch.
            towards: number of the class.
        """
        pixels_1CHW = to_tensor(image_HWC[None], self._classifier.mean_1C11.device)
        image_1CHW = self._classifier.normalized(pixels_1CHW).detach()
        turns = [(flip, turn) for flip in (False, True) for turn in range(4)]
        found = [
            self._view(image_1CHW, towards, flip, turn)
            for flip, turn in (turns if self._classifier.test_time_symmetries else turns[:1])
        ]
        mean_hw: NDArray[np.float64] = torch.stack(found).mean(dim=0)[0, 0].cpu().double().numpy()
        return mean_hw

    def _view(self, image_1CHW: torch.Tensor, towards: int, flip: bool, turn: int) -> torch.Tensor:
        turned_1CHW = torch.rot90(image_1CHW.flip(3) if flip else image_1CHW, turn, dims=(2, 3))
        # Hooks fire as they are meant to only where the input has a gradient, too.
        view_1CHW = turned_1CHW.clone().requires_grad_(True)
        maps = [
            self._cam.compute_map(view_1CHW, class_idx=towards, layer_idx=place)
            for place in range(self._count)
        ]
        map_11hw = torch.rot90(torch.stack(maps).sum(dim=0).detach(), -turn, dims=(2, 3))
        return map_11hw.flip(3) if flip else map_11hw
