"""The overlay picture: right colors at the right places, and the same bytes each time."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from patching.geometry import Mpp, Size
from patching.pictures import drawing
from patching.pictures.drawing import false_color, label_font, shortened, stretch
from patching.pictures.overlay import (
    ANNOTATION,
    FAINT,
    GROUPS,
    NORMAL,
    TISSUE,
    TUMOR,
    OverlayContent,
    write_overlay,
)


@pytest.fixture
def content() -> OverlayContent:
    """A white slide of 1200 x 800 with a tumor, a normal and a dropped patch in one row."""
    tissue = np.zeros((80, 120), bool)
    tissue[50:70, 30:90] = True
    return OverlayContent(
        title="slide-7",
        image_HWC=np.full((400, 600, 3), 250, np.uint8),
        size=Size(1200, 800),
        brightfield=True,
        tissue_HW=tissue,
        tissue_downsample=10.0,
        locations_N2=np.array([[0, 0], [400, 0], [800, 0]]),
        label_N=np.array([1, 0, -1], np.int8),
        extent=400,
        outlines=(np.array([[100.0, 450.0], [500, 450], [500, 750], [100, 450]]),),
        mpp=Mpp(0.5, 0.5),
    )


def picture_of(content: OverlayContent, path: Path) -> np.ndarray:
    write_overlay(content, path)
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


def hues(picture: np.ndarray) -> set[tuple[int, int, int]]:
    return set(map(tuple, picture.reshape(-1, 3).tolist()))


SIDE = 512
"""Pixels of the longer side, 1200 at level 0: three patches need no more."""


def near(picture: np.ndarray, x: float, y: float, color: tuple[int, int, int], reach: int = 2) -> bool:
    """Whether the color occurs around a level-0 place of a slide of 1200 pixels."""
    column, row = round(x * SIDE / 1200), round(y * SIDE / 1200)
    part = picture[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1]
    return bool((np.abs(part - color).max(axis=-1) <= 4).any())


def test_each_thing_is_drawn_where_it_is(content: OverlayContent, tmp_path: Path) -> None:
    picture = picture_of(content, tmp_path / "a.png")
    assert near(picture, 0, 200, TUMOR)
    assert near(picture, 400, 200, NORMAL)
    assert near(picture, 1198, 200, FAINT)
    assert near(picture, 600, 500, TISSUE)
    assert near(picture, 300, 700, TISSUE)
    assert near(picture, 120, 450, ANNOTATION)
    assert not near(picture, 600, 600, TISSUE)
    assert picture[100, 100, 0] > picture[100, 100, 2], "tumor patches are tinted red"
    assert picture[100, 250, 0] < picture[100, 250, 2], "normal patches are tinted blue"
    assert picture[100, 420].tolist() == [250, 250, 250], "dropped patches are not tinted"


def test_the_scale_bar_is_there_only_with_a_pixel_size(content: OverlayContent, tmp_path: Path) -> None:
    below = SIDE * content.size.height // content.size.width + 2
    band = picture_of(content, tmp_path / "a.png")[below:, 340:]
    # 0.5 µm/px: the picture shows 600 µm; the longest round bar under a quarter is 100 µm.
    black_R = (band == 0).all(axis=-1).sum(axis=1)
    assert black_R.max() == pytest.approx(100 / 600 * SIDE, abs=3)
    without = picture_of(dataclasses.replace(content, mpp=None), tmp_path / "b.png")[below:, 340:]
    assert (without == 0).all(axis=-1).sum(axis=1).max() < 20, "letters at most"


def test_same_bytes_and_no_leftovers(content: OverlayContent, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        write_overlay(content, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
def test_false_color_shows_every_channel(channels: int) -> None:
    for channel in range(channels):
        image = np.zeros((20, 30, channels), np.uint16)
        image[:, 15:, channel] = 4000
        shown = false_color(image, brightfield=False)
        assert shown.dtype == np.uint8
        assert shown.shape == (20, 30, 3)
        assert shown[:, 15:].max() > 200
        assert shown[:, :15].max() == 0


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
def test_colors_are_tints_of_the_stretched_channels(channels: int, dtype: type[np.generic]) -> None:
    image = np.random.default_rng(channels).integers(0, 250, (200, 300, channels)).astype(dtype)
    low_C, high_C = stretch([image]).T
    unit = np.clip((image.astype(np.float32) - low_C) / (high_C - low_C), 0, 1)
    expected = np.clip(unit @ drawing._tints(channels), 0, 1) * 255
    shown = false_color(image, brightfield=False)
    # Libraries may add up more than three channels in another order.
    np.testing.assert_allclose(shown, expected.round(), rtol=0, atol=0 if channels <= 3 else 1)


def test_three_channels_are_red_green_and_blue() -> None:
    image = np.zeros((20, 30, 3), np.float32)
    image[:, :10, 0], image[:, 10:20, 1], image[:, 20:, 2] = 1, 2, 3
    shown = false_color(image, brightfield=False)
    assert shown[0, [0, 10, 20]].tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]


def test_one_stretch_serves_several_images() -> None:
    faint, strong = np.full((20, 30, 2), 100, np.uint16), np.full((20, 30, 2), 4000, np.uint16)
    stretch_C2 = stretch([faint, strong])
    assert stretch_C2.tolist() == [[100, 4000]] * 2
    assert false_color(faint, brightfield=False, stretch_C2=stretch_C2).max() == 0
    assert false_color(strong, brightfield=False, stretch_C2=stretch_C2).min() == 255


def test_a_stretch_of_large_images_is_sampled() -> None:
    image = np.random.default_rng(0).normal(1000, 100, (900, 1300, 2)).astype(np.float32)
    image[..., 1] *= 3
    expected = np.percentile(image, (1, 99.7), axis=(0, 1)).T
    assert stretch([image]) == pytest.approx(expected, rel=0.02)


def test_groups_color_the_grid_instead_of_labels(content: OverlayContent, tmp_path: Path) -> None:
    names = ("non-tumor, little tissue", "non-tumor, much tissue", "tumor, little", "tumor, much tissue")
    grouped = dataclasses.replace(content, groups=names, group_N=np.array([3, 0, -1], np.int8))
    picture = picture_of(grouped, tmp_path / "a.png")
    assert near(picture, 0, 200, GROUPS[3])
    assert near(picture, 400, 200, GROUPS[0])
    assert near(picture, 1198, 200, FAINT)
    assert not {TUMOR, NORMAL} & hues(picture)


def test_a_long_legend_goes_on_in_the_next_line(content: OverlayContent, tmp_path: Path) -> None:
    narrow = dataclasses.replace(content, size=Size(400, 300), image_HWC=content.image_HWC[:300, :400])
    few = picture_of(dataclasses.replace(narrow, groups=("a", "b"), group_N=content.label_N), tmp_path / "a")
    names = tuple(f"a group with a long name {number}" for number in range(6))
    many = picture_of(dataclasses.replace(narrow, groups=names, group_N=content.label_N), tmp_path / "b")
    assert many.shape[0] > few.shape[0] + 40
    assert set(GROUPS[:6]) <= hues(many[few.shape[0] - 22 :])


def test_a_narrow_slide_stands_beside_white(content: OverlayContent, tmp_path: Path) -> None:
    narrow = dataclasses.replace(
        content, size=Size(400, 1200), image_HWC=np.full((600, 200, 3), 90, np.uint8)
    )
    picture = picture_of(narrow, tmp_path / "a.png")
    assert picture.shape[1] == 470, "room for the legend"
    assert (picture[:SIDE, SIDE // 3 + 1 :] == 255).all()
    assert near(picture, 0, 200, TUMOR)
    assert picture[SIDE - 10, SIDE // 3 - 5].tolist() == [90, 90, 90]


@pytest.mark.parametrize(
    ("extent", "expected"),
    [(400, 512), (192, 600), (100, 900), (10, 900)],
)
def test_the_picture_is_as_large_as_its_patches_need(
    content: OverlayContent, extent: int, expected: int, tmp_path: Path
) -> None:
    picture = picture_of(dataclasses.replace(content, extent=extent), tmp_path / "a.png")
    assert picture.shape[1] == expected


def test_text_is_cut_to_its_place() -> None:
    font = label_font(15)
    assert shortened("slide", 400, font) == "slide"
    cut = shortened("a-very-long-slide-name-" * 10, 200, font)
    assert cut.endswith("…")
    assert 150 < font.getlength(cut) <= 200


def test_the_font_has_the_micro_sign() -> None:
    font = label_font(15)
    assert bytes(font.getmask("µ")) != bytes(font.getmask("\ufffe"))
