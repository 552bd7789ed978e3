"""The overlay agrees with the planted patches, borders included."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.networks.card import DecisionCard
from patching.geometry import Size
from patching.pictures.overlay import ANNOTATION, TISSUE
from pipeline.deployment.outputs import content_of
from pipeline.deployment.prediction import SlidePrediction
from pipeline.look.heatmap import TOP, HeatGrid, painted
from pipeline.look.heatmap_picture import HeatContent, colored, draw_heat, ramp, with_legend
from tests.pipeline.deployment.planted import GRAY, SIZE, by_hand, planted, without_notes
from tests.pipeline.rules import CALIBRATED

SCALE = 32 / 96
"""Pixels of the picture per level-0 pixel."""


def content(prediction: SlidePrediction) -> HeatContent:
    places_N2, extent = prediction.locations_N2, prediction.extent
    grid = HeatGrid.of(prediction.size, places_N2, extent, prediction.stride)
    heat_HW = painted(grid, places_N2, extent, prediction.probability_N)
    return content_of(prediction, heat_HW, grid.cell)


def places(picture_HW3: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Level-0 row of every row's middle, and column of every column's."""
    row_H, column_W = (((np.arange(n) + 0.5) / SCALE).astype(int) for n in picture_HW3.shape[:2])
    return np.minimum(row_H, SIZE.height - 1), np.minimum(column_W, SIZE.width - 1)


@pytest.mark.parametrize("edge", ["drop", "pad", "shift"])
@pytest.mark.parametrize("stride", [96, 61])
def test_every_pixel_has_the_color_of_the_place_in_its_middle(edge: Any, stride: int) -> None:
    prediction = without_notes(planted(edge=edge, stride=stride))
    plain_HW3, shown_HW3 = draw_heat(content(prediction))
    assert (plain_HW3 == GRAY).all()
    assert plain_HW3.shape[1] == 411
    row_H, column_W = places(shown_HW3)
    sum_HW, count_HW = (image[row_H][:, column_W] for image in by_hand(prediction))
    mean_HW = sum_HW / np.maximum(count_HW, 1)
    color_HW3 = ramp()[np.rint(mean_HW * 255).astype(int)].astype(float)
    wanted_HW3 = np.where(count_HW[..., None] > 0, 0.65 * color_HW3 + 0.35 * GRAY, GRAY)
    # Neighbors in steps of a tenth differ by far more than one of 256 steps of the scale.
    assert np.abs(shown_HW3 - wanted_HW3).max() <= 4


@pytest.mark.parametrize("shape", [(1111, 1603), (640, 801), (300, 411), (77, 103)])
def test_a_thumbnail_of_any_size_stays_in_its_place(shape: tuple[int, int]) -> None:
    height, width = shape
    rising_HW = np.broadcast_to(np.linspace(0, 1, width), shape)
    falling_HW = np.broadcast_to(np.linspace(1, 0, height)[:, None], shape)
    image_HW3 = np.rint(np.stack([rising_HW, falling_HW, 0 * rising_HW], axis=2) * 255).astype(np.uint8)
    plain_HW3, _ = draw_heat(content(replace(planted(), thumbnail_HW3=image_HW3)))
    rows, columns = plain_HW3.shape[:2]
    x_W = ((np.arange(columns) + 0.5) / columns * width - 0.5).clip(0, width - 1) / (width - 1)
    y_H = ((np.arange(rows) + 0.5) / rows * height - 0.5).clip(0, height - 1) / (height - 1)
    # A pixel of the picture is more than half a step of each ramp.
    assert np.abs(plain_HW3[..., 0] - 255 * x_W).max() < 1.2
    assert np.abs(plain_HW3[..., 1] - 255 * (1 - y_H[:, None])).max() < 1.2


def test_the_scale_is_even_and_begins_dark() -> None:
    light_N = ramp() @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(light_N) > -0.5).all()
    assert light_N[0] < 40
    assert light_N[-1] > 220


@pytest.mark.parametrize("threshold", [0.5, 0.08, 0.93])
def test_what_is_brighter_than_the_middle_of_the_scale_is_tumor(threshold: float) -> None:
    probability_N = np.array([0, threshold / 2, threshold * 0.98, threshold * 1.02, (1 + threshold) / 2, 1])
    heat_1N = (1 + np.rint(probability_N * TOP)).astype(np.uint16)[None]
    black_1N3 = np.zeros((*heat_1N.shape, 3), np.uint8)
    shown_N3 = colored(black_1N3, heat_1N, threshold)[0]
    wanted_N3 = (
        0.65 * ramp()[np.rint(np.interp(probability_N, (0, threshold, 1), (0, 127.5, 255))).astype(int)]
    )
    # Of two steps of the scale.
    assert np.abs(shown_N3 - wanted_N3).max() <= 2
    assert (np.diff(shown_N3 @ np.ones(3)) > 0).all()


def test_the_legend_tells_the_threshold_and_how_it_was_decided() -> None:
    prediction = planted()
    shown_HW3 = draw_heat(content(prediction))[1]

    def band(**changes: Any) -> NDArray[np.uint8]:
        drawn = content(replace(prediction, decision=DecisionCard(**changes)))
        return with_legend(shown_HW3, drawn)[len(shown_HW3) :]

    plain_HW3 = band()
    moved_HW3, calibrated_HW3 = band(threshold=0.123), band(**CALIBRATED)
    differs_HW = (plain_HW3 != moved_HW3).any(axis=2)
    # Under the middle of the scale alone, which begins at column 8 and is 160 wide.
    rows, columns = np.nonzero(differs_HW)
    assert 70 < columns.min() <= columns.max() < 108
    assert rows.min() > 50
    told_HW = (plain_HW3 != calibrated_HW3).any(axis=2)
    assert np.nonzero(told_HW)[1].min() > 170


def test_the_color_does_not_depend_on_the_stain() -> None:
    prediction = without_notes(planted())
    pink = replace(prediction, thumbnail_HW3=np.full((90, 128, 3), (230, 130, 180), np.uint8))
    _, shown_HW3 = draw_heat(content(pink))
    row_H, column_W = places(shown_HW3)
    inside = (by_hand(prediction)[1][row_H][:, column_W] > 0)[..., None]
    zero = (by_hand(prediction)[0][row_H][:, column_W] == 0)[..., None] & inside
    blue_HW3 = shown_HW3[np.broadcast_to(zero, shown_HW3.shape)].reshape(-1, 3)
    assert (blue_HW3[:, 2] > blue_HW3[:, 0] + 20).all(), "probability 0 is blue over pink, too"
    outside_N3 = shown_HW3[np.broadcast_to(~inside, shown_HW3.shape)].reshape(-1, 3)
    assert (outside_N3 == (230, 130, 180)).all()


def test_patches_with_a_note_are_crossed_and_no_others() -> None:
    prediction = planted(stride=130)
    drawn = content(prediction)
    _, with_marks_HW3 = draw_heat(drawn)
    _, without_HW3 = draw_heat(content(without_notes(prediction)))
    differs_HW = (with_marks_HW3 != without_HW3).any(axis=2)
    for (x, y), note in zip(prediction.locations_N2, prediction.notes, strict=True):
        rows, columns = (slice(round(n * SCALE), round((n + 96) * SCALE)) for n in (y, x))
        assert differs_HW[rows, columns].any() == bool(note)
        if note:
            middle = with_marks_HW3[round((y + 48) * SCALE), round((x + 48) * SCALE)]
            assert (middle == 255).all() or (middle == 0).all()


def test_small_patches_have_half_a_cross() -> None:
    drawn = content(planted(size=Size(12340, 8710), extent=96, stride=960))
    _, shown_HW3 = draw_heat(drawn)
    assert (shown_HW3 == 255).all(axis=2).any()
    assert not (shown_HW3 == 0).all(axis=2).any()


def test_tissue_and_annotation_are_outlined() -> None:
    tissue_HW = np.zeros((88, 124), bool)
    tissue_HW[30:60, 20:80] = True
    ring_N2 = np.array([[900.0, 100], [1100, 100], [1100, 300], [900, 300]])
    prediction = replace(planted(), tissue_HW=tissue_HW, outlines=(ring_N2,))
    _, shown_HW3 = draw_heat(content(prediction))

    def near(x: float, y: float, color: tuple[int, int, int]) -> bool:
        column, row = round(x * SCALE), round(y * SCALE)
        part = shown_HW3[row - 2 : row + 3, column - 2 : column + 3].astype(int)
        return bool((np.abs(part - color).max(axis=2) <= 4).any())

    assert near(500, 300, TISSUE)
    assert near(200, 450, TISSUE)
    assert near(900, 200, ANNOTATION)
    assert not near(500, 450, TISSUE)


def test_the_legend_says_what_is_there() -> None:
    drawn = content(planted())
    _, shown_HW3 = draw_heat(drawn)
    page_HW3 = with_legend(shown_HW3, drawn)
    assert (page_HW3[: len(shown_HW3), : shown_HW3.shape[1]] == shown_HW3).all()
    band_HW3 = page_HW3[len(shown_HW3) :]
    steps = {tuple(color) for color in band_HW3.reshape(-1, 3).tolist()}
    assert tuple(ramp()[0].tolist()) in steps
    assert tuple(ramp()[-1].tolist()) in steps
    assert TISSUE in steps
    assert ANNOTATION not in steps
    without_HW3 = with_legend(shown_HW3, replace(drawn, mpp=None))[len(shown_HW3) :]
    # Right of the slide's name and of the color scale.
    bar, no_bar = ((image[:36, 300:] == 0).all(axis=2).sum(axis=1).max() for image in (band_HW3, without_HW3))
    # 0.5 µm a pixel over 1234 pixels: the longest round bar under a quarter is 100 µm.
    assert bar == pytest.approx(100 / 0.5 * SCALE, abs=2)
    assert no_bar == 0
