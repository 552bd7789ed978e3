"""A scoreboard as text in cells: what every written form of it says, whatever its markup."""

from collections.abc import Iterator, Sequence
from typing import Literal

from models.metrics.along_attribute import sizes_of
from models.metrics.intervals import Interval
from pipeline.files import NOT_ESTIMABLE
from pipeline.results.figures import Contrast, Method, Scoreboard
from pipeline.results.terms import Terms
from pipeline.results.verdict import READINGS, SURE, Reading, estimable
from pipeline.tables.blocks import Block, Cell, Chapter, Row
from pipeline.training.layout import GIVEN

MOST_GROUPS = 8
"""More groups are told in table.json alone."""
Kind = Literal["percent", "area", "slope"]
_SCALES: dict[Kind, tuple[float, int]] = {"percent": (100, 1), "area": (1, 3), "slope": (10, 1)}
"""Factor and digits; slopes are percentage points per 10 points more tissue."""


def chapter_of(board: Scoreboard, terms: Terms) -> Chapter:
    """The tables of a scoreboard: figures, differences, tissue fraction, groups."""
    blocks = [_figures(board, terms)]
    if board.contrasts:
        blocks.append(_differences(board))
    if board.bins is not None:
        blocks.append(_tissue(board, terms))
    if len(board.sizes) <= MOST_GROUPS:
        blocks.append(_groups(board, terms))
    what = "Attribute given" if board.threshold == GIVEN else f"Threshold “{board.threshold}”"
    kind = "one split" if board.source == "split" else "repeated cross-validation"
    return Chapter(
        title=f"{what}, {kind}",
        lead=_lead(board),
        blocks=tuple(blocks),
        remarks=(*board.absent, *_not_estimable(board), *board.remarks),
    )


def figure_cell(interval: Interval, kind: Kind, *, signed: bool = False, reading: Reading = "open") -> Cell:
    """Estimate, interval, and the spread over seeds where there is one; what it is read as, if certain."""
    if not estimable(interval):
        return Cell((NOT_ESTIMABLE,))
    low, high = (number(value, kind, signed=signed) for value in (interval.low, interval.high))
    lines = [number(interval.estimate, kind, signed=signed), f"[{low}, {high}]"]
    if interval.spread == interval.spread:
        lines.append(f"± {number(interval.spread, kind)}")
    strong = reading in SURE
    return Cell((*lines, *([READINGS[reading]] if strong else [])), strong)


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


def _figures(board: Scoreboard, terms: Terms) -> Block:
    seeds = "Seeds" if board.source == "split" else "Repeats"
    metrics = [metric for metric in board.metrics if metric.key != "worst_bin"]
    rows = [
        (
            Cell((str(len(method.pool.runs)),)),
            Cell((_trials(method),)),
            *(figure_cell(method.figures[metric.key], _kind(metric.key)) for metric in metrics),
        )
        for method in board.methods
    ]
    return Block(
        "Figures on the test patients.",
        "Accuracy in %, AUROC from 0 to 1.",
        ("Method", seeds, "Trials", *(metric.title for metric in metrics)),
        ("", seeds.lower(), "trials", *(metric.short for metric in metrics)),
        _rows(board, terms, rows),
    )


def _rows(board: Scoreboard, terms: Terms, rows: Sequence[tuple[Cell, ...]]) -> tuple[Row, ...]:
    """A row for every method."""
    methods = zip(board.methods, rows, strict=True)
    return tuple(Row(one.name, cells, terms.is_candidate(one.algorithm)) for one, cells in methods)


def _trials(method: Method) -> str:
    numbers = method.pool.trials
    return (
        "not recorded" if not numbers else "–".join(str(n) for n in dict.fromkeys((numbers[0], numbers[-1])))
    )


def _differences(board: Scoreboard) -> Block:
    return Block(
        "Paired differences.",
        "Percentage points; of the AUROC, its own units. Above 0, the first is better.",
        ("Difference", *(metric.title for metric in board.metrics), "By the worst group"),
        ("", *(metric.short for metric in board.metrics), "by WGA"),
        tuple(_difference(board, contrast) for contrast in board.contrasts),
    )


def _difference(board: Scoreboard, contrast: Contrast) -> Row:
    cells = [
        figure_cell(
            contrast.figures[metric.key],
            _kind(metric.key),
            signed=True,
            reading=contrast.readings[metric.key],
        )
        for metric in board.metrics
    ]
    reading = contrast.readings["wga"]
    verdict = Cell((READINGS[reading],), reading in SURE)
    return Row(f"{contrast.candidate.name} − {contrast.reference.name}", (*cells, verdict))


def _tissue(board: Scoreboard, terms: Terms) -> Block:
    titles = ("Worst tissue bin", "Where", *(f"Slope, {name}" for name in board.layout.classes))
    rows = [
        (
            figure_cell(method.figures["worst_bin"], "percent"),
            Cell((_place(board, method),)),
            *(figure_cell(slope, "slope", signed=True) for slope in method.slopes),
        )
        for method in board.methods
    ]
    return Block(
        "Along the tissue fraction, without a threshold.",
        "Worst bin: the lowest accuracy of a class in a tenth of the range of tissue, 0–10 %, 10–20 % and so "
        "on, the same for all; a minimum, it is biased down. Slope: percentage points of accuracy per 10 "
        "points more tissue; near 0 where tissue area is not used.",
        ("Method", *titles),
        ("", *titles),
        _rows(board, terms, rows),
    )


def _place(board: Scoreboard, method: Method) -> str:
    if method.worst_bin is None or board.bins is None:
        return NOT_ESTIMABLE
    label, low, high = board.bins.places[method.worst_bin]
    patches_B, patients_B = sizes_of(method.statistics["bins"])
    stands_on = f"{patches_B[method.worst_bin]:,.0f} patches, {patients_B[method.worst_bin]:,} patients"
    return f"{board.layout.classes[label]}, {100 * low:.0f}–{100 * high:.0f} % tissue ({stands_on})"


def _groups(board: Scoreboard, terms: Terms) -> Block:
    titles = [f"{size.name} ({size.patches:,.0f})" for size in board.sizes]
    rows = [tuple(figure_cell(group, "percent") for group in method.groups) for method in board.methods]
    return Block(
        "Every group.",
        "Accuracy in %; in parentheses the group's test patches. The intervals hold for all groups together "
        "(Bonferroni): WGA, a minimum, is biased down, and is read beside them.",
        ("Method", *titles),
        ("", *titles),
        _rows(board, terms, rows),
    )


def _lead(board: Scoreboard) -> str:
    attribute = "" if board.value is None else f" “Much tissue” is a tissue fraction above {board.value:.3g}."
    each = " Every patient is tested once per repeat." if board.source == "study" else ""
    return f"{board.patients:,} test patients, {board.patches:,} test patches.{each}{attribute}"


def _not_estimable(board: Scoreboard) -> Iterator[str]:
    n_groups, left_out = len(board.sizes), f"{NOT_ESTIMABLE}, and left out of"
    missing = [f"{size.name} ({size.patches:g} patches)" for size in board.missing]
    if 0 < len(missing) <= MOST_GROUPS:
        yield f"{'; '.join(missing)}: {left_out} WGA and GBA."
    elif missing:
        yield f"{len(missing)} of {n_groups} groups: {left_out} WGA and GBA."
    bins = [estimable(each) for each in board.methods[0].bins]
    if not all(bins):
        yield f"{bins.count(False)} of {len(bins)} tissue bins: {left_out} the worst one."
    if n_groups > MOST_GROUPS:
        yield f"The figures of all {n_groups} groups are in table.json."
    if board.layout.groups.n_classes == 2 and all(metric.key != "auroc" for metric in board.metrics):
        yield "The AUROC is left out: the predictions hold no probabilities."
