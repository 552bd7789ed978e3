"""The results table as text in cells: what every written form of it says, whatever its markup."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from models.metrics.intervals import Interval
from pipeline.results.figures import Contrast, Method, Section
from pipeline.results.verdict import Reading, estimable
from pipeline.training.layout import GIVEN

UNKNOWN = "not estimable"
MOST_GROUPS = 8
"""More groups are told in table.json alone."""
VERDICTS: dict[Reading, str] = {
    "better": "better",
    "worse": "worse",
    "open": "no difference shown",
    "few": "too few patients to judge",
    "unknown": UNKNOWN,
}
Kind = Literal["percent", "area", "slope"]
_SCALES: dict[Kind, tuple[float, int]] = {"percent": (100, 1), "area": (1, 3), "slope": (10, 1)}
"""Factor and digits; slopes are percentage points per 10 points more tissue."""


class Cell(NamedTuple):
    """Lines of a cell, the figure first; `strong` where a difference is told from 0."""

    lines: tuple[str, ...]
    strong: bool = False


@dataclass(frozen=True)
class Row:
    """A line of a table; `marked` for the candidate's own."""

    name: str
    cells: tuple[Cell, ...]
    marked: bool = False


@dataclass(frozen=True)
class Block:
    """One table. `head` has a title for the name and one for every cell; `short` has the terminal's."""

    caption: str
    explanation: str
    head: tuple[str, ...]
    short: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Chapter:
    """The tables of one section."""

    title: str
    lead: str
    blocks: tuple[Block, ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Page:
    """Everything to be written; `record` is the content of the JSON file."""

    cohort: str
    description: str
    chapters: tuple[Chapter, ...]
    notes: tuple[str, ...]
    record: Mapping[str, Any]
    version: str


def chapter_of(section: Section, candidate: Sequence[str]) -> Chapter:
    """The tables of a section: figures, differences, tissue fraction, groups.

    Args:
        candidate: names of the algorithms under test.
    """
    blocks = [_figures(section, candidate)]
    if section.contrasts:
        blocks.append(_differences(section))
    if section.bins is not None:
        blocks.append(_tissue(section, candidate))
    if section.layout.groups.n_groups <= MOST_GROUPS:
        blocks.append(_groups(section, candidate))
    what = "Attribute given" if section.threshold == GIVEN else f"Threshold “{section.threshold}”"
    kind = "one split" if section.source == "split" else "repeated cross-validation"
    return Chapter(
        title=f"{what}, {kind}",
        lead=_lead(section),
        blocks=tuple(blocks),
        remarks=(*section.absent, *_not_estimable(section), *section.remarks),
    )


def figure_cell(interval: Interval, kind: Kind, *, signed: bool = False, reading: Reading = "open") -> Cell:
    """Estimate, interval, and the spread over seeds where there is one; what it is read as, if certain."""
    if not estimable(interval):
        return Cell((UNKNOWN,))
    low, high = (number(value, kind, signed=signed) for value in (interval.low, interval.high))
    lines = [number(interval.estimate, kind, signed=signed), f"[{low}, {high}]"]
    if interval.spread == interval.spread:
        lines.append(f"± {number(interval.spread, kind)}")
    strong = reading in ("better", "worse")
    return Cell((*lines, *([VERDICTS[reading]] if strong else [])), strong)


def number(value: float, kind: Kind, *, signed: bool = False) -> str:
    """A figure in its unit, with a true minus sign.

    >>> number(0.8245, "percent"), number(-0.00001, "percent", signed=True), number(0.9, "area")
    ('82.5', '+0.0', '0.900')
    """
    factor, digits = _SCALES[kind]
    # Adding 0 makes the negative zero of a rounded figure positive.
    rounded = round(factor * value, digits) + 0.0
    return f"{rounded:{'+' if signed else ''}.{digits}f}".replace("-", "−")


def _kind(key: str) -> Kind:
    return "area" if key == "auroc" else "percent"


def _figures(section: Section, candidate: Sequence[str]) -> Block:
    seeds = "Seeds" if section.source == "split" else "Repeats"
    metrics = [metric for metric in section.metrics if metric.key != "worst_bin"]
    rows = [
        (
            Cell((str(len(method.pool.runs)),)),
            Cell((_trials(method),)),
            *(figure_cell(method.figures[metric.key], _kind(metric.key)) for metric in metrics),
        )
        for method in section.methods
    ]
    return Block(
        "Figures on the test patients.",
        "Accuracy in %, AUROC from 0 to 1.",
        ("Method", seeds, "Trials", *(metric.title for metric in metrics)),
        ("", seeds.lower(), "trials", *(metric.short for metric in metrics)),
        _rows(section, candidate, rows),
    )


def _rows(section: Section, candidate: Sequence[str], rows: Sequence[tuple[Cell, ...]]) -> tuple[Row, ...]:
    """A row for every method."""
    methods = zip(section.methods, rows, strict=True)
    return tuple(Row(one.name, cells, one.pool.algorithm in candidate) for one, cells in methods)


def _trials(method: Method) -> str:
    numbers = method.pool.trials
    return (
        "not recorded" if not numbers else "–".join(str(n) for n in dict.fromkeys((numbers[0], numbers[-1])))
    )


def _differences(section: Section) -> Block:
    return Block(
        "Paired differences.",
        "Percentage points; of the AUROC, its own units. Above 0, the first is better.",
        ("Difference", *(metric.title for metric in section.metrics), "By the worst group"),
        ("", *(metric.short for metric in section.metrics), "by WGA"),
        tuple(_difference(section, contrast) for contrast in section.contrasts),
    )


def _difference(section: Section, contrast: Contrast) -> Row:
    cells = [
        figure_cell(
            contrast.figures[metric.key],
            _kind(metric.key),
            signed=True,
            reading=contrast.readings[metric.key],
        )
        for metric in section.metrics
    ]
    reading = contrast.readings["wga"]
    verdict = Cell((VERDICTS[reading],), reading in ("better", "worse"))
    return Row(f"{contrast.candidate.name} − {contrast.reference.name}", (*cells, verdict))


def _tissue(section: Section, candidate: Sequence[str]) -> Block:
    titles = ("Worst tissue bin", "Where", *(f"Slope, {name}" for name in section.layout.classes))
    rows = [
        (
            figure_cell(method.figures["worst_bin"], "percent"),
            Cell((_place(section, method),)),
            *(figure_cell(slope, "slope", signed=True) for slope in method.slopes),
        )
        for method in section.methods
    ]
    return Block(
        "Along the tissue fraction, without a threshold.",
        "Worst bin: the lowest accuracy in a fifth of a class's patches, from least to most tissue. Slope: "
        "percentage points of accuracy per 10 points more tissue; near 0 where tissue area is not used.",
        ("Method", *titles),
        ("", *titles),
        _rows(section, candidate, rows),
    )


def _place(section: Section, method: Method) -> str:
    if method.worst_bin is None or section.bins is None:
        return UNKNOWN
    label, low, high = section.bins.places[method.worst_bin]
    return f"{section.layout.classes[label]}, {100 * low:.0f}–{100 * high:.0f} % tissue"


def _groups(section: Section, candidate: Sequence[str]) -> Block:
    counts = zip(section.layout.names, section.counts_G, strict=True)
    titles = [f"{name} ({count:,.0f})" for name, count in counts]
    rows = [tuple(figure_cell(group, "percent") for group in method.groups) for method in section.methods]
    return Block(
        "Every group.",
        "Accuracy in %; in parentheses the group's test patches. The intervals hold for all groups together "
        "(Bonferroni): WGA, a minimum, is biased down, and is read beside them.",
        ("Method", *titles),
        ("", *titles),
        _rows(section, candidate, rows),
    )


def _lead(section: Section) -> str:
    attribute = (
        "" if section.value is None else f" “Much tissue” is a tissue fraction above {section.value:.3g}."
    )
    each = " Every patient is tested once per repeat." if section.source == "study" else ""
    return f"{section.patients:,} test patients, {section.patches:,} test patches.{each}{attribute}"


def _not_estimable(section: Section) -> Iterator[str]:
    n_groups, left_out = section.layout.groups.n_groups, "not estimable, and left out of"
    counts = zip(section.layout.names, section.methods[0].groups, section.counts_G, strict=True)
    missing = [f"{name} ({count:g} patches)" for name, group, count in counts if not estimable(group)]
    if 0 < len(missing) <= MOST_GROUPS:
        yield f"{'; '.join(missing)}: {left_out} WGA and GBA."
    elif missing:
        yield f"{len(missing)} of {n_groups} groups: {left_out} WGA and GBA."
    bins = [estimable(each) for each in section.methods[0].bins]
    if not all(bins):
        yield f"{bins.count(False)} of {len(bins)} tissue bins: {left_out} the worst one."
    if n_groups > MOST_GROUPS:
        yield f"The figures of all {n_groups} groups are in table.json."
    if section.layout.groups.n_classes == 2 and all(metric.key != "auroc" for metric in section.metrics):
        yield "The AUROC is left out: no probabilities, or too many patients for the table of their pairs."
