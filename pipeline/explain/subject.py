"""The model that the report is about, and its test patches as it decides them."""

from dataclasses import dataclass

import pandas as pd

from models.data.splitting import TEST
from pipeline.artifacts import Paths, name_parts, run_name
from pipeline.config import Context
from pipeline.files import file_fingerprint
from pipeline.patch_tables import read_index, read_predictions
from pipeline.results.runs import listed_runs
from pipeline.results.terms import judging_of

FILES = ("model.safetensors", "predictions.parquet", "index.parquet")
"""What decides everything that the stage makes of a model, beside the slides."""


@dataclass(frozen=True)
class Explained:
    """One training and its test patches.

    Attributes:
        name: of the run.
        rows: PREDICTIONS and the index of every test patch, in the order of patch_id; empty where the split
            has no test patients.
    """

    name: str
    algorithm: str
    threshold: str
    rows: pd.DataFrame


def subject_of(context: Context) -> Explained:
    """The run that JudgingSettings.subject names among the present ones.

    Raises:
        ArtifactError: no run is present, or its files are missing.
    """
    judging, paths = judging_of(context), context.paths
    runs = [name_parts(name)[:2] for name in listed_runs(context)]
    tables = {run: _tested(paths, run_name(*run)) for run in runs}
    with_patches = [run for run in runs if len(tables[run])]
    # listed_runs gives one at least.
    chosen = judging.subject(with_patches or runs) or runs[0]
    return Explained(run_name(*chosen), *chosen, tables[chosen])


def _tested(paths: Paths, name: str) -> pd.DataFrame:
    table, index = read_predictions(paths.evaluation(name)), read_index(paths).drop(columns="label")
    tested = table[table["split"] == TEST].merge(index, on="patch_id", how="inner", validate="1:1")
    return tested.sort_values("patch_id", ignore_index=True)


def fingerprints_of(paths: Paths, name: str) -> dict[str, str]:
    """SHA-256 of FILES of a run."""
    files = (
        paths.training(name) / FILES[0],
        paths.evaluation(name) / FILES[1],
        paths.index,
    )
    return {path.name: file_fingerprint([path]) for path in files if path.is_file()}
