"""The stages statistics and shortcuts, and their panel of the report."""

import json
import shutil
from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from models.data.statistics.patches import block_statistics
from models.data.statistics.settings import StatisticsSettings
from patching.errors import ArtifactError, ConfigError
from patching.store.reading import PatchStore
from pipeline.artifacts import INDEX, Paths
from pipeline.config import Context
from pipeline.files import read_json
from pipeline.report.panels import shortcuts as panel
from pipeline.report.sources import Sources
from pipeline.stages import shortcuts, statistics
from tests.pipeline.reports import shown, sources_of


def copied(context: Context, root: Path) -> Context:
    shutil.copytree(context.paths.root, root, dirs_exist_ok=True)
    (root / "configs" / "shortcuts.yaml").write_text("folds: 3\npermutations: 19\n")
    return Context(context.cohort, Paths(root, context.cohort), root / "configs")


@pytest.fixture(scope="module")
def checked(finished_cohort: Context, tmp_path_factory: pytest.TempPathFactory) -> Context:
    """The toy cohort after both stages; to be read only."""
    context = copied(finished_cohort, tmp_path_factory.mktemp("checked"))
    statistics.run(context, Namespace())
    shortcuts.run(context, Namespace())
    return context


@pytest.fixture
def own(checked: Context, tmp_path: Path) -> Context:
    return copied(checked, tmp_path)


@pytest.fixture(scope="module")
def sources(checked: Context) -> Sources:
    return sources_of(checked)


def of_files(sources: Sources, context: Context) -> Sources:
    """The same report over other files."""
    return replace(sources, evidence=replace(sources.evidence, paths=context.paths))


def content_of(context: Context) -> dict[str, Any]:
    return read_json(context.paths.shortcuts / "shortcuts.json", "shortcuts")


def test_every_patch_has_the_statistics_of_its_pixels(checked: Context) -> None:
    index = pd.read_parquet(checked.paths.index)
    table = pd.read_parquet(checked.paths.statistics)
    assert table["patch_id"].equals(index["patch_id"])
    assert table.shape == (len(index), 90)
    assert np.isfinite(table.drop(columns="patch_id").to_numpy()).all()
    for row in (0, 100, len(index) - 1):
        place = index.iloc[row]
        pixels_NHWC = PatchStore.open(checked.paths.store(place["slide_id"])).read([place["store_row"]])
        expected = block_statistics(pixels_NHWC, ("CARS", "TPEF", "SHG"), StatisticsSettings())
        assert table.iloc[row][list(expected)].tolist() == [each.item() for each in expected.values()]


def test_a_second_run_writes_the_same_bytes(own: Context) -> None:
    files = [own.paths.statistics, *sorted(own.paths.shortcuts.iterdir())]
    before = [path.read_bytes() for path in files]
    statistics.run(own, Namespace())
    shortcuts.run(own, Namespace())
    assert [path.read_bytes() for path in files] == before
    assert [path.name for path in files] == ["statistics.parquet", "null.parquet", "shortcuts.json"]


def test_the_stripes_are_found_and_tissue_fails_in_a_group(checked: Context) -> None:
    content = content_of(checked)
    assert {key: content[key] for key in ("patients", "patches", "statistics", "patients_of_one_label")} == {
        "patients": 16,
        "patches": 768,
        "statistics": 89,
        "patients_of_one_label": 0,
    }
    assert list(content["thresholds"]) == ["low", "high"]
    for found in content["thresholds"].values():
        checks, null = found["checks"], found["null"]
        assert checks["linear"]["wga"]["estimate"] > 0.9 > 0.2 > checks["tissue_by_patch"]["wga"]["estimate"]
        assert checks["tissue_by_patch"]["average"]["estimate"] > 0.6
        assert checks["tissue_by_patient"]["average"]["estimate"] == pytest.approx(0.5, abs=0.1)
        for figure in ("wga", "gba", "auroc_within"):
            assert null[figure]["observed"] == pytest.approx(checks["linear"][figure]["estimate"], abs=1e-4)
            assert null[figure]["p"] == 0.05
        assert null["gba"]["mean"] == pytest.approx(0.5, abs=0.1)


def test_the_null_is_kept(checked: Context) -> None:
    null = pd.read_parquet(checked.paths.shortcuts / "null.parquet")
    assert list(null) == ["threshold", "permutation", "wga", "gba", "auroc_within"]
    assert null.groupby("threshold").size().to_dict() == {"low": 19, "high": 19}
    told = content_of(checked)["thresholds"]["high"]["null"]["wga"]
    assert told["mean"] == pytest.approx(null.loc[null["threshold"] == "high", "wga"].mean())


def test_a_group_of_few_patches_is_not_estimable(own: Context, sources: Sources) -> None:
    path = own.configs / "evaluate.yaml"
    settings = yaml.safe_load(path.read_text()) | {"minimum_patches": 10_000}
    path.write_text(yaml.safe_dump(settings))
    shortcuts.run(own, Namespace())
    found = content_of(own)["thresholds"]["low"]
    assert found["checks"]["linear"]["wga"]["estimate"] == "not estimable"
    assert found["null"]["wga"]["p"] == "not estimable"
    told = panel.values(of_files(sources, own))
    assert "cannot be told" in told["readings"]["low"]
    assert np.isnan(told["found"]["low"]["null"]["wga"]["p"])


def test_of_a_large_cohort_the_same_share_of_every_patient_is_measured(own: Context) -> None:
    (own.configs / "statistics.yaml").write_text("most_patches: 192\n")
    statistics.run(own, Namespace())
    table, index = pd.read_parquet(own.paths.statistics), pd.read_parquet(own.paths.index)
    kept = index[index["patch_id"].isin(table["patch_id"])]
    assert kept["patch_id"].tolist() == table["patch_id"].tolist()
    assert kept.groupby("patient_id").size().tolist() == [12] * 16
    shortcuts.run(own, Namespace())
    content = content_of(own)
    assert (content["patches"], content["patches_of_cohort"]) == (192, 768)


def test_statistics_of_other_patches_are_refused(own: Context) -> None:
    index = pd.read_parquet(own.paths.index)
    index.iloc[:-1].to_parquet(own.paths.index, index=False)
    with pytest.raises(ArtifactError, match="run `evenpatch statistics` again"):
        shortcuts.run(own, Namespace())


def test_without_statistics_their_stage_is_named(own: Context) -> None:
    own.paths.statistics.unlink()
    with pytest.raises(ArtifactError, match="the output of `evenpatch statistics`"):
        shortcuts.run(own, Namespace())


def test_a_benchmark_without_tissue_is_refused(own: Context) -> None:
    path = own.configs / "cohorts" / f"{own.cohort}.yaml"
    content = yaml.safe_load(path.read_text())
    del content["manifest"]
    path.write_text(yaml.safe_dump(content | {"benchmark": {"layout": "any"}}))
    with pytest.raises(ConfigError, match="a cohort of slides"):
        shortcuts.run(own, Namespace())


def test_the_report_tells_what_was_found(sources: Sources) -> None:
    section = shown(sources, "shortcuts")
    assert "Not shown" not in section
    assert section.count("<caption>") == 2
    assert section.count("data:image/svg+xml") == 1
    assert "all 16 patients in 3 folds" in section
    assert "19 times every patient gets the labels of another one" in section
    assert section.count('<td class="n">0.050</td>') == 6
    assert "The linear model’s worst group is better than with permuted labels." in section
    assert "0 of 16 patients have patches of one label only" in section


def test_the_report_without_the_checks_says_how_to_make_them(own: Context, sources: Sources) -> None:
    shutil.rmtree(own.paths.shortcuts)
    page = shown(of_files(sources, own), "shortcuts")
    assert "The checks have not been run." in page
    assert "evenpatch shortcuts --cohort toy" in page


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda found: found["fingerprints"].update({"index.parquet": "0" * 64}), "of other patches"),
        (lambda found: found["thresholds"].pop("high"), "do not have the threshold “high”"),
        (lambda found: found.pop("fingerprints"), "of other patches"),
        (
            lambda found: found["thresholds"]["low"].update(rule={"quantile": 0.45, "value": None}),
            "do not have the threshold “low”",
        ),
        (
            lambda found: found["thresholds"]["low"].update(rule={"quantile": None, "value": 0.9}),
            "do not have the threshold “low”",
        ),
    ],
)
def test_checks_of_something_else_are_not_shown(
    own: Context, sources: Sources, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    content = content_of(own)
    change(content)
    (own.paths.shortcuts / "shortcuts.json").write_text(json.dumps(content))
    told = panel.values(of_files(sources, own))
    assert list(told) == ["missing"]
    assert said in told["missing"]


@pytest.mark.parametrize(
    ("low", "p", "whole", "said", "unsaid"),
    [
        (0.9, 0.2, 16, "tells the label in every group, for all patches", "better than"),
        (0.9, 0.05, 3, "tells the label in every group: a method", "for all patches"),
        (0.4, 0.01, 16, "does not tell the label in every group", "not told from"),
        ("not estimable", 0.06, 0, "not told from permuted labels", "tells the label in every group:"),
    ],
)
def test_the_sentence_follows_the_figures(
    own: Context, sources: Sources, low: float | str, p: float, whole: int, said: str, unsaid: str
) -> None:
    content = content_of(own)
    content["patients_of_one_label"] = whole
    content["thresholds"]["low"]["checks"]["tissue_by_patient"]["wga"]["low"] = low
    content["thresholds"]["low"]["null"]["wga"]["p"] = p
    (own.paths.shortcuts / "shortcuts.json").write_text(json.dumps(content))
    sentence = panel.values(of_files(sources, own))["readings"]["low"]
    assert said in sentence
    assert unsaid not in sentence


def test_the_cohorts_section_overlays_the_settings(own: Context) -> None:
    path = own.configs / "cohorts" / f"{own.cohort}.yaml"
    content = yaml.safe_load(path.read_text()) | {
        "shortcuts": {"permutations": 2},
        "statistics": {"distances": [2]},
    }
    path.write_text(yaml.safe_dump(content))
    statistics.run(own, Namespace())
    shortcuts.run(own, Namespace())
    assert content_of(own)["settings"]["permutations"] == 2
    assert content_of(own)["statistics"] == 89 - 3 * 4
    assert set(INDEX) - set(pd.read_parquet(own.paths.statistics))
