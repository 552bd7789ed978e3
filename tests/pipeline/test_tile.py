"""The tile stage from the command line: its outputs, its budget, and its determinism."""

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
import yaml

from patching.errors import EmptyCohortError, ErrorBudgetError
from patching.store.reading import PatchStore
from pipeline.artifacts import EXCLUDED, INDEX, Paths
from pipeline.cli import main
from pipeline.config import load_stage
from pipeline.files import read_table
from pipeline.stages.tile import TileStageSettings

SECTIONS = ("split", "attribute", "train", "algorithms", "evaluate", "report", "register")


@dataclass(frozen=True)
class Cohort:
    """A repository with one cohort, whose slides lie beside it."""

    root: Path
    data: Path

    @property
    def paths(self) -> Paths:
        return Paths(self.root, "small")

    def configure(self, **tile: Any) -> None:
        settings: dict[str, Any] = {"patch": {"size": 32, "downsample": 1}, "tissue": {"method": "signal"}}
        content: dict[str, Any] = {"manifest": "../slides/slides.csv", "description": "a test", "ingest": {}}
        content |= {section: {} for section in SECTIONS} | {"tile": settings | {"workers": 1} | tile}
        (self.root / "configs" / "cohorts" / "small.yaml").write_text(yaml.safe_dump(content))

    def run(self, verb: str, *arguments: str) -> int:
        return main(
            [verb, "--cohort", "small", "--root", str(self.root), "--log-level", "warning", *arguments]
        )

    def outputs(self) -> dict[str, str]:
        files = [*self.paths.patches.rglob("*"), *self.paths.overlays.rglob("*")]
        return {
            str(path.relative_to(self.paths.data)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(files)
            if path.is_file()
        }


def write_slide(path: Path, seed: int, mpp: float | None = 0.5, mpp_y: float | None = None) -> None:
    """300 x 200, two channels; nothing right of x = 224."""
    image = np.random.default_rng(seed).integers(1, 4000, (2, 200, 300)).astype(np.uint16)
    image[:, :, 224:] = 0
    units = {"PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm"}
    size = {} if mpp is None else {"PhysicalSizeX": mpp, "PhysicalSizeY": mpp_y or mpp} | units
    names = {"axes": "CYX", "Channel": {"Name": ["TPEF", "SHG"]}}
    tifffile.imwrite(path, image, ome=True, tile=(64, 64), photometric="minisblack", metadata=names | size)


@pytest.fixture
def cohort(tmp_path: Path, repository: Path) -> Cohort:
    """Three slides: s1 tumor, s2 normal, s10 outlined; ingested."""
    data, root = tmp_path / "slides", tmp_path / "repository"
    data.mkdir()
    (root / "configs" / "cohorts").mkdir(parents=True)
    for stage in ("ingest", "tile"):
        shipped = (repository / "configs" / f"{stage}.yaml").read_text(encoding="utf-8")
        (root / "configs" / f"{stage}.yaml").write_text(shipped, encoding="utf-8")
    for seed, name in enumerate(("s1", "s2", "s10")):
        write_slide(data / f"{name}.ome.tif", seed)
    outline = [[0, 0], [100, 0], [100, 200], [0, 200], [0, 0]]
    feature = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [outline]},
        "properties": {"classification": {"name": "Tumor"}},
    }
    (data / "s10.geojson").write_text(json.dumps([feature]))
    rows = ["slide_id,patient_id,image,annotation,label"]
    rows += ["s1,007,s1.ome.tif,,1", "s2,008,s2.ome.tif,,0", "s10,008,s10.ome.tif,s10.geojson,"]
    (data / "slides.csv").write_text("\n".join(rows) + "\n")
    cohort = Cohort(root, data)
    cohort.configure()
    assert cohort.run("ingest") == 0
    return cohort


def test_the_index_tells_what_the_stores_hold(cohort: Cohort) -> None:
    assert cohort.run("tile") == 0
    index = read_table(cohort.paths.index, INDEX, "tile")
    assert tuple(index.columns[: len(INDEX)]) == INDEX
    assert all(name.startswith("quality_") for name in index.columns[len(INDEX) :])
    assert index["quality_focus"].gt(0).all()
    assert index["slide_id"].unique().tolist() == ["s1", "s10", "s2"]
    assert index["patient_id"].unique().tolist() == ["007", "008"]
    assert index["patch_id"].is_unique
    for slide_id, part in index.groupby("slide_id"):
        store = PatchStore.open(cohort.paths.store(str(slide_id)))
        assert (part[["y", "x"]].to_numpy()[1:] != part[["y", "x"]].to_numpy()[:-1]).any(axis=1).all()
        assert part.sort_values(["y", "x"]).index.equals(part.index)
        np.testing.assert_array_equal(store.locations[part["store_row"]], part[["x", "y"]])
        image = tifffile.imread(cohort.data / f"{slide_id}.ome.tif")
        for row in part.iloc[[0, 5, -1]].itertuples():
            patch = store.read([row.store_row])[0]
            wanted = image[:, row.y : row.y + row.extent, row.x : row.x + row.extent]
            np.testing.assert_array_equal(patch, np.moveaxis(wanted, 0, -1))
    assert (index["tissue_area_um2"] == index["tissue_fraction"] * 32 * 32 * 0.25).all()
    label = index.set_index("patch_id")["label"]
    assert label["s1@0_0"] == 1
    assert label["s2@0_0"] == 0
    assert label["s10@64_32"] == 1
    assert "s10@96_0" not in label.index, "4 of 32 columns are tumor: ambiguous"
    assert label["s10@128_0"] == 0
    summary = json.loads((cohort.paths.patches / "summary.json").read_text())
    dropped = {"ambiguous_label": 6, "ignored": 0, "little_tissue": 0, "no_tissue": 36, "uncovered": 0}
    assert summary["dropped"] == dropped
    assert summary["patches"] == len(index) == 3 * 42 - 6
    assert summary["labels"] == {"0": 42 + 18, "1": 42 + 18}
    looked_at = ["cohort.html", "s1.jpg", "s10.jpg", "s2.jpg", "sheets"]
    assert sorted(path.name for path in cohort.paths.overlays.iterdir()) == looked_at


def rewrite(paths: Paths, slides: pd.DataFrame) -> None:
    """Write slides.csv as an ingest of other slides would."""
    slides.to_csv(paths.slides, index=False)
    (paths.ingested / "summary.json").unlink()


def test_the_pixel_size_of_the_table_wins_and_without_any_the_area_is_undefined(cohort: Cohort) -> None:
    slides = pd.read_csv(cohort.paths.slides, dtype=str).set_index("slide_id")
    write_slide(cohort.data / "s2.ome.tif", 1, mpp=None)
    slides.loc["s1", "mpp"], slides.loc["s2", "mpp"] = "0.25", None
    rewrite(cohort.paths, slides.reset_index())
    assert cohort.run("tile") == 0
    area = read_table(cohort.paths.index, INDEX, "tile").groupby("slide_id")["tissue_area_um2"].max()
    assert area["s1"] == 32 * 32 * 0.25**2
    assert area["s10"] == 32 * 32 * 0.5**2
    assert np.isnan(area["s2"])
    assert PatchStore.open(cohort.paths.store("s2")).attributes.slide_mpp is None


def test_pixels_that_are_not_square_keep_both_sides(cohort: Cohort) -> None:
    write_slide(cohort.data / "s1.ome.tif", 0, mpp=0.5, mpp_y=0.3)
    assert cohort.run("ingest") == 0
    assert cohort.run("tile") == 0
    assert PatchStore.open(cohort.paths.store("s1")).attributes.slide_mpp == (0.5, 0.3)
    area = read_table(cohort.paths.index, INDEX, "tile").groupby("slide_id")["tissue_area_um2"].max()
    assert area["s1"] == pytest.approx(32 * 32 * 0.5 * 0.3)


def test_a_second_run_keeps_all_and_a_fresh_one_gives_the_same_bytes(cohort: Cohort) -> None:
    assert cohort.run("tile") == 0
    first = cohort.outputs()
    times = {path: path.stat().st_mtime_ns for path in cohort.paths.patches.rglob("c.*")}
    assert cohort.run("tile") == 0
    assert cohort.outputs() == first
    assert times
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    for folder in (cohort.paths.patches, cohort.paths.overlays, cohort.paths.tile_receipts):
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
    assert cohort.run("tile", "--workers", "2") == 0
    assert cohort.outputs() == first
    text = b"".join(path.read_bytes() for path in cohort.paths.patches.rglob("*.json"))
    assert str(cohort.data).encode() not in text


def test_a_changed_setting_leaves_no_trace_of_the_old_one(cohort: Cohort) -> None:
    cohort.configure(patch={"size": 64, "downsample": 1})
    assert cohort.run("tile") == 0
    wanted = cohort.outputs()
    cohort.configure()
    assert cohort.run("tile") == 0
    assert cohort.outputs() != wanted
    cohort.configure(patch={"size": 64, "downsample": 1})
    assert cohort.run("tile") == 0
    assert cohort.outputs() == wanted


def test_slides_no_longer_listed_go(cohort: Cohort) -> None:
    assert cohort.run("tile") == 0
    slides = pd.read_csv(cohort.paths.slides, dtype=str)
    rewrite(cohort.paths, slides[slides["slide_id"] != "s2"])
    assert cohort.run("tile") == 0
    assert not any("s2" in name for name in cohort.outputs())


def test_one_bad_slide_is_listed_within_the_budget(cohort: Cohort) -> None:
    (cohort.data / "s10.geojson").write_text("[{")
    cohort.configure(error_budget=0.4)
    assert cohort.run("tile") == 0
    excluded = read_table(cohort.paths.patches / "excluded.csv", EXCLUDED, "tile")
    assert excluded[["slide_id", "stage", "error"]].to_numpy().tolist() == [
        ["s10", "tile", "AnnotationError"]
    ]
    assert "not JSON" in excluded["reason"][0]
    assert "needs GeoJSON as QuPath exports it; export" in excluded["reason"][0]
    assert read_table(cohort.paths.index, INDEX, "tile")["slide_id"].unique().tolist() == ["s1", "s2"]


def test_more_bad_slides_than_the_budget_stop_the_stage(
    cohort: Cohort, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cohort.run("tile") == 0
    (cohort.data / "s10.geojson").unlink()
    assert cohort.run("tile") == 2
    shown = capsys.readouterr().err
    assert ErrorBudgetError.__name__ in shown
    assert "s10: MissingFileError" in shown
    assert str(cohort.paths.patches / "excluded.csv") in shown
    assert not cohort.paths.index.exists(), "an index of an earlier run must not outlive this failure"
    excluded = (cohort.paths.patches / "excluded.csv").read_text()
    assert "s10.geojson" in excluded
    assert str(cohort.data) not in excluded


@pytest.mark.parametrize(
    ("tile", "message"),
    [
        ({"patch": {"size": 32}}, "exactly one of mpp"),
        ({"patch": {"size": 32, "downsample": 1, "step": 2}}, "step"),
        ({"tissue": {"method": "magic"}}, "magic"),
        ({"mask_pixels_per_patch": 7}, "mask_pixels_per_patch"),
    ],
)
def test_wrong_settings_are_told(
    cohort: Cohort, capsys: pytest.CaptureFixture[str], tile: dict[str, Any], message: str
) -> None:
    cohort.configure(**tile)
    assert cohort.run("tile") == 2
    shown = capsys.readouterr().err
    assert "ConfigError" in shown
    assert message in shown


def test_no_workers_are_refused(cohort: Cohort, capsys: pytest.CaptureFixture[str]) -> None:
    assert cohort.run("tile", "--workers", "0") == 2
    assert "workers" in capsys.readouterr().err


def test_a_slide_without_patches_is_told(cohort: Cohort, caplog: pytest.LogCaptureFixture) -> None:
    tifffile.imwrite(cohort.data / "s2.ome.tif", np.zeros((2, 200, 300), np.uint16), photometric="minisblack")
    assert cohort.run("tile") == 0
    assert "1 slides without a single patch: s2" in caplog.text
    summary = json.loads((cohort.paths.patches / "summary.json").read_text())
    assert summary["without_patches"] == ["s2"]
    assert summary["dropped"]["no_tissue"] == 12 + 12 + 54


def test_what_was_done_is_told(cohort: Cohort, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "pipeline")
    assert cohort.run("tile") == 0
    assert "at most 210 patches, 0.9 MB before compression" in caplog.text
    counts = "120 patches: 60 tumor, 60 non-tumor; dropped: "
    assert f"{counts}6 ambiguous_label, 0 ignored, 0 little_tissue, 36 no_tissue" in caplog.text
    assert "3 slides tiled, 0 stores reused, 0 excluded" in caplog.text
    assert cohort.run("tile") == 0
    assert "0 slides tiled, 3 stores reused, 0 excluded" in caplog.text


@pytest.mark.parametrize(
    ("tile", "reason", "remedy"),
    [
        (
            {"patch": {"size": 256, "downsample": 1}},
            "(3 of them): a patch covers 256 level-0 px, s1 is 300x200",
            "tile.patch.edge: pad",
        ),
        (
            {"tissue": {"method": "signal", "threshold": 70_000}},
            "(3 of them): no_tissue in 54 of 54 places of s1",
            "correct `tile.tissue`",
        ),
    ],
)
def test_a_cohort_without_any_patch_stops_the_stage(
    cohort: Cohort, capsys: pytest.CaptureFixture[str], tile: dict[str, Any], reason: str, remedy: str
) -> None:
    assert cohort.run("tile") == 0
    cohort.configure(**tile)
    assert cohort.run("tile") == 2
    shown = capsys.readouterr().err
    assert EmptyCohortError.__name__ in shown
    assert f"not one patch from 3 slides; most often {reason}" in shown
    assert remedy in shown
    assert not cohort.paths.index.exists(), "an index of an earlier run must not outlive this failure"


def test_ingest_comes_first(cohort: Cohort, capsys: pytest.CaptureFixture[str]) -> None:
    cohort.paths.slides.unlink()
    assert cohort.run("tile") == 2
    assert "evenpatch ingest" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["pshg", "lc25000"])
def test_shipped_cohorts_have_valid_tile_settings(repository: Path, name: str) -> None:
    settings = load_stage(repository / "configs", name, "tile", TileStageSettings)
    assert settings.tiling.patch == settings.patch


def test_verify_names_what_is_damaged(cohort: Cohort, capsys: pytest.CaptureFixture[str]) -> None:
    (cohort.data / "s2.ome.tif").write_bytes(b"no slide any more")
    cohort.configure(error_budget=0.5)
    assert cohort.run("tile") == 0
    assert cohort.run("verify") == 0, "a slide that was excluded is not missed"
    shard = next((cohort.paths.store("s10") / "images").glob("c.*"))
    content = bytearray(shard.read_bytes())
    content[7] ^= 1
    shard.write_bytes(content)
    assert cohort.run("verify") == 2
    assert "s10: images: among patches 0 to" in capsys.readouterr().err
    assert cohort.run("verify", "--slide", "s1") == 0
    assert cohort.run("verify", "--slide", "s2") == 2
    assert "s2: not a patch store" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("selected", "told"),
    [
        ({"cohort": "small", "detector": "signal"}, False),
        ({"cohort": "other", "detector": "otsu"}, False),
        ({"cohort": "small", "detector": "otsu"}, True),
        ({"cohort": "small"}, True),
    ],
)
def test_another_detector_than_the_selected_one_is_told(
    selected: dict[str, str], told: bool, cohort: Cohort, caplog: pytest.LogCaptureFixture
) -> None:
    (cohort.root / "configs" / "params.yaml").write_text(yaml.safe_dump(selected))
    assert cohort.run("tile") == 0
    found = [
        record.message for record in caplog.records if "evenpatch select --cohort small" in record.message
    ]
    assert len(found) == told


@pytest.mark.parametrize(
    ("verb", "place"),
    [("tile", "patching.tiling.tiler.plan_slide"), ("ingest", "patching.tiling.examination._probe")],
)
def test_a_want_of_memory_counts_against_the_budget_with_its_own_advice(
    verb: str,
    place: str,
    cohort: Cohort,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A slide that this machine has no memory for is told, and not as a damaged one."""

    def greedy(*_: object) -> None:
        raise MemoryError("Unable to allocate 3 TiB")

    monkeypatch.setattr(place, greedy)
    assert cohort.run(verb) == 2
    assert "MemoryShortageError" in capsys.readouterr().err
    table = cohort.paths.ingest_excluded if verb == "ingest" else cohort.paths.patches / "excluded.csv"
    told = table.read_text(encoding="utf-8")
    assert "tile.workers" in told
    assert "copy" not in told
