"""What every detector of the table keeps to, and what those that look at pixels do besides."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from patching.errors import ConfigError
from patching.geometry import Mpp, Size
from patching.tissue.base import AbstractTissueDetector, SlideOrigin
from patching.tissue.parts.histogram import entropy_threshold, triangle_threshold
from patching.tissue.parts.two_class import AbstractThresholdDetector
from patching.tissue.registry import DETECTORS, make_detector

HEIGHT, WIDTH = 200, 300
Y, X = np.mgrid[:HEIGHT, :WIDTH]
ELLIPSE = ((X - 100) / 70) ** 2 + ((Y - 120) / 50) ** 2 < 1
EVERYWHERE = np.ones((HEIGHT, WIDTH), np.bool_)
THRESHOLDS = [name for name, kind in DETECTORS.items() if issubclass(kind, AbstractThresholdDetector)]
Make = Callable[..., AbstractTissueDetector[Any]]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Detectors with whatever they need beside their defaults."""
    Image.fromarray(ELLIPSE).save(tmp_path / "slide.png")

    def detector(name: str, **settings: Any) -> AbstractTissueDetector[Any]:
        return make_detector(name, **({"folder": str(tmp_path)} if name == "external" else {}), **settings)

    return detector


ORIGIN = SlideOrigin("slide", Size(2 * WIDTH, 2 * HEIGHT), 2.0)


def intensity(tissue_HW: NDArray[np.bool_], channels: int, gain: float = 1.0) -> NDArray[np.float64]:
    rng = np.random.default_rng(2)
    light = np.exp(-0.5 * ((X / WIDTH - 0.3) ** 2 + (Y / HEIGHT - 0.6) ** 2))
    planes = [
        rng.poisson(light * 6 * (1 + 3 * tissue_HW * np.exp(ndimage.gaussian_filter(noise, 3))))
        for noise in 4 * rng.standard_normal((channels, HEIGHT, WIDTH))
    ]
    return np.stack(planes, axis=-1) * gain


def overlap(found: NDArray[np.bool_], true: NDArray[np.bool_]) -> float:
    return float((found & true).sum() / (found | true).sum())


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_any_dtype_and_number_of_channels(make: Make, name: str, dtype: type, channels: int) -> None:
    image = intensity(ELLIPSE, channels).clip(0, 255).astype(dtype)
    before = image.copy()
    mask = make(name).detect(image, None, brightfield=False, origin=ORIGIN)
    assert mask.shape == (HEIGHT, WIDTH)
    assert mask.dtype == np.bool_
    assert mask.flags.writeable
    assert overlap(mask, ELLIPSE) > (0.85 if name in (*THRESHOLDS, "external") else 0.1)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("name", DETECTORS)
def test_brightfield_and_unknown_settings(make: Make, name: str) -> None:
    image = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    mask = make(name).detect(image, None, brightfield=True, channels=("R", "G", "B"), origin=ORIGIN)
    assert mask.shape == (HEIGHT, WIDTH)
    assert mask.dtype == np.bool_
    with pytest.raises(ConfigError, match=r"correct `tile\.tissue`"):
        make(name, no_such_setting=1)


@pytest.mark.parametrize("name", DETECTORS)
def test_one_pixel_and_one_row(make: Make, name: str) -> None:
    for shape in ((1, 1, 3), (1, 40, 3), (40, 1, 3)):
        image = np.full(shape, 200, np.uint8)
        origin = SlideOrigin("slide", Size(shape[1], shape[0]), 1.0)
        if name != "external":
            for brightfield in (True, False):
                mask = make(name).detect(image, None, brightfield=brightfield, origin=origin)
                assert mask.shape == shape[:2]


@pytest.mark.parametrize("name", DETECTORS)
def test_repairs_apply_to_every_detector(make: Make, name: str) -> None:
    image = np.zeros((HEIGHT, WIDTH, 1), np.uint16)
    mask = make(name, minimum_region_um2=1e9).detect(image, Mpp(2, 2), brightfield=False, origin=ORIGIN)
    assert not mask.any()


@pytest.mark.parametrize("name", THRESHOLDS)
@pytest.mark.parametrize("gain", [0.1, 7.0, 1000.0])
@pytest.mark.parametrize("projection", ["log", "sqrt"])
def test_a_gain_changes_nothing(name: str, gain: float, projection: str) -> None:
    one, other = (
        make_detector(name, projection=projection).detect(
            intensity(ELLIPSE, 2, factor).astype(np.float32), None, brightfield=False
        )
        for factor in (1.0, gain)
    )
    assert (one != other).mean() < 0.001


@pytest.mark.parametrize("name", THRESHOLDS)
@pytest.mark.parametrize("projection", ["log", "sqrt"])
def test_background_is_empty_and_tissue_alone_is_full(name: str, projection: str) -> None:
    detector = make_detector(name, projection=projection)
    found = [detector.detect(intensity(t, 3), None, brightfield=False) for t in (~EVERYWHERE, EVERYWHERE)]
    assert [mask.mean() for mask in found] == [0, 1]


@pytest.mark.parametrize("name", THRESHOLDS)
@pytest.mark.parametrize("background", [(244, 243, 242), (189, 206, 250)])
@pytest.mark.parametrize("tissue", [(205, 140, 190), (228, 205, 222)])
def test_brightfield(name: str, background: tuple[int, int, int], tissue: tuple[int, int, int]) -> None:
    noise = np.random.default_rng(1).normal(0, 2, (HEIGHT, WIDTH, 3))
    image = (np.where(ELLIPSE[..., None], np.minimum(tissue, background), background) + noise).clip(0, 255)
    found = make_detector(name).detect(image.astype(np.uint8), None, brightfield=True)
    assert overlap(found, ELLIPSE) > 0.95


def test_projections_differ_where_channels_do() -> None:
    image = intensity(ELLIPSE, 3).astype(np.uint16)
    masks = [
        make_detector("otsu", projection=p).detect(image, None, brightfield=False) for p in ("log", "sqrt")
    ]
    assert 0 < (masks[0] != masks[1]).mean() < 0.02


def test_triangle_cuts_at_the_end_of_the_peak() -> None:
    # A peak at 0 and a tail to 10: the farthest bin lies where the peak's flank meets the tail.
    rng = np.random.default_rng(0)
    values = np.concatenate([np.abs(rng.normal(0, 0.3, 90_000)), rng.uniform(0, 10, 10_000)])
    assert 0.5 < triangle_threshold(values) < 1.3


def test_entropy_agrees_with_kapur_by_hand() -> None:
    values = np.random.default_rng(0).gamma(2.0, 3.0, 4000)
    low, high = np.quantile(values, (0.001, 0.999))
    count, edges = np.histogram(values.clip(low, high), 256, (low, high))

    def entropy(part: NDArray[np.int64]) -> float:
        share = part[part > 0] / part.sum()
        return float(-(share * np.log(share)).sum())

    best = max(range(1, 256), key=lambda t: entropy(count[:t]) + entropy(count[t:]))
    assert entropy_threshold(values) == pytest.approx(edges[best])


@pytest.mark.parametrize("name", THRESHOLDS)
def test_no_threshold_cuts_the_background_in_two(name: str) -> None:
    # Far apart, both classes Gaussian: entropy alone would cut the broader of them.
    noise = np.random.default_rng(4).normal(0, 1, (HEIGHT, WIDTH, 3))
    image = np.where(ELLIPSE[..., None], 900 + 17 * noise, 150 + 12 * noise).astype(np.uint16)
    found = make_detector(name).detect(image, None, brightfield=False)
    assert overlap(found, ELLIPSE) > 0.9


def test_a_large_brightfield_picture_is_sampled_strip_by_strip() -> None:
    """One of so many pixels that the background is measured on some of them only."""
    height, width = 2500, 2500
    y_H1, x_1W = np.ogrid[:height, :width]
    tissue_HW = ((x_1W - 900) / 700) ** 2 + ((y_H1 - 800) / 700) ** 2 < 1
    noise_HWC = np.random.default_rng(0).integers(-6, 7, (height, width, 3))
    image_HWC = (np.where(tissue_HW[..., None], (190, 90, 150), (240, 238, 232)) + noise_HWC).astype(np.uint8)
    found_HW = make_detector("otsu").detect(image_HWC, None, brightfield=True, channels=("R", "G", "B"))
    assert (found_HW & tissue_HW).sum() > 0.97 * (found_HW | tissue_HW).sum()
