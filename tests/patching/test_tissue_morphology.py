"""Repairs in micrometres, at two pixel sizes that differ in x and y."""

from typing import Any

import numpy as np
import pytest

from patching.errors import ConfigError, MissingMppError, SlideError
from patching.geometry import Mpp
from patching.tissue.parts.morphology import Repairs, disc
from patching.tissue.registry import make_detector

NOTHING = {"closing_um": 0, "opening_um": 0, "minimum_region_um2": 0, "hole_um2": 0}


def repairs(**settings: float) -> Repairs:
    return Repairs(**{**NOTHING, **settings})


def test_nothing_changes_by_default() -> None:
    mask = np.random.default_rng(0).random((20, 30)) < 0.5
    assert repairs().apply(mask.copy(), Mpp(1, 1)).tolist() == mask.tolist()
    assert repairs().apply(mask.copy(), None).tolist() == mask.tolist()


@pytest.mark.parametrize("setting", NOTHING)
def test_micrometres_need_a_pixel_size(setting: str) -> None:
    image = np.zeros((20, 30, 3), np.uint8)
    with pytest.raises(MissingMppError, match=r"mpp column of slides\.csv"):
        make_detector("all", **{setting: 5}).detect(image, None, brightfield=True)
    make_detector("all", **{setting: 0}).detect(image, None, brightfield=True)


@pytest.mark.parametrize(("gap", "closed"), [(4, True), (6, False)])
def test_closing_closes_gaps_narrower_than_it(gap: int, closed: bool) -> None:
    # Pixels of 2 µm in x and 1 µm in y: a gap of `gap` rows is as many µm, one of half the columns too.
    down, across = np.ones((40, 60), bool), np.ones((40, 60), bool)
    down[20 : 20 + gap], across[:, 30 : 30 + gap // 2] = False, False
    for mask in (down, across):
        found = repairs(closing_um=5).apply(mask, Mpp(2, 1))
        assert found.all() == closed


@pytest.mark.parametrize("setting", ["closing_um", "opening_um"])
def test_a_width_of_the_wrong_unit_is_refused_at_once(setting: str) -> None:
    image = np.zeros((20, 30, 3), np.uint8)
    with pytest.raises(SlideError, match="at most 1024 mask pixels"):
        make_detector("all", **{setting: 1e6}).detect(image, Mpp(2, 1), brightfield=True)
    make_detector("all", **{setting: 50}).detect(image, Mpp(2, 1), brightfield=True)


@pytest.mark.parametrize(
    "settings",
    [{"closing_um": float("inf")}, {"hole_um2": float("nan")}, {"density_range": (0.05, 0.02)}],
)
def test_settings_that_make_no_sense(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"finite number|lower to a higher"):
        make_detector("otsu", **settings)


def test_opening_removes_threads_and_keeps_the_body() -> None:
    mask = np.zeros((80, 120), bool)
    mask[20:60, 20:60] = True
    mask[40:43, 60:110] = True
    found = repairs(opening_um=8).apply(mask, Mpp(1, 1))
    assert not found[:, 62:].any()
    assert found[24:56, 24:56].all()
    assert found.sum() > 0.97 * 40 * 40


def test_areas_are_square_micrometres() -> None:
    mask = np.zeros((80, 120), bool)
    mask[5:10, 5:15] = True  # 50 pixels of 2 µm² each
    mask[30:70, 30:70] = True
    mask[40:44, 40:50] = False  # 40 pixels: 80 µm²
    for minimum, left in ((99, True), (101, False)):
        assert repairs(minimum_region_um2=minimum).apply(mask.copy(), Mpp(2, 1))[7, 7] == left
    for largest, filled in ((79, False), (81, True)):
        assert repairs(hole_um2=largest).apply(mask.copy(), Mpp(2, 1))[42, 45] == filled


def test_closing_comes_before_regions_are_dropped() -> None:
    mask = np.zeros((40, 60), bool)
    mask[10:20, 10:20], mask[10:20, 22:32] = True, True
    settings = {"minimum_region_um2": 150.0}
    assert not repairs(**settings).apply(mask.copy(), Mpp(1, 1)).any()
    assert repairs(closing_um=4, **settings).apply(mask.copy(), Mpp(1, 1)).sum() >= 200


@pytest.mark.parametrize(("width", "height", "shape"), [(0.5, 0.5, (1, 1)), (2, 2, (3, 3)), (9, 5, (5, 9))])
def test_disc(width: float, height: float, shape: tuple[int, int]) -> None:
    found = disc(width, height)
    assert found.shape == shape
    assert found[shape[0] // 2, shape[1] // 2] == 1
    np.testing.assert_array_equal(found, found[::-1, ::-1])
