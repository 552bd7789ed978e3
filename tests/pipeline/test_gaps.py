"""What was never scanned or stored, from the cohort's table to predictions."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch

from models.data.dataset import MemoryPatches
from models.networks.card import DecisionCard, TissueCard
from models.networks.card_file import CARD, load_card
from models.networks.checkpoint import load_classifier
from models.networks.decision import verdicts
from patching.errors import CheckpointError
from patching.store.reading import PatchStore
from patching.tiling.settings import TileSettings
from pipeline.artifacts import INDEX
from pipeline.cli import main
from pipeline.cohort.index import warning_lines
from pipeline.files import read_table
from tests.patching.sparse import forget
from tests.pipeline.deployment.specimens import (
    SIDE,
    model_card,
    specimen,
    stored,
    write_model,
    write_slide,
)
from tests.pipeline.test_tile import Cohort, cohort  # noqa: F401 - a fixture


def with_gaps(path: Path, segments: list[int]) -> None:
    """Take tiles out of every page, so that all channels lack them."""
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        for page in tiff.pages:
            forget(page, segments)
            for coarse in page.pages or ():
                forget(coarse, [])


@pytest.fixture
def gappy(cohort: Cohort) -> Cohort:  # noqa: F811
    """s1 lacks its tiles in the first row, 320 pixels in 5 tiles of 64, but for the last two."""
    with_gaps(cohort.data / "s1.ome.tif", [0, 1, 2])
    assert cohort.run("ingest") == 0
    return cohort


def test_the_index_and_the_page_tell_gaps(gappy: Cohort) -> None:
    assert gappy.run("tile") == 0
    index = read_table(gappy.paths.index, INDEX, "tile").set_index("patch_id")
    slide = index[index["slide_id"] == "s1"]
    assert "s1@0_0" not in index.index
    assert "s1@160_32" not in index.index
    assert (slide["covered_fraction"] == 1).all()
    assert (index["covered_fraction"] == 1).all()
    summary = json.loads((gappy.paths.patches / "summary.json").read_text())
    assert summary["dropped"]["uncovered"] == 12
    assert summary["incomplete"] == 0
    page = (gappy.paths.overlays / "cohort.html").read_text()
    assert ">dropped: uncovered<" in page
    share = 1 - 3 * 64 * 64 / (300 * 200)
    assert PatchStore.open(gappy.paths.store("s1")).attributes.covered_fraction == pytest.approx(
        share, abs=0.01
    )
    assert f"{100 * share:.1f}"[:4] in page


@pytest.mark.parametrize(("least", "kept"), [(0.0, True), (0.7, False)])
def test_patches_with_gaps_are_counted_or_dropped(gappy: Cohort, least: float, kept: bool) -> None:
    """Of 48 pixels, those of the second row lie in the gap with a third of their height."""
    patch = {"size": 48, "downsample": 1}
    gappy.configure(patch=patch, mask_pixels_per_patch=48, minimum_covered_fraction=least)
    assert gappy.run("tile") == 0
    index = read_table(gappy.paths.index, INDEX, "tile").set_index("patch_id")
    assert index.loc["s1@0_96", "covered_fraction"] == 1
    partly = index[index["covered_fraction"] < 1]
    summary = json.loads((gappy.paths.patches / "summary.json").read_text())
    assert summary["incomplete"] == len(partly)
    assert ("s1@0_48" in index.index) is kept
    assert (index["covered_fraction"] >= least).all()
    if kept:
        assert index.loc["s1@0_48", "covered_fraction"] == pytest.approx(2 / 3, abs=0.03)
        assert f"patches with gaps</dt><dd>{len(partly)}</dd>" in (
            gappy.paths.overlays / "cohort.html"
        ).read_text().replace("\n", "")


def test_a_slide_without_pixels_is_excluded_with_the_reason(cohort: Cohort) -> None:  # noqa: F811
    with_gaps(cohort.data / "s2.ome.tif", list(range(20)))
    assert cohort.run("ingest", "--error-budget", "0.5") == 0
    excluded = pd.read_csv(cohort.paths.ingest_excluded)
    assert excluded["slide_id"].tolist() == ["s2"]
    assert "not one pixel" in excluded["reason"][0]


def test_what_detection_warns_of_is_told(
    cohort: Cohort,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from patching.tissue.signal import SignalDetector

    find = SignalDetector.find

    def told(detector: Any, image_HWC: Any, mpp: Any, **how: Any) -> Any:
        warnings = ("everything is tissue: <b>0.97</b>",) if how["origin"].slide_id == "s2" else ()
        return replace(find(detector, image_HWC, mpp, **how), warnings=warnings)

    monkeypatch.setattr(SignalDetector, "find", told)
    assert cohort.run("tile") == 0
    summary = json.loads((cohort.paths.patches / "summary.json").read_text())
    assert summary["warnings"] == {"s2": ["everything is tissue: <b>0.97</b>"]}
    page = (cohort.paths.overlays / "cohort.html").read_text()
    assert "What tiling warned of" in page
    assert "everything is tissue: &lt;b&gt;0.97&lt;/b&gt;" in page
    assert "1 slides with warnings" in caplog.text
    assert "s2: everything is tissue: <b>0.97</b>" in caplog.text
    log = json.loads((cohort.paths.tile_receipts / "logs" / "s2.json").read_text())
    assert log["warnings"] == ["everything is tissue: <b>0.97</b>"]


def test_many_alike_warnings_are_told_by_their_first() -> None:
    filled = {f"s{n}": [f"{n}.25% of the image is exactly (255, {n}, 255): fill"] for n in range(7)}
    lines = list(warning_lines(filled | {"s3": [*filled["s3"], "no µm per pixel"]}))
    assert [line.split(":")[0] for line in lines] == ["s0", "s1", "s2", "and 4 more like it", "s3"]
    assert lines[0] == "s0: 0.25% of the image is exactly (255, 0, 255): fill"
    few = {name: filled[name] for name in ("s0", "s1", "s2")}
    assert list(warning_lines(few)) == [f"{name}: {warnings[0]}" for name, warnings in few.items()]


@pytest.mark.parametrize("least", [0.0, 0.9])
def test_predictions_are_those_of_stored_patches_beside_gaps(least: float, tmp_path: Path) -> None:
    image_HWC = specimen()
    slide = write_slide(tmp_path / "one.ome.tif", image_HWC)
    with_gaps(slide, [8, 9, 15])
    tissue = {"method": "otsu"}
    card = model_card(
        tissue=TissueCard(
            settings=tissue, mask_pixels_per_patch=16, minimum_fraction=0.05, minimum_covered_fraction=least
        )
    )
    model = write_model(tmp_path / "model", card)
    out = tmp_path / "out"
    assert main(["predict", str(slide), "--model", str(model), "--out", str(out)]) == 0
    settings = TileSettings(
        patch={"size": SIDE, "mpp": 1.0},
        tissue=tissue,
        classes={},
        minimum_tissue_fraction=0.05,
        minimum_covered_fraction=least,
    )
    places, images_NHWC = stored(slide, tmp_path, settings)
    store = PatchStore.open(tmp_path / "one.zarr")
    found = pd.read_parquet(out / "one" / "patches.parquet")
    assert len(found) == len(places) > 5
    covered_N = store.table.covered_fraction_N
    assert (covered_N < 1).any() is np.bool_(least == 0)
    assert covered_N.min() >= least
    np.testing.assert_array_equal(found["covered_fraction"], covered_N)
    np.testing.assert_array_equal(found["tissue_fraction"], places["tissue_fraction"])
    classifier, _ = load_classifier(model)
    torch.set_num_threads(1)
    expected_N, _ = verdicts(DecisionCard(), classifier.predict_patches(MemoryPatches(images_NHWC)))
    np.testing.assert_array_equal(found["probability"], expected_N)


def test_a_card_of_older_masks_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    slide = write_slide(tmp_path / "one.ome.tif", specimen())
    path = write_model(tmp_path / "slides", model_card()) / CARD
    content = json.loads(path.read_text()) | {"schema_version": 2}
    del content["tissue"]["minimum_covered_fraction"]
    path.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="schema 2"):
        load_card(tmp_path / "slides")
    given = ["predict", str(slide), "--out", str(tmp_path / "out"), "--model"]
    assert main([*given, str(tmp_path / "slides")]) == 2
    told = capsys.readouterr().err
    assert "evenpatch tile" in told
    assert "evenpatch train" in told
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
