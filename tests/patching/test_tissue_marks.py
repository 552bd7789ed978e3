"""Marks on a brightfield slide that are no tissue, and the tissue beside them that is."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from patching.geometry import Mpp
from patching.tissue.parts import marks
from patching.tissue.parts.lines import straight_lines
from patching.tissue.parts.marks import ink_strokes
from patching.tissue.parts.morphology import disc, morphed
from patching.tissue.registry import make_detector
from tests.patching.tissue_scenes import blobs, stained

HEIGHT, WIDTH = 240, 320
Y, X = np.mgrid[:HEIGHT, :WIDTH]
ELLIPSE = ((X - 110) / 70) ** 2 + ((Y - 150) / 50) ** 2 < 1
STAINS = {"hematoxylin": (105, 90, 170), "eosin": (225, 130, 175), "dab": (120, 75, 50)}


def slide(stain: tuple[int, int, int] = (190, 110, 165)) -> NDArray[np.uint8]:
    rng = np.random.default_rng(1)
    texture = 0.8 + 0.3 * ndimage.gaussian_filter(rng.random((HEIGHT, WIDTH, 1)), (2, 2, 0))
    image = np.where(ELLIPSE[..., None], np.array(stain) * texture, (242, 240, 238))
    return (image + rng.normal(0, 2, image.shape)).clip(0, 255).astype(np.uint8)


def detect(image: NDArray[np.uint8], mpp: Mpp | None = None, **settings: Any) -> NDArray[np.bool_]:
    return make_detector("otsu", **settings).detect(image, mpp, brightfield=True)


def overlap(found: NDArray[np.bool_]) -> float:
    return float((found & ELLIPSE).sum() / (found | ELLIPSE).sum())


@pytest.mark.parametrize(
    "ink", [(40, 70, 180), (60, 110, 200), (40, 150, 70), (20, 120, 110), (205, 35, 45), (25, 25, 28)]
)
@pytest.mark.parametrize("mpp", [None, Mpp(8, 8)])
def test_ink_is_no_tissue(ink: tuple[int, int, int], mpp: Mpp | None) -> None:
    image = slide()
    cv2.polylines(image, [np.array([[20, 30], [150, 60], [300, 25], [290, 200]])], False, ink, 14)
    assert overlap(detect(image, mpp)) > 0.95
    assert overlap(detect(image, mpp, exclude=("border", "line"))) < 0.75


@pytest.mark.parametrize("name", STAINS)
def test_no_stain_is_ink(name: str) -> None:
    np.testing.assert_array_equal(detect(slide(STAINS[name])), detect(slide(STAINS[name]), exclude=()))


@pytest.mark.parametrize("stain", [(90, 120, 190), (30, 25, 35)])
def test_tissue_that_looks_like_marks_is_told(stain: tuple[int, int, int]) -> None:
    """The blue of a trichrome stain, and what lets no light through."""
    tissue = blobs(0.35)
    image = stained(tissue, stain=stain)
    found = make_detector("otsu").find(image, None, brightfield=True)
    [told] = found.warnings
    assert "was taken for marks" in told
    assert float(told.split("%")[0].split()[-1]) == pytest.approx(
        100 * (1 - found.mask_HW.sum() / tissue.sum()), abs=5
    )
    kept = make_detector("otsu", exclude=()).find(image, None, brightfield=True)
    assert np.mean(kept.mask_HW != tissue) < 0.03
    assert not kept.warnings
    assert not make_detector("otsu").find(stained(tissue), None, brightfield=True).warnings


def test_dark_blue_nuclei_are_no_ink() -> None:
    # Spots of 20 µm, of the color of ink, on tissue: narrower than any pen.
    image = slide()
    for x in range(60, 160, 15):
        cv2.circle(image, (x, 150), 5, (40, 70, 180), -1)
    assert overlap(detect(image, Mpp(2, 2))) > 0.97


def drawn_ink(unit: int) -> NDArray[np.bool_]:
    """A stroke of 10 units, a line of 5 and spots of 4, on 120 by 90 units."""
    ink = np.zeros((90 * unit, 120 * unit), np.uint8)
    corners = np.array([[10, 15], [70, 25], [105, 12], [100, 80]]) * unit
    cv2.polylines(ink, [corners], False, 1, 10 * unit)
    cv2.line(ink, (5 * unit, 80 * unit), (60 * unit, 85 * unit), 1, 5 * unit)
    for x in range(10, 80, 10):
        cv2.circle(ink, (x * unit, 50 * unit), 2 * unit, 1, -1)
    return ink.view(np.bool_)


@pytest.mark.parametrize("width", [23, 32, 60])
def test_wide_discs_are_fitted_on_a_coarser_mask(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    ink = drawn_ink(unit=width // 7)[:-3, :-5]
    fitted: list[float] = []

    def watched(across: float, down: float) -> NDArray[np.uint8]:
        fitted.append(across)
        return disc(across, down)

    monkeypatch.setattr(marks, "disc", watched)
    found = ink_strokes(ink, Mpp(60 / width, 60 / width))
    assert max(fitted) <= 24
    fringe = disc(9, 9)
    exact = morphed(morphed(ink, cv2.MORPH_OPEN, disc(width, width)), cv2.MORPH_DILATE, fringe)
    assert 0.05 < exact.mean() < 0.3
    assert (found & exact).sum() / (found | exact).sum() > (0.97 if width > 24 else 0.9999)
    assert not found[45 * (width // 7) :, : 60 * (width // 7)].any()


def test_black_borders_of_the_scan_are_no_tissue() -> None:
    image = slide()
    image[:, :25], image[-12:] = 6, 12
    found = detect(image)
    assert not found[:, :25].any()
    assert not found[-12:].any()
    assert (found == ELLIPSE)[:-16, 29:].mean() > 0.98
    assert detect(image, exclude=("line",))[:, :25].all()


def test_black_inside_the_slide_is_no_border() -> None:
    image = slide()
    image[140:160, 90:130] = 5
    assert overlap(detect(image, exclude=("border",))) > 0.97


@pytest.mark.parametrize("ends", [((0, 20), (319, 45)), ((280, 0), (250, 239))])
def test_the_edge_of_a_cover_slip_is_no_tissue(ends: tuple[tuple[int, int], tuple[int, int]]) -> None:
    image = slide()
    cv2.line(image, *ends, (150, 148, 146), 2)
    assert overlap(detect(image)) > 0.96
    assert overlap(detect(image, exclude=("ink", "border"))) < 0.93


@pytest.mark.parametrize("length", [20_000, 160_000])
def test_threads_in_a_long_strip_are_tissue(length: int) -> None:
    mask_HW = np.zeros((200, length), np.bool_)
    mask_HW[100, 50:400] = True
    mask_HW[40:44, 9_000:9_200] = True
    assert not straight_lines(mask_HW).any()


def test_a_curved_or_broad_band_is_tissue() -> None:
    for draw in (
        lambda image: cv2.ellipse(image, (160, 120), (150, 110), 0, 0, 180, (190, 110, 165), 4),
        lambda image: cv2.line(image, (0, 30), (319, 45), (190, 110, 165), 14),
    ):
        image = slide()
        draw(image)
        every, none = detect(image), detect(image, exclude=())
        np.testing.assert_array_equal(every, none)


@pytest.mark.parametrize("background", [(244, 243, 242), (205, 208, 208), (230, 201, 185)])
@pytest.mark.parametrize(("faded", "settings"), [(14, {}), (8, {"density_range": (0.012, 0.045)})])
def test_tissue_is_found_on_pale_slides(
    faded: float, settings: dict[str, Any], background: tuple[int, int, int]
) -> None:
    # Eosin `faded` gray values off the background, on average; under about 12 the setting must say so.
    noise = np.random.default_rng(5).normal(0, 2, (HEIGHT, WIDTH, 3))
    pale = np.array(background) - np.array([0.4, 1.8, 0.8]) * faded * ELLIPSE[..., None]
    assert overlap(detect((pale + noise).clip(0, 255).astype(np.uint8), **settings)) > 0.9


@pytest.mark.real_data
def test_real_stains_are_no_ink(real_data: Path) -> None:
    """Under half a percent of the tissue of any cohort goes, at any scale."""
    for pattern in ("lc25000-lung/lung_*/*", "camelyon16-patches/*/*.png", "oral-oscc/train/*/*"):
        files = sorted(real_data.glob(pattern))[::20]
        assert files or not (real_data / pattern.split("/")[0]).exists()
        lost = []
        for file in files:
            with Image.open(file) as image:
                pixels = np.asarray(image.convert("RGB").reduce(2))
            every, none = detect(pixels), detect(pixels, exclude=())
            lost.append((none & ~every).sum() / max(1, none.sum()))
        assert np.mean(lost or [0]) < 0.005
