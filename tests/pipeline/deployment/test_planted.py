"""From the command line to the outputs: a planted board is found again, to the pixel and up to the borders.

The slides' cells are as large as a patch, each of another brightness, and the network measures brightness. So
every output can be compared with the pixels of the slide itself, without a look at what was predicted.
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import get_args

import numpy as np
import openslide
import pandas as pd
import pytest
import shapely
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from models.data.normalization import Normalization
from models.networks.backbones.registry import BACKBONES
from models.networks.card import NormalizationCard, Range, TissueCard, TrainingRanges
from models.networks.checkpoint import save_classifier
from models.networks.classifier import Classifier
from patching.geometry import Size
from patching.grid import EdgeRule
from patching.pictures.overlay import TISSUE, picture_scale
from pipeline.cli import main
from pipeline.look.heatmap import TOP
from pipeline.look.heatmap_picture import ramp
from tests.patching.leica import write_leica
from tests.pipeline.deployment.planted import probabilities
from tests.pipeline.deployment.qupath import read_features
from tests.pipeline.deployment.specimens import model_card, write_slide

SIDE = 16
LEAST = 0.15
OVERLAY_STEPS = 3  # of 255, between two steps of the color scale


class Brightness(nn.Module):
    """Logits whose softmax is the mean of what the network sees."""

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        mean_B = images_BCHW.double().mean(dim=(1, 2, 3)).clamp(1e-7, 1 - 1e-7)
        return torch.stack([(1 - mean_B).log(), mean_B.log()], dim=1)


@dataclass(frozen=True)
class Board:
    """A slide and what is planted in it."""

    path: Path
    image_HW: NDArray[np.int64]
    """Level-0 pixels of the whole slide, in every channel."""
    cell: int
    """Side of a patch in level-0 pixels."""
    mpp: float
    """Of the pixels that the network sees."""
    brightest: int
    """What makes a probability of 1."""
    background: int
    bounds: tuple[int, int] = (0, 0)

    told: tuple[str, ...] = ()
    """To the command line, since the file does not tell it."""

    @property
    def brightfield(self) -> bool:
        """Transmitted light, all that was scanned is tissue; else what is not 0 is."""
        return self.background > 0

    @property
    def size(self) -> Size:
        height, width = self.image_HW.shape
        return Size(width, height)

    def patches(self, edge: EdgeRule) -> dict[tuple[int, int], tuple[float, float]]:
        """Expected probability and tissue fraction of every place that is to be predicted, counted out."""
        places = []
        for length in (self.size.width, self.size.height):
            starts = list(range(0, length, self.cell))
            if length % self.cell and edge == "drop":
                starts.pop()
            if length % self.cell and edge == "shift":
                starts[-1] = length - self.cell
            places.append(starts)
        beyond_HW = np.pad(self.image_HW, ((0, self.cell), (0, self.cell)), constant_values=self.background)
        inside_HW = np.pad(self.image_HW != self.background, ((0, self.cell), (0, self.cell)))
        found = {}
        for x, y in ((x, y) for y in places[1] for x in places[0]):
            window = np.s_[y : y + self.cell, x : x + self.cell]
            if (tissue := inside_HW[window].mean()) >= LEAST:
                found[x, y] = float(beyond_HW[window].mean() / self.brightest), float(tissue)
        return found

    def painted(self, edge: EdgeRule) -> NDArray[np.float64]:
        """Mean probability on every level-0 pixel, NaN where there is no patch."""
        sum_HW, count_HW = np.zeros(self.image_HW.shape), np.zeros(self.image_HW.shape)
        for (x, y), (value, _) in self.patches(edge).items():
            sum_HW[y : y + self.cell, x : x + self.cell] += value
            count_HW[y : y + self.cell, x : x + self.cell] += 1
        return np.where(count_HW > 0, sum_HW / np.maximum(count_HW, 1), np.nan)


def cells(width: int, height: int, cell: int, brightest: int, *, gaps: bool) -> NDArray[np.int64]:
    """A board of cells of which no two are alike, [H, W]; some are 0 where there are gaps."""
    row_H1, column_1W = (place // cell for place in np.ogrid[:height, :width])
    rows, columns = row_H1.max() + 1, column_1W.max() + 1
    level = np.linspace(0.06, 0.94, rows * columns) * brightest
    value = np.random.default_rng(8).permutation(np.rint(level).astype(np.int64)).reshape(rows, columns)
    if gaps:
        value[(3 * np.arange(columns) + 5 * np.arange(rows)[:, None]) % 7 == 1] = 0
    return value[row_H1, column_1W]


def fluorescence(folder: Path, mpp: float, cell: int) -> Board:
    """300 x 200 pixels of 0.37 µm and half as many; patches are resampled to the µm per pixel given."""
    image_HW = cells(300, 200, cell, 60_000, gaps=True)
    path = write_slide(folder / "board.ome.tif", image_HW[..., None].astype(np.uint16), ("SIGNAL",), 0.37)
    return Board(path, image_HW, cell, mpp, brightest=60_000, background=0)


def scanned(folder: Path, mpp: float, cell: int) -> Board:
    """600 x 360 pixels of 0.25 µm, of which 300 x 200 at (160, 100) are scanned; the rest is white."""
    board_HW = cells(600, 360, cell, 250, gaps=False)
    image_HW = np.full_like(board_HW, 255)
    image_HW[100:300, 160:460] = board_HW[100:300, 160:460]
    stored_HW3 = image_HW[100:300, 160:460, None].repeat(3, axis=2).astype(np.uint8)
    path = write_leica(folder / "board.scn", stored_HW3)
    told = ("--mpp", "0.25")
    return Board(path, image_HW, cell, mpp, brightest=255, background=255, bounds=(160, 100), told=told)


def write_model(folder: Path, board: Board, edge: EdgeRule) -> Path:
    """A model that measures brightness on patches of the board's cells."""
    channels = ("R", "G", "B") if board.brightfield else ("SIGNAL",)
    zero, scale = ((value,) * len(channels) for value in (0.0, float(board.brightest)))
    card = model_card(
        backbone="brightness",
        channels=channels,
        brightfield=board.brightfield,
        dtype="uint8" if board.brightfield else "uint16",
        normalization=NormalizationCard(transform="none", mean=zero, std=scale, raw_std=scale),
        patch={"size": SIDE, "mpp": board.mpp, "edge": edge},
        tissue=TissueCard(
            settings={"method": "all" if board.brightfield else "signal"},
            mask_pixels_per_patch=board.cell,
            minimum_fraction=LEAST,
        ),
        ranges=TrainingRanges(tissue_fraction=Range(low=0, high=1), mpp=Range(low=0.5, high=1.1), quality={}),
    )
    save_classifier(folder, Classifier(Brightness(), Normalization("none", zero, scale, scale)), card)
    return folder


SLIDES = {
    "level 0": lambda folder: fluorescence(folder, 0.66, 29),
    "level 1": lambda folder: fluorescence(folder, 1.0, 44),
    "bounds": lambda folder: scanned(folder, 0.69, 44),
}


@dataclass(frozen=True)
class Predicted:
    """A board, and the folder that predict made of it."""

    board: Board
    edge: EdgeRule
    folder: Path

    @property
    def rounding(self) -> float:
        """Of a stored pixel, as a probability."""
        return 0.51 / self.board.brightest

    def table(self) -> pd.DataFrame:
        return pd.read_parquet(self.folder / "patches.parquet")


CASES = [f"{slide}, {edge}" for slide in SLIDES for edge in get_args(EdgeRule)]


@pytest.fixture(scope="module", params=CASES)
def predicted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Predicted:
    slide, edge = request.param.split(", ")
    folder = tmp_path_factory.mktemp("planted")
    board = SLIDES[slide](folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, "brightness", lambda *_: Brightness())
        model = write_model(folder / "model", board, edge)
        given = ["--model", str(model), "--out", str(folder / "out"), *board.told]
        assert main(["predict", str(board.path), *given]) == 0
    return Predicted(board, edge, folder / "out" / "board")


def test_the_patches_are_the_cells(predicted: Predicted) -> None:
    expected, found = predicted.board.patches(predicted.edge), predicted.table()
    assert len(expected) > 15
    assert list(zip(found["x"], found["y"], strict=True)) == list(expected)
    assert set(found["extent"]) == {predicted.board.cell}
    probability_N, tissue_N = np.array(list(expected.values())).T
    np.testing.assert_allclose(found["probability"], probability_N, atol=predicted.rounding)
    np.testing.assert_allclose(found["tissue_fraction"], tissue_N, atol=1e-9)
    assert set(found["note"]) == {""}


def test_tiles_hold_the_pixels_that_a_viewer_shows_there(predicted: Predicted) -> None:
    """QuPath's frame begins at the bounds: pixel (0, 0) of it is there."""
    board = predicted.board
    left, top = board.bounds
    features = read_features(predicted.folder / "board.geojson.gz")
    assert len(features) == len(board.patches(predicted.edge))
    slide = shapely.box(-left, -top, board.size.width - left, board.size.height - top)
    for feature in features:
        shape = shapely.from_geojson(feature.geometry.model_dump_json())
        assert slide.covers(shape)
        x0, y0, x1, y1 = map(int, shape.bounds)
        assert shape.equals(shapely.box(x0, y0, x1, y1))
        shown_HW = board.image_HW[y0 + top : y1 + top, x0 + left : x1 + left]
        filled = board.background * (board.cell**2 - shown_HW.size)
        expected = (shown_HW.sum() + filled) / board.cell**2 / board.brightest
        told = feature.properties.measurements["Tumor probability"]
        assert told == pytest.approx(expected, abs=predicted.rounding + 1e-6)
        assert feature.properties.classification.name == ("Tumor" if told > 0.5 else "Non-tumor")
        if predicted.edge == "drop" and not board.brightfield:
            assert np.ptp(shown_HW) == 0, "a tile is a cell"


def test_the_heatmap_lies_on_the_pixels(predicted: Predicted) -> None:
    board, expected_HW = predicted.board, predicted.board.painted(predicted.edge)
    path = predicted.folder / "board.heatmap.ome.tif"
    with tifffile.TiffFile(path) as tiff:
        levels = [level.asarray() for level in tiff.series[0].levels]
        told = tifffile.xml2dict(str(tiff.ome_metadata))["OME"]["StructuredAnnotations"]["MapAnnotation"]
    cell = int({row["K"]: row["value"] for row in told["Value"]["M"]}["LevelZeroPixelsPerPixel"])
    assert cell == board.cell or predicted.edge == "shift"
    large_HW = levels[0].repeat(cell, axis=0).repeat(cell, axis=1)
    inside = np.s_[: board.size.height, : board.size.width]
    np.testing.assert_allclose(
        probabilities(large_HW)[inside], expected_HW, atol=predicted.rounding + 1 / TOP
    )
    # What fills the last stored tiles up is no prediction.
    assert (levels[0][-(-board.size.height // cell) :] == 0).all()
    assert (levels[0][:, -(-board.size.width // cell) :] == 0).all()
    for finer, level in pairwise(map(probabilities, levels)):
        np.testing.assert_allclose(level, halved(finer), atol=1.01 / TOP)
    with openslide.OpenSlide(path) as slide:
        assert slide.dimensions == levels[0].shape[::-1]
        region_HW4 = np.asarray(slide.read_region((0, 0), 0, slide.dimensions)).astype(int)
    assert np.abs(region_HW4[..., 0] - (levels[0] >> 8)).max() <= 1


def halved(image_HW: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of what is no NaN among four pixels."""
    rows, columns = (n + n % 2 for n in image_HW.shape)
    even_HW = np.full((rows, columns), np.nan)
    even_HW[: image_HW.shape[0], : image_HW.shape[1]] = image_HW
    blocks = even_HW.reshape(rows // 2, 2, columns // 2, 2)
    count_HW = np.isfinite(blocks).sum((1, 3))
    return np.where(count_HW > 0, np.nansum(blocks, (1, 3)) / np.maximum(count_HW, 1), np.nan)


def test_the_overlay_lies_on_the_pixels(predicted: Predicted) -> None:
    """Red less blue tells the probability; gray under it cancels, and where there is none, all is gray."""
    board, expected_HW = predicted.board, predicted.board.painted(predicted.edge)
    scale = picture_scale(board.size, board.cell, 32, 384)
    height, width = (round(n * scale) for n in (board.size.height, board.size.width))
    picture_HW3 = np.asarray(Image.open(predicted.folder / "board.overlay.png"))[:height, :width].astype(int)
    y_H, x_W = (((np.arange(n) + 0.5) / scale).astype(int) for n in (height, width))
    shown_HW = expected_HW[y_H][:, x_W]
    step_HW = np.rint(np.nan_to_num(shown_HW) * 254).astype(int)
    ramp_S3 = ramp().astype(int)
    slope_HW = np.where(np.isnan(shown_HW), 0, 0.65 * (ramp_S3[:, 0] - ramp_S3[:, 2])[step_HW])
    line_HW = (picture_HW3 == TISSUE).all(axis=-1)
    assert line_HW.mean() < 0.2
    off_HW = np.abs(picture_HW3[..., 0] - picture_HW3[..., 2] - slope_HW)
    assert off_HW[~line_HW].max() <= OVERLAY_STEPS
