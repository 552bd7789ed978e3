"""The page of a tiled cohort: what it tells, that it is whole in itself, and the same each time."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from patching.store.reading import PatchStore
from pipeline.artifacts import Paths
from pipeline.cohort.contact_sheets import sheet_group
from pipeline.cohort.page import tissue_bars, write_cohort_page
from pipeline.cohort.quality import quality_rows, standardized_difference
from pipeline.config import Context


@pytest.fixture(scope="module")
def tiled(finished_cohort: Context, tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """The finished cohort's patches and overlays, in a folder of their own."""
    paths = Paths(tmp_path_factory.mktemp("tiled"), finished_cohort.cohort)
    shutil.copytree(finished_cohort.paths.data, paths.data)
    return paths


def with_dropped(path: Path) -> PatchStore:
    store = PatchStore.open(path)
    return PatchStore(path, replace(store.attributes, dropped={"no_tissue": 1203, "little_tissue": 0}))


def written(paths: Paths, index: pd.DataFrame | None = None) -> str:
    table = pd.read_parquet(paths.index) if index is None else index
    names = sorted(path.stem for path in paths.patches.glob("*.zarr"))
    write_cohort_page(paths, table, {name: with_dropped(paths.store(name)) for name in names})
    return (paths.overlays / "cohort.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(tiled: Paths) -> str:
    return written(tiled)


def test_it_is_whole_in_itself_but_for_pictures_beside_it(page: str, tiled: Paths) -> None:
    links = re.findall(r"(?:src|href)\s*=\s*[\"']((?!data:|#)[^\"']*)", page)
    assert len(set(links)) == 16 + 1
    assert all((tiled.overlays / link).is_file() for link in links)
    assert "://" not in page
    assert "<script" not in page


def test_it_tells_nothing_of_the_machine(page: str, tiled: Paths) -> None:
    assert str(tiled.root) not in page
    assert not re.search(r"\b20\d\d-\d\d-\d\d\b", page)


def test_the_same_stores_give_the_same_page_and_sheets(page: str, tiled: Paths) -> None:
    sheets = {path.name: path.read_bytes() for path in (tiled.overlays / "sheets").iterdir()}
    assert set(sheets) == {"labels.png"}
    assert written(tiled) == page
    assert sheets == {path.name: path.read_bytes() for path in (tiled.overlays / "sheets").iterdir()}


def test_names_and_reasons_are_escaped(page: str) -> None:
    assert "s-&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "has: &lt;b&gt;noise&lt;/b&gt;" in page


def test_a_hostile_patient_is_shown_as_text(tiled: Paths, page: str) -> None:
    index = pd.read_parquet(tiled.index)
    index["patient_id"] = index["patient_id"].replace("p03", "<img src=x onerror=alert(1)>\"'")
    changed = written(tiled, index)
    assert "<img src=x" not in changed
    assert "&lt;img src=x onerror=alert(1)&gt;&#34;&#39;" in changed


def test_it_counts(page: str, tiled: Paths) -> None:
    index = pd.read_parquet(tiled.index)
    text = re.sub(r"<[^>]+>", " ", page)
    assert re.search(rf"\bpatches\s+{len(index)}\b", text)
    assert re.search(r"slides excluded\s+1\b", text)
    assert page.count("<svg") == 2
    assert page.count(f"{1203:,} no tissue") == 16
    assert f"{16 * 1203:,}" in page
    assert "0 little tissue" not in page
    assert "Quality" not in page


def test_quality_is_told_where_it_was_measured(tiled: Paths) -> None:
    index = pd.read_parquet(tiled.index)
    index["quality_focus"] = np.where(index["label"] == 1, 3.0, 1.0) + np.arange(len(index)) % 7 / 7
    index["quality_pen_fraction"] = np.nan
    page = written(tiled, index)
    assert re.search(r'<tr class="candidate"><th scope="row">focus', page)
    assert "pen fraction" not in page


def test_a_cohort_without_tumor_or_overlays(tiled: Paths, tmp_path: Path) -> None:
    paths = Paths(tmp_path, tiled.cohort)
    shutil.copytree(tiled.data, paths.data)
    for overlay in paths.overlays.glob("*.jpg"):
        overlay.unlink()
    paths.ingest_excluded.unlink()
    index = pd.read_parquet(paths.index)
    page = written(paths, index[index["label"] == 0])
    assert page.count("data:image") == 1
    assert not (paths.overlays / "sheets" / ".labels.png.part").exists()


def test_bars_are_shares_of_the_labels_own_patches() -> None:
    index = pd.DataFrame({"label": [1, 1, 0, 0, 0, 0], "tissue_fraction": [0.0, 1.0, 0.52, 0.53, 0.51, 0.99]})
    tumor, normal = tissue_bars(index, 1), tissue_bars(index, 0)
    heights = [bar[3] for bar in tumor]
    assert heights[0] == heights[-1] == pytest.approx(110 * 0.5 / 0.75, abs=0.01)
    assert normal[10][3] == 110
    assert normal[10][4] == "50–55 % tissue: 75.0 % of patches"
    assert sum(height for *_, height, _ in tissue_bars(index.iloc[:0], 1)) == 0


def test_a_standardized_difference() -> None:
    one, other = np.array([2.0, 4, np.nan]), np.array([1.0, 3, 1, 3])
    pooled = np.sqrt((2 + 4 / 3) / 2)
    assert standardized_difference(one, other) == pytest.approx(1 / pooled)
    assert standardized_difference(other, one) == pytest.approx(-1 / pooled)
    assert np.isnan(standardized_difference(one[:1], other))
    assert standardized_difference(np.ones(3), np.ones(4)) == 0
    assert standardized_difference(np.ones(3), np.zeros(4)) == np.inf


def test_quality_by_part() -> None:
    patches = pd.DataFrame({"label": [0, 0, 1, 1], "quality_focus": [1.0, 2, 3, np.nan]})
    parts = {"a": patches["label"] == 0, "b": patches["label"] == 1, "none": patches["label"] > 1}
    (row,) = quality_rows(patches, parts)
    assert row.name == "focus"
    assert row.means[:2] == (1.5, 3.0)
    assert np.isnan(row.means[2])
    assert np.isnan(row.difference)
    assert not row.large
    assert quality_rows(patches[["label"]], parts) == ()


def test_a_group_of_the_sheet_names_its_patches(tiled: Paths) -> None:
    index = pd.read_parquet(tiled.index)
    group = sheet_group(tiled, "tumor", index[index["label"] == 1], 10)
    assert group.title == "tumor: 10 of 384 patches, from 10 of 16 slides"
    for patch in group.patches:
        row = index.set_index("patch_id").loc[patch.name]
        assert patch.row == row["store_row"]
        assert patch.note == f"tissue {100 * row['tissue_fraction']:.0f} %, tumor"
