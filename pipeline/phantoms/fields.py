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

    def fixed(self, points_um: Field) -> NDArray[np.int32]:
        """Points in µm as OpenCV's fixed-point pixel-centre coordinates."""
        pixels = points_um / self.mpp - 0.5
        return np.round(pixels * (1 << _SHIFT)).astype(np.int32)

    def fill(self, canvas: Canvas, outline_um_N2: Field, value: int) -> None:
        """Fill a polygon, anti-aliased, in place."""
        cv2.fillPoly(canvas, [self.fixed(outline_um_N2)], (value,), cv2.LINE_AA, _SHIFT)

    def stroke(self, canvas: Canvas, line_um_N2: Field, value: int, width_um: float, closed: bool) -> None:
        """Draw a line, anti-aliased, in place."""
        thickness = max(1, round(width_um / self.mpp))
        cv2.polylines(canvas, [self.fixed(line_um_N2)], closed, (value,), thickness, cv2.LINE_AA, _SHIFT)


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


def ranks(values: Field) -> Field:
    """Rank of each value in (0, 1): a field with a uniform distribution."""
    order = np.argsort(values, axis=None, kind="stable")
    result = np.empty(values.size)
    result[order] = (np.arange(values.size) + 0.5) / values.size
    return result.reshape(values.shape)


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


def blob(
    rng: np.random.Generator,
    center_um: Field,
    radius_um: float,
    irregularity: float,
    *,
    elongation: float = 1.0,
    angle: float = 0.0,
    vertices: int = 20,
) -> Field:
    """Closed outline [vertices, 2] in µm: an ellipse whose radius wavers by about `irregularity`.

    The area does not depend on elongation; `angle` (radians) is the direction of the long axis.
    """
    turn = np.arange(vertices) * (2 * np.pi / vertices)
    phases, weights = rng.uniform(0, 2 * np.pi, 3), rng.standard_normal(3) * irregularity
    order = np.arange(3)[:, None]
    waver = (weights[:, None] / (order + 1) * np.cos((order + 2) * turn + phases[:, None])).sum(axis=0)
    radius = radius_um * np.clip(1 + waver, 0.4, 1.6)
    stretch = np.sqrt(elongation)
    along, across = radius * np.cos(turn) * stretch, radius * np.sin(turn) / stretch
    cosine, sine = np.cos(angle), np.sin(angle)
    outline: Field = center_um + np.stack(
        [along * cosine - across * sine, along * sine + across * cosine], axis=1
    )
    return outline
