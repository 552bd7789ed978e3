"""What the results table says: methods side by side, sections that never mix thresholds."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.metrics.along_attribute import AttributeBins
from models.metrics.intervals import Interval, PatientSums
from pipeline.results.predictions import Source
from pipeline.results.seeds import Pool
from pipeline.results.verdict import BootstrapSettings, Reading
from pipeline.training.layout import NamedLayout

ALWAYS = ("group_resampling", "class_balanced")
"""The candidate minus these is told in every table: most of a gain may be that of balancing."""


@dataclass(frozen=True)
class Metric:
    """A column: the figure `figure` of the statistics `table` (pipeline.results.seeds.statistics_of).

    `short` is the title in a terminal.
    """

    key: str
    title: str
    short: str
    table: Literal["groups", "classes", "bins"]
    figure: str


METRICS = (
    Metric("wga", "Worst group (WGA)", "WGA", "groups", "wga"),
    Metric("gba", "Group-balanced (GBA)", "GBA", "groups", "gba"),
    Metric("average", "Average", "average", "groups", "average"),
    Metric("worst_class", "Worst class", "worst class", "classes", "wga"),
    Metric("auroc", "AUROC", "AUROC", "groups", "auroc"),
    Metric("worst_bin", "Worst tissue bin", "worst tissue bin", "bins", "wga"),
)


@dataclass(frozen=True)
class TableSettings:
    """What decides the tables, besides the predictions.

    Attributes:
        bootstrap: draws, level and minimums, for each source of predictions.
        names: algorithms in the table's order, with the name to print.
        candidate: the algorithm under test, with its variants `<candidate>_...`.
        minimum_test_patients: no difference is called better or worse where fewer hold patches of a class.
        thresholds: value of the tissue fraction by the threshold's name, in order; may be incomplete.
        layouts: names of classes and attribute values by the threshold's name; may be incomplete.
    """

    bootstrap: Mapping[Source, BootstrapSettings]
    names: Mapping[str, str]
    candidate: str
    minimum_test_patients: int
    thresholds: Mapping[str, float]
    layouts: Mapping[str, NamedLayout]

    def named(self, algorithm: str) -> str:
        """The name of an algorithm to print."""
        return self.names.get(algorithm, algorithm.replace("_", " "))

    def is_candidate(self, algorithm: str) -> bool:
        return algorithm == self.candidate or algorithm.startswith(f"{self.candidate}_")


@dataclass(frozen=True)
class Method:
    """Figures of one algorithm, means over its seeds.

    Attributes:
        figures: by the metric's key.
        groups, bins, slopes: by group, bin and label; the last two are empty without a tissue fraction.
    """

    pool: Pool
    name: str
    statistics: Mapping[str, PatientSums]
    figures: Mapping[str, Interval]
    groups: tuple[Interval, ...]
    bins: tuple[Interval, ...]
    slopes: tuple[Interval, ...]

    @property
    def worst_bin(self) -> int | None:
        """Number of the bin of the lowest mean accuracy, where one is estimable."""
        estimates = [each.estimate for each in self.bins]
        return int(np.nanargmin(estimates)) if any(map(math.isfinite, estimates)) else None


@dataclass(frozen=True)
class Contrast:
    """Candidate minus reference on the same draws of the same patients; readings by the metric's key."""

    candidate: Method
    reference: Method
    figures: Mapping[str, Interval]
    readings: Mapping[str, Reading]


@dataclass(frozen=True)
class Section:
    """All methods at one threshold of one source of predictions: figures of the same groups.

    Attributes:
        metrics: the columns.
        patients_K: test patients with patches of each class.
        counts_G: test patches of every group, a mean over the repeats of a study.
        absent: ALWAYS-told differences that the runs do not hold, in words.
        remarks: what a reader must know of these figures.
    """

    source: Source
    threshold: str
    value: float | None
    settings: BootstrapSettings
    layout: NamedLayout
    metrics: tuple[Metric, ...]
    patches: int
    patients: int
    patients_K: tuple[int, ...]
    counts_G: NDArray[np.float64]
    bins: AttributeBins | None
    methods: tuple[Method, ...]
    contrasts: tuple[Contrast, ...]
    absent: tuple[str, ...]
    remarks: tuple[str, ...]
