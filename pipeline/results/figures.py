"""Methods side by side: figures with intervals over patients, and paired differences."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

from models.metrics.along_attribute import AttributeBins
from models.metrics.intervals import Interval, PatientSums
from pipeline.results.bootstrap import BootstrapSettings
from pipeline.results.seeds import Pool
from pipeline.results.tested import Source
from pipeline.results.verdict import Reading
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
    def algorithm(self) -> str:
        return self.pool.algorithm

    @property
    def worst_groups(self) -> tuple[int, ...]:
        """Numbers of the groups of the lowest mean accuracy, where one is estimable."""
        return _lowest(self.groups)

    @property
    def worst_bin(self) -> int | None:
        """Number of the bin of the lowest mean accuracy, where one is estimable."""
        return next(iter(_lowest(self.bins)), None)


@dataclass(frozen=True)
class Contrast:
    """Candidate minus reference on the same draws of the same patients.

    Attributes:
        figures, readings: by the metric's key.
        groups: by group.
    """

    candidate: Method
    reference: Method
    figures: Mapping[str, Interval]
    groups: tuple[Interval, ...]
    readings: Mapping[str, Reading]


class GroupSize(NamedTuple):
    """How much stands behind a group's figures.

    Attributes:
        patches: test patches, a mean over the repeats of a study.
        patients: that hold some of them.
        estimable: whether that is enough; WGA and GBA leave the others out.
    """

    name: str
    patches: float
    patients: int
    estimable: bool


@dataclass(frozen=True)
class Scoreboard:
    """All methods at one threshold of one source of predictions: figures of the same groups.

    Attributes:
        metrics: the columns.
        patients_K: test patients with patches of each class.
        judged: whether these are enough to call a difference better or worse.
        sizes: of the test groups, in the order of their numbers.
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
    judged: bool
    sizes: tuple[GroupSize, ...]
    bins: AttributeBins | None
    methods: tuple[Method, ...]
    contrasts: tuple[Contrast, ...]
    absent: tuple[str, ...]
    remarks: tuple[str, ...]

    @cached_property
    def missing(self) -> tuple[GroupSize, ...]:
        """Groups that WGA and GBA leave out."""
        return tuple(size for size in self.sizes if not size.estimable)

    @property
    def single(self) -> bool:
        """Whether no method has more than one seed, or repeat."""
        return all(len(method.pool.runs) == 1 for method in self.methods)


def _lowest(intervals: tuple[Interval, ...]) -> tuple[int, ...]:
    estimates = [each.estimate for each in intervals]
    lowest = np.nanmin(estimates) if any(map(math.isfinite, estimates)) else None
    return tuple(place for place, estimate in enumerate(estimates) if estimate == lowest)
