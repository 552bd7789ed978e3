"""A slide's folder: what lies in it, whole or not at all, the same bytes each time."""

import errno
import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from patching.errors import ArtifactError, DiskSpaceError
from patching.geometry import Size
from pipeline.deployment.outputs import OutputOptions, write_slide
from pipeline.deployment.prediction import PATCHES, SlidePrediction
from pipeline.deployment.summary import SUMMARY, kinds_of, read_summary
from tests.pipeline.deployment.planted import planted

OPTIONS = OutputOptions(attributes=("little tissue", "much tissue"))


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("heatmap", "wanted"),
    [("ome-tiff", ["tif"]), ("ome-zarr", ["zarr"]), ("both", ["tif", "zarr"]), ("none", [])],
)
def test_what_lies_in_the_folder(heatmap: Any, wanted: list[str], tmp_path: Path) -> None:
    summary = write_slide(planted(), tmp_path, replace(OPTIONS, heatmap=heatmap))
    names = {
        "heatmap.jpg",
        "patches.parquet",
        "slide-7.geojson.gz",
        *(f"slide-7.heatmap.ome.{suffix}" for suffix in wanted),
        "slide-7.overlay.png",
        "thumbnail.jpg",
    }
    assert {path.name for path in (tmp_path / "slide-7").iterdir()} == {*names, SUMMARY}
    assert set(summary.files) == names
    assert [path.name for path in tmp_path.iterdir()] == ["slide-7"]
    assert read_summary(tmp_path / "slide-7") == summary
    with Image.open(tmp_path / "slide-7" / "heatmap.jpg") as small:
        assert max(small.size) <= 240


def test_the_same_prediction_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_slide(planted(), tmp_path / name, replace(OPTIONS, heatmap="both"))
    assert content(tmp_path / "a") == content(tmp_path / "b")


@pytest.mark.parametrize("annotated", [True, False])
def test_the_table_holds_every_patch(annotated: bool, tmp_path: Path) -> None:
    prediction = planted(annotated=annotated)
    write_slide(prediction, tmp_path, OPTIONS)
    table = pd.read_parquet(tmp_path / "slide-7" / "patches.parquet")
    more = ["tumor_fraction", "label"] if annotated else []
    assert list(table) == ["slide_id", "patch_id", *PATCHES, *more, "extent"]
    pd.testing.assert_frame_equal(
        table[[*PATCHES, *more]], prediction.patches[[*PATCHES, *more]], check_dtype=False
    )
    assert table["patch_id"][1] == f"slide-7@{table['x'][1]}_{table['y'][1]}"
    assert set(table["slide_id"]) == {"slide-7"}
    assert set(table["extent"]) == {96}
    assert table.dtypes[["x", "probability", "tissue_fraction"]].tolist() == ["int64", "float64", "float64"]


def stopped(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.deployment.outputs.write_summary", stopped)
    with pytest.raises(DiskSpaceError, match="finished slides are kept"):
        write_slide(planted(), tmp_path, OPTIONS)
    assert list(tmp_path.iterdir()) == []


def test_another_error_stays_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr("pipeline.deployment.outputs.write_summary", refused)
    with pytest.raises(PermissionError):
        write_slide(planted(), tmp_path, OPTIONS)


def test_an_earlier_folder_is_replaced_whole_or_kept_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_slide(planted(), tmp_path, OPTIONS)
    (tmp_path / "slide-7" / "stray").touch()
    before = content(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr("pipeline.deployment.outputs.write_summary", stopped)
        with pytest.raises(DiskSpaceError):
            write_slide(planted(stride=48), tmp_path, OPTIONS)
    assert content(tmp_path) == before
    (tmp_path / ".slide-7.part").mkdir()
    summary = write_slide(planted(stride=48), tmp_path, OPTIONS)
    assert read_summary(tmp_path / "slide-7").patches == summary.patches > len(planted().patches)
    assert [path.name for path in tmp_path.iterdir()] == ["slide-7"]
    assert not (tmp_path / "slide-7" / "stray").exists()


def test_a_folder_comes_back_where_its_successor_could_not_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_slide(planted(), tmp_path, OPTIONS)
    before, replace_path = content(tmp_path), Path.replace

    def refused(path: Path, target: Path) -> Path:
        if path.name == ".slide-7.part":
            raise OSError(errno.EIO, "no")
        return replace_path(path, target)

    monkeypatch.setattr(Path, "replace", refused)
    with pytest.raises(OSError, match="no"):
        write_slide(planted(stride=48), tmp_path, OPTIONS)
    assert content(tmp_path) == before


def test_a_process_that_was_stopped_between_both_names_lost_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_slide(planted(), tmp_path, OPTIONS)
    before = content(tmp_path / "slide-7")
    (tmp_path / "slide-7").rename(tmp_path / ".slide-7.old")
    monkeypatch.setattr("pipeline.deployment.outputs.write_summary", stopped)
    with pytest.raises(DiskSpaceError):
        write_slide(planted(stride=48), tmp_path, OPTIONS)
    assert content(tmp_path / "slide-7") == before


def test_a_slide_without_a_patch_has_all_its_files(tmp_path: Path) -> None:
    prediction = planted()
    empty = replace(prediction, patches=prediction.patches[:0], stride=96)
    summary = write_slide(empty, tmp_path, replace(OPTIONS, heatmap="both"))
    assert (summary.patches, summary.tumor_share, summary.tumor_mm2) == (0, None, 0)
    assert summary.groups == ((0, 0), (0, 0))
    packed = (tmp_path / "slide-7" / "slide-7.geojson.gz").read_bytes()
    assert json.loads(gzip.decompress(packed)) == {"type": "FeatureCollection", "features": []}
    assert len(pd.read_parquet(tmp_path / "slide-7" / "patches.parquet")) == 0


def test_the_summary_counts(tmp_path: Path) -> None:
    prediction = planted()
    summary = write_slide(prediction, tmp_path, OPTIONS)
    patches = prediction.patches
    assert summary.patches == len(patches) == 9 * 12 - 1
    assert summary.tumor_patches == (patches["probability"] >= 0.5).sum()
    for k in (0, 1):
        for a in (0, 1):
            chosen = (patches["prediction"] == k) & (patches["attribute"] == a)
            assert summary.groups[k][a] == chosen.sum()
    assert (summary.decision, summary.threshold) == (
        "tumor above 0.5; decided by the network alone, not calibrated",
        0.5,
    )
    noted = int((patches["note"] != "").sum())
    assert summary.not_reliable == noted > 3
    assert summary.notes == {"outside training": noted, "weak group": noted}
    untold = write_slide(replace(prediction, weak_known=False), tmp_path / "untold", OPTIONS)
    assert (untold.not_reliable, untold.notes) == (None, summary.notes)
    assert summary.image == ("slide-7.svs",)
    assert summary.score is not None
    assert summary.score["patches"] == (patches["label"] >= 0).sum()


def test_a_model_without_parts_counts_no_groups(tmp_path: Path) -> None:
    prediction = planted(annotated=False)
    prediction.patches["attribute"] = -1
    summary = write_slide(prediction, tmp_path, OutputOptions())
    assert summary.groups == ((), ())
    assert summary.score is None


def with_tissue(prediction: SlidePrediction) -> SlidePrediction:
    """Tissue of 300 x 200 level-0 pixels, under the left half of it tumor."""
    tissue_HW = np.zeros((88, 124), bool)
    tissue_HW[10:30, 20:50] = True
    middle_N = prediction.locations_N2[:, 0] + prediction.extent / 2
    tumor_N = (middle_N < 350).astype(np.int64)
    patches = prediction.patches.assign(prediction=tumor_N)
    return replace(prediction, tissue_HW=tissue_HW, patches=patches)


@pytest.mark.parametrize(("stride", "tumor"), [(50, 150), (25, 125 + 25 / 2)])
def test_the_area_of_tumor_counts_every_place_once(stride: int, tumor: float, tmp_path: Path) -> None:
    prediction = with_tissue(planted(extent=50, stride=stride))
    summary = write_slide(prediction, tmp_path, OPTIONS)
    assert summary.tissue_mm2 == pytest.approx(300 * 200 * 0.25e-6)
    # With overlap, half of the patches on the last 25 pixels are of tumor; the mask's pixels are 10 wide.
    assert summary.tumor_share == pytest.approx(tumor / 300, abs=0.01)
    assert summary.tumor_mm2 == pytest.approx(summary.tumor_share * 300 * 200 * 0.25e-6)


def test_without_a_pixel_size_there_is_a_share_and_no_area(tmp_path: Path) -> None:
    summary = write_slide(with_tissue(planted(extent=50, stride=50, mpp=None)), tmp_path, OPTIONS)
    assert (summary.mpp, summary.tissue_mm2, summary.tumor_mm2) == (None, None, None)
    assert summary.tumor_share == pytest.approx(0.5)


def test_tissue_between_patches_is_in_no_area(tmp_path: Path) -> None:
    prediction = with_tissue(planted(extent=50, stride=100, size=Size(1234, 871)))
    summary = write_slide(prediction, tmp_path, OPTIONS)
    assert summary.tissue_mm2 == pytest.approx(300 * 200 * 0.25e-6 / 4)


def test_kinds_of_notes() -> None:
    assert kinds_of("") == ()
    assert kinds_of("blank") == ("blank",)
    assert kinds_of("outside training: a; outside training: b, c; weak group") == (
        "outside training",
        "weak group",
    )


@pytest.mark.parametrize("text", [None, "{", '{"slide_id": "a"}'])
def test_a_damaged_summary_is_refused(text: str | None, tmp_path: Path) -> None:
    write_slide(planted(), tmp_path, OPTIONS)
    path = tmp_path / "slide-7" / SUMMARY
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(ArtifactError, match=r"summary\.json, which is missing, damaged"):
        read_summary(path.parent)
