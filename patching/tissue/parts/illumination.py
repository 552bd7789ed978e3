"""Uneven illumination, to be taken out before a threshold."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patching.tissue.parts.strips import Projected

_ROUNDS = 5
_SINGULAR = 1e-10  # share of the largest singular value under which one is rounding
_SIDE = 96  # the fit sees at most about this many points a side: a slow surface needs no more


@dataclass(frozen=True)
class Gain:
    """Slow gain of the illumination: a second-order surface in the log domain, 0 at the middle.

    Args:
        shape: height and width of the image.
        coefficient_K: of x, y, x², xy, y², both running from -1 to 1.
    """

    shape: tuple[int, int]
    coefficient_K: NDArray[np.float64]

    def rows(self, rows: slice) -> NDArray[np.float32]:
        """Log gain of some rows, float32 [h, W]."""
        x, y, xx, xy, yy = self.coefficient_K.astype(np.float32)
        y_H, x_W = _axes(self.shape)
        y_H1, x_1W = y_H[rows].astype(np.float32)[:, None], x_W.astype(np.float32)[None]
        gain_HW: NDArray[np.float32] = (x + xx * x_1W) * x_1W + (y + xy * x_1W + yy * y_H1) * y_H1
        return gain_HW


def fit_gain(log: Projected, threshold: Callable[[NDArray[np.float64]], float]) -> Gain:
    """The illumination in an image of smoothed log intensities.

    In the log domain an uneven gain is an added slow surface, the same on tissue and on background.
    Model: log I = class mean + second-order surface. Classes (by `threshold`) and surface are fitted in
    turn, so that large tissue is not mistaken for light, as a plain high-pass filter would. Of two
    starts, no gain and all gain, the better fit wins.

    Args:
        log: smoothed log intensity.
        threshold: gives the value that separates the two classes.
    """
    y_H, x_W = (axis[:: log.step] for axis in _axes(log.shape))
    step_y, step_x = max(1, y_H.size // _SIDE), max(1, x_W.size // _SIDE)
    value_N: NDArray[np.float64] = log.sample[::step_y, ::step_x].astype(np.float64).ravel()
    basis_NK = _surface(y_H[::step_y], x_W[::step_x])
    if log.sample_known is not None:
        known_N = log.sample_known[::step_y, ::step_x].ravel()
        value_N, basis_NK = value_N[known_N], basis_NK[known_N]
    if not value_N.size:
        return Gain(log.shape, np.zeros(basis_NK.shape[1]))
    model = _Model(value_N, basis_NK)
    all_gain_K, _ = model.fit(np.zeros(value_N.size, np.bool_))
    fits = [_alternate(model, start_K, threshold) for start_K in (np.zeros_like(all_gain_K), all_gain_K)]
    return Gain(log.shape, min(fits, key=lambda fit: fit[1])[0])


def _axes(shape: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """y of each row and x of each column, from -1 to 1."""
    return np.linspace(-1, 1, shape[0]), np.linspace(-1, 1, shape[1])


class _Model:
    """Two class means and a surface, by least squares; what the classes do not change is computed once.

    Args:
        value_N: smoothed log intensity.
        basis_NK: the surface's terms at the same pixels.
    """

    def __init__(self, value_N: NDArray[np.float64], basis_NK: NDArray[np.float64]) -> None:
        self._value_N, self._basis_NK = value_N, basis_NK
        self._basis_KK, self._value_K = basis_NK.T @ basis_NK, basis_NK.T @ value_N

    def flat(self, coefficient_K: NDArray[np.float64]) -> NDArray[np.float64]:
        """The values without the surface."""
        flat_N: NDArray[np.float64] = self._value_N - self._basis_NK @ coefficient_K
        return flat_N

    def fit(self, tissue_N: NDArray[np.bool_]) -> tuple[NDArray[np.float64], float]:
        """Coefficients of the surface beside the means of two classes, and the mean squared error."""
        class_2N = np.stack([tissue_N, ~tissue_N]).astype(np.float64)
        beside_2K = class_2N @ self._basis_NK
        # The normal equations: terms between -1 and 1 lose no figure that a float32 gain would show, and
        # seven equations take a tenth of the time of as many as there are pixels. A class may be empty.
        left = np.block([[np.diag(class_2N.sum(axis=1)), beside_2K], [beside_2K.T, self._basis_KK]])
        right = np.concatenate([class_2N @ self._value_N, self._value_K])
        solution: NDArray[np.float64] = np.linalg.lstsq(left, right, rcond=_SINGULAR)[0].astype(np.float64)
        error_N = self.flat(solution[2:]) - np.where(tissue_N, solution[0], solution[1])
        return solution[2:], float(np.square(error_N).mean())


def _alternate(
    model: _Model, coefficient_K: NDArray[np.float64], threshold: Callable[[NDArray[np.float64]], float]
) -> tuple[NDArray[np.float64], float]:
    error, before_N = float("inf"), None
    for _ in range(_ROUNDS):
        flat_N = model.flat(coefficient_K)
        tissue_N = flat_N > threshold(flat_N)
        if before_N is not None and np.array_equal(tissue_N, before_N):
            break
        (coefficient_K, error), before_N = model.fit(tissue_N), tissue_N
    return coefficient_K, error


def _surface(y_H: NDArray[np.float64], x_W: NDArray[np.float64]) -> NDArray[np.float64]:
    """x, y, x², xy, y² of every pixel, [H * W, 5]; the constant belongs to the classes."""
    y, x = (grid.ravel() for grid in np.meshgrid(y_H, x_W, indexing="ij"))
    return np.column_stack([x, y, x * x, x * y, y * y])
