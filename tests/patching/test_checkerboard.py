"""A slide of known squares: patches, tissue, annotations and overlay agree with it to the pixel.

The slide has 1530 x 1100 pixels of 0.25 µm and one coarser level. Channel SIGNAL is a checkerboard of cells
32 wide and 48 high that starts inside a cell, lacks some of its cells, and has another value in each; no
shift, swap or flip of it looks the same. X and Y hold 16 times the pixel's own place.
"""

import itertools
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import shapely
import tifffile
from numpy.typing import NDArray
from PIL import Image

from patching.geometry import Size
from patching.manifest import SlideRow
from patching.pictures.overlay import ANNOTATION, NORMAL, TISSUE, TUMOR, picture_scale
from patching.store.reading import PatchStore
from patching.tiling.settings import TileSettings
from patching.tiling.task import Folders, SlideTask
from patching.tiling.tiler import tile_slide

WIDTH, HEIGHT, MPP = 1530, 1100, 0.25
PLACE = 16
MARGIN = 400
SPECS = {"level 0": (96, 0.25), "level 1": (96, 0.5), "between": (80, 0.7)}
EDGES = ("drop", "pad", "shift")
TUMOR_REGION = shapely.union_all(
    [
        shapely.box(100, 60, 900, 760).difference(shapely.box(300, 200, 420, 348)),
        shapely.box(1000, 500, 1528, HEIGHT),
    ]
)


@cache
def checkerboard() -> NDArray[np.uint16]:
    """The slide at level 0, [H, W, 3]."""
    y_H1, x_1W = np.mgrid[:HEIGHT, :WIDTH]
    column, row = (x_1W + 8) // 32, (y_H1 + 20) // 48
    value = np.random.default_rng(5).integers(500, 4000, (row.max() + 1, column.max() + 1))
    there = ((column + row) % 2 == 0) & ((3 * column + 5 * row) % 7 != 0)
    signal_HW = np.where(there, value[row, column], 0)
    return np.stack([signal_HW, PLACE * x_1W, PLACE * y_H1], axis=-1).astype(np.uint16)


@cache
def tumor_mask() -> NDArray[np.bool_]:
    """TUMOR_REGION in level-0 pixels; all corners are multiples of 4."""
    mask_HW = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask_HW[60:760, 100:900] = True
    mask_HW[200:348, 300:420] = False
    mask_HW[500:, 1000:1528] = True
    return mask_HW


def shrunk(image_HWC: NDArray[np.generic], factor: int) -> NDArray[np.float64]:
    height, width = (n // factor for n in image_HWC.shape[:2])
    cut = image_HWC[: height * factor, : width * factor].reshape(height, factor, width, factor, -1)
    return cut.mean(axis=(1, 3))


def averaged(image_HWC: NDArray[np.generic], side: int) -> NDArray[np.float64]:
    """Exact area average of a square [n, n, C] on `side` pixels a side."""
    edges = np.arange(side + 1) * len(image_HWC) / side
    i = np.arange(len(image_HWC))
    overlap = np.clip(np.minimum(i + 1, edges[1:, None]) - np.maximum(i, edges[:-1, None]), 0, None)
    share = overlap * side / len(image_HWC)
    return np.einsum("ij,jkc,lk->ilc", share, image_HWC.astype(float), share, optimize=True)


def write_slide(path: Path, levels: list[NDArray[np.generic]], mpp: float) -> None:
    pixel = {f"PhysicalSize{axis}{unit}": v for axis in "XY" for unit, v in (("", mpp), ("Unit", "µm"))}
    metadata = {"axes": "CYX", "Channel": {"Name": ["SIGNAL", "X", "Y"]}, **pixel}
    options = {"tile": (112, 80), "compression": "zlib", "photometric": "minisblack"}
    planes = [np.moveaxis(np.rint(level).astype(np.uint16), -1, 0) for level in levels]
    with tifffile.TiffWriter(path, ome=True) as tiff:
        tiff.write(planes[0], subifds=len(levels) - 1, metadata=metadata, **options)
        for plane in planes[1:]:
            tiff.write(plane, subfiletype=1, **options)


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the slide and of its annotation in every form."""
    folder = tmp_path_factory.mktemp("board")
    image_HWC, tumor_HW = checkerboard(), tumor_mask()
    write_slide(folder / "board.ome.tif", [image_HWC, shrunk(image_HWC, 2)], MPP)
    Image.fromarray(tumor_HW.astype(np.uint8)).save(folder / "tumor.png")
    Image.fromarray(tumor_HW[::4, ::4].astype(np.uint8)).save(folder / "quarter.png")
    feature = {
        "type": "Feature",
        "geometry": json.loads(shapely.to_geojson(TUMOR_REGION)),
        "properties": {"classification": {"name": "Tumor"}},
    }
    (folder / "tumor.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    return folder


@dataclass(frozen=True)
class Tiled:
    """What came out for one spec, edge rule and form of annotation."""

    store: PatchStore
    picture_HW3: NDArray[np.int64]
    edge: str

    @property
    def extent(self) -> int:
        return self.store.attributes.extent

    @property
    def grid(self) -> list[tuple[int, int]]:
        """Every place of the grid, counted out."""
        places = []
        for length in (WIDTH, HEIGHT):
            starts = list(range(0, length, self.extent))
            over = starts[-1] + self.extent > length
            if over and self.edge == "drop":
                starts.pop()
            if over and self.edge == "shift":
                starts[-1] = length - self.extent
            places.append(starts)
        return [(x, y) for y in places[1] for x in places[0]]

    def share(self, mask_HW: NDArray[np.bool_], x: int, y: int) -> float:
        """Share of a patch's area that a level-0 mask fills, by counting pixels."""
        return float(mask_HW[y : y + self.extent, x : x + self.extent].sum() / self.extent**2)


class Lossless(Folders):
    """With overlays whose pixels can be compared."""

    def of(self, slide_id: str) -> tuple[Path, Path, Path]:
        store, overlay, receipt = super().of(slide_id)
        return store, overlay.with_suffix(".png"), receipt


def tile(board: Path, folder: Path, spec: str, edge: str, form: str) -> Tiled:
    size, mpp = SPECS[spec]
    settings = TileSettings(
        patch={"size": size, "mpp": mpp, "edge": edge},
        tissue={"method": "signal", "channel": "SIGNAL"},
        mask_pixels_per_patch=48,
        minimum_tissue_fraction=0.05,
        label={"tau": 0.5, "negative": 0.3},
        classes={"tumor": "tumor"},
        codec="none",
    )
    row = SlideRow("board", "p", (board / "board.ome.tif",), annotation=board / form)
    tile_slide(SlideTask(row, "fingerprint", settings, Lossless(folder, folder, folder)))
    with Image.open(folder / "board.png") as image:
        picture_HW3 = np.asarray(image.convert("RGB")).astype(int)
    return Tiled(PatchStore.open(folder / "board.zarr"), picture_HW3, edge)


every_spec_and_edge = list(itertools.product(SPECS, EDGES))


@pytest.fixture(scope="module", params=every_spec_and_edge, ids="-".join)
def tiled(request: pytest.FixtureRequest, board: Path, tmp_path_factory: pytest.TempPathFactory) -> Tiled:
    """Tiled with the outlines as annotation."""
    return tile(board, tmp_path_factory.mktemp("tiled"), *request.param, "tumor.geojson")


def expect_what_counting_pixels_keeps(tiled: Tiled) -> None:
    tissue_HW, tumor_HW = checkerboard()[..., 0] > 0, tumor_mask()
    expected = []
    for x, y in tiled.grid:
        tissue, tumor = tiled.share(tissue_HW, x, y), tiled.share(tumor_HW, x, y)
        if tissue >= 0.05 and not 0.3 < tumor < 0.5:
            expected.append((x, y, tissue, tumor, float(tumor >= 0.5)))
    table = tiled.store.table
    found = np.column_stack(
        [table.locations_N2, table.tissue_fraction_N, table.tumor_fraction_N, table.label_N]
    )
    np.testing.assert_allclose(found, expected, atol=1e-8)
    assert set(table.label_N.tolist()) == {0, 1}
    assert tiled.store.attributes.dropped["ambiguous_label"] > 0
    assert sum(tiled.store.attributes.dropped.values()) == len(tiled.grid) - len(found)


def test_places_fractions_and_labels_are_those_of_counted_pixels(tiled: Tiled) -> None:
    expect_what_counting_pixels_keeps(tiled)


@pytest.mark.parametrize(
    ("spec", "edge", "form"),
    [(*case, "quarter.png") for case in every_spec_and_edge] + [(spec, "pad", "tumor.png") for spec in SPECS],
)
def test_mask_images_of_any_scale_say_the_same(
    board: Path, tmp_path: Path, spec: str, edge: str, form: str
) -> None:
    expect_what_counting_pixels_keeps(tile(board, tmp_path, spec, edge, form))


def test_stored_pixels_lie_where_their_locations_say(tiled: Tiled) -> None:
    """X and Y tell the place of every stored pixel to 1/16 of a level-0 pixel; resampled, to 3/16.

    A mean over parts of pixels differs by so much from the value in its middle.
    """
    size, step = tiled.store.read([0]).shape[1], tiled.store.attributes.downsample
    place = (np.arange(size) + 0.5) * step - 0.5
    allowed = 1 if step in (1, 2) else 3
    end_2 = np.array([WIDTH, HEIGHT]) - step
    patches = tiled.store.read(np.arange(len(tiled.store))).astype(float)
    for corner_2, patch_HWC in zip(tiled.store.locations, patches, strict=True):
        x, y = corner_2[0] + place, corner_2[1] + place
        columns, rows = x < end_2[0], y < end_2[1]
        np.testing.assert_allclose(
            patch_HWC[rows][:, columns, 1], np.tile(PLACE * x[columns], (rows.sum(), 1)), atol=allowed
        )
        np.testing.assert_allclose(
            patch_HWC[rows][:, columns, 2], np.tile(PLACE * y[rows], (columns.sum(), 1)).T, atol=allowed
        )


def test_stored_pixels_are_area_averages_of_the_nearest_finer_level(tiled: Tiled) -> None:
    image_HWC = checkerboard()
    scale = 1 if tiled.store.attributes.downsample < 2 else 2
    level_HWC = np.rint(shrunk(image_HWC, scale))
    level_HWC = np.pad(level_HWC, ((0, MARGIN), (0, MARGIN), (0, 0)))
    patches = tiled.store.read(np.arange(len(tiled.store)))
    side, size = tiled.extent // scale, patches.shape[1]
    for (x, y), patch_HWC in zip((tiled.store.locations // scale).tolist(), patches, strict=True):
        expected = averaged(level_HWC[y : y + side, x : x + side], size)
        assert np.abs(patch_HWC - expected).max() <= 0.52, "rounding, and no more"


def test_the_tissue_mask_is_the_board(tiled: Tiled) -> None:
    tissue_HW = checkerboard()[..., 0] > 0
    step = tiled.store.attributes.tissue_downsample
    assert step in (2, 4)
    whole = np.kron(tiled.store.tissue, np.ones((int(step), int(step)), bool))
    np.testing.assert_array_equal(whole[:HEIGHT, :WIDTH], tissue_HW)


def is_color(picture_HW3: NDArray[np.int64], color: tuple[int, int, int]) -> NDArray[np.bool_]:
    return np.abs(picture_HW3 - color).max(axis=-1) <= 4


def borders(mask_HW: NDArray[np.bool_], scale: float, reach: int) -> NDArray[np.bool_]:
    """Overlay pixels that lie within `reach` of the mask's outline, the slide's own sides included."""
    padded_HW = np.pad(mask_HW, 1)
    outline_HW = np.zeros(mask_HW.shape, np.bool_)
    for axis, shift in itertools.product((0, 1), (1, -1)):
        outline_HW |= mask_HW & ~np.roll(padded_HW, shift, axis)[1:-1, 1:-1]
    y, x = ((place * scale).astype(int) for place in np.nonzero(outline_HW))
    near_HW = np.zeros((round(HEIGHT * scale), round(WIDTH * scale)), np.uint8)
    near_HW[np.minimum(y, near_HW.shape[0] - 1), np.minimum(x, near_HW.shape[1] - 1)] = 1
    return cv2.dilate(near_HW, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0


def test_frames_of_the_overlay_lie_around_their_patches(tiled: Tiled) -> None:
    """The outermost two pixels on each side, but for what the outlines of tissue and annotation cover."""
    scale = picture_scale(Size(WIDTH, HEIGHT), tiled.store.attributes.extent)
    annotated_HW = borders(tumor_mask(), scale, 5)
    height, width = annotated_HW.shape
    picture_HW3 = tiled.picture_HW3[:height, :width]
    free_HW = ~annotated_HW & ~is_color(picture_HW3, TISSUE)
    drawn = [is_color(picture_HW3, color) for color in (NORMAL, TUMOR)]
    shares, inside = [], []
    for (x, y), label in zip(tiled.store.locations.tolist(), tiled.store.table.label_N, strict=True):
        left, top, right, bottom = (round(v * scale) for v in (x, y, x + tiled.extent, y + tiled.extent))
        rows, columns = slice(top + 4, bottom - 4), slice(left + 4, right - 4)
        sides = [(rows, slice(left, left + 2)), (slice(top, top + 2), columns)]
        sides += [(rows, slice(right - 2, right))] if right <= width else []
        sides += [(slice(bottom - 2, bottom), columns)] if bottom <= height else []
        shares += [drawn[label][side][free_HW[side]].mean() for side in sides if free_HW[side].sum() > 30]
        inside.append(drawn[label][rows, columns].mean())
    assert len(shares) > 3 * len(tiled.store)
    assert min(shares) > 0.75, "crossed by the frames of neighbors at most"
    assert max(inside) < 0.15


def test_outlines_of_the_overlay_follow_tissue_and_annotation(tiled: Tiled) -> None:
    scale = picture_scale(Size(WIDTH, HEIGHT), tiled.store.attributes.extent)
    for mask_HW, color, most in (
        (checkerboard()[..., 0] > 0, TISSUE, 0.8),
        (tumor_mask(), ANNOTATION, 0.95),
    ):
        near_HW, exact_HW = (borders(mask_HW, scale, reach) for reach in (2, 0))
        drawn_HW = is_color(tiled.picture_HW3[: near_HW.shape[0], : near_HW.shape[1]], color)
        assert drawn_HW[near_HW].sum() > 0.99 * drawn_HW.sum(), "nothing is drawn where no border is"
        around_HW = cv2.dilate(drawn_HW.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        assert around_HW[exact_HW].mean() > most, "no border is left out"


@pytest.mark.parametrize(("mpp", "most"), [(0.5, 1), (0.7, 1), (1.0, 1), (1.3, 400)])
def test_mixed_magnifications_come_out_equal(tmp_path: Path, mpp: float, most: int) -> None:
    """One scene at 0.25 and at 0.5 µm per pixel: the same places in µm, pixels and tissue fractions.

    The tissue is a ring here: a mask's pixels need not have the same size in µm on both slides, and on
    cells of 8 µm that alone moves a fraction by up to 0.1. At 1.3 µm the coarse slide is read from a level
    that the fine one lacks, and averaged twice: the ring's edge of 2000 is softer there.
    """
    scene_HWC = checkerboard().copy()
    y_H1, x_1W = np.mgrid[:HEIGHT, :WIDTH]
    scene_HWC[..., 0] = 2000 * (abs(np.hypot((x_1W - 700) / 500, (y_H1 - 600) / 380) - 0.6) < 0.35)
    half_HWC = np.rint(shrunk(scene_HWC, 2))
    write_slide(tmp_path / "fine.ome.tif", [scene_HWC, half_HWC], 0.25)
    write_slide(tmp_path / "coarse.ome.tif", [half_HWC, np.rint(shrunk(half_HWC, 2))], 0.5)
    found = []
    for name in ("fine", "coarse"):
        settings = TileSettings(
            patch={"size": 64, "mpp": mpp, "edge": "drop"},
            tissue={"method": "signal", "channel": "SIGNAL", "threshold": 1000},
            mask_pixels_per_patch=32,
            minimum_tissue_fraction=0,
            classes={},
        )
        row = SlideRow(name, "p", (tmp_path / f"{name}.ome.tif",), label=1)
        tile_slide(SlideTask(row, "fingerprint", settings, Lossless(tmp_path, tmp_path, tmp_path)))
        found.append(PatchStore.open(tmp_path / f"{name}.zarr"))
    fine, coarse = found
    assert len(fine) == len(coarse) > 9
    np.testing.assert_allclose(fine.locations * 0.25, coarse.locations * 0.5)
    assert fine.attributes.mpp == coarse.attributes.mpp == pytest.approx(mpp, rel=0.01)
    pixels = [store.read(np.arange(len(store))).astype(int) for store in found]
    assert np.abs(pixels[0] - pixels[1]).max() <= most
    assert np.abs(pixels[0] - pixels[1]).mean() <= 3
    np.testing.assert_allclose(fine.table.tissue_fraction_N, coarse.table.tissue_fraction_N, atol=0.01)
