"""Background is the common one near its end, whatever the share of tissue, the offset, and other channels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from patching import open_slide
from patching.readers.overview import overview
from patching.tissue.parts.two_class import AbstractThresholdDetector
from patching.tissue.registry import DETECTORS, make_detector
from tests.patching.tissue_scenes import HEIGHT, WIDTH, blobs, glowing, overlap, stained

TISSUE = blobs(0.35)
THRESHOLDS = [name for name, kind in DETECTORS.items() if issubclass(kind, AbstractThresholdDetector)]
SHARES = [0.0005, 0.005, 0.02, 0.35, 0.9, 0.99]


@pytest.mark.parametrize("name", THRESHOLDS)
@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("glass", [(243, 242, 241), (181, 180, 182), (228, 204, 190)])
def test_stained_tissue_of_any_share(name: str, share: float, glass: tuple[int, int, int]) -> None:
    tissue = blobs(share, height=400, width=600)
    mask = make_detector(name).detect(stained(tissue, glass), None, brightfield=True)
    assert overlap(mask, tissue, edge=1) > 0.93


@pytest.mark.parametrize("name", THRESHOLDS)
@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"offset": 1000, "noise": 20, "signal": 300},
        {"channels": 3},
        {"channels": 8, "telling": (5,), "signal": 120},
        {"channels": 4, "telling": (0, 2)},
    ],
)
def test_glowing_tissue_of_any_share(name: str, share: float, settings: dict[str, Any]) -> None:
    tissue = blobs(share, height=400, width=600)
    mask = make_detector(name).detect(glowing(tissue, **settings), None, brightfield=False)
    assert overlap(mask, tissue, edge=1) > 0.9


@pytest.mark.parametrize("projection", ["log", "sqrt"])
@pytest.mark.parametrize("channel", [0, 6])
@pytest.mark.parametrize("share", [0.02, 0.35, 0.8])
def test_one_telling_channel_of_seven(projection: str, channel: int, share: float) -> None:
    tissue = blobs(share)
    image = glowing(tissue, channels=7, telling=(channel,))
    mask = make_detector("otsu", projection=projection).detect(image, None, brightfield=False)
    assert overlap(mask, tissue, edge=1) > 0.9


@pytest.mark.parametrize("name", THRESHOLDS)
@pytest.mark.parametrize("share", [0, 0.005, 0.35])
@pytest.mark.parametrize("value", [0, 4095, 65535])
def test_hot_and_dead_pixels_are_neither_tissue_nor_background(name: str, share: float, value: int) -> None:
    tissue = blobs(share) if share else np.zeros((HEIGHT, WIDTH), bool)
    image = glowing(tissue, offset=200, channels=2)
    rng = np.random.default_rng(8)
    image.reshape(-1, 2)[rng.permutation(HEIGHT * WIDTH)[:25]] = value
    mask = make_detector(name).detect(image, None, brightfield=False)
    assert mask.mean() < 1.2 * share + 0.001 if not share else overlap(mask, tissue, edge=1) > 0.9


@pytest.mark.parametrize("glass", [(222, 222, 222), (215, 206, 212), (196, 197, 199)])
@pytest.mark.parametrize("share", [0.02, 0.05, 0.15])
def test_a_little_that_is_brighter_than_the_glass_is_no_background(
    glass: tuple[int, int, int], share: float
) -> None:
    # A bubble, noisy as glass is: no exact color that could be told as fill.
    image, rng = stained(TISSUE, glass), np.random.default_rng(2)
    bubble = blobs(share, seed=7) & ~TISSUE
    image[bubble] = rng.normal(250, 2, (bubble.sum(), 3)).clip(0, 255)
    mask = make_detector("otsu").detect(image, None, brightfield=True)
    assert overlap(mask, TISSUE, edge=1) > 0.9


def test_pale_even_tissue_on_little_glass_is_no_background() -> None:
    tissue = blobs(0.9)
    noise = np.random.default_rng(1).normal(0, 2, (HEIGHT, WIDTH, 3))
    pale = np.where(tissue[..., None], (226, 203, 220), (246, 245, 244)) + noise
    mask = make_detector("otsu").detect(pale.clip(0, 255).astype(np.uint8), None, brightfield=True)
    assert overlap(mask, tissue, edge=1) > 0.95


@pytest.mark.real_data
def test_real_fluorescence_of_one_color_is_no_longer_all_tissue(real_data: Path) -> None:
    """Tissue in red; green and blue hold counts of 0, 1 and 2, which drowned it in the mean."""
    with open_slide(real_data / "wsi-scanners" / "test3-TRITC 2 (560).ndpi") as slide:
        image = overview(slide, 16).image_HWC
        mask = make_detector("otsu").detect(image, None, brightfield=False)
    assert 0.75 < mask.mean() < 0.85
    assert not mask[-8:, :60].any()
    assert mask[60:110, 60:200].mean() > 0.97


# 16 bits


def deepened(image: NDArray[np.uint8], top: int) -> NDArray[np.uint16]:
    """The same light on a scale that ends at `top`, with steps of its own."""
    steps = np.random.default_rng(4).uniform(0, 1, image.shape)
    return ((image + steps) / 256 * (top + 1)).astype(np.uint16)


@pytest.mark.parametrize("name", THRESHOLDS)
@pytest.mark.parametrize("top", [255, 1023, 4095, 16383, 65535])
@pytest.mark.parametrize("glass", [(243, 242, 241), (205, 206, 208), (228, 204, 190)])
def test_depth_changes_no_mask(name: str, top: int, glass: tuple[int, int, int]) -> None:
    image, detector = stained(TISSUE, glass), make_detector(name, exclude=("border",))
    image[:, :25] = 7  # a border of the scan: absolutely dark
    eight = detector.detect(image, None, brightfield=True)
    deep = detector.find(deepened(image, top), None, brightfield=True)
    assert not deep.mask_HW[:, :25].any()
    assert overlap(deep.mask_HW, eight) > 0.98
    assert not deep.warnings


@pytest.mark.parametrize("exposure", [0.27, 0.55, 1.0])
def test_a_dim_exposure_of_many_bits_is_scaled_by_its_glass(exposure: float) -> None:
    image = (deepened(stained(TISSUE), 65535) * exposure).astype(np.uint16)
    found = make_detector("otsu").find(image, None, brightfield=True)
    assert overlap(found.mask_HW, TISSUE, edge=1) > 0.95
    assert not found.warnings


def test_hot_pixels_and_white_fill_do_not_scale_twelve_bits() -> None:
    image = deepened(stained(TISSUE, (215, 214, 216)), 4095)
    image.reshape(-1, 3)[np.random.default_rng(3).permutation(HEIGHT * WIDTH)[:30]] = 65535
    image[:, -40:] = 65535
    found = make_detector("otsu").find(image, None, brightfield=True)
    assert not found.covered_HW[:, -40:].any()
    assert overlap(found.mask_HW[:, :-40], TISSUE[:, :-40], edge=1) > 0.95


def test_tissue_everywhere_is_told_from_glass_at_any_depth() -> None:
    everywhere = np.ones((HEIGHT, WIDTH), bool)
    for image in (stained(everywhere), deepened(stained(everywhere), 4095)):
        assert make_detector("otsu").detect(image, None, brightfield=True).all()


# What is told


def test_one_class_is_told_with_its_pallor() -> None:
    found = make_detector("otsu").find(stained(np.ones((HEIGHT, WIDTH), bool)), None, brightfield=True)
    assert found.mask_HW.all()
    (told,) = found.warnings
    assert told.startswith("everything is tissue: the pallor of the brightest percent is 0.")
    assert "0.17 at most (`maximum_pallor`)" in told
    pallor = float(told.split(" is ")[2].split(",")[0])
    assert pallor > 0.17
    assert (
        not make_detector("otsu", maximum_pallor=pallor + 0.001)
        .find(stained(np.ones((HEIGHT, WIDTH), bool)), None, brightfield=True)
        .warnings
    )


@pytest.mark.parametrize("everywhere", [True, False])
def test_one_class_is_told_with_its_separation(everywhere: bool) -> None:
    image = glowing(np.full((HEIGHT, WIDTH), everywhere), signal=120)
    found = make_detector("otsu").find(image, None, brightfield=False)
    assert found.mask_HW.all() == everywhere
    (told,) = found.warnings
    assert told.startswith(f"{'everything' if everywhere else 'nothing'} is tissue: two classes lie ")
    assert 0 < float(told.split(" lie ")[1].split()[0]) < 3.8
    assert "3.8 are needed (`minimum_separation`)" in told


@pytest.mark.parametrize("name", THRESHOLDS)
@pytest.mark.parametrize("brightfield", [True, False])
def test_two_classes_are_not_worth_a_word(name: str, brightfield: bool) -> None:
    image = stained(TISSUE) if brightfield else glowing(TISSUE)
    assert make_detector(name).find(image, None, brightfield=brightfield).warnings == ()
