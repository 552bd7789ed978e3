"""Glands with lumen, nuclei, collagen fibers and fat, drawn into masks at level 0."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.phantoms.fields import Canvas, Field, Frame, blob, lattice, ranks, smooth_noise
from pipeline.phantoms.layout import Layout
from pipeline.phantoms.texture import Texture

_GLAND_SPACING_UM = 56.0
_GLAND_RADIUS_UM = (19.0, 26.0)
_LUMEN_SHARE = 0.3
_FAT_CLUSTERS_PER_MM2 = 25.0
_FAT_RADIUS_UM = (11.0, 17.0)
_FIBER_SPACING_UM = 3.2


@dataclass(frozen=True)
class Anatomy:
    """Masks [H, W] at level 0, 0 to 255 (anti-aliased), and the tissue they fill."""

    tissue_HW: NDArray[np.bool_]
    """Tissue; lumens are not."""
    gland_HW: Canvas
    nucleus_HW: Canvas
    """Brightness of chromatin varies between nuclei."""
    membrane_HW: Canvas
    fiber_HW: Canvas
    fat_HW: Canvas
    droplet_HW: Canvas


@dataclass(frozen=True)
class Patient:
    """What differs between patients beside chance."""

    nucleus_scale: float
    """Factor on every nuclear diameter."""
    fiber_angle: float
    """Main direction of collagen, radians."""


@dataclass(frozen=True)
class _Glands:
    center_N2: Field
    radius_N: Field
    kind_N: Canvas


def make_anatomy(
    rng: np.random.Generator,
    frame: Frame,
    layout: Layout,
    kinds: tuple[Texture, Texture],
    patient: Patient,
) -> Anatomy:
    """Draw one slide; `kinds` are the textures outside and inside the tumor outline."""
    glands = _glands(rng, frame, layout)
    gland, lumen, nucleus, membrane = (frame.canvas() for _ in range(4))
    _draw_glands(rng, frame, glands, kinds, gland, lumen)
    fat, rim = _draw_fat(rng, frame)
    for kind, texture in enumerate(kinds):
        cells = list(_gland_cells(rng, glands, kind, texture)) + list(
            _stroma_cells(rng, frame, layout, gland, kind, texture, patient)
        )
        _draw_cells(rng, frame, cells, texture, patient, nucleus, membrane)
    fiber = _draw_fibers(rng, frame, layout, kinds, patient)
    fiber = np.where(gland > 127, 0, fiber).astype(np.uint8)
    for mask in (nucleus, membrane, fiber, gland, lumen):
        mask[fat > 127] = 0
    nucleus[lumen > 127] = 0
    tissue = _tissue(rng, frame, layout, np.maximum(gland // 2, fat)) & (lumen < 128)
    return Anatomy(tissue, gland, nucleus, membrane, np.maximum(fiber, rim), fat, _draw_droplets(rng, frame))


def _glands(rng: np.random.Generator, frame: Frame, layout: Layout) -> _Glands:
    center = lattice(rng, frame, _GLAND_SPACING_UM, 0.12)
    radius = rng.uniform(*_GLAND_RADIUS_UM, len(center))
    return _Glands(center, radius, frame.at(layout.tumor_HW, center))


def _draw_glands(
    rng: np.random.Generator,
    frame: Frame,
    glands: _Glands,
    kinds: tuple[Texture, Texture],
    gland: Canvas,
    lumen: Canvas,
) -> None:
    for center, radius, kind in zip(glands.center_N2, glands.radius_N, glands.kind_N, strict=True):
        waver = kinds[int(kind)].gland_irregularity
        frame.fill(gland, blob(rng, center, radius, waver, vertices=48), 255)
        # The share of the lumen is the same in both classes, or tissue area would tell them apart.
        frame.fill(lumen, blob(rng, center, radius * _LUMEN_SHARE, 2 * waver, vertices=24), 255)


def _tissue(rng: np.random.Generator, frame: Frame, layout: Layout, structure: Canvas) -> NDArray[np.bool_]:
    """Pixels whose rank in a random field is below the wanted coverage; islands form around structures."""
    affinity = ndimage.gaussian_filter(structure / 255.0, 3.0 / frame.mpp, truncate=2.0)
    field = smooth_noise(rng, frame, 8.0) + 0.4 * smooth_noise(rng, frame, 3.0) - 0.9 * affinity
    result: NDArray[np.bool_] = ranks(field) < layout.coverage_HW
    return result


@dataclass(frozen=True)
class _Cell:
    center_2: Field
    angle: float
    elongation: float
    scale: float


def _gland_cells(rng: np.random.Generator, glands: _Glands, kind: int, texture: Texture) -> Iterator[_Cell]:
    """Nuclei of glands: in a ring around the lumen where there is order, all over the nest where not."""
    for center, radius in zip(
        glands.center_N2[glands.kind_N == kind], glands.radius_N[glands.kind_N == kind], strict=True
    ):
        ring = 2 * np.pi * 0.72 * radius / texture.cell_um
        nest = 0.9 * np.pi * radius**2 / texture.cell_um**2
        count = round((1 - texture.disorder) * ring + texture.disorder * nest)
        turn = 2 * np.pi * (np.arange(count) + rng.uniform()) / count
        turn = turn + rng.uniform(-np.pi, np.pi, count) * texture.disorder
        spread = np.sqrt(rng.uniform(_LUMEN_SHARE**2, 0.85, count))
        distance = radius * ((1 - texture.disorder) * 0.72 + texture.disorder * spread)
        angle = turn + rng.normal(0, 0.1 + 1.5 * texture.disorder, count)
        for i in range(count):
            offset = distance[i] * np.array([np.cos(turn[i]), np.sin(turn[i])])
            yield _Cell(center + offset, angle[i], texture.elongation, 1.0)


def _stroma_cells(
    rng: np.random.Generator,
    frame: Frame,
    layout: Layout,
    gland: Canvas,
    kind: int,
    texture: Texture,
    patient: Patient,
) -> Iterator[_Cell]:
    """Spindle-shaped nuclei between the glands, along the fibers."""
    points = lattice(rng, frame, texture.stroma_cell_um, 0.2 + 0.3 * texture.disorder)
    here = (frame.at(layout.tumor_HW, points) == kind) & (frame.at(gland, points) < 128)
    angle = patient.fiber_angle + rng.normal(0, texture.fiber_spread, len(points))
    elongation = 2.6 - 1.2 * texture.disorder
    for i in np.flatnonzero(here):
        yield _Cell(points[i], angle[i], elongation, 0.8)


def _draw_cells(
    rng: np.random.Generator,
    frame: Frame,
    cells: list[_Cell],
    texture: Texture,
    patient: Patient,
    nucleus: Canvas,
    membrane: Canvas,
) -> None:
    median = patient.nucleus_scale * texture.nucleus_um / 2
    radius = median * np.exp(rng.normal(0, texture.size_spread, len(cells)))
    chromatin = rng.integers(190, 256, len(cells))
    for cell, r, value in zip(cells, radius, chromatin, strict=True):
        outline = blob(
            rng,
            cell.center_2,
            r * cell.scale,
            texture.irregularity,
            elongation=cell.elongation,
            angle=cell.angle,
        )
        frame.fill(nucleus, outline, int(value))
        body = cell.center_2 + (outline - cell.center_2) * 1.45
        frame.stroke(membrane, body, 255, 0.5, closed=True)


def _draw_fibers(
    rng: np.random.Generator,
    frame: Frame,
    layout: Layout,
    kinds: tuple[Texture, Texture],
    patient: Patient,
) -> Canvas:
    """Collagen: long, wavy and parallel where there is order; short, straight and crossing where not."""
    canvas = frame.canvas()
    width_um, height_um = frame.extent_um
    for kind, texture in enumerate(kinds):
        count = round(width_um * height_um / (texture.fiber_um * _FIBER_SPACING_UM))
        middle = rng.uniform(-20, 20, (count, 2)) + rng.uniform(0, 1, (count, 2)) * (width_um, height_um)
        here = frame.at(layout.tumor_HW, middle) == kind
        angle = patient.fiber_angle + rng.normal(0, texture.fiber_spread, count)
        length = texture.fiber_um * np.exp(rng.normal(0, 0.3, count))
        phase, value = rng.uniform(0, 2 * np.pi, count), rng.integers(90, 256, count)
        for i in np.flatnonzero(here):
            line = _fiber(middle[i], angle[i], length[i], texture.crimp_um, phase[i])
            frame.stroke(canvas, line, int(value[i]), 1.0, closed=False)
    return canvas


def _fiber(middle_2: Field, angle: float, length: float, crimp_um: float, phase: float) -> Field:
    along = np.linspace(-length / 2, length / 2, max(3, int(length / 2)))
    across = crimp_um * np.sin(2 * np.pi * along / 16.0 + phase)
    direction = np.array([np.cos(angle), np.sin(angle)])
    normal = np.array([-direction[1], direction[0]])
    line: Field = middle_2 + along[:, None] * direction + across[:, None] * normal
    return line


def _draw_fat(rng: np.random.Generator, frame: Frame) -> tuple[Canvas, Canvas]:
    """Clusters of adipocytes, and the collagen rim around each."""
    fat, rim = frame.canvas(), frame.canvas()
    width_um, height_um = frame.extent_um
    for _ in range(rng.poisson(width_um * height_um / 1e6 * _FAT_CLUSTERS_PER_MM2)):
        center = rng.uniform(0, 1, 2) * (width_um, height_um)
        first = rng.uniform(0, 2 * np.pi)
        for i in range(int(rng.integers(2, 6))):
            turn = first + i * np.pi / 3
            offset = 25.0 * np.array([np.cos(turn), np.sin(turn)]) if i else np.zeros(2)
            outline = blob(rng, center + offset, rng.uniform(*_FAT_RADIUS_UM), 0.05, vertices=40)
            frame.fill(fat, outline, 255)
            frame.fill(rim, outline, 0)
            # The rim parts neighbors: no lipid, some collagen.
            frame.stroke(fat, outline, 0, 2.0, closed=True)
            frame.stroke(rim, outline, 150, 1.0, closed=True)
    return fat, rim


def _draw_droplets(rng: np.random.Generator, frame: Frame) -> Canvas:
    """Small lipid droplets of the cytoplasm."""
    canvas = frame.canvas()
    width_um, height_um = frame.extent_um
    count = round(width_um * height_um / 250)
    centers = rng.uniform(0, 1, (count, 2)) * (width_um, height_um)
    radius = rng.uniform(0.4, 0.9, count)
    for i in range(count):
        frame.fill(canvas, blob(rng, centers[i], radius[i], 0.0, vertices=8), 255)
    return canvas
