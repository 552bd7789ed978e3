"""What the report and the registry may rest on: runs of the present configuration and data, and no others."""

import logging
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

from patching.errors import ArtifactError
from pipeline.artifacts import Paths
from pipeline.config import Context, load_stage
from pipeline.report.evidence import load_evidence
from pipeline.report.sources import ReportSettings
from pipeline.results.runs import identity, listed_runs
from pipeline.yaml_file import load_yaml


@pytest.fixture
def cohort(finished_cohort: Context, tmp_path: Path) -> Context:
    """The finished cohort, to be changed."""
    shutil.copytree(finished_cohort.paths.root, tmp_path, dirs_exist_ok=True)
    return Context(finished_cohort.cohort, Paths(tmp_path, finished_cohort.cohort), tmp_path / "configs")


def judging(context: Context) -> ReportSettings:
    return load_stage(context.configs, context.cohort, "report", ReportSettings)


def test_every_listed_run_of_the_present_data_counts(cohort: Context) -> None:
    assert len(listed_runs(cohort)) == 8


def test_a_run_that_is_not_listed_any_more_is_left_out(
    cohort: Context, caplog: pytest.LogCaptureFixture
) -> None:
    path = cohort.configs / "params.yaml"
    path.write_text(yaml.safe_dump(load_yaml(path) | {"algorithms": ["erm", "gerne"]}))
    with caplog.at_level(logging.WARNING):
        assert listed_runs(cohort) == ("erm-high", "erm-low", "gerne-high", "gerne-low")
    assert "class_balanced-low is left out" in caplog.text
    assert {run.algorithm for run in load_evidence(cohort, judging(cohort)).runs} == {"erm", "gerne"}


def test_other_seeds_are_no_runs_of_their_own(cohort: Context, caplog: pytest.LogCaptureFixture) -> None:
    for folder in (cohort.paths.training, cohort.paths.evaluation):
        shutil.copytree(folder("gerne-low"), folder("gerne-low-s2"))
    with caplog.at_level(logging.WARNING):
        assert len(listed_runs(cohort)) == 8
    assert not caplog.text
    assert identity("gerne-low-s2", {}) == ("gerne", "low")


def test_runs_of_another_split_are_left_out(cohort: Context) -> None:
    splits = pd.read_csv(cohort.paths.splits)
    splits["split"] = splits["split"].to_numpy()[::-1]
    splits.to_csv(cohort.paths.splits, index=False)
    with pytest.raises(ArtifactError, match=r"erm-low: splits\.csv changed since it was trained"):
        listed_runs(cohort)


def test_runs_of_a_threshold_that_is_gone_are_left_out(cohort: Context) -> None:
    cohort.paths.attribute_table("high").unlink()
    assert {name.rpartition("-")[2] for name in listed_runs(cohort)} == {"low"}


def test_only_its_own_generated_slides_make_a_cohort_a_phantom(cohort: Context) -> None:
    assert load_evidence(cohort, judging(cohort)).is_phantom
    # Someone's own cohort, made from a copy of the phantom's file.
    file = cohort.configs / "cohorts" / f"{cohort.cohort}.yaml"
    file.write_text(yaml.safe_dump(load_yaml(file) | {"manifest": "../slides/slides.csv"}))
    assert not load_evidence(cohort, judging(cohort)).is_phantom
