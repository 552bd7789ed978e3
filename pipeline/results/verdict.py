"""Test figures of every run with patient-bootstrap intervals, and the candidate's paired differences."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from models.metrics.accuracy import patients_per_group
from models.metrics.intervals import (
    Interval,
    PatientStatistics,
    bootstrap,
    paired_difference,
    patient_statistics,
)
from pipeline.config import Context, Settings, load_cohort, load_yaml, merged, validated
from pipeline.report.evidence import GROUP_NAMES, Evidence, Run

N_GROUPS = len(GROUP_NAMES)
Reading = Literal["better", "worse", "open", "few", "unknown"]


class BootstrapSettings(Settings):
    """The evaluate stage's settings of intervals, so that the report says what metrics.json says."""

    minimum_patches: int
    minimum_patients: int
    draws: int
    level: float
    seed: int


def bootstrap_settings(context: Context) -> BootstrapSettings:
    """Those of the cohort's evaluation."""
    path = context.configs / "evaluate.yaml"
    content = merged(load_yaml(path), load_cohort(context.configs, context.cohort).evaluate)
    own = {name: content[name] for name in BootstrapSettings.model_fields if name in content}
    return validated(BootstrapSettings, own, str(path))


@dataclass(frozen=True)
class GroupFigures:
    """Accuracy of one test group; `worst` marks the lowest estimable one."""

    name: str
    count: int
    patients: int
    accuracy: Interval
    worst: bool


@dataclass(frozen=True)
class RunFigures:
    """Test metrics of one run."""

    run: Run
    statistics: PatientStatistics
    groups: tuple[GroupFigures, ...]
    wga: Interval
    gba: Interval
    average: Interval
    auroc: Interval

    @property
    def missing(self) -> tuple[GroupFigures, ...]:
        """Groups that are not estimable; WGA and GBA leave them out."""
        return tuple(group for group in self.groups if not estimable(group.accuracy))

    @property
    def worst_name(self) -> str:
        """Name of the group with the lowest accuracy."""
        return next((group.name for group in self.groups if group.worst), "no group")


@dataclass(frozen=True)
class Difference:
    """Candidate minus reference on the same draws of the same patients.

    Attributes:
        judged: whether enough test patients hold tumor, and enough hold patches without.
    """

    threshold: str
    reference: str
    judged: bool
    wga: Interval
    gba: Interval
    average: Interval

    @property
    def reading(self) -> Reading:
        """What the worst-group interval allows to say."""
        return reading_of(self.wga, judged=self.judged)


@dataclass(frozen=True)
class Comparison:
    """Figures of all runs in the report's order, and the candidate's differences."""

    figures: tuple[RunFigures, ...]
    differences: tuple[Difference, ...]

    def at(self, threshold: str) -> tuple[RunFigures, ...]:
        """Figures of the runs at one threshold."""
        return tuple(item for item in self.figures if item.run.threshold == threshold)


def estimable(interval: Interval) -> bool:
    """Whether there is a figure and an interval."""
    return all(math.isfinite(value) for value in (interval.estimate, interval.low, interval.high))


def reading_of(difference: Interval, *, judged: bool) -> Reading:
    """What the interval of a difference allows to say; `judged`: whether there are patients enough."""
    if not estimable(difference):
        return "unknown"
    if not judged:
        return "few"
    if not difference.excludes_zero:
        return "open"
    return "better" if difference.low > 0 else "worse"


def compare(
    evidence: Evidence,
    settings: BootstrapSettings,
    candidate: str,
    references: Sequence[str],
    minimum_test_patients: int,
) -> Comparison:
    """Test figures of every run, and candidate minus reference at every threshold.

    A difference is judged where at least `minimum_test_patients` hold patches of either label.
    """
    figures = {run.name: run_figures(run, settings) for run in evidence.runs}
    pairs = [
        (threshold, reference, evidence.run(candidate, threshold), evidence.run(reference, threshold))
        for threshold in evidence.thresholds
        for reference in references
    ]
    return Comparison(
        figures=tuple(figures.values()),
        differences=tuple(
            _difference(
                threshold, reference, figures[one.name], figures[other.name], settings, minimum_test_patients
            )
            for threshold, reference, one, other in pairs
            if one is not None and other is not None
        ),
    )


def run_figures(run: Run, settings: BootstrapSettings) -> RunFigures:
    """Metrics of the test split with intervals; groups under the minimum are NaN."""
    part = run.part("test")
    group_N, patient_N = part["group"].to_numpy(np.int64), part["patient_id"].to_numpy(str)
    statistics = patient_statistics(
        part["label"].to_numpy(np.int64),
        part["prediction"].to_numpy(np.int64),
        group_N,
        patient_N,
        N_GROUPS,
        probability=part["probability"].to_numpy(np.float64),
        minimum_patches=settings.minimum_patches,
        minimum_patients=settings.minimum_patients,
    )
    found = bootstrap(statistics, n_draws=settings.draws, level=settings.level, seed=settings.seed)
    patients_G = patients_per_group(group_N, N_GROUPS, patient_N)
    count_G = np.bincount(group_N, minlength=N_GROUPS)
    accuracy = [found[f"group_{g}"] for g in range(N_GROUPS)]
    groups = tuple(
        GroupFigures(
            name,
            int(count_G[g]),
            int(patients_G[g]),
            accuracy[g],
            accuracy[g].estimate == found["wga"].estimate,
        )
        for g, name in enumerate(GROUP_NAMES)
    )
    return RunFigures(run, statistics, groups, *(found[name] for name in ("wga", "gba", "average", "auroc")))


def _difference(
    threshold: str,
    reference: str,
    one: RunFigures,
    other: RunFigures,
    settings: BootstrapSettings,
    minimum_test_patients: int,
) -> Difference:
    found = paired_difference(
        one.statistics, other.statistics, n_draws=settings.draws, level=settings.level, seed=settings.seed
    )
    part = one.run.part("test")
    patients = [part.loc[part["label"] == label, "patient_id"].nunique() for label in (0, 1)]
    judged = min(patients) >= minimum_test_patients
    return Difference(threshold, reference, judged, found["wga"], found["gba"], found["average"])
