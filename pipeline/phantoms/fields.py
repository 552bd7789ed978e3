"""Smooth random fields and sub-pixel drawing, in micrometres."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from patching.geometry import Size

Field = NDArray[np.float64]
Canvas = NDArray[np.uint8]

# Fixed-point bits of a coordinate handed to OpenCV: 1/16 pixel.
_SHIFT = 4


@dataclass(frozen=True)
class Frame:
    """Level-0 pixels of a slide and their size; turns micrometres into pixels."""

    size: Size
    mpp: float

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) in level-0 pixels."""
        return self.size.height, self.size.width

    @property
    def extent_um(self) -> tuple[float, float]:
        """(width, height) in µm."""
        return self.size.width * self.mpp, self.size.height * self.mpp

    def canvas(self) -> Canvas:
        return np.zeros(self.shape, np.uint8)

    def at(self, values_HW: Canvas, points_um_N2: Field) -> Canvas:
        """Values of a level-0 image at points (x, y) in µm; points outside take the border's value."""
        x, y = np.floor(points_um_N2 / self.mpp).astype(np.int64).T
        height, width = self.shape
        values: Canvas = values_HW[y.clip(0, height - 1), x.clip(0, width - 1)]
        return values

    def fill(self, canvas: Canvas, outlines_um_NV2: Field, values_N: NDArray[np.integer]) -> None:
        """Fill polygons, anti-aliased, in place, one after another."""
        for outline, value in zip(self._fixed(outlines_um_NV2), values_N.tolist(), strict=True):
            cv2.fillPoly(canvas, [outline], (value,), cv2.LINE_AA, _SHIFT)

    def stroke(
        self,
        canvas: Canvas,
        lines_um_NV2: Field,
        values_N: NDArray[np.integer],
        width_um: float,
        *,
        closed: bool = True,
    ) -> None:
        """Draw lines, anti-aliased, in place, one after another."""
        thickness = max(1, round(width_um / self.mpp))
        for line, value in zip(self._fixed(lines_um_NV2), values_N.tolist(), strict=True):
            cv2.polylines(canvas, [line], closed, (value,), thickness, cv2.LINE_AA, _SHIFT)

    def _fixed(self, points_um: Field) -> NDArray[np.int32]:
        """Points in µm as OpenCV's fixed-point coordinates, which count from pixel centers."""
        pixels = points_um / self.mpp - 0.5
        return np.round(pixels * (1 << _SHIFT)).astype(np.int32)


def smooth_noise(rng: np.random.Generator, frame: Frame, scale_um: float) -> Field:
    """Gaussian random field [H, W]: mean 0, standard deviation 1, correlation length `scale_um`."""
    # Three samples per correlation length are enough for linear interpolation, and keep wide filters cheap.
    step_um = max(scale_um / 3, frame.mpp)
    sigma = scale_um / step_um
    width_um, height_um = frame.extent_um
    shape = (int(np.ceil(height_um / step_um)) + 2, int(np.ceil(width_um / step_um)) + 2)
    white = rng.standard_normal(shape)
    smooth = ndimage.gaussian_filter(white, sigma, mode="wrap") * (2 * sigma * np.sqrt(np.pi))
    return resampled(smooth, frame, step_um)


def resampled(values_hw: Field, frame: Frame, step_um: float) -> Field:
    """Linear interpolation [H, W] of a grid whose samples lie at multiples of `step_um`."""
    height, width = frame.shape
    rows = _lerp(values_hw, height, frame.mpp / step_um)
    return np.ascontiguousarray(_lerp(rows.T, width, frame.mpp / step_um).T)


def _lerp(values_NX: Field, count: int, step: float) -> Field:
    position_M = (np.arange(count, dtype=np.float64) + 0.5) * step
    low = np.minimum(position_M.astype(np.int64), len(values_NX) - 2)
    weight = (position_M - low)[:, None]
    result: Field = values_NX[low] * (1 - weight) + values_NX[low + 1] * weight
    return result


def below(values: Field, share: Field) -> NDArray[np.bool_]:
    """Pixels among the lowest `share` (0 to 1, varying over the field) of all values; never where it is 0."""
    # Every 16th pixel of a smooth field is enough to know its distribution.
    steps = np.linspace(0, 1, 257)
    limits = np.interp(share, steps, np.quantile(values[::4, ::4], steps))
    result: NDArray[np.bool_] = (values < limits) & (share > 0)
    return result


def lattice(rng: np.random.Generator, frame: Frame, spacing_um: float, disorder: float) -> Field:
    """Points [N, 2] in µm on a hexagonal lattice, shifted at random by up to `disorder` spacings."""
    width_um, height_um = frame.extent_um
    row_um = spacing_um * np.sqrt(0.75)
    columns = np.arange(-1, int(width_um / spacing_um) + 2)
    rows = np.arange(-1, int(height_um / row_um) + 2)
    x, y = np.meshgrid(columns * spacing_um, rows * row_um)
    x = x + (rows[:, None] % 2) * spacing_um / 2
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    return points + rng.uniform(-disorder, disorder, points.shape) * spacing_um


def blobs(
    rng: np.random.Generator,
    center_um_N2: Field,
    radius_um_N: Field,
    irregularity: Field | float,
    *,
    elongation: Field | float = 1.0,
    angle: Field | float = 0.0,
    vertices: int = 20,
) -> Field:
    """Closed outlines [N, vertices, 2] in µm: ellipses whose radius wavers by about `irregularity`.

    The area does not depend on elongation; `angle` (radians) is the direction of the long axis.
    """
    count = len(center_um_N2)
    turn = np.arange(vertices) * (2 * np.pi / vertices)
    order = np.arange(2, 5)
    weight = rng.standard_normal((count, 3)) / (order - 1) * _column(irregularity)
    phase = rng.uniform(0, 2 * np.pi, (count, 3, 1))
    waver = (weight[:, :, None] * np.cos(order[:, None] * turn + phase)).sum(axis=1)
    radius = radius_um_N[:, None] * np.clip(1 + waver, 0.4, 1.6)
    stretch, angle = np.sqrt(_column(elongation)), _column(angle)
    along, across = radius * np.cos(turn) * stretch, radius * np.sin(turn) / stretch
    x = along * np.cos(angle) - across * np.sin(angle)
    y = along * np.sin(angle) + across * np.cos(angle)
    outlines: Field = center_um_N2[:, None, :] + np.stack([x, y], axis=2)
    return outlines


def _column(values: Field | float) -> Field:
    return np.asarray(values, np.float64).reshape(-1, 1)
