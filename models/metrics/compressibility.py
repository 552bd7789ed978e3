"""Robustness and compressibility of a trained classifier, in the figures that large learning rates move.

Barsbey, Prieto, Zafeiriou, Birdal, "Large Learning Rates Simultaneously Achieve Robustness to Spurious
Correlations and Compressibility" (ICCV 2025, arXiv 2507.17748). What counts as confident, as near zero and as
bias-conflicting is defined here, not taken from the paper.
"""

from copy import deepcopy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.data.dataset import AbstractPatches
from models.groups import TrainGroups
from models.networks.classifier import Classifier
from patching.errors import ConfigError

_WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_ACTIVATIONS = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU,
    nn.Mish, nn.Hardswish, nn.Softplus,
)  # fmt: skip


def bias_conflicting(groups: TrainGroups) -> NDArray[np.bool_]:
    """Whether a group is a minority of its class in training: alpha_ya < 1/A, [K, A]."""
    conflicting_KA: NDArray[np.bool_] = groups.alpha_KA < 1 / groups.layout.n_attributes - 1e-12
    return conflicting_KA


def confident_misprediction_rate(
    label_N: NDArray[np.int64],
    probability_NK: NDArray[np.floating[Any]],
    among_N: NDArray[np.bool_],
    confidence: float,
) -> float:
    """Share of the patches `among_N` whose predicted class is wrong and has a probability above `confidence`.

    >>> probability_NK = np.array([[0.95, 0.05], [0.95, 0.05], [0.6, 0.4]])
    >>> confident_misprediction_rate(np.array([1, 0, 1]), probability_NK, np.array([True] * 3), 0.9)
    0.3333333333333333

    Returns:
        From 0 to 1; NaN where no patch is among them.
    """
    wrong_N = probability_NK.argmax(axis=1) != label_N
    confident_N = probability_NK.max(axis=1) > confidence
    return float((wrong_N & confident_N)[among_N].mean()) if among_N.any() else float("nan")


def activation_sparsity(classifier: Classifier, patches: AbstractPatches, near_zero: float) -> float:
    """Share of the activations of `patches` with |activation| <= near_zero, in eval mode.

    Counted is every output of a module of ReLU's kind (ReLU, GELU, SiLU, Swish, ...), each time it is called,
    and all elements weigh the same. At near_zero = 0 only exact zeros count, which ReLU alone gives.

    Returns:
        From 0 to 1; NaN for a network without such modules.
    """
    counted = torch.zeros(2, dtype=torch.float64)

    def count(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
        counted[0] += int((output.detach().abs() <= near_zero).sum())
        counted[1] += output.numel()

    # Imported here: MONAI takes seconds.
    from monai.networks.blocks import MemoryEfficientSwish, Swish

    kinds = (*_ACTIVATIONS, MemoryEfficientSwish, Swish)
    hooks = [m.register_forward_hook(count) for m in classifier.modules() if isinstance(m, kinds)]
    try:
        classifier.predict_logits(patches.chunks(256))
    finally:
        for hook in hooks:
            hook.remove()
    return float(counted[0] / counted[1]) if counted[1] else float("nan")


def pruned(classifier: Classifier, share: float) -> Classifier:
    """A copy without the `share` of its weights that are smallest in magnitude, over all layers together.

    Weights are those of convolutions and linear layers; biases and BatchNorm stay. Exactly
    round(share * weights) become 0, of equal ones the first. Nothing is trained or measured again afterwards.

    Raises:
        ConfigError: a share outside [0, 1).
    """
    if not 0 <= share < 1:
        raise ConfigError(has=f"pruning {share:g}", needs="a share from 0 to below 1", do="lower it")
    copy = deepcopy(classifier)
    weights = [module.weight for module in copy.modules() if isinstance(module, _WEIGHTED)]
    sizes = [weight.numel() for weight in weights]
    with torch.no_grad():
        magnitude_W = torch.cat([weight.abs().reshape(-1) for weight in weights])
        kept_W = torch.ones_like(magnitude_W)
        kept_W[torch.argsort(magnitude_W, stable=True)[: round(share * len(magnitude_W))]] = 0
        for weight, kept in zip(weights, torch.split(kept_W, sizes), strict=True):
            weight.mul_(kept.reshape(weight.shape))
    return copy
