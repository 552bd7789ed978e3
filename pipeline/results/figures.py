"""Methods side by side: figures with intervals over patients, and paired differences."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

from models.metrics.along_attribute import AttributeBins
from models.metrics.intervals import FEW_PATIENTS, Interval, PatientSums
from pipeline.results.bootstrap import BootstrapSettings
from pipeline.results.profiles.operating import Operating
from pipeline.results.seeds import Pool
from pipeline.results.tested import Source
from pipeline.results.verdict import Reading
from pipeline.training.layout import GIVEN, NamedLayout

ALWAYS = ("group_resampling", "class_balanced")
"""The candidate minus these, and minus the control (pipeline.results.terms), is told in every table: most of
a gain may be that of balancing, or of a moved threshold."""


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


FAMILY = "wga"
"""The metric whose differences are judged, with a correction for their number; all others are exploratory."""
WITHIN = "auroc_within"
"""The metric that tells a better representation from a moved threshold: AUROC where tissue is alike."""
RANKING = ("auroc", WITHIN)
"""Metrics that no threshold moves: areas, not shares of patches."""
METRICS = (
    Metric("wga", "Worst group (WGA)", "WGA", "groups", "wga"),
    Metric("wga_cross_fitted", "WGA, cross-fitted", "WGA cross-fitted", "groups", "wga_cross_fitted"),
    Metric("gba", "Group-balanced (GBA)", "GBA", "groups", "gba"),
    Metric("average", "Average", "average", "groups", "average"),
    Metric("worst_class", "Worst class", "worst class", "classes", "wga"),
    Metric("auroc", "AUROC", "AUROC", "groups", "auroc"),
    Metric(WITHIN, "AUROC within strata", "AUROC within strata", "groups", "auroc_within"),
    Metric("worst_bin", "Worst tissue bin", "worst tissue bin", "bins", "wga"),
)


@dataclass(frozen=True)
class Method:
    """Figures of one algorithm, means over its seeds.

    Attributes:
        figures: by the metric's key.
        groups, bins, slopes: by group, bin and label; the last two are empty without a tissue fraction.
        strata: AUROC within each attribute value; empty where the AUROC is not told.
        operating: of all patches and of each attribute value; empty without probabilities of two classes.
    """

    pool: Pool
    name: str
    statistics: Mapping[str, PatientSums]
    figures: Mapping[str, Interval]
    groups: tuple[Interval, ...]
    bins: tuple[Interval, ...]
    slopes: tuple[Interval, ...]
    strata: tuple[Interval, ...]
    operating: tuple[Operating, ...]

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
        figures: by the metric's key.
        readings: what each of these allows to say by itself.
        groups, strata: by group, and AUROC by attribute value.
        primary: whether it is the one comparison that was fixed before the run.
        verdict: what may be said of the worst group: of the primary its reading, of any other what is left
            of it beside all others (pipeline.results.contrasts).
        sums: of both over the groups, of the repeats that both have.
    """

    candidate: Method
    reference: Method
    figures: Mapping[str, Interval]
    groups: tuple[Interval, ...]
    strata: tuple[Interval, ...]
    readings: Mapping[str, Reading]
    primary: bool
    verdict: Reading
    sums: tuple[PatientSums, PatientSums]


class GroupSize(NamedTuple):
    """How much stands behind a group's figures.

    Attributes:
        title: the name with the threshold's value.
        patches: test patches, a mean over the repeats of a study.
        patients: that hold some of them.
        estimable: whether that is enough; WGA and GBA leave the others out.
    """

    name: str
    title: str
    patches: float
    patients: int
    estimable: bool


@dataclass(frozen=True)
class Scoreboard:
    """All methods at one threshold of one source of predictions: figures of the same groups.

    Attributes:
        above: lowest and highest tissue fraction above which the attribute is 1: of a study, over its folds;
            none where that is not known, or the attribute is not made of tissue.
        metrics: the columns.
        patients_K: test patients with patches of each class.
        judged: whether these are enough to call a difference better or worse.
        sizes: of the test groups, in the order of their numbers.
        contrasts: differences with a verdict, the primary one and the family.
        beside: differences without one: to the primary reference as other rules than the control decide it.
        family: how many differences the verdicts of this source of predictions are corrected for.
        absent: ALWAYS-told differences that the runs do not hold, in words.
        remarks: what a reader must know of these figures.
    """

    source: Source
    threshold: str
    above: tuple[float, float] | None
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
    beside: tuple[Contrast, ...]
    family: int
    absent: tuple[str, ...]
    remarks: tuple[str, ...]

    @cached_property
    def missing(self) -> tuple[GroupSize, ...]:
        """Groups that WGA and GBA leave out."""
        return tuple(size for size in self.sizes if not size.estimable)

    @property
    def few(self) -> tuple[GroupSize, ...]:
        """Groups that are estimable, from too few patients to lean on their intervals."""
        return tuple(size for size in self.sizes if size.estimable and size.patients < FEW_PATIENTS)

    @property
    def value(self) -> float | None:
        """The threshold on the tissue fraction, where it is one."""
        return self.above[0] if self.above and self.above[0] == self.above[1] else None

    @property
    def told(self) -> NamedLayout:
        """The layout with the threshold's value in the attribute's names, which say little without it."""
        if self.above is None:
            return self.layout
        little, much = self.layout.attributes
        names = (f"{little} (up to {self.told_value})", f"{much} (above {self.told_value})")
        return replace(self.layout, attributes=names)

    @property
    def told_value(self) -> str:
        """The threshold's value for tables: of a study, the range over its folds; empty without one."""
        values = dict.fromkeys(f"{value:.3g}" for value in self.above or ())
        return "–".join(values)

    @property
    def told_threshold(self) -> str:
        """The threshold's name with its value."""
        if self.threshold == GIVEN:
            return "Attribute given"
        value = f" (tissue fraction {self.told_value})" if self.above else ""
        return f"Threshold “{self.threshold}”{value}"

    @property
    def single(self) -> bool:
        """Whether no method has more than one seed, or repeat."""
        return all(len(method.pool.runs) == 1 for method in self.methods)


def _lowest(intervals: tuple[Interval, ...]) -> tuple[int, ...]:
    estimates = [each.estimate for each in intervals]
    lowest = np.nanmin(estimates) if any(map(math.isfinite, estimates)) else None
    return tuple(place for place, estimate in enumerate(estimates) if estimate == lowest)
