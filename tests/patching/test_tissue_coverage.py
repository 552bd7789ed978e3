"""Pixels that do not exist are no values: given coverage, fill in the file, and fill that is none."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from patching import open_slide
from patching.geometry import Mpp, Size
from patching.readers.overview import overview
from patching.resample import shrink
from patching.tissue.base import SlideOrigin
from patching.tissue.parts import coverage
from patching.tissue.parts.coverage import extended, without_mixed
from patching.tissue.parts.two_class import AbstractThresholdDetector
from patching.tissue.registry import DETECTORS, make_detector
from tests.patching.tissue_scenes import HEIGHT, WIDTH, Mask, blobs, glowing, overlap, scanned, stained

TISSUE = blobs(0.35)
THRESHOLDS = [name for name, kind in DETECTORS.items() if issubclass(kind, AbstractThresholdDetector)]
ORIGIN = SlideOrigin("slide", Size(WIDTH, HEIGHT), 1.0)


def image_of(brightfield: bool) -> NDArray[np.generic]:
    return stained(TISSUE) if brightfield else glowing(TISSUE)


def make(name: str, folder: Path, **settings: Any) -> Any:
    Image.fromarray(TISSUE).save(folder / "slide.png")
    return make_detector(name, **({"folder": str(folder)} if name == "external" else {}), **settings)


# Coverage that is given


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("brightfield", [True, False])
def test_full_coverage_changes_no_pixel(name: str, brightfield: bool, tmp_path: Path) -> None:
    detector, image = make(name, tmp_path), image_of(brightfield)
    plain = detector.find(image, None, brightfield=brightfield, origin=ORIGIN)
    full = detector.find(
        image, None, brightfield=brightfield, origin=ORIGIN, covered_HW=np.ones(TISSUE.shape, bool)
    )
    np.testing.assert_array_equal(full.mask_HW, plain.mask_HW)
    assert plain.covered_HW.all()
    assert full.covered_HW.all()
    assert not plain.warnings


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("brightfield", [True, False])
@pytest.mark.parametrize("shape", ["columns", "tiles", "corners"])
def test_nothing_uncovered_is_tissue_and_its_values_mean_nothing(
    name: str, brightfield: bool, shape: str, tmp_path: Path
) -> None:
    detector, covered = make(name, tmp_path, closing_um=9), scanned(0.3, shape)
    masks = []
    for value in (0, 90, 255):
        image = image_of(brightfield)
        image[~covered] = value
        found = detector.find(image, Mpp(1, 1), brightfield=brightfield, origin=ORIGIN, covered_HW=covered)
        assert not found.mask_HW[~found.covered_HW].any()
        assert not found.covered_HW[~covered].any()
        assert found.covered_HW[covered].mean() > 0.97
        masks.append(found.mask_HW & coverage.inner(covered, 8))
    np.testing.assert_array_equal(masks[0], masks[1])
    np.testing.assert_array_equal(masks[0], masks[2])


@pytest.mark.parametrize("name", THRESHOLDS)
@pytest.mark.parametrize("brightfield", [True, False])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
@pytest.mark.parametrize("value", [0, 255, 4000])
def test_tissue_is_found_in_what_is_covered(name: str, brightfield: bool, share: float, value: int) -> None:
    image, covered = image_of(brightfield), scanned(share)
    image[~covered] = min(value, np.iinfo(image.dtype).max)
    mask = make_detector(name).detect(image, None, brightfield=brightfield, covered_HW=covered)
    assert overlap(mask, TISSUE & covered, edge=1) > 0.95


@pytest.mark.parametrize("name", DETECTORS)
def test_of_nothing_covered_nothing_is_tissue(name: str, tmp_path: Path) -> None:
    nothing = np.zeros(TISSUE.shape, bool)
    for brightfield in (True, False):
        found = make(name, tmp_path).find(
            image_of(brightfield), None, brightfield=brightfield, origin=ORIGIN, covered_HW=nothing
        )
        assert not found.mask_HW.any()
        assert not found.covered_HW.any()


def test_coverage_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(240, 340\) is needed, not \(340, 240\)"):
        make_detector("all").detect(
            image_of(True), None, brightfield=True, covered_HW=np.ones((WIDTH, HEIGHT), bool)
        )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", [*THRESHOLDS, "signal", "all"])
def test_what_is_no_number_is_not_covered(name: str, value: float) -> None:
    image, covered = glowing(TISSUE, channels=2).astype(np.float32), scanned(0.1, "tiles")
    image[~covered, 1] = value
    found = make_detector(name).find(image, None, brightfield=False)
    assert not found.covered_HW[~covered].any()
    assert found.covered_HW[covered].all()
    assert not found.mask_HW[~covered].any()
    if name in THRESHOLDS:
        assert overlap(found.mask_HW, TISSUE & covered, edge=1) > 0.95


@pytest.mark.parametrize("rows", [1024, 7])
def test_uncovered_pixels_take_the_value_of_the_nearest_covered_one(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coverage, "_ROWS", rows)
    image = np.random.default_rng(0).integers(0, 99, (30, 41, 2)).astype(np.uint16)
    covered = np.ones((30, 41), bool)
    covered[10:20, 5:30], covered[:, 38:], covered[25, 25] = False, False, False
    filled = extended(image, covered)
    np.testing.assert_array_equal(filled[covered], image[covered])
    y_N, x_N = np.nonzero(covered)
    for y, x in np.argwhere(~covered):
        distance_N = np.hypot(y_N - y, x_N - x)
        # OpenCV's distance is exact to a few percent.
        near = distance_N < 1.05 * distance_N.min() + 0.01
        assert any((filled[y, x] == image[y_N[n], x_N[n]]).all() for n in np.flatnonzero(near))


# Fill in the file


@pytest.mark.parametrize("name", THRESHOLDS)
@pytest.mark.parametrize(
    "glass", [(244, 243, 242), (222, 222, 222), (181, 180, 179), (230, 201, 185), (189, 206, 250)]
)
@pytest.mark.parametrize(
    ("share", "shape", "value"),
    [
        (0.005, "tiles", 255),
        (0.5, "tiles", 255),
        (0.1, "columns", 255),
        (0.02, "tiles", 0),
        (0.3, "columns", 0),
    ],
)
def test_fill_beside_glass_is_unknown(
    name: str, glass: tuple[int, int, int], share: float, shape: str, value: int
) -> None:
    image, real = stained(TISSUE, glass), scanned(share, shape)
    image[~real] = value
    found = make_detector(name).find(image, None, brightfield=True)
    np.testing.assert_array_equal(found.covered_HW, real)
    assert overlap(found.mask_HW, TISSUE & real, edge=1) > 0.95
    assert len(found.warnings) == 1
    assert f"{np.mean(~real):.2%} of the image is exactly ({value}, {value}, {value})" in found.warnings[0]


@pytest.mark.parametrize("glass", [(215, 214, 213), (222, 216, 211)])
@pytest.mark.parametrize("value", [(0, 0, 0), (255, 255, 255), (240, 240, 240), (236, 236, 240)])
def test_fill_need_not_be_straight_nor_white(
    value: tuple[int, int, int], glass: tuple[int, int, int]
) -> None:
    image, real = stained(TISSUE, glass), scanned(0.3, "corners")
    image[~real] = value
    found = make_detector("otsu").find(image, None, brightfield=True)
    np.testing.assert_array_equal(found.covered_HW, real)
    assert overlap(found.mask_HW, TISSUE & real, edge=1) > 0.95


def turned_scan(turn: float, height: int = HEIGHT, width: int = WIDTH) -> Mask:
    y, x = np.mgrid[:height, :width] - np.array([0.55 * height, 0.4 * width])[:, None, None]
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    return np.asarray((np.abs(along) < 0.3 * width) & (np.abs(across) < 0.3 * height), np.bool_)


@pytest.mark.parametrize("turn", [0.15, -0.4])
@pytest.mark.parametrize("glass", [(222, 221, 223), (205, 203, 209)])
def test_fill_around_a_turned_scan_survives_jpeg(glass: tuple[int, int, int], turn: float) -> None:
    tissue, real = blobs(0.35, height=960, width=1360), turned_scan(turn, 960, 1360)
    image, file = stained(tissue, glass), io.BytesIO()
    image[~real] = 255
    Image.fromarray(image).save(file, "JPEG", quality=75)
    found = make_detector("otsu").find(np.asarray(Image.open(file)), None, brightfield=True)
    assert overlap(found.mask_HW, tissue & real, edge=2) > 0.8
    assert len(found.warnings) == 1


@pytest.mark.parametrize("name", THRESHOLDS)
@pytest.mark.parametrize(("dtype", "turn"), [(np.uint8, 0.15), (np.uint16, -0.4), (np.uint16, 0.7)])
def test_bright_fill_around_a_turned_scan_of_signals(dtype: type[Any], turn: float, name: str) -> None:
    real, top = turned_scan(turn), np.iinfo(dtype).max
    image = glowing(TISSUE, offset=20, noise=2, signal=30).clip(0, top).astype(dtype)
    image[~real] = top
    found = make_detector(name).find(image, None, brightfield=False)
    np.testing.assert_array_equal(found.covered_HW, real)
    assert overlap(found.mask_HW, TISSUE & real, edge=1) > 0.9


@pytest.mark.parametrize("name", THRESHOLDS)
@pytest.mark.parametrize("glass", [(235, 222, 240), (230, 201, 185), (236, 233, 222)])
@pytest.mark.parametrize(("turn", "share"), [(0.15, 0.01), (-0.4, 0.35), (0.7, 0.6)])
def test_fill_around_a_turned_scan_of_tinted_glass(
    turn: float, share: float, glass: tuple[int, int, int], name: str
) -> None:
    tissue, real = blobs(share), turned_scan(turn)
    image = stained(tissue, glass)
    image[~real] = 255
    found = make_detector(name).find(image, None, brightfield=True)
    np.testing.assert_array_equal(found.covered_HW, real)
    assert overlap(found.mask_HW, tissue & real, edge=1) > 0.95


@pytest.mark.parametrize("shape", ["tiles", "columns"])
@pytest.mark.parametrize("share", [0.05, 0.4])
def test_white_fill_beside_glass_that_is_not_believed_is_no_glass(share: float, shape: str) -> None:
    """Else all that was scanned would be tissue beside glass of pure white, without a word."""
    image, real = stained(TISSUE, (90, 89, 91), noise=2), scanned(share, shape)
    image[~real] = 255
    found = make_detector("otsu").find(image, None, brightfield=True)
    np.testing.assert_array_equal(found.covered_HW, real)
    assert ["fill" in told for told in found.warnings] == [True, False]
    assert found.warnings[1].startswith("everything is tissue")


@pytest.mark.parametrize("name", THRESHOLDS)
@pytest.mark.parametrize("shape", ["tiles", "columns"])
def test_dark_fill_beside_structure_without_background_is_told(shape: str, name: str) -> None:
    everywhere, real = np.ones((HEIGHT, WIDTH), np.bool_), scanned(0.2, shape)
    image = glowing(everywhere, offset=200, noise=2, signal=20)
    image[~real] = 0
    found = make_detector(name).find(image, None, brightfield=False)
    np.testing.assert_array_equal(found.covered_HW, real)
    np.testing.assert_array_equal(found.mask_HW, real)
    assert ["fill" in told for told in found.warnings] == [True, False]
    assert found.warnings[1].startswith("everything is tissue")


def test_two_kinds_of_fill() -> None:
    image, outside, missing = stained(TISSUE, (222, 221, 223)), scanned(0.1), scanned(0.03, "tiles")
    image[~missing], image[~outside] = 255, 0
    found = make_detector("otsu").find(image, None, brightfield=True)
    np.testing.assert_array_equal(found.covered_HW, outside & missing)
    assert overlap(found.mask_HW, TISSUE & outside & missing, edge=1) > 0.95
    assert len(found.warnings) == 2


@pytest.mark.parametrize("name", THRESHOLDS)
@pytest.mark.parametrize("share", [0.005, 0.35])
@pytest.mark.parametrize(
    ("missing", "shape", "value"),
    [(0.02, "tiles", 0), (0.5, "columns", 0), (0.3, "corners", 0), (0.05, "tiles", 65535)],
)
@pytest.mark.parametrize("settings", [{}, {"channels": 3}, {"offset": 1000, "noise": 20, "signal": 300}])
def test_fill_beside_an_offset_is_unknown(
    name: str, share: float, missing: float, shape: str, value: int, settings: dict[str, Any]
) -> None:
    tissue, real = blobs(share), scanned(missing, shape)
    image = glowing(tissue, **settings)
    image[~real] = value
    found = make_detector(name).find(image, None, brightfield=False)
    np.testing.assert_array_equal(found.covered_HW, real)
    assert overlap(found.mask_HW, tissue & real, edge=1) > 0.9


def test_a_mosaic_without_tissue_is_empty() -> None:
    image, real = glowing(np.zeros_like(TISSUE)), scanned(0.1, "tiles")
    image[~real] = 0
    found = make_detector("otsu").find(image, None, brightfield=False)
    assert not found.mask_HW.any()
    np.testing.assert_array_equal(found.covered_HW, real)


@pytest.mark.parametrize(("brightfield", "value"), [(True, 0), (True, 255), (False, 0)])
@pytest.mark.parametrize("off", [0, 1, 3])
def test_pixels_that_are_averages_with_fill_are_unknown(brightfield: bool, value: int, off: int) -> None:
    image = image_of(brightfield).repeat(4, 0).repeat(4, 1)
    real = np.ones(image.shape[:2], bool)
    real[301 + off : 520, 402 + off : 933], real[:, 1201 + off :] = False, False
    image[~real] = value
    share = shrink(real.astype(np.float32)[..., None], 4)[..., 0]
    found = make_detector("otsu").find(shrink(image, 4), None, brightfield=brightfield)
    assert not found.covered_HW[share < 0.8].any()
    assert found.covered_HW[share == 1].mean() > 0.998
    assert overlap(found.mask_HW[:, :300], (TISSUE & (share == 1))[:, :300], edge=1) > 0.95


def test_pixels_beside_fill_that_are_none_are_known() -> None:
    image, real = stained(TISSUE), scanned(0.2, "tiles")
    image[~real] = 255
    np.testing.assert_array_equal(without_mixed(image, real), real)


def test_fill_survives_jpeg() -> None:
    image, real = stained(TISSUE, (225, 222, 224)), np.ones(TISSUE.shape, bool)
    real[16:96, 160:] = False
    image[~real] = 255
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "jpeg", quality=75, subsampling=0)
    found = make_detector("otsu").find(np.asarray(Image.open(stream)), None, brightfield=True)
    assert overlap(np.asarray(~found.covered_HW), ~real) > 0.97
    assert overlap(found.mask_HW, TISSUE & real, edge=1) > 0.95


# What is no fill


@pytest.mark.parametrize("name", THRESHOLDS)
@pytest.mark.parametrize("stain", [(182, 110, 164), (208, 184, 200), (150, 90, 60)])
def test_saturated_glass_is_background(name: str, stain: tuple[int, int, int]) -> None:
    for noise in (0, 2):
        image = stained(TISSUE, (255, 255, 255), stain=stain, noise=noise)
        image[~TISSUE] = 255
        found = make_detector(name).find(image, None, brightfield=True)
        assert found.covered_HW.all()
        assert overlap(found.mask_HW, TISSUE, edge=1) > 0.95


@pytest.mark.parametrize("name", ["otsu", "triangle", "signal"])
@pytest.mark.parametrize("offset", [0, -5, -30])
def test_signal_that_was_clipped_at_zero_is_background(name: str, offset: float) -> None:
    image = glowing(TISSUE, offset=offset, signal=150)
    found = make_detector(name, **({"threshold": 25} if name == "signal" else {})).find(
        image, None, brightfield=False
    )
    assert found.covered_HW.all()
    assert overlap(found.mask_HW, TISSUE, edge=1) > 0.9


@pytest.mark.parametrize("name", ["otsu", "triangle"])
def test_what_was_cut_out_of_its_surroundings_stays_tissue(name: str) -> None:
    # Everything but tissue was set to 0, along its own outline: there is no background but that.
    image = glowing(np.ones_like(TISSUE), signal=90)
    image[~TISSUE] = 0
    found = make_detector(name).find(image, None, brightfield=False)
    assert found.covered_HW.all()
    assert overlap(found.mask_HW, TISSUE, edge=1) > 0.9


@pytest.mark.parametrize("levels", [(0, 90), (0, 90, 250), (30, 90)])
def test_images_without_noise_hold_no_fill(levels: tuple[int, ...]) -> None:
    image = np.where(TISSUE, levels[1], levels[0]).astype(np.uint16)[..., None]
    image[20:60, 30:90] = levels[-1]
    for name in ("otsu", "signal"):
        assert make_detector(name).find(image, None, brightfield=False).covered_HW.all()


def test_a_method_whose_background_is_zero_by_definition_knows_it() -> None:
    image, real = glowing(TISSUE), scanned(0.3)
    image[~real] = 0
    found = make_detector("signal", threshold=125).find(image, None, brightfield=False)
    assert found.covered_HW.all()
    image[~real] = 65535
    found = make_detector("signal", threshold=125).find(image, None, brightfield=False)
    assert not found.mask_HW[~real].any()


def test_clipped_bright_spots_are_tissue() -> None:
    image = glowing(TISSUE, signal=300)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    spot: Mask = ((y - 127) ** 2 + (x - 136) ** 2 < 400) & TISSUE
    assert spot.sum() > 500
    image[spot] = 65535
    found = make_detector("otsu").find(image, None, brightfield=False)
    assert found.covered_HW.all()
    assert found.mask_HW[spot].all()


@pytest.mark.real_data
def test_real_fill_of_a_scanner_is_unknown(real_data: Path) -> None:
    """A fifth of the frozen section was not scanned and is pure white, beside glass at (241, 237, 240)."""
    with open_slide(real_data / "wsi-scanners" / "TCGA-CR-7395-01A-01-TS1.svs") as slide:
        image = overview(slide, 16).image_HWC
    for name in THRESHOLDS:
        found = make_detector(name).find(image, None, brightfield=True)
        assert 0.77 < found.covered_HW.mean() < 0.81
        assert 0.62 < found.mask_HW.mean() < 0.66
        assert "exactly (255, 255, 255)" in found.warnings[0]


@pytest.mark.parametrize("name", ["otsu", "triangle"])
def test_fields_that_one_channel_lacks_are_unknown(name: str) -> None:
    """Its zeros would pull down the mean over channels, and tissue that the other one shows would be lost."""
    tissue_HW = blobs(0.35)
    first_HW1, second_HW1 = (glowing(tissue_HW, seed=seed) for seed in (1, 2))
    image_HWC = np.concatenate([first_HW1, second_HW1], axis=-1)
    gap_HW = np.zeros(tissue_HW.shape, np.bool_)
    gap_HW[HEIGHT // 4 : HEIGHT // 2, WIDTH // 5 : WIDTH // 2] = True
    image_HWC[gap_HW, 1] = 0
    found = make_detector(name).find(image_HWC, Mpp(8, 8), brightfield=False)
    assert not found.covered_HW[gap_HW].any()
    assert overlap(found.mask_HW[~gap_HW], tissue_HW[~gap_HW]) > 0.9
    assert "in channel 2 alone" in found.warnings[0]


def test_a_channel_that_is_clipped_at_zero_lacks_no_field() -> None:
    tissue_HW = blobs(0.35)
    first_HW1 = glowing(tissue_HW, seed=1)
    second_HW1 = np.where(tissue_HW[..., None], glowing(tissue_HW, seed=2), 0).astype(first_HW1.dtype)
    image_HWC = np.concatenate([first_HW1, second_HW1], axis=-1)
    found = make_detector("otsu").find(image_HWC, Mpp(8, 8), brightfield=False)
    assert found.covered_HW.all()
    assert not found.warnings
