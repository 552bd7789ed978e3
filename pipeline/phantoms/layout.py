"""Where the specimen, the tumor and the background lie, and how much tissue each territory holds."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy import ndimage
from shapely import Polygon, box, intersection, union_all
from shapely.geometry.base import BaseGeometry

from pipeline.phantoms.fields import Canvas, Field, Frame, blobs, smooth_noise

# Tissue coverage of a territory: the two kinds do not touch, so that a threshold between them is meaningful.
SPARSE_COVERAGE = (0.12, 0.38)
DENSE_COVERAGE = (0.84, 1.0)
# Territories' borders waver and blur by this much, so that they are not squares.
_WARP_UM = 5.0
_SOFT_UM = 5.0


@dataclass(frozen=True)
class Layout:
    """The plan of one slide."""

    tumor: tuple[NDArray[np.int64], ...]
    """Closed outlines [N, 2] of the tumor's parts, (x, y) in level-0 pixels."""
    tumor_HW: Canvas
    """1 inside the outline."""
    coverage_HW: Field
    """Wanted tissue coverage, 0 outside the specimen."""


def make_layout(
    rng: np.random.Generator,
    frame: Frame,
    *,
    tie: float,
    background: float,
    tumor_share: float,
    territory_um: float,
) -> Layout:
    """Plan a slide.

    Args:
        rng: the slide's random numbers.
        frame: size and pixel size.
        tie: 0 gives both classes the same coverages; 1 makes every tumor territory dense, every other sparse.
        background: share of the slide outside the specimen.
        tumor_share: share of the specimen inside the tumor outline.
        territory_um: side of the squares that get one coverage each.
    """
    specimen = _specimen(rng, frame, background)
    tumor = _outlines(_tumor(rng, frame, specimen, tumor_share))
    tumor_HW = _raster(frame, tumor)
    rows, columns = _territory_index(rng, frame, territory_um)
    inside = _territory_mean(frame, _raster(frame, _outlines(specimen)), territory_um) > 0.5
    is_tumor = _territory_mean(frame, tumor_HW, territory_um) > 0.5
    coverage = _coverages(rng, is_tumor, inside, tie)
    soft = ndimage.gaussian_filter(coverage[rows, columns], _SOFT_UM / frame.mpp, truncate=2.0)
    return Layout(tumor, tumor_HW, soft)


def _specimen(rng: np.random.Generator, frame: Frame, background: float) -> BaseGeometry:
    """Rounded piece of tissue; its corners stay empty until `background` of the slide is outside."""
    sides = np.array([frame.size.width, frame.size.height], np.float64)
    turn = np.arange(120) * (2 * np.pi / 120)
    power = 0.35
    corner = np.stack([_power(np.cos(turn), power), _power(np.sin(turn), power)], axis=1)
    waver = 1 + 0.02 * np.cos(3 * turn + rng.uniform(0, 2 * np.pi))[:, None]
    slide = box(0, 0, *sides)

    def scaled(scale: float) -> BaseGeometry:
        return intersection(Polygon(sides / 2 + corner * waver * sides / 2 * scale), slide)

    return scaled(_solve(lambda scale: scaled(scale).area, (1 - background) * slide.area, 0.3, 2.0))


def _tumor(rng: np.random.Generator, frame: Frame, specimen: BaseGeometry, share: float) -> BaseGeometry:
    """One large and one small irregular region that together fill `share` of the specimen."""
    sides = np.array([frame.size.width, frame.size.height], np.float64)
    centers = rng.uniform(0.2, 0.8, (2, 2)) * sides
    radius, irregularity, elongation = np.array([1.0, 0.35]), np.array([0.12, 0.08]), rng.uniform(1, 1.3, 2)
    shapes = blobs(rng, np.zeros((2, 2)), radius, irregularity, elongation=elongation, vertices=90)
    shapes = shapes * sides / 2

    def scaled(scale: float) -> BaseGeometry:
        parts = [Polygon(center + shape * scale) for center, shape in zip(centers, shapes, strict=True)]
        return intersection(union_all(parts), specimen)

    return scaled(_solve(lambda scale: scaled(scale).area, share * specimen.area, 0.05, 4.0))


def _coverages(
    rng: np.random.Generator, is_tumor_RC: NDArray[np.bool_], inside_RC: NDArray[np.bool_], tie: float
) -> Field:
    """One coverage per territory; (1 - tie) / 2 of each class, stochastically rounded, go against the tie."""
    coverage = np.zeros(is_tumor_RC.shape)
    for tumor in (False, True):
        members = np.flatnonzero((is_tumor_RC == tumor) & inside_RC)
        conflicting = int(np.floor(len(members) * (1 - tie) / 2 + rng.uniform()))
        dense = np.full(len(members), tumor)
        dense[rng.permutation(len(members))[:conflicting]] = not tumor
        sparse_values = rng.uniform(*SPARSE_COVERAGE, len(members))
        dense_values = rng.uniform(*DENSE_COVERAGE, len(members))
        coverage.flat[members] = np.where(dense, dense_values, sparse_values)
    return coverage


def _territory_index(
    rng: np.random.Generator, frame: Frame, side_um: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column [H, W] of each pixel's territory, borders wavering."""
    height, width = frame.shape
    y = (np.arange(height) + 0.5)[:, None] * frame.mpp + _WARP_UM * smooth_noise(rng, frame, 10)
    x = (np.arange(width) + 0.5)[None, :] * frame.mpp + _WARP_UM * smooth_noise(rng, frame, 10)
    rows, columns = _territories(frame, side_um)
    row = np.floor(y / side_um).astype(np.int64).clip(0, rows - 1)
    return row, np.floor(x / side_um).astype(np.int64).clip(0, columns - 1)


def _territories(frame: Frame, side_um: float) -> tuple[int, int]:
    width_um, height_um = frame.extent_um
    return int(np.ceil(height_um / side_um)), int(np.ceil(width_um / side_um))


def _territory_mean(frame: Frame, mask_HW: Canvas, side_um: float) -> Field:
    """Mean of a mask over each territory (whole squares, before wavering)."""
    height, width = frame.shape
    rows, columns = _territories(frame, side_um)
    row = ((np.arange(height) + 0.5) * frame.mpp / side_um).astype(np.int64).clip(0, rows - 1)
    column = ((np.arange(width) + 0.5) * frame.mpp / side_um).astype(np.int64).clip(0, columns - 1)
    index = (row[:, None] * columns + column[None, :]).ravel()
    total = np.bincount(index, mask_HW.ravel() > 0, rows * columns)
    result: Field = (total / np.bincount(index, minlength=rows * columns)).reshape(rows, columns)
    return result


def _outlines(region: BaseGeometry) -> tuple[NDArray[np.int64], ...]:
    """Outer outlines on whole pixels, so that the file holds exactly what is simulated."""
    parts = shapely.get_parts(shapely.set_precision(region, 1.0))
    return tuple(
        shapely.get_coordinates(part.exterior).astype(np.int64) for part in parts if isinstance(part, Polygon)
    )


def _raster(frame: Frame, outlines: tuple[NDArray[np.int64], ...]) -> Canvas:
    """1 where a pixel's center lies inside, by the even-odd rule along each row."""
    height, width = frame.shape
    crossings = np.zeros((height, width + 1), np.int64)
    middle = np.arange(height)[:, None] + 0.5
    for outline in outlines:
        (x0, y0), (x1, y1) = outline[:-1].T, outline[1:].T
        row, edge = np.nonzero((middle > np.minimum(y0, y1)) & (middle < np.maximum(y0, y1)))
        slope = (x1 - x0)[edge] / (y1 - y0)[edge]
        x = x0[edge] + (row + 0.5 - y0[edge]) * slope
        np.add.at(crossings, (row, np.ceil(x - 0.5).astype(np.int64).clip(0, width)), 1)
    return (crossings[:, :width].cumsum(axis=1) % 2).astype(np.uint8)


def _solve(area: Callable[[float], float], wanted: float, low: float, high: float) -> float:
    """Scale at which a growing area reaches `wanted`, by bisection."""
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if area(middle) < wanted else (low, middle)
    return low


def _power(values: Field, exponent: float) -> Field:
    result: Field = np.sign(values) * np.abs(values) ** exponent
    return result
