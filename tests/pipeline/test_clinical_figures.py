"""The figures of the report's model: parts against scikit-learn, misses at the border, regions missed."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    precision_score,
    recall_score,
    roc_auc_score,
)

from pipeline.artifacts import Paths
from pipeline.config import Context
from pipeline.report.panels import metrics
from pipeline.report.sources import Sources
from pipeline.results.bootstrap import BootstrapSettings
from pipeline.results.clinical.misses import by_size, places_of, regions_of
from pipeline.results.clinical.parts import Part, parts_of
from pipeline.results.figures import Method
from pipeline.training.layout import TISSUE
from tests.pipeline.reports import sources_of

FEW = BootstrapSettings(draws=200, minimum_patches=5)


@pytest.fixture(scope="module")
def sources(finished_cohort: Context, tmp_path_factory: pytest.TempPathFactory) -> Sources:
    """Of a copy whose slides are annotated."""
    root = tmp_path_factory.mktemp("annotated")
    shutil.copytree(finished_cohort.paths.root, root, dirs_exist_ok=True)
    paths = Paths(root, finished_cohort.cohort)
    slides = pd.read_csv(paths.slides, dtype=str)
    slides.assign(annotation="outlines.geojson").to_csv(paths.slides, index=False)
    context = Context(finished_cohort.cohort, paths, root / "configs")
    return sources_of(context)


@pytest.fixture(scope="module")
def method(sources: Sources) -> Method:
    """Whose probabilities rank neither perfectly nor at random."""
    (found,) = [each for each in sources.boards["high"].methods if each.algorithm == "gerne"]
    return found


def of(parts: tuple[Part, ...], key: str) -> Part:
    (found,) = [part for part in parts if part.key == key]
    return found


@pytest.mark.parametrize(("key", "value"), [("all", None), ("attribute_0", 0), ("attribute_1", 1)])
def test_a_part_of_both_labels_is_scikit_learns(method: Method, key: str, value: int | None) -> None:
    rows = method.pool.rows
    rows = rows if value is None else rows[rows["attribute"] == value]
    found = of(parts_of(method, TISSUE, FEW, 0.1), key)
    label_N, told_N, probability_N = (rows[name] for name in ("label", "prediction", "probability"))
    tumor = label_N.mean()
    weight_N = np.where(label_N == 1, 0.1 / tumor, 0.9 / (1 - tumor))
    expected = {
        "sensitivity": recall_score(label_N, told_N),
        "specificity": recall_score(label_N, told_N, pos_label=0),
        "ppv": precision_score(label_N, told_N),
        "npv": precision_score(label_N, told_N, pos_label=0),
        "ppv_at": precision_score(label_N, told_N, sample_weight=weight_N),
        "npv_at": precision_score(label_N, told_N, pos_label=0, sample_weight=weight_N),
        "auroc": roc_auc_score(label_N, probability_N),
        "auprc": average_precision_score(label_N, probability_N),
        "brier": brier_score_loss(label_N, probability_N),
    }
    assert {name: each.estimate for name, each in found.figures.items()} == pytest.approx(expected)
    assert all(each.low <= each.estimate <= each.high for each in found.figures.values())
    assert (found.patches, found.wrong) == (len(rows), (label_N != told_N).sum())
    assert (found.slides, found.patients) == (rows["slide_id"].nunique(), rows["patient_id"].nunique())
    assert found.prevalence == pytest.approx(tumor)


def test_a_group_has_the_one_figure_of_its_label(method: Method) -> None:
    parts, rows = parts_of(method, TISSUE, FEW, 0.1), method.pool.rows
    for g, name in enumerate(TISSUE.names):
        found, own = of(parts, f"group_{g}"), rows[rows["group"] == g]
        verdict = "sensitivity" if g >= 2 else "specificity"
        assert set(found.figures) == {verdict, "brier"}
        assert found.figures[verdict].estimate == (own["label"] == own["prediction"]).mean()
        squared = ((own["probability"] - own["label"]) ** 2).mean()
        assert found.figures["brier"].estimate == pytest.approx(squared)
        assert (found.name, found.label, found.patches) == (name, g // 2, len(own))


def changed(method: Method, **columns: object) -> Method:
    """The method with other columns of its patches."""
    run = method.pool.runs[0]
    rows = run.patches.assign(**columns)
    return replace(method, pool=replace(method.pool, runs=(replace(run, patches=rows),)))


def test_patches_of_one_label_have_no_predictive_value(method: Method) -> None:
    one = changed(method, label=1)
    found = of(parts_of(one, TISSUE, FEW, 0.1), "all").figures
    assert np.isnan([found[name].estimate for name in ("ppv", "npv", "auprc")]).all()


def test_patches_without_a_probability_are_left_out_of_what_takes_one(method: Method) -> None:
    rows = method.pool.rows
    known_N = np.arange(len(rows)) % 7 != 3
    holed = changed(method, probability=rows["probability"].where(known_N))
    found = of(parts_of(holed, TISSUE, FEW, 0.1), "all").figures["auprc"]
    expected = average_precision_score(rows["label"][known_N], rows["probability"][known_N])
    assert found.estimate == pytest.approx(expected)


def test_misses_at_the_border_are_told_apart(method: Method) -> None:
    rows = method.pool.rows
    border, within = places_of(method, 0.5, FEW)
    for place, own in (
        (border, rows[(rows["label"] == 1) & (rows["tumor_fraction"] < 0.5)]),
        (within, rows[(rows["label"] == 1) & (rows["tumor_fraction"] >= 0.5)]),
    ):
        assert (place.patches, place.missed) == (len(own), (own["prediction"] == 0).sum())
        assert place.found.estimate == recall_score(own["label"], own["prediction"])
        assert place.tumor_fraction == pytest.approx(own["tumor_fraction"].mean())
    assert (border.inside, within.inside) == (False, True)
    nothing = places_of(method, 0.0001, FEW)[0]
    assert (nothing.patches, np.isnan(nothing.found.estimate)) == (0, True)


PLACES = """
T.t..
.t..t
....T
"""


def grid(picture: str, slide: str, patient: str, step: int = 20) -> pd.DataFrame:
    """Patches of a picture: `T` a tumor patch that is found, `t` one that is missed, `.` a normal one."""
    cells = [
        (step * x + 7, step * y + 300, letter)
        for y, line in enumerate(picture.split())
        for x, letter in enumerate(line)
    ]
    table = pd.DataFrame(cells, columns=["x", "y", "letter"])
    return table.assign(
        slide_id=slide,
        patient_id=patient,
        extent=16,
        label=(table["letter"] != ".").astype(int),
        prediction=(table["letter"] == "T").astype(int),
        probability=0.25,
        tissue_fraction=0.5,
    )


def test_a_region_is_missed_where_nothing_of_it_is_found() -> None:
    patches = pd.concat([grid(PLACES, "a", "p"), grid("t.t\n...", "b", "q"), grid("..", "c", "q")])
    reach = {"a": 20.0, "b": 20.0, "c": 20.0}
    found = regions_of(patches, reach, BootstrapSettings(draws=50, minimum_patches=2))
    table = found.table[["slide_id", "patches", "found", "x", "y", "right", "bottom"]].to_numpy().tolist()
    assert table == [
        ["b", 1, 0, 7, 300, 23, 316],
        ["b", 1, 0, 47, 300, 63, 316],
        ["a", 3, 1, 7, 300, 63, 336],
        ["a", 2, 1, 87, 320, 103, 356],
    ]
    assert found.missed.estimate == 0.5
    assert [(row["regions"], row["missed"], row["patients"]) for row in by_size(found)] == [
        (2, 2, 1),
        (2, 0, 1),
        (0, 0, 0),
    ]
    few = regions_of(patches, reach, BootstrapSettings(draws=50))
    assert np.isnan(few.missed.estimate)
    none = regions_of(patches[patches["label"] == 0], reach, FEW)
    assert (len(none.table), np.isnan(none.missed.estimate)) == (0, True)


@pytest.mark.parametrize(
    ("places", "stride", "regions"),
    [((0, 6400), 16, 2), ((0, 16), 16, 1), ((0, 24), 24, 1), ((0, 24), 16, 2), ((0, 16), 4, 1)],
)
def test_neighbors_are_a_step_of_the_store_or_a_patch_apart(
    sources: Sources, tmp_path: Path, places: tuple[int, int], stride: int, regions: int
) -> None:
    """However far apart the columns are that hold patches."""
    shutil.copytree(sources.evidence.paths.root, tmp_path, dirs_exist_ok=True)
    paths = Paths(tmp_path, sources.evidence.paths.cohort)
    file = paths.store("s-p03") / "zarr.json"
    stored = json.loads(file.read_text())
    stored["attributes"]["stride"] = stride
    file.write_text(json.dumps(stored))
    subject, index = sources.subject, sources.evidence.index
    assert subject is not None
    tested = subject.run.patches
    kept = tested[(tested["slide_id"] == "s-p03") & (tested["label"] == 1)].head(2)
    moved = index.set_index("patch_id").loc[kept["patch_id"]].reset_index().assign(x=places, y=0)
    evidence = replace(sources.evidence, paths=paths, index=moved)
    found = replace(subject, run=replace(subject.run, patches=kept), evidence=evidence).regions
    assert not isinstance(found, str), found
    assert len(found.table) == regions


def test_the_panel_tells_what_its_cohort_has(sources: Sources) -> None:
    found = metrics.values(sources)
    assert found["regions"] is not None
    assert found["places"] is not None
    assert (found["no_border"], found["no_regions"]) == ("", "")
    assert {title for title, *_ in found["summary"]} >= {"Worst group (WGA)", "Worst class", "AUROC"}


def test_montages_and_labels_of_cores_have_no_regions(sources: Sources) -> None:
    evidence = sources.evidence
    whole = evidence.index.assign(tumor_fraction=evidence.index["label"].astype(float))
    montages = replace(sources, evidence=replace(evidence, montages=True, index=whole))
    found = metrics.values(montages)
    assert (found["regions"], found["places"]) == (None, None)
    assert "montages" in found["no_regions"]
    assert "montages" in found["no_border"]
    cores = replace(
        sources, evidence=replace(evidence, slides=evidence.slides.assign(annotation=np.nan), index=whole)
    )
    found = metrics.values(cores)
    assert (found["regions"], found["places"]) == (None, None)
    assert "whole slides or cores" in found["no_regions"]
    assert "whole slide or core" in found["no_border"]


def test_the_settings_reach_the_page(sources: Sources, tmp_path: Path) -> None:
    moved = sources.settings.model_copy(update={"prevalence": 0.03, "inside": 0.4})
    found = metrics.values(replace(sources, settings=moved))
    (whole,) = [part for part in found["both"] if part.key == "all"]
    (before,) = [part for part in metrics.values(sources)["both"] if part.key == "all"]
    assert whole.figures["npv_at"].estimate > before.figures["npv_at"].estimate
    assert found["places"][1].patches > 0
