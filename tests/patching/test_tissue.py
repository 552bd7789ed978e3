"""Tissue detectors on images whose tissue is known."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from patching.errors import ChannelError, ConfigError
from patching.tissue.parts.histogram import otsu_threshold
from patching.tissue.registry import DETECTORS, make_detector

HEIGHT, WIDTH = 200, 300
Y, X = np.mgrid[:HEIGHT, :WIDTH]
ELLIPSE = ((X - 100) / 70) ** 2 + ((Y - 120) / 50) ** 2 < 1


def overlap(found: NDArray[np.bool_], true: NDArray[np.bool_]) -> float:
    return float((found & true).sum() / (found | true).sum())


def brightfield(background: tuple[int, int, int], tissue_HW: NDArray[np.bool_]) -> NDArray[np.uint8]:
    rng = np.random.default_rng(1)
    pink = (
        np.array([205, 140, 190])
        * (0.75 + 0.25 * ndimage.gaussian_filter(rng.random((HEIGHT, WIDTH)), 2))[..., None]
    )
    image = np.where(tissue_HW[..., None], pink, background) + rng.normal(0, 3, (HEIGHT, WIDTH, 3))
    return image.clip(0, 255).astype(np.uint8)


def intensity(
    tissue_HW: NDArray[np.bool_], *, counts: float = 6, fold: float = 4, fall: float = 0.8, pedestal: int = 0
) -> NDArray[np.uint16]:
    """Three channels with texture, vignetting (a fall of `fall` in log), shot noise, and a
    detector's offset."""
    rng = np.random.default_rng(2)
    gain = np.exp(-fall * (((X / WIDTH - 0.3) * 1.5) ** 2 + ((Y / HEIGHT - 0.6) * 1.5) ** 2))
    channels = []
    for _ in range(3):
        texture = np.exp(4 * ndimage.gaussian_filter(rng.standard_normal((HEIGHT, WIDTH)), 3))
        channels.append(rng.poisson(gain * counts * (1 + tissue_HW * (fold - 1) * texture)) * 20 + pedestal)
    return np.stack(channels, axis=-1).astype(np.uint16)


@pytest.mark.parametrize(
    "background", [(244, 243, 242), (205, 208, 208), (230, 201, 185), (189, 206, 250), (188, 186, 187)]
)
def test_otsu_on_tinted_and_gray_backgrounds(background: tuple[int, int, int]) -> None:
    found = make_detector("otsu").detect(brightfield(background, ELLIPSE), None, brightfield=True)
    assert overlap(found, ELLIPSE) > 0.95


def test_brightfield_without_background_is_all_tissue_and_without_tissue_is_empty() -> None:
    detector, everywhere = make_detector("otsu"), np.ones((HEIGHT, WIDTH), bool)
    assert detector.detect(brightfield((0, 0, 0), everywhere), None, brightfield=True).mean() == 1
    for background in ((244, 243, 242), (205, 208, 208), (230, 201, 185)):
        assert detector.detect(brightfield(background, ~everywhere), None, brightfield=True).mean() < 0.001


@pytest.mark.parametrize(
    "settings",
    [{}, {"counts": 1}, {"counts": 0.3, "fold": 8}, {"fold": 2.5}, {"fall": 1.5}, {"pedestal": 2000}],
)
def test_otsu_on_uneven_noisy_intensity(settings: dict[str, float]) -> None:
    found = make_detector("otsu").detect(intensity(ELLIPSE, **settings), None, brightfield=False)
    assert overlap(found, ELLIPSE) > 0.9


@pytest.mark.parametrize("counts", [0.5, 6, 100])
@pytest.mark.parametrize("fall", [0, 0.8])
@pytest.mark.parametrize("pedestal", [0, 2000])
def test_noise_alone_is_not_split(counts: float, fall: float, pedestal: int) -> None:
    detector, everywhere = make_detector("otsu"), np.ones((HEIGHT, WIDTH), bool)
    empty = intensity(~everywhere, counts=counts, fall=fall, pedestal=pedestal)
    assert not detector.detect(empty, None, brightfield=False).any()


@pytest.mark.parametrize("pedestal", [0, 2000])
def test_tissue_everywhere_is_not_split(pedestal: int) -> None:
    image = intensity(np.ones((HEIGHT, WIDTH), bool), pedestal=pedestal)
    assert make_detector("otsu").detect(image, None, brightfield=False).all()


@pytest.mark.parametrize("value", [0, 7])
def test_a_constant_image_holds_no_tissue(value: int) -> None:
    image = np.full((20, 30, 5), value, np.uint16)
    assert not make_detector("otsu").detect(image, None, brightfield=False).any()


def test_any_dtype_and_number_of_channels() -> None:
    image = intensity(ELLIPSE)
    six = np.concatenate([image, image], axis=-1)
    for dtype in (np.float32, np.uint32):
        found = make_detector("otsu").detect(six.astype(dtype), None, brightfield=False)
        assert overlap(found, ELLIPSE) > 0.95


def test_specks_and_holes_under_the_minimum_go() -> None:
    tissue = ELLIPSE.copy()
    tissue[10:14, 250:254], tissue[120:124, 100:104] = True, False
    image = np.where(tissue[..., None], 400, 40).astype(np.uint16)
    clean = make_detector("otsu", smoothing=0.3, minimum_region=20).detect(image, None, brightfield=False)
    kept = make_detector("otsu", smoothing=0.3, minimum_region=5).detect(image, None, brightfield=False)
    np.testing.assert_array_equal(clean, ELLIPSE)
    np.testing.assert_array_equal(kept, tissue)


def test_signal_looks_at_the_named_channel() -> None:
    image = np.zeros((2, 3, 2), np.uint8)
    image[0, 1, 0], image[1, 2, 1] = 5, 1
    names = ("SHG", "TPEF")
    by_name = make_detector("signal", channel="TPEF").detect(image, None, brightfield=False, channels=names)
    assert np.argwhere(by_name).tolist() == [[1, 2]]
    strongest = make_detector("signal", threshold=1).detect(image, None, brightfield=False)
    assert np.argwhere(strongest).tolist() == [[0, 1]]
    with pytest.raises(ChannelError, match=r"CARS(.|\s)*`tile\.tissue\.channel`"):
        make_detector("signal", channel="CARS").detect(image, None, brightfield=False, channels=names)


def test_unknown_method_names_the_known_ones() -> None:
    known = ", ".join(DETECTORS)
    with pytest.raises(ConfigError, match=rf"one of {known}\s+do: correct `tile\.tissue\.method`"):
        make_detector("magic")


def test_otsu_threshold_lies_between_two_modes() -> None:
    values = np.concatenate([np.full(900, 1.0), np.full(100, 3.0), [1e6]])
    assert otsu_threshold(values) == pytest.approx(2.0, abs=0.05)


@pytest.mark.real_data
def test_real_tinted_lung_tissue(real_data: Any) -> None:
    """Benign lung is half air, tumor nearly solid, whatever the background's tint."""
    table = pd.read_csv(real_data / "lc25000-lung" / "labels.csv")
    detector, mean = make_detector("otsu"), {}
    for tumor, part in table.groupby("tumor"):
        fractions = []
        for file in part["file"].iloc[::25]:
            with Image.open(real_data / "lc25000-lung" / file) as image:
                small = np.asarray(image.reduce(2))
            fractions.append(detector.detect(small, None, brightfield=True).mean())
        mean[tumor] = np.mean(fractions)
    assert 0.4 < mean[0] < 0.75
    assert mean[1] > 0.85
