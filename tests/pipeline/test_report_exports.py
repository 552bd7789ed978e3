"""The files beside the report: what they hold is what the report shows, and lies in the same places."""

import gzip
import json
import shutil
from argparse import Namespace
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pandas as pd
import pytest

from patching.annotations.registry import load_annotation
from patching.geometry import Location, Size
from pipeline.artifacts import Paths
from pipeline.config import Context
from pipeline.look.html import make_environment
from pipeline.report import documents
from pipeline.report import sources as sources_module
from pipeline.report import subject as subject_module
from pipeline.report.exports.record import MetricsRecord, metrics_schema
from pipeline.report.exports.tables import COLUMNS
from pipeline.report.names import Names
from pipeline.report.page import write_beside
from pipeline.report.panels import calibration, exports, gallery, metrics, slides
from pipeline.report.panels.registry import PANELS
from pipeline.report.sources import ExportSettings, Sources
from pipeline.stages import report
from tests.pipeline.deployment.qupath import read_features
from tests.pipeline.finished import SIDE
from tests.pipeline.reports import sources_of

BOUNDS = {"s-p03": [37, 11]}
CLASSES = {"Tumor": "normal", "Normal": "tumor"}
"""Most patches of the untrained network are told as normal: their tiles are looked for."""


@pytest.fixture(scope="module")
def context(finished_cohort: Context, tmp_path_factory: pytest.TempPathFactory) -> Context:
    """Of annotated slides, one of which has bounds."""
    root = tmp_path_factory.mktemp("exported")
    shutil.copytree(finished_cohort.paths.root, root, dirs_exist_ok=True)
    paths = Paths(root, finished_cohort.cohort)
    (paths.ingested / "summary.json").write_text(json.dumps({"bounds": BOUNDS}))
    return Context(finished_cohort.cohort, paths, root / "configs")


@pytest.fixture(scope="module")
def sources(context: Context) -> Sources:
    return sources_of(context)


@pytest.fixture(scope="module")
def written(sources: Sources, context: Context) -> Path:
    write_beside(sources, context.paths.report.parent)
    return context.paths.report_exports


@pytest.fixture(scope="module")
def predictions(written: Path) -> pd.DataFrame:
    return pd.read_parquet(written / "predictions.parquet")


def test_predictions_are_those_that_evaluate_wrote(
    predictions: pd.DataFrame, context: Context, sources: Sources
) -> None:
    assert tuple(predictions.columns) == COLUMNS
    told = pd.read_parquet(context.paths.evaluation("gerne-low") / "predictions.parquet")
    both = told.merge(predictions, on="patch_id", validate="1:1", suffixes=("", "_exported"))
    assert len(both) == len(told) == len(predictions)
    for column in ("split", "label", "attribute", "group", "probability", "prediction"):
        assert (both[column] == both[f"{column}_exported"]).all()
    index = pd.read_parquet(context.paths.index).set_index("patch_id").loc[predictions["patch_id"]]
    for column, own in (("slide", "slide_id"), ("patient", "patient_id"), ("x", "x"), ("y", "y")):
        assert predictions[column].tolist() == index[own].tolist()
    assert sources.subject is not None
    shown = sources.subject.run.patches.set_index("patch_id")["prediction"]
    test = predictions[predictions["split"] == "test"].set_index("patch_id")["prediction"]
    pd.testing.assert_series_equal(test.sort_index(), shown.sort_index())


def test_metrics_are_of_the_schema_and_of_the_report(written: Path, sources: Sources) -> None:
    text = (written / "metrics.json").read_text(encoding="utf-8")
    record = MetricsRecord.model_validate_json(text, strict=True)
    assert record.model.run == "gerne-low"
    assert sources.subject is not None
    for name, figure in record.summary.items():
        assert figure.estimate == pytest.approx(sources.subject.method.figures[name].estimate)
    groups = [part for part in record.parts if part.key.startswith("group_")]
    assert [part.patches for part in groups] == [size.patches for size in sources.subject.board.sizes]
    assert record.slides.written == record.slides.tested == 4
    assert record.regions is None
    assert "outline" in record.regions_left_out


def test_the_schema_is_the_one_that_is_published(written: Path, repository: Path) -> None:
    published = (repository / "docs" / "report-metrics.schema.json").read_bytes()
    assert metrics_schema() == published == (written / "metrics.schema.json").read_bytes()
    schema = json.loads(published)
    top = json.loads((written / "metrics.json").read_text(encoding="utf-8"))
    assert set(top) == set(schema["properties"])
    part = schema["$defs"]["PartRecord"]
    assert all(set(each) == set(part["properties"]) for each in top["parts"])
    assert part["additionalProperties"] is False


def test_groups_are_those_of_metrics(written: Path) -> None:
    table = pd.read_csv(written / "groups.csv").set_index("part")
    parts = json.loads((written / "metrics.json").read_text(encoding="utf-8"))["parts"]
    assert table.index.tolist() == [part["key"] for part in parts]
    for part in parts:
        row = table.loc[part["key"]]
        assert (row["patches"], row["wrong"], row["patients"]) == (
            part["patches"],
            part["wrong"],
            part["patients"],
        )
        for name, figure in part["figures"].items():
            for column, end in ((name, "estimate"), (f"{name}_low", "low"), (f"{name}_high", "high")):
                expected = np.nan if figure[end] is None else figure[end]
                assert row[column] == pytest.approx(expected, nan_ok=True)
        assert row.drop(["name"]).notna().sum() >= 2 * len(part["figures"])


def test_every_test_slide_has_its_tiles_and_picture(written: Path, predictions: pd.DataFrame) -> None:
    test = predictions[predictions["split"] == "test"]
    names = {path.name.split(".")[0] for path in (written / "slides").iterdir()}
    assert names == set(test["slide"])
    for name, rows in test.groupby("slide"):
        picture_HW3 = imagecodecs.jpeg8_decode((written / "slides" / f"{name}.overlay.jpg").read_bytes())
        assert min(np.shape(picture_HW3)[:2]) > 100
        features = read_features(written / "slides" / f"{name}.geojson.gz")
        assert len(features) == len(rows)
        wrong = [each for each in features if each.properties.measurements["Reliable"] == 0]
        assert len(wrong) == (rows["label"] != rows["prediction"]).sum()


@pytest.mark.parametrize("slide", ["s-p03", "s-p07"])
def test_tiles_load_back_to_the_places_of_the_patches(
    slide: str, written: Path, predictions: pd.DataFrame, tmp_path: Path
) -> None:
    path = tmp_path / "a.geojson"
    path.write_bytes(gzip.decompress((written / "slides" / f"{slide}.geojson.gz").read_bytes()))
    bounds = Location(*BOUNDS.get(slide, (0, 0)))
    found = load_annotation(path, label=None, size=Size(300, 200), classes=CLASSES, bounds=bounds)
    rows = predictions[predictions["slide"] == slide]
    places_N2 = rows[["x", "y"]].to_numpy()
    told_N = (rows["prediction"] == 0).to_numpy()
    assert told_N.sum() > 10
    np.testing.assert_array_equal(found.fractions(places_N2, SIDE), told_N.astype(float))


def files_of(sources: Sources) -> dict[str, bytes]:
    return dict(exports.files(sources))


def test_montages_get_no_maps_and_say_so(sources: Sources) -> None:
    montages = replace(sources, evidence=replace(sources.evidence, montages=True))
    found = files_of(montages)
    assert not [name for name in found if name.startswith("slides/")]
    told = json.loads(found["metrics.json"])["slides"]
    assert (told["written"], told["tested"]) == (0, 4)
    assert "montages" in told["left_out"]
    assert "montages" in exports.values(montages)["chosen"].left_out


def test_slides_whose_frame_is_unknown_get_no_tiles(sources: Sources) -> None:
    chosen = exports.values(replace(sources, evidence=replace(sources.evidence, ingested={})))["chosen"]
    assert (chosen.names, chosen.left_out[-27:]) == ((), "run evenpatch ingest again.")


def test_the_audit_is_there_without_test_patients(written: Path, sources: Sources, tmp_path: Path) -> None:
    assert "tissue" in pd.read_csv(written / "audit.csv")["attribute"].iloc[0]
    write_beside(replace(sources, boards={}), tmp_path)
    assert [path.name for path in (tmp_path / "exports").iterdir()] == ["audit.csv"]


def test_a_report_that_cannot_be_made_leaves_the_earlier_one(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> bytes:
        raise OSError("the disk is full")

    shutil.copytree(context.paths.root, tmp_path, dirs_exist_ok=True)
    again = Context(context.cohort, Paths(tmp_path, context.cohort), tmp_path / "configs")
    folder = again.paths.report.parent
    earlier = ("slides/slides.csv", "exports/audit.csv", "model_card.md", "data_card.md", "report.html")
    shutil.rmtree(folder, ignore_errors=True)
    for name in earlier:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("an earlier report's")
    for where, name in ((exports, "metrics_schema"), (documents, "data_card")):
        with monkeypatch.context() as patch:
            patch.setattr(where, name, failing)
            patch.setattr(report, "render", lambda _: "a new report")
            with pytest.raises(OSError, match="full"):
                report.run(again, Namespace())
        left = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        assert left == set(earlier)
        assert {(folder / name).read_text() for name in earlier} == {"an earlier report's"}


def test_the_slides_with_most_errors_are_kept(sources: Sources, predictions: pd.DataFrame) -> None:
    few = sources.settings.model_copy(
        update={"exports": sources.settings.exports.model_copy(update={"slides": 2})}
    )
    found = exports.values(replace(sources, settings=few))["chosen"]
    test = predictions[predictions["split"] == "test"]
    wrong = (test["label"] != test["prediction"]).groupby(test["slide"]).sum()
    assert len(found.names) == 2
    assert wrong[list(found.names)].min() >= wrong.drop(list(found.names)).max()
    assert (found.tested, "at most 2" in found.left_out) == (4, True)


def test_hashed_ids_reach_every_file(sources: Sources) -> None:
    hashed = replace(sources, ids=Names("salt"))
    found = files_of(hashed)
    table = pd.read_parquet(BytesIO(found["predictions.parquet"]))
    assert not table[["patch_id", "slide", "patient"]].astype(str).stack().str.contains("p03").any()
    for name, content in found.items():
        plain = gzip.decompress(content) if name.endswith(".gz") else content
        assert b"s-p03" not in plain
        assert "s-p03" not in name


def counting(made: Counter[str], own: Callable[..., Any]) -> Callable[..., Any]:
    def counted(*args: Any, **named: Any) -> Any:
        made[own.__name__] += 1
        return own(*args, **named)

    return counted


def test_figures_that_panels_and_exports_share_are_made_once(
    sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: Counter[str] = Counter()
    for room, names in (
        (subject_module, ("parts_of", "places_of", "reliability_of", "read_predictions")),
        (sources_module, ("explanation_of", "read_card")),
    ):
        for name in names:
            monkeypatch.setattr(room, name, counting(made, getattr(room, name)))
    few = sources.settings.model_copy(update={"exports": ExportSettings(slides=0)})
    fresh = replace(sources, settings=few)
    for panel in (metrics, calibration, exports, gallery, slides):
        panel.values(fresh)
    for panel in (exports, gallery, slides):
        list(panel.files(fresh))
    # Of all patches, of little and of much tissue.
    assert made == dict.fromkeys(made, 1) | {"reliability_of": 3}
    assert len(made) == 6


def test_the_same_files_give_the_same_exports(sources: Sources) -> None:
    assert files_of(sources) == files_of(sources)


def test_the_page_says_what_is_written(sources: Sources) -> None:
    (panel,) = [each for each in PANELS if each.name == "exports"]
    assert panel.files is exports.files
    environment = make_environment("pipeline.report")
    html = environment.get_template("exports.html").render(exports.values(sources))
    assert "4 of 4 test slides have files of their own." in html
    assert sources.evidence.paths.report_exports.name == panel.name
