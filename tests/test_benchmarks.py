"""The tiling benchmark measures what it says: real colors, exactly the tiles needed, contestants in turns."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pytest
import tifffile

from benchmarks.tiling import options, ours, places, raw, report, results, slides
from benchmarks.tiling.contest import Contestant, compete, median, ratio
from benchmarks.tiling.jpeg_tiles import encode, split
from benchmarks.tiling.texture import Tissue, blobs, stained
from patching import Location, Size, open_slide

SIDE = 1024


@pytest.fixture
def outputs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in ("SLIDES", "WORK", "RESULTS"):
        monkeypatch.setattr(places, name, tmp_path / name.lower())
    return tmp_path


@pytest.mark.real_data
def test_ours_decodes_exactly_the_tiles_that_raw_decoding_needs(real_data: Path, outputs: Path) -> None:
    # At this size the mask comes from the second level, and shares no tile with the patches.
    slide = slides.stained_slide(5 * SIDE, 0.1, 1)
    assert slides.stained_slide(5 * SIDE, 0.1, 1) == slide
    annotation = slides.outline(slide, 5 * SIDE)
    for case, spec in ours.CASES.items():
        place = ours.locate(slide, spec, annotation, outputs / f"{case}.npz")
        limit = raw.decode([str(slide)], [str(place)], threads=2)()
        whole = ours.tile([str(slide)], spec, 1, annotation=str(annotation))()
        assert whole["patches"] == limit["patches"] > 0
        assert whole["tiles_decoded"] == limit["tiles"] > 0
        assert whole["seconds"] > sum(whole["steps"].values()) * 0.5
    assert not list(places.WORK.iterdir())


@pytest.mark.real_data
def test_a_stained_slide_has_the_colors_it_was_made_of(real_data: Path, outputs: Path) -> None:
    slide = slides.stained_slide(SIDE, 0.5, 2)
    made_HWC = Tissue(SIDE, 0.5, 2).brightfield(stained(), 256, 256)
    with open_slide(slide) as opened, openslide.OpenSlide(slide) as other:
        assert [level.size.width for level in opened.levels] == [SIDE, SIDE // 4, SIDE // 16]
        assert opened.mpp is not None
        assert opened.mpp.mean == float(other.properties["openslide.mpp-x"]) == slides.MPP
        read_HWC = opened.read_region(Location(0, 256), 0, Size(SIDE, 256))
        theirs_HWC = np.asarray(other.read_region((0, 256), 0, (SIDE, 256)).convert("RGB"))
    np.testing.assert_array_equal(read_HWC, theirs_HWC)
    assert np.abs(read_HWC.astype(int) - made_HWC).mean() < 6
    np.testing.assert_allclose(read_HWC.mean((0, 1)), made_HWC.mean((0, 1)), atol=1)


@pytest.mark.real_data
def test_a_sparse_slide_shares_its_tiles_and_leaves_out_the_background(
    real_data: Path, outputs: Path
) -> None:
    path = slides.sparse_slide(5_000, 0.3)
    with tifffile.TiffFile(path) as tiff:
        counts = np.array(tiff.pages[0].databytecounts).reshape(20, 20)
        offsets = np.array(tiff.pages[0].dataoffsets)
    cells_BB = blobs(5, 0.3, 7)
    np.testing.assert_array_equal(counts > 0, np.kron(cells_BB, np.ones((4, 4), bool)))
    assert len(set(offsets[counts.ravel() > 0].tolist())) <= 64
    with open_slide(path) as slide:
        for level in (0, 1, 2):
            side = slide.levels[level].size.width
            image_HWC = slide.read_region(Location(0, 0), level, Size(side, side))
            assert (image_HWC < 250).any(-1).mean() == pytest.approx((counts > 0).mean(), abs=0.06)


def test_tables_and_abbreviated_stream_make_the_tile_again() -> None:
    tile_HWC = np.random.default_rng(0).integers(0, 255, (256, 256, 3)).astype(np.uint8)
    stream, tables = encode(tile_HWC)
    assert b"\xff\xdb" not in stream
    assert encode(255 - tile_HWC)[1] == tables
    assert split(tables[:-2] + stream[2:]) == (stream, tables)


def test_tiles_under_patches_are_counted_like_pixel_by_pixel() -> None:
    locations_N2 = np.random.default_rng(1).integers(0, 700, (40, 2))
    touched = np.zeros((8, 8), bool)
    for x, y in locations_N2.tolist():
        left, top = int(x / 2 + 0.5), int(y / 2 + 0.5)
        touched[np.ix_(np.arange(top, top + 90) // 64, np.arange(left, left + 90) // 64)] = True
    found = raw.tiles_under(locations_N2, 2.0, 90, 64, (8, 8))
    np.testing.assert_array_equal(found, np.flatnonzero(touched))


def test_contestants_take_turns_and_one_that_fails_is_told(outputs: Path) -> None:
    told: list[str] = []
    nothing: dict[str, Any] = {"slides": [], "places": [], "threads": 1}
    contestants = [
        Contestant("a", "benchmarks.tiling.raw:decode", nothing),
        Contestant("b", "benchmarks.tiling.raw:decode", nothing),
        Contestant("c", "benchmarks.tiling.raw:nothing"),
    ]
    found = compete(contestants, 2, told.append, outputs / "logs", watched=True)
    assert [line.split(":")[0] for line in told] == [
        "warm a",
        "warm b",
        "warm c",
        "1/2 a",
        "1/2 b",
        "2/2 a",
        "2/2 b",
    ]
    assert "has no attribute 'nothing'" in found["c"]["error"]
    assert len(found["a"]["runs"]) == 2
    assert found["a"]["runs"][0]["peak_mib"] > 10


def test_an_entry_tells_the_load_and_the_commit_before_its_contest(
    outputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = iter([0.25, 9.0])
    monkeypatch.setattr(os, "getloadavg", lambda: (next(loads), 0.0, 0.0))
    monkeypatch.setattr(options, "compete", lambda *_, **__: {"x": os.getloadavg()})
    options.Options().contest("limits/area", list)
    entry = results.load(places.RESULTS)["limits/area"]
    assert (entry["machine"]["load"], entry["contest"]["x"][0]) == (0.25, 9.0)
    assert entry["commit"] == results.commit(places.ROOT)
    assert results.commit(outputs) == "unknown"


def test_the_report_gives_medians_and_ratios_of_the_same_round(outputs: Path) -> None:
    def runs(*seconds: float) -> dict[str, Any]:
        return {
            "cores": 1,
            "runs": [{"seconds": s, "patches": 10, "tiles": 4, "tiles_decoded": 4} for s in seconds],
        }

    raw_runs, our_runs = runs(1.0, 2.0, 9.0), runs(2.0, 8.0, 10.0)
    assert median(raw_runs) == 2
    assert ratio(raw_runs, our_runs) == pytest.approx(0.5)
    first, second = (results.conditions() | {"commit": name} for name in ("abc", "def-dirty"))
    results.save(
        places.RESULTS,
        "pixels/stained/aligned/1",
        {"raw": raw_runs, "evenpatch": our_runs},
        first,
        quick=True,
    )
    results.save(places.RESULTS, "storage/write", {"none": runs(2.0), "jpeg": runs(0.5)}, second, quick=True)
    text = report.write().read_text(encoding="utf-8")
    assert "| stained | aligned | 1 | 5 | 1.25 | 50% | 4 | 4 |" in text
    assert "| jpeg | 20 | 4.00 |" in text
    assert "Quick runs" in text
    assert "commits abc, def-dirty." in text
    results.save(places.RESULTS, "storage/write", {"none": runs(2.0), "jpeg": runs(1.0)}, second, quick=False)
    text = report.write().read_text(encoding="utf-8")
    assert "| jpeg | 10 | 2.00 |" in text
    assert "Quick runs" not in text
    assert "commits def-dirty." in text
    assert "stained" not in text
    assert (outputs / "results" / "tiling.png").stat().st_size > 1000
