"""Everything the report shows, read once from the earlier stages' outputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from models.data.splitting import TEST
from patching.geometry import Location
from pipeline.artifacts import Paths, name_parts
from pipeline.cohort.duplicates import Twins, twins_of
from pipeline.cohort.flow import read_listed
from pipeline.config import (
    CohortFile,
    Context,
    is_generated,
    load_cohort,
    require_slides,
    slides_manifest,
    stage_mapping,
)
from pipeline.files import read_json, read_table
from pipeline.patch_tables import read_excluded, read_index, read_slides, read_splits, with_splits
from pipeline.results.predictions import sound_runs
from pipeline.results.runs import listed_runs
from pipeline.results.terms import JudgingSettings
from pipeline.results.tested import Tested
from pipeline.workspace import located

_NAMED = 3
FRAME_UNKNOWN = "Where QuPath’s frame begins on these slides is not known: run evenpatch ingest again."
HISTOGRAM = ("low", "high", "label", "count")
HISTORY = ("step", "epoch", "train_loss", "validation_wga", "validation_gba")


@dataclass(frozen=True)
class Evidence:
    """One cohort's results.

    Attributes:
        description: the cohort file's sentence. limits: its own, a sentence each.
        montages: whether slides are montages of loose patches, so that places on them mean nothing.
        file: the cohort's file. is_phantom: whether the cohort is generated.
        listed: slide_id and patient_id of slides.csv, as it is now; none where it cannot be read.
        left_out: patients that the settings leave out.
        error_budget: share of slides that may fail in ingest.
        slides: artifacts.SLIDES. excluded: artifacts.EXCLUDED of ingest and tile together.
        ingested, tiled: summaries that the two stages wrote; of an old ingest empty.
        warnings: what tiling found on slides, by slide_id.
        index: artifacts.INDEX joined with the patient's split.
        groups: groups.json. histogram: histogram.csv.
        runs: in the order of the configured algorithm names, then of the thresholds; without other seeds.
        unread: a sentence on each run that cannot be read.
        histories: by the run's name, one row per epoch.
    """

    paths: Paths
    description: str
    limits: tuple[str, ...]
    file: CohortFile
    is_phantom: bool
    montages: bool
    listed: pd.DataFrame | None
    left_out: tuple[str, ...]
    error_budget: float
    slides: pd.DataFrame
    excluded: pd.DataFrame
    ingested: Mapping[str, Any]
    tiled: Mapping[str, Any]
    warnings: Mapping[str, Sequence[str]]
    index: pd.DataFrame
    groups: dict[str, Any]
    histogram: pd.DataFrame
    runs: tuple[Tested, ...]
    unread: tuple[str, ...]
    histories: Mapping[str, pd.DataFrame]

    @cached_property
    def thresholds(self) -> tuple[str, ...]:
        """Threshold names that have a run, low before high."""
        values = {run.threshold: self.threshold_value(run.threshold) for run in self.runs}
        return tuple(sorted(values, key=lambda name: (values[name], name)))

    @cached_property
    def algorithms(self) -> tuple[str, ...]:
        """Algorithms that have a run, in the report's order."""
        return tuple(dict.fromkeys(run.algorithm for run in self.runs))

    @cached_property
    def twins(self) -> tuple[Twins, ...]:
        """Slides of the same content."""
        return twins_of(self.slides, self.index)

    @cached_property
    def bounds(self) -> dict[str, Location] | None:
        """Where QuPath's frame begins, by slide_id; other slides' at the corner. None of an old ingest."""
        found = self.ingested.get("bounds")
        return None if found is None else {name: Location(*place) for name, place in found.items()}

    @cached_property
    def has_tumor_fractions(self) -> bool:
        """Whether tumor patches differ in their tumor fraction; with labels per slide they do not."""
        return bool(self.index.loc[self.index["label"] == 1, "tumor_fraction"].nunique() > 1)

    @property
    def test_patients(self) -> int:
        """How many patients the test split holds."""
        return int(self.index.loc[self.index["split"] == TEST, "patient_id"].nunique())

    def run(self, algorithm: str, threshold: str) -> Tested | None:
        """The run of an algorithm at a threshold, if there is one."""
        found = [run for run in self.runs if (run.algorithm, run.threshold) == (algorithm, threshold)]
        return found[0] if found else None

    def threshold_value(self, threshold: str) -> float:
        """Tissue fraction above which the attribute is 1."""
        return float(self.groups["thresholds"][threshold]["value"])


def load_evidence(context: Context, judging: JudgingSettings) -> Evidence:
    """Read a cohort's outputs, the algorithms in the order of the settings' names.

    Raises:
        ArtifactError: a stage's output is missing, no training has been evaluated, or predictions of the one
            that the report is about cannot be used; other runs are left out, and told.
        ConfigError: the cohort is an imported benchmark.
    """
    paths, cohort = context.paths, load_cohort(context.configs, context.cohort)
    require_slides(cohort, context.cohort, "the report")
    splits = read_splits(paths)
    slides = read_slides(paths)
    index = with_splits(read_index(paths), splits)
    rank = {algorithm: position for position, algorithm in enumerate(judging.names)}
    names = listed_runs(context)
    found, unread = sound_runs(context, names, judging.subject(name_parts(name)[:2] for name in names))
    runs = sorted(found, key=lambda run: (rank.get(run.algorithm, len(rank)), run.name))
    summary = paths.ingested / "summary.json"
    ingest = stage_mapping(context.configs, context.cohort, "ingest")
    tiled, groups = read_json(paths.patches / "summary.json", "tile"), read_json(paths.groups, "attribute")
    return Evidence(
        paths=paths,
        description=cohort.description,
        limits=cohort.limits,
        file=cohort,
        is_phantom=is_generated(cohort, paths),
        montages=cohort.montages,
        listed=read_listed(located(slides_manifest(cohort, context.cohort), paths.root)),
        left_out=tuple(map(str, ingest["exclude"])),
        error_budget=float(ingest["error_budget"]),
        slides=slides,
        excluded=read_excluded(paths),
        ingested=read_json(summary, "ingest") if summary.is_file() else {},
        tiled=tiled,
        warnings=tiled["warnings"],
        index=index,
        groups=groups,
        histogram=read_table(paths.histogram, HISTOGRAM, "attribute", numbers=True, record=groups),
        runs=tuple(runs),
        unread=unread,
        histories={
            run.name: read_table(
                paths.training(run.name) / "history.csv", HISTORY, "train", numbers=True, record=run.record
            )
            for run in runs
        },
    )
