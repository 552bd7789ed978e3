"""Glands with lumen, nuclei, collagen fibers and fat, drawn into masks at level 0."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.phantoms.fields import Canvas, Field, Frame, below, blobs, lattice, smooth_noise
from pipeline.phantoms.layout import Layout
from pipeline.phantoms.texture import Texture

_GLAND_SPACING_UM = 56.0
_GLAND_RADIUS_UM = (19.0, 26.0)
_LUMEN_SHARE = 0.3
_FAT_CLUSTERS_PER_MM2 = 25.0
_FAT_RADIUS_UM = (11.0, 17.0)
_FIBER_SPACING_UM = 3.2
_CRIMP_UM = 16.0


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
    gland, lumen = _draw_glands(rng, frame, glands, kinds)
    fat, rim = _draw_fat(rng, frame)
    nucleus, membrane = frame.canvas(), frame.canvas()
    for kind, texture in enumerate(kinds):
        for cells in (
            _gland_cells(rng, glands, kind, texture),
            _stroma_cells(rng, frame, layout, gland, kind, texture, patient),
        ):
            _draw_cells(rng, frame, cells, texture, patient, nucleus, membrane)
    fiber = _draw_fibers(rng, frame, layout, kinds, patient)
    fiber[gland > 127] = 0
    for mask in (nucleus, membrane, fiber, gland, lumen):
        mask[fat > 127] = 0
    nucleus[lumen > 127] = 0
    tissue = _tissue(rng, frame, layout, np.maximum(gland // 2, fat)) & (lumen < 128)
    return Anatomy(tissue, gland, nucleus, membrane, np.maximum(fiber, rim), fat, _draw_droplets(rng, frame))


def _full(count: int) -> NDArray[np.integer]:
    return np.full(count, 255)


def _glands(rng: np.random.Generator, frame: Frame, layout: Layout) -> _Glands:
    center = lattice(rng, frame, _GLAND_SPACING_UM, 0.12)
    radius = rng.uniform(*_GLAND_RADIUS_UM, len(center))
    return _Glands(center, radius, frame.at(layout.tumor_HW, center))


def _draw_glands(
    rng: np.random.Generator, frame: Frame, glands: _Glands, kinds: tuple[Texture, Texture]
) -> tuple[Canvas, Canvas]:
    """Epithelium and lumen of every gland."""
    gland, lumen = frame.canvas(), frame.canvas()
    waver = np.where(glands.kind_N == 1, kinds[1].gland_irregularity, kinds[0].gland_irregularity)
    outlines = blobs(rng, glands.center_N2, glands.radius_N, waver, vertices=48)
    frame.fill(gland, outlines, _full(len(outlines)))
    # The share of the lumen is the same in both classes, or tissue area would tell them apart.
    inner = blobs(rng, glands.center_N2, glands.radius_N * _LUMEN_SHARE, 2 * waver, vertices=24)
    frame.fill(lumen, inner, _full(len(inner)))
    return gland, lumen


def _tissue(rng: np.random.Generator, frame: Frame, layout: Layout, structure: Canvas) -> NDArray[np.bool_]:
    """Pixels whose rank in a random field is below the wanted coverage; islands form around structures."""
    affinity = ndimage.gaussian_filter(structure / 255.0, 3.0 / frame.mpp, truncate=2.0)
    field = smooth_noise(rng, frame, 8.0) + 0.4 * smooth_noise(rng, frame, 3.0) - 0.9 * affinity
    return below(field, layout.coverage_HW)


@dataclass(frozen=True)
class _Cells:
    center_N2: Field
    angle_N: Field
    elongation: float
    scale: float
    """Factor on the nuclear diameter."""


def _gland_cells(rng: np.random.Generator, glands: _Glands, kind: int, texture: Texture) -> _Cells:
    """Nuclei of glands: in a ring around the lumen where there is order, all over the nest where not."""
    here = glands.kind_N == kind
    radius = glands.radius_N[here]
    ring = 2 * np.pi * 0.72 * radius / texture.cell_um
    nest = 0.9 * np.pi * radius**2 / texture.cell_um**2
    counts = np.round((1 - texture.disorder) * ring + texture.disorder * nest).astype(np.int64)
    gland = np.repeat(np.arange(len(counts)), counts)
    place = np.arange(len(gland)) - np.repeat(np.cumsum(counts) - counts, counts)
    turn = 2 * np.pi * (place / counts[gland] + rng.uniform(0, 1, len(counts))[gland])
    turn = turn + rng.uniform(-np.pi, np.pi, len(gland)) * texture.disorder
    spread = np.sqrt(rng.uniform(_LUMEN_SHARE**2, 0.85, len(gland)))
    distance = radius[gland] * ((1 - texture.disorder) * 0.72 + texture.disorder * spread)
    offset = distance[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    angle = turn + rng.normal(0, 0.1 + 1.5 * texture.disorder, len(gland))
    return _Cells(glands.center_N2[here][gland] + offset, angle, texture.elongation, 1.0)


def _stroma_cells(
    rng: np.random.Generator,
    frame: Frame,
    layout: Layout,
    gland: Canvas,
    kind: int,
    texture: Texture,
    patient: Patient,
) -> _Cells:
    """Spindle-shaped nuclei between the glands, along the fibers."""
    points = lattice(rng, frame, texture.stroma_cell_um, 0.2 + 0.3 * texture.disorder)
    here = points[(frame.at(layout.tumor_HW, points) == kind) & (frame.at(gland, points) < 128)]
    angle = patient.fiber_angle + rng.normal(0, texture.fiber_spread, len(here))
    return _Cells(here, angle, 2.6 - 1.2 * texture.disorder, 0.8)


def _draw_cells(
    rng: np.random.Generator,
    frame: Frame,
    cells: _Cells,
    texture: Texture,
    patient: Patient,
    nucleus: Canvas,
    membrane: Canvas,
) -> None:
    count = len(cells.center_N2)
    median = patient.nucleus_scale * cells.scale * texture.nucleus_um / 2
    radius = median * np.exp(rng.normal(0, texture.size_spread, count))
    shape = blobs(
        rng,
        np.zeros((count, 2)),
        radius,
        texture.irregularity,
        elongation=cells.elongation,
        angle=cells.angle_N,
    )
    frame.fill(nucleus, cells.center_N2[:, None] + shape, rng.integers(190, 256, count))
    frame.stroke(membrane, cells.center_N2[:, None] + 1.45 * shape, _full(count), 0.5)


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
        middle = middle[frame.at(layout.tumor_HW, middle) == kind]
        lines = _fibers(rng, middle, texture, patient)
        frame.stroke(canvas, lines, rng.integers(90, 256, len(lines)), 1.0, closed=False)
    return canvas


def _fibers(rng: np.random.Generator, middle_N2: Field, texture: Texture, patient: Patient) -> Field:
    """Center lines [N, 40, 2] in µm."""
    count = len(middle_N2)
    angle = patient.fiber_angle + rng.normal(0, texture.fiber_spread, (count, 1))
    length = texture.fiber_um * np.exp(rng.normal(0, 0.3, (count, 1)))
    along = length * np.linspace(-0.5, 0.5, 40)
    across = texture.crimp_um * np.sin(2 * np.pi * along / _CRIMP_UM + rng.uniform(0, 2 * np.pi, (count, 1)))
    x = along * np.cos(angle) - across * np.sin(angle)
    y = along * np.sin(angle) + across * np.cos(angle)
    lines: Field = middle_N2[:, None, :] + np.stack([x, y], axis=2)
    return lines


def _draw_fat(rng: np.random.Generator, frame: Frame) -> tuple[Canvas, Canvas]:
    """Clusters of adipocytes, and the collagen rim around each."""
    fat, rim = frame.canvas(), frame.canvas()
    width_um, height_um = frame.extent_um
    clusters = round(width_um * height_um / 1e6 * _FAT_CLUSTERS_PER_MM2)
    sizes = rng.integers(2, 6, clusters)
    place = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    turn = np.repeat(rng.uniform(0, 2 * np.pi, clusters), sizes) + place * np.pi / 3
    offset = np.where(place > 0, 25.0, 0.0)[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    center = np.repeat(rng.uniform(0, 1, (clusters, 2)) * (width_um, height_um), sizes, axis=0) + offset
    outlines = blobs(rng, center, rng.uniform(*_FAT_RADIUS_UM, len(center)), 0.05, vertices=40)
    for i in range(len(outlines)):
        one = outlines[i : i + 1]
        frame.fill(fat, one, np.array([255]))
        frame.fill(rim, one, np.array([0]))
        # The rim parts neighbors: no lipid, some collagen.
        frame.stroke(fat, one, np.array([0]), 2.0)
        frame.stroke(rim, one, np.array([150]), 1.0)
    return fat, rim


def _draw_droplets(rng: np.random.Generator, frame: Frame) -> Canvas:
    """Small lipid droplets of the cytoplasm."""
    canvas = frame.canvas()
    width_um, height_um = frame.extent_um
    count = round(width_um * height_um / 250)
    centers = rng.uniform(0, 1, (count, 2)) * (width_um, height_um)
    outlines = blobs(rng, centers, rng.uniform(0.4, 0.9, count), 0.0, vertices=8)
    frame.fill(canvas, outlines, _full(count))
    return canvas
