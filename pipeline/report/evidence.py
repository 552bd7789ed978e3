"""Everything the report shows, read once from the earlier stages' outputs."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from patching.errors import ArtifactError
from pipeline.artifacts import EXCLUDED, INDEX, PREDICTIONS, SLIDES, SPLITS, Paths
from pipeline.config import Context, is_generated, load_cohort, load_yaml, merged, require_slides
from pipeline.files import read_json, read_table
from pipeline.results.runs import identity, listed_runs

HISTORY = ("step", "epoch", "train_loss", "validation_wga", "validation_gba")


@dataclass(frozen=True)
class Run:
    """One training and its evaluation in detail; figures are those of the scoreboards.

    Attributes:
        predictions: artifacts.PREDICTIONS joined with patient, slide, location and fractions.
        history: one row per epoch.
        record: run.json, settings and seeds of the training.
        metrics: metrics.json.
    """

    name: str
    algorithm: str
    threshold: str
    predictions: pd.DataFrame
    history: pd.DataFrame
    record: dict[str, Any]
    metrics: dict[str, Any]

    @property
    def best_step(self) -> int:
        """The validation whose weights were kept, by its `step` in the history."""
        return int(self.record["best_step"])

    def part(self, split: str) -> pd.DataFrame:
        """Predictions of one split, in the order of patch_id, so that runs pair row by row."""
        rows = self.predictions[self.predictions["split"] == split]
        return rows.sort_values("patch_id", ignore_index=True)


@dataclass(frozen=True)
class Evidence:
    """One cohort's results.

    Attributes:
        description: the cohort file's sentence.
        is_phantom: whether the cohort is generated.
        error_budget: share of slides that may fail in ingest.
        slides: artifacts.SLIDES. excluded: artifacts.EXCLUDED of ingest and tile together.
        index: artifacts.INDEX joined with the patient's split.
        groups: groups.json. histogram: histogram.csv.
        runs: in the order of the configured algorithm names, then of the thresholds.
    """

    paths: Paths
    description: str
    is_phantom: bool
    error_budget: float
    slides: pd.DataFrame
    excluded: pd.DataFrame
    index: pd.DataFrame
    groups: dict[str, Any]
    histogram: pd.DataFrame
    runs: tuple[Run, ...]

    @cached_property
    def thresholds(self) -> tuple[str, ...]:
        """Threshold names that have a run, low before high."""
        values = {run.threshold: self.threshold_value(run.threshold) for run in self.runs}
        return tuple(sorted(values, key=lambda name: (values[name], name)))

    @cached_property
    def algorithms(self) -> tuple[str, ...]:
        """Algorithms that have a run, in the report's order."""
        return tuple(dict.fromkeys(run.algorithm for run in self.runs))

    def run(self, algorithm: str, threshold: str) -> Run | None:
        """The run of an algorithm at a threshold, if there is one."""
        found = [run for run in self.runs if (run.algorithm, run.threshold) == (algorithm, threshold)]
        return found[0] if found else None

    def threshold_value(self, threshold: str) -> float:
        """Tissue fraction above which the attribute is 1."""
        return float(self.groups["thresholds"][threshold]["value"])


def load_evidence(context: Context, order: tuple[str, ...]) -> Evidence:
    """Read a cohort's outputs; `order` is the order of the algorithms.

    Raises:
        ArtifactError: a stage's output is missing, or no training has been evaluated.
        ConfigError: the cohort is an imported benchmark.
    """
    paths, cohort = context.paths, load_cohort(context.configs, context.cohort)
    require_slides(cohort, context.cohort, "the report")
    splits = read_table(paths.splits, SPLITS, "split")
    slides = read_table(paths.slides, SLIDES, "ingest")
    index = read_table(paths.index, INDEX, "tile").merge(splits, on="patient_id", validate="m:1")
    excluded = [
        read_table(path, EXCLUDED, stage)
        for path, stage in ((paths.ingest_excluded, "ingest"), (paths.patches / "excluded.csv", "tile"))
        if path.is_file()
    ]
    return Evidence(
        paths=paths,
        description=cohort.description,
        is_phantom=is_generated(cohort, paths),
        error_budget=float(merged(load_yaml(context.configs / "ingest.yaml"), cohort.ingest)["error_budget"]),
        slides=slides,
        excluded=pd.concat(excluded, ignore_index=True) if excluded else pd.DataFrame(columns=list(EXCLUDED)),
        index=index,
        groups=read_json(paths.groups, "attribute"),
        histogram=read_table(paths.histogram, (), "attribute"),
        runs=_runs(context, index, order),
    )


def _runs(context: Context, index: pd.DataFrame, order: tuple[str, ...]) -> tuple[Run, ...]:
    runs = [_run(context.paths, index, name) for name in listed_runs(context)]
    rank = {algorithm: position for position, algorithm in enumerate(order)}
    return tuple(sorted(runs, key=lambda run: (rank.get(run.algorithm, len(rank)), run.name)))


def _run(paths: Paths, index: pd.DataFrame, name: str) -> Run:
    record = read_json(paths.training(name) / "run.json", "train")
    algorithm, threshold = identity(name, record)
    predictions = read_table(paths.evaluation(name) / "predictions.parquet", PREDICTIONS, "evaluate")
    known = ["patch_id", "patient_id", "slide_id", "x", "y", "store_row", "tissue_fraction", "tumor_fraction"]
    joined = predictions.merge(index[known], on="patch_id", validate="1:1")
    if len(joined) != len(predictions):
        raise ArtifactError(
            has=f"{name}: {len(predictions) - len(joined)} predictions for patches not in {paths.index}",
            needs="an evaluation of the present patches",
            do="run `evenpatch train` and `evenpatch evaluate` again, or `dvc repro`",
        )
    return Run(
        name=name,
        algorithm=algorithm,
        threshold=threshold,
        predictions=joined,
        history=read_table(paths.training(name) / "history.csv", HISTORY, "train"),
        record=record,
        metrics=read_json(paths.evaluation(name) / "metrics.json", "evaluate"),
    )
