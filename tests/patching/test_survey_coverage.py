"""From pixels that do not exist to patches that say so."""

import logging
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from numpy.typing import NDArray
from PIL import Image

from patching import Location, Size, open_slide
from patching.errors import StoreError, UnreadableSlideError
from patching.manifest import SlideRow
from patching.pictures.contact_sheet import SheetPatch, load_pictures
from patching.pictures.drawing import light_color
from patching.readers.overview import overview
from patching.resample import shrink
from patching.store.documents import write_small
from patching.store.reading import PatchStore
from patching.survey import survey as survey_module
from patching.survey.quality import full_light, measure_quality
from patching.survey.settings import SurveySettings
from patching.survey.survey import Survey, survey_slide
from patching.tiling.engine import Folders, SlideTask, run_task
from patching.tiling.examination import examine
from patching.tiling.settings import TileSettings
from patching.tissue.all import WholeDetector
from patching.tissue.base import Found
from tests.patching.sparse import Hole, holed, write_sparse

HOLES: tuple[Hole, ...] = ((0, 1), (2, 4), (3, 0), (3, 1))
SIDE = 16


def survey_of(path: Path, **settings: Any) -> tuple[Survey, SurveySettings]:
    content = {
        "patch": {"size": 48, "downsample": 1, "edge": "pad"},
        "tissue": {"method": "all"},
        "mask_pixels_per_patch": 48,
    }
    chosen = SurveySettings(**(content | settings))
    with open_slide(path) as slide:
        return survey_slide(slide, "s", chosen), chosen


@pytest.fixture
def sparse_path(tmp_path: Path, intensity_HWC: NDArray[np.uint16]) -> Path:
    return write_sparse(
        tmp_path / "slide.tif",
        [intensity_HWC[..., :1] + 1],
        [HOLES],
        compression="zlib",
        photometric="minisblack",
    )


def shares(
    covered_HW: NDArray[np.bool_], locations_N2: NDArray[np.int64], extent: int
) -> NDArray[np.float64]:
    """Counted out, and nothing outside the slide."""
    wide_HW = np.pad(covered_HW, ((0, extent), (0, extent)))
    return np.array([wide_HW[y : y + extent, x : x + extent].mean() for x, y in locations_N2.tolist()])


@pytest.mark.parametrize("pixels", [48, 24, 12])
def test_every_place_tells_how_much_of_it_exists(pixels: int, sparse_path: Path) -> None:
    """On masks of level 0 and on coarser ones: tiles' borders are borders of mask pixels here."""
    survey, _ = survey_of(sparse_path, mask_pixels_per_patch=pixels)
    assert survey.tissue.downsample == 48 / pixels
    expected_N = shares(holed((200, 300), HOLES), survey.locations_N2, 48)
    np.testing.assert_allclose(survey.covered_fraction_N, expected_N, atol=1e-9)
    np.testing.assert_array_equal(
        survey.tissue_fraction_N, survey.covered_fraction_N, "what exists is tissue"
    )
    assert 0 in expected_N
    assert 1 in expected_N
    assert len(np.unique(expected_N)) > 5


def test_a_whole_slide_exists_exactly(rgb_tiff: Any) -> None:
    for size, pixels in ((48, 16), (37, 16), (50, 12)):
        survey, _ = survey_of(
            rgb_tiff.path, patch={"size": size, "downsample": 1}, mask_pixels_per_patch=pixels
        )
        assert (survey.covered_fraction_N == 1).all()
        assert survey.tissue.covered_HW.all()


@pytest.mark.parametrize("least", [0, 0.3, 0.75, 1])
def test_places_with_too_little_are_left_out(least: float, sparse_path: Path) -> None:
    survey, settings = survey_of(sparse_path, minimum_covered_fraction=least, minimum_tissue_fraction=0)
    expected_N = shares(holed((200, 300), HOLES), survey.locations_N2, 48)
    np.testing.assert_array_equal(survey.kept(settings), (expected_N > 0) & (expected_N >= least))


def settings_of(**changes: Any) -> TileSettings:
    content: dict[str, Any] = {
        "patch": {"size": 48, "downsample": 1, "edge": "pad"},
        "tissue": {"method": "all"},
        "mask_pixels_per_patch": 48,
        "minimum_tissue_fraction": 0,
        "classes": {},
    }
    return TileSettings(**(content | changes))


def tiled(path: Path, folder: Path, **changes: Any) -> PatchStore:
    row = SlideRow("s", "p", (path,), label=1)
    task = SlideTask(row, "0" * 64, settings_of(**changes), Folders(folder / "a", folder / "b", folder / "c"))
    outcome = run_task(task)
    assert outcome.error is None
    assert outcome.log is not None
    store = PatchStore.open(folder / "a" / "s.zarr")
    assert outcome.log.warnings == store.attributes.warnings
    assert outcome.log.covered_fraction == store.attributes.covered_fraction
    return store


@pytest.mark.parametrize(("least", "uncovered"), [(0, 4), (0.5, 13)])
def test_a_store_tells_what_of_its_patches_exists(
    least: float, uncovered: int, sparse_path: Path, tmp_path: Path
) -> None:
    store = tiled(sparse_path, tmp_path, minimum_covered_fraction=least)
    table, about = store.table, store.attributes
    covered_HW = holed((200, 300), HOLES)
    np.testing.assert_allclose(
        table.covered_fraction_N, shares(covered_HW, table.locations_N2, 48), atol=1e-9
    )
    assert about.covered_fraction == pytest.approx(covered_HW.mean())
    assert about.minimum_covered_fraction == least
    whole_N = shares(covered_HW, np.array([(x, y) for y in range(0, 200, 48) for x in range(0, 300, 48)]), 48)
    assert about.dropped["uncovered"] == ((whole_N < least) | (whole_N == 0)).sum()
    assert about.dropped["uncovered"] + len(table) == 35
    place = table.locations_N2.tolist().index([48, 48])
    patch_HWC = store.read([place])[0]
    assert patch_HWC.all()


def test_patches_of_a_level_that_lacks_tiles_are_made_from_the_finer_one(
    tmp_path: Path, brightfield_HWC: NDArray[np.uint8]
) -> None:
    half_HWC = np.asarray(shrink(brightfield_HWC, 2))
    path = write_sparse(
        tmp_path / "slide.tif",
        [brightfield_HWC, half_HWC],
        [[], [(0, 0), (1, 1), (2, 2)]],
        compression="zlib",
        photometric="rgb",
    )
    for number, size in enumerate(((48, 48), (32, 48))):
        store = tiled(path, tmp_path / str(number), patch={"size": size[0], "downsample": 2})
        assert (store.table.covered_fraction_N == 1).all()
        for (x, y), patch_HWC in zip(
            store.locations.tolist(), store.read(np.arange(len(store))), strict=True
        ):
            window = np.s_[y // 2 : y // 2 + size[0], x // 2 : x // 2 + size[0]]
            np.testing.assert_array_equal(patch_HWC, half_HWC[window])


def blank(folder: Path, kind: str) -> Path:
    if kind == "transparent":
        Image.fromarray(np.zeros((200, 300, 4), np.uint8)).save(folder / "a.png")
        return folder / "a.png"
    if kind == "chunks":
        group = zarr.open_group(folder / "a.zarr", mode="w", zarr_format=2)
        group.create_array("0", shape=(200, 300), chunks=(64, 48), dtype="uint8")
        axes = [{"name": axis, "type": "space"} for axis in "yx"]
        group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [{"path": "0"}]}]
        return folder / "a.zarr"
    image = np.full((200, 300, 3 if kind == "tiles" else 4), 9, np.uint8)
    everything = [(row, column) for row in range(5) for column in range(5)]
    if kind == "tiles":
        return write_sparse(folder / "a.tif", [image], [everything], compression="zlib", photometric="rgb")
    image[..., 3] = 0
    options: dict[str, Any] = {"photometric": "rgb", "extrasamples": ["unassalpha"]}
    tifffile.imwrite(folder / "a.tif", image, tile=(64, 48), metadata=None, **options)
    return folder / "a.tif"


@pytest.mark.parametrize("kind", ["tiles", "chunks", "transparent", "transparent tiff"])
def test_a_slide_without_a_pixel_is_an_error_from_the_beginning(kind: str, tmp_path: Path) -> None:
    path = blank(tmp_path, kind)
    with pytest.raises(UnreadableSlideError, match="not one pixel"):
        examine(SlideRow("s", "p", (path,), label=1), None, 5)
    with pytest.raises(UnreadableSlideError, match="not one pixel"):
        survey_of(path)


def test_warnings_of_detection_go_with_the_slide(
    sparse_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    find = WholeDetector.find
    seen = {}

    def told(detector: Any, image_HWC: Any, mpp: Any, **how: Any) -> Found:
        seen.update(how)
        return replace(find(detector, image_HWC, mpp, **how), warnings=("everything is tissue: 0.9 of it",))

    monkeypatch.setattr(WholeDetector, "find", told)
    with caplog.at_level(logging.DEBUG):
        store = tiled(sparse_path, tmp_path)
    assert store.attributes.warnings == ("everything is tissue: 0.9 of it",)
    assert "s: everything is tissue: 0.9 of it" in caplog.text
    np.testing.assert_array_equal(seen["covered_HW"], holed((200, 300), HOLES))


def old_store(folder: Path, store: PatchStore, tissue: dict[str, Any] | None) -> Path:
    """As schema 4 wrote it."""
    path = folder / "old.zarr"
    store.path.rename(path)
    attributes = asdict(store.attributes) | {"schema": 4, "tissue": tissue}
    for name in ("minimum_covered_fraction", "covered_fraction", "white", "warnings"):
        del attributes[name]
    measures = zarr.open_array(path / "measures", mode="r")[:, :3]
    group = zarr.open_group(path, mode="r+")
    group.attrs.clear()
    group.attrs.update(attributes)
    del group["measures"]
    write_small(path / "measures", measures)
    return path


def test_older_stores_are_read_where_they_say_the_same(sparse_path: Path, tmp_path: Path) -> None:
    """Images that were imported are whole; masks of slides were made otherwise."""
    expected = tiled(sparse_path, tmp_path / "1")
    path = old_store(tmp_path / "1", expected, tissue=None)
    store = PatchStore.open(path)
    np.testing.assert_array_equal(store.table.label_N, 1)
    assert (store.table.covered_fraction_N == 1).all()
    path = old_store(tmp_path / "2", tiled(sparse_path, tmp_path / "2"), tissue={"method": "otsu"})
    with pytest.raises(StoreError, match="schema 4") as caught:
        PatchStore.open(path)
    assert "evenpatch tile" in str(caught.value)


@pytest.mark.parametrize(
    ("brightest", "expected"),
    [
        (200, 255),
        (900, 1023),
        (1900, 4095),
        (3900, 4095),
        (5000, 16_383),
        (16_000, 16_383),
        (20_000, 65_535),
        (60_000, 65_535),
    ],
)
def test_full_light_is_that_of_the_bits_that_are_used(brightest: int, expected: int) -> None:
    image_HWC = np.full((90, 70, 3), brightest, np.uint16)
    image_HWC[0, :5] = 65_535  # hot, or fill
    covered_HW = np.ones((90, 70), np.bool_)
    assert full_light(image_HWC, covered_HW, brightfield=True) == expected
    image_HWC[:40], covered_HW[:40] = 65_535, False
    assert full_light(image_HWC, covered_HW, brightfield=True) == expected
    assert full_light(image_HWC, covered_HW, brightfield=False) == 65_535
    assert full_light(image_HWC.astype(np.uint8), covered_HW, brightfield=True) == 255
    assert np.isnan(full_light(image_HWC.astype(np.float32), covered_HW, brightfield=False))


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_transmitted_light_in_16_bits_is_shown_and_judged_as_in_8(
    bits: int, tmp_path: Path, brightfield_HWC: NDArray[np.uint8]
) -> None:
    """Pictures, sheets and quality of the same slide in 8 bits and in more agree to their rounding."""
    scale = (2**bits - 1) / 255
    wide_HWC = np.rint(brightfield_HWC * scale).astype(np.uint16)
    options: dict[str, Any] = {"photometric": "rgb", "tile": (64, 48), "metadata": None}
    tifffile.imwrite(tmp_path / "8.tif", brightfield_HWC, **options)
    tifffile.imwrite(tmp_path / "16.tif", wide_HWC, **options)
    stores = []
    for name, more in (("8", {}), ("16", {"kind": "brightfield"})):
        row = SlideRow("s", "p", (tmp_path / f"{name}.tif",), label=1)
        row = replace(row, reading=replace(row.reading, **more))
        folders = Folders(tmp_path / name, tmp_path / f"{name}-o", tmp_path / f"{name}-r")
        assert run_task(SlideTask(row, "0" * 64, settings_of(), folders)).error is None
        stores.append(PatchStore.open(tmp_path / name / "s.zarr"))
    eight, wide = stores
    assert (eight.attributes.white, wide.attributes.white) == (255, 2**bits - 1)
    assert wide.attributes.dtype == "uint16"
    np.testing.assert_allclose(wide.thumbnail.astype(int), eight.thumbnail, atol=1)
    patches = [SheetPatch(store.path, 7, "", "") for store in stores]
    pictures = load_pictures(patches, SIDE)
    np.testing.assert_allclose(pictures[patches[1]].astype(int), pictures[patches[0]], atol=2)
    assert pictures[patches[1]].mean() > 100
    shown = {"focus", "brightness", "saturated_fraction", "pen_fraction", "fold_fraction"}
    for column, name in enumerate(eight.attributes.quality):
        if name in shown:
            np.testing.assert_allclose(
                wide.quality[:, column], eight.quality[:, column], rtol=0.02, atol=0.004, err_msg=name
            )


def test_light_in_8_bits_stays_as_it_is(brightfield_HWC: NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(light_color(brightfield_HWC, 4095), brightfield_HWC)
    assert light_color(np.full((2, 2, 3), 65_535, np.uint16)).min() == 255
    assert light_color(np.full((2, 2, 3), 5_000, np.uint16), 4095).max() == 255
    dark = measure_quality(np.full((32, 32, 3), 2000, np.uint16), brightfield=True, detector_maximum=4095)
    assert dark[1] == pytest.approx(2000 / 4095, abs=1e-3)


def test_nothing_costs_memory_where_nobody_asks(rgb_tiff: Any) -> None:
    """Cutting reads without coverage."""
    with open_slide(rgb_tiff.path) as slide:
        asked = []
        inner = slide._read_into
        slide._read_into = lambda *arguments: (asked.append(arguments[3]), inner(*arguments))[1]  # type: ignore[method-assign]
        slide.read_region(Location(-5, 3), 0, Size(40, 30))
        slide.expect(0, np.array([(3, 5), (64, 0)]), Size(48, 64)).read(0, np.empty((64, 48, 3), np.uint8))
    assert asked == [None, None]


def test_gaps_do_not_fade_the_picture(tmp_path: Path, intensity_HWC: NDArray[np.uint16]) -> None:
    """Of a dark end that no pixel has, half of the range would be spent on the gaps."""
    image_HWC = intensity_HWC[..., 1:2] + 20_000
    pictures = []
    for name, holes in (("whole", ()), ("holed", [(4, column) for column in range(5)])):
        path = write_sparse(
            tmp_path / f"{name}.tif", [image_HWC], [holes], compression="zlib", photometric="minisblack"
        )
        pictures.append(survey_of(path)[0].thumbnail_HW3.astype(int))
    whole_HW3, holed_HW3 = pictures
    np.testing.assert_allclose(holed_HW3[:190], whole_HW3[:190], atol=2)
    assert not holed_HW3[192:].any()


@pytest.mark.parametrize("side", [48, 40])
def test_tiles_that_only_the_coarse_level_has_are_no_pixels_of_patches(
    side: int, tmp_path: Path, intensity_HWC: NDArray[np.uint16], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tissue is found on the coarse level; patches are of the fine one."""
    monkeypatch.setattr(survey_module, "_THUMBNAIL", 64)
    image_HWC = intensity_HWC[..., :1] + 1
    levels = [image_HWC, np.asarray(shrink(image_HWC, 4))]
    path = write_sparse(tmp_path / "a.tif", levels, [HOLES, []], compression="zlib", photometric="minisblack")
    patch = {"size": side, "downsample": 1, "edge": "pad"}
    with open_slide(path) as slide:
        assert overview(slide, 4).covered_HW.all(), "the coarse level has all"
    survey, _ = survey_of(path, patch=patch, mask_pixels_per_patch=side // 4)
    assert survey.tissue.downsample == 4
    expected_N = shares(holed((200, 300), HOLES), survey.locations_N2, side)
    np.testing.assert_allclose(survey.covered_fraction_N, expected_N, atol=1e-9)
    store = tiled(path, tmp_path, patch=patch, mask_pixels_per_patch=side // 4)
    assert store.attributes.dropped["uncovered"] == (expected_N == 0).sum() > 0
    assert store.attributes.covered_fraction == pytest.approx(holed((200, 300), HOLES).mean())


def test_a_slide_whose_coarse_levels_alone_are_stored_says_so(
    tmp_path: Path, intensity_HWC: NDArray[np.uint16], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(survey_module, "_THUMBNAIL", 64)
    image_HWC = intensity_HWC[..., :1] + 1
    everything = [(row, column) for row in range(5) for column in range(5)]
    path = write_sparse(
        tmp_path / "a.tif",
        [image_HWC, np.asarray(shrink(image_HWC, 4))],
        [everything, []],
        compression="zlib",
        photometric="minisblack",
    )
    with pytest.raises(UnreadableSlideError, match="not one pixel on level 0, which patches are read from"):
        survey_of(path, mask_pixels_per_patch=12)
    survey, _ = survey_of(path, patch={"size": 12, "downsample": 4}, mask_pixels_per_patch=12)
    assert (survey.covered_fraction_N == 1).all()


def test_what_a_finer_level_has_is_not_lacking(
    tmp_path: Path, intensity_HWC: NDArray[np.uint16], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Patches of level 1 are made from level 0 where they must be; what both lack, level 2 does not give."""
    monkeypatch.setattr(survey_module, "_THUMBNAIL", 64)
    image_HWC = intensity_HWC[..., :1] + 1
    levels = [image_HWC, *(np.asarray(shrink(image_HWC, by)) for by in (2, 4))]
    holes = [[(0, 0), (0, 1), (1, 0), (1, 1)], [(0, 0), (1, 1)], []]
    path = write_sparse(tmp_path / "a.tif", levels, holes, compression="zlib", photometric="minisblack")
    survey, _ = survey_of(path, patch={"size": 48, "downsample": 2, "edge": "pad"}, mask_pixels_per_patch=24)
    assert survey.tissue.downsample == 4
    expected_N = shares(holed((200, 300), [(0, 0)], (96, 128)), survey.locations_N2, 96)
    np.testing.assert_allclose(survey.covered_fraction_N, expected_N, atol=1e-9)
