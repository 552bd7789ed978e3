"""Per-channel normalization, measured where the training split has tissue."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.data.dataset import AbstractPatches
from models.data.transforms import Transform as Transform

logger = logging.getLogger(__name__)

# Photon counts are never negative, but augmentation may make them so.
TRANSFORMS: dict[Transform, Callable[[torch.Tensor], torch.Tensor]] = {
    "none": lambda images: images,
    "sqrt": lambda images: images.clamp_min(0).sqrt(),
    "log1p": lambda images: images.clamp_min(0).log1p(),
}


@dataclass(frozen=True)
class Normalization:
    """(transform(pixel) - mean) / std, per channel.

    Attributes:
        transform: `sqrt` evens out shot noise, `log1p` tames long tails; `none` for brightfield.
        mean_C: mean of the transformed training pixels.
        std_C: their standard deviation; 1 where a channel is constant.
        raw_std_C: standard deviation of the pixels as they are, the unit of intensity augmentation.
    """

    transform: Transform
    mean_C: tuple[float, ...]
    std_C: tuple[float, ...]
    raw_std_C: tuple[float, ...]


def measure_normalization(
    patches: AbstractPatches, weight_N: NDArray[np.float64], transform: Transform
) -> Normalization:
    """Mean and spread of the training pixels, every patch weighted by its tissue fraction.

    The patches' masks are not stored; weighting keeps empty background from setting the scale.
    Computed in float64 from integers, patch by patch, so that nothing overflows or cancels.

    Args:
        patches: of the training split only.
        weight_N: tissue fraction of every patch; all equal if their sum is 0.
    """
    weight_N = weight_N if weight_N.sum() > 0 else np.ones(len(patches))
    mean_C, std_C = _weighted(patches, weight_N, transform)
    raw_std_C = std_C if transform == "none" else _weighted(patches, weight_N, "none")[1]
    return Normalization(transform, tuple(mean_C.tolist()), tuple(std_C.tolist()), tuple(raw_std_C.tolist()))


def _weighted(
    patches: AbstractPatches, weight_N: NDArray[np.float64], transform: Transform
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    means, variances = [], []
    for chunk_NHWC in patches.chunks():
        pixels = TRANSFORMS[transform](torch.from_numpy(chunk_NHWC.astype(np.float64)))
        variance_nC, mean_nC = torch.var_mean(pixels, dim=(1, 2), correction=0)
        means.append(mean_nC.numpy())
        variances.append(variance_nC.numpy())
    mean_NC, variance_NC = np.concatenate(means), np.concatenate(variances)
    mean_C = np.average(mean_NC, axis=0, weights=weight_N)
    # Law of total variance: within patches plus between patches.
    variance_C = np.average(variance_NC + (mean_NC - mean_C) ** 2, axis=0, weights=weight_N)
    # Averaging equal numbers leaves a rounding error.
    constant_C = variance_C <= (1e-12 * mean_C) ** 2
    if constant_C.any():
        logger.warning("channels %s are constant in training", np.flatnonzero(constant_C).tolist())
    return mean_C, np.sqrt(np.where(constant_C, 1.0, variance_C))
