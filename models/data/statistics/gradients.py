"""Edges at scales, and whether they run one way: gradients, Laplacian, structure tensor."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.data.statistics.intensity import quotient_or_zero

_PLANE = (2, 3)


def channel_gradients(
    images_NCHW: NDArray[np.float64], scales: Sequence[float]
) -> dict[str, NDArray[np.float64]]:
    """Strength of edges at every scale, and their orientation at the finest, [N, C] each.

    Args:
        scales: standard deviations of the Gaussian that smooths first, in pixels, finest first.

    Returns:
        `gradient_<scale>`: mean length of the gradient. `laplacian_<scale>`: root of the mean squared
        Laplacian. `coherence`: of the structure tensor averaged over the patch, 0 (no direction) to 1 (one
        direction). `local_coherence`: of the tensor averaged under a Gaussian of the coarsest scale; the mean
        over the pixels, weighted by their edges (Bigun and Granlund 1987). Both are 0 where a channel is
        constant.
    """
    found: dict[str, NDArray[np.float64]] = {}
    for scale in scales:
        smooth_NCHW = ndimage.gaussian_filter(images_NCHW, scale, axes=_PLANE, mode="nearest")
        dy_NCHW, dx_NCHW = (np.gradient(smooth_NCHW, axis=axis) for axis in _PLANE)
        found[f"gradient_{scale:g}"] = np.hypot(dy_NCHW, dx_NCHW).mean(axis=_PLANE)
        curved_NCHW = ndimage.laplace(smooth_NCHW, axes=_PLANE, mode="nearest")
        found[f"laplacian_{scale:g}"] = np.sqrt((curved_NCHW**2).mean(axis=_PLANE))
        if scale == scales[0]:
            found |= _orientation(dy_NCHW, dx_NCHW, scales[-1])
    return found


def _orientation(
    dy_NCHW: NDArray[np.float64], dx_NCHW: NDArray[np.float64], outer: float
) -> dict[str, NDArray[np.float64]]:
    # sqrt((Jxx - Jyy)² + 4 Jxy²) is the difference of the tensor's eigenvalues, Jxx + Jyy their sum.
    sum_NCHW = dx_NCHW**2 + dy_NCHW**2
    parts = (sum_NCHW, dx_NCHW**2 - dy_NCHW**2, 2 * dx_NCHW * dy_NCHW)
    sum_NC, along_NC, across_NC = (part.mean(axis=_PLANE) for part in parts)
    near = [ndimage.gaussian_filter(part, outer, axes=_PLANE, mode="nearest") for part in parts]
    split_NC = np.hypot(near[1], near[2]).mean(axis=_PLANE)
    return {
        "coherence": quotient_or_zero(np.hypot(along_NC, across_NC), sum_NC),
        "local_coherence": quotient_or_zero(split_NC, near[0].mean(axis=_PLANE)),
    }
