"""Everything the report shows, read once from the earlier stages' outputs."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from patching.errors import ArtifactError
from pipeline.artifacts import EXCLUDED, INDEX, PREDICTIONS, SLIDES, SPLITS, Paths, name_parts, run_name
from pipeline.config import Context, is_generated, load_cohort, load_yaml, require_slides, stage_mapping
from pipeline.files import read_json, read_table
from pipeline.training.layout import GIVEN
from pipeline.training.patches import table_fingerprints

logger = logging.getLogger(__name__)

GROUP_NAMES = (
    "non-tumor, little tissue",
    "non-tumor, much tissue",
    "tumor, little tissue",
    "tumor, much tissue",
)
"""Plain words for group g = 2 * label + attribute."""
HISTORY = ("step", "epoch", "train_loss", "validation_wga", "validation_gba")
SPLIT_NAMES = ("train", "validation", "test")


@dataclass(frozen=True)
class Run:
    """One training and its evaluation.

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
        error_budget=float(stage_mapping(context.configs, context.cohort, "ingest")["error_budget"]),
        slides=slides,
        excluded=pd.concat(excluded, ignore_index=True) if excluded else pd.DataFrame(columns=list(EXCLUDED)),
        index=index,
        groups=read_json(paths.groups, "attribute"),
        histogram=read_table(paths.histogram, (), "attribute"),
        runs=_runs(context, index, order),
    )


def run_folders(context: Context) -> tuple[str, ...]:
    """Names of the present runs, in alphabetical order: trained, evaluated, and no left-overs.

    Runs of other seeds (`gerne-low-s2`) are left to `evenpatch compare`. A left-over is a run that
    configs/params.yaml does not list (any more), or one of other patches, splits or attributes than the
    present ones: its test patients may be training patients now.

    Raises:
        ArtifactError: there is none.
    """
    paths = context.paths
    folder = paths.evaluation("any").parent
    found = sorted(
        path.parent.name
        for path in folder.glob("*/metrics.json")
        if (paths.training(path.parent.name) / "run.json").is_file()
        and name_parts(path.parent.name)[2] is None
    )
    reasons = _left_over(context, found) if found else {}
    for name, reason in reasons.items():
        logger.warning("%s is left out: %s", name, reason)
    if len(reasons) == len(found):
        told = "".join(f"; {name}: {reason}" for name, reason in reasons.items())
        raise ArtifactError(
            has=f"no evaluated training of the present data under {folder}{told}",
            needs="at least one, with metrics.json and predictions.parquet",
            do="run `evenpatch train` and `evenpatch evaluate`, or `dvc repro`",
        )
    return tuple(name for name in found if name not in reasons)


def _left_over(context: Context, names: Sequence[str]) -> dict[str, str]:
    """Why a run is not of the present configuration and data, for those that are not."""
    listed = load_yaml(context.configs / "params.yaml")
    imported = load_cohort(context.configs, context.cohort).benchmark is not None
    thresholds = (GIVEN,) if imported else listed.get("thresholds", ())
    wanted = {run_name(a, t) for a in listed.get("algorithms", ()) for t in thresholds}
    reasons = {name: "configs/params.yaml does not list it" for name in names if name not in wanted}
    for name in wanted.intersection(names):
        record = read_json(context.paths.training(name) / "run.json", "train")
        present = table_fingerprints(context.paths, identity(name, record)[1])
        used = record["fingerprints"]
        changed = [file for file in {**present, **used} if present.get(file) != used.get(file)]
        if changed:
            reasons[name] = f"{', '.join(changed)} changed since it was trained"
    return dict(sorted(reasons.items()))


def identity(name: str, record: Mapping[str, Any]) -> tuple[str, str]:
    """Algorithm and threshold of a run: as run.json says, else from its name `<algorithm>-<threshold>`.

    A seed in the name, as in `<algorithm>-<threshold>-s2`, is no part of them.
    """
    algorithm, threshold, _ = name_parts(name)
    return str(record.get("algorithm", algorithm)), str(record.get("threshold", threshold))


def _runs(context: Context, index: pd.DataFrame, order: tuple[str, ...]) -> tuple[Run, ...]:
    runs = [_run(context.paths, index, name) for name in run_folders(context)]
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
