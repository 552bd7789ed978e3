"""A scoreboard as text in cells: what every written form of it says, whatever its markup."""

from collections.abc import Iterator, Sequence

from models.metrics.along_attribute import sizes_of
from pipeline.files import NOT_ESTIMABLE
from pipeline.results.answers import answer, why
from pipeline.results.figures import RANKING, Method, Scoreboard
from pipeline.results.terms import Terms
from pipeline.results.verdict import estimable
from pipeline.tables.blocks import Block, Cell, Chapter, Row
from pipeline.tables.differences import MOST_STRATA, difference_blocks
from pipeline.tables.numbers import figure_cell, kind_of

MOST_GROUPS = 8
"""More groups are told in table.json alone."""


def chapter_of(board: Scoreboard, terms: Terms) -> Chapter:
    """The tables of a scoreboard: figures, ranking, differences, tissue fraction, groups."""
    blocks = [_figures(board, terms)]
    if board.methods[0].strata:
        blocks.append(ranking_block(board, terms))
    if board.contrasts:
        blocks += difference_blocks(board)
    if board.bins is not None:
        blocks.append(_tissue(board, terms))
    if len(board.sizes) <= MOST_GROUPS:
        blocks.append(_groups(board, terms))
    kind = "one split" if board.source == "split" else "repeated cross-validation"
    return Chapter(
        title=f"{board.told_threshold}, {kind}",
        lead=_lead(board),
        statements=tuple(filter(None, (answer(board, terms), why(board, terms)))),
        blocks=tuple(blocks),
        remarks=(*board.absent, *_not_estimable(board), *board.remarks),
    )


def _figures(board: Scoreboard, terms: Terms) -> Block:
    seeds = "Seeds" if board.source == "split" else "Repeats"
    metrics = [metric for metric in board.metrics if metric.key not in (*RANKING, "worst_bin")]
    rows = [
        (
            Cell((str(len(method.pool.runs)),)),
            Cell((_trials(method),)),
            *(figure_cell(method.figures[metric.key], kind_of(metric)) for metric in metrics),
        )
        for method in board.methods
    ]
    return Block(
        "Figures on the test patients.",
        "Accuracy in %.",
        ("Method", seeds, "Trials", *(metric.title for metric in metrics)),
        ("", seeds.lower(), "trials", *(metric.short for metric in metrics)),
        _rows(board, terms, rows),
    )


def ranking_block(board: Scoreboard, terms: Terms) -> Block:
    """AUROC over all patches, and within strata of the attribute; of a scoreboard that has it."""
    metrics = [metric for metric in board.metrics if metric.key in RANKING]
    strata = board.told.attributes if len(board.told.attributes) <= MOST_STRATA else ()
    rows = [
        tuple(
            figure_cell(figure, "area")
            for figure in (
                *(method.figures[metric.key] for metric in metrics),
                *method.strata[: len(strata)],
            )
        )
        for method in board.methods
    ]
    return Block(
        "Ranking: AUROC from 0 to 1.",
        "Over all patches, and within strata of the attribute (their mean, and each). There a moved "
        "threshold changes nothing, one for each attribute value neither; a decision by tissue changes no "
        "more than what the tissue inside a stratum says."
        + (" Only patches of one fold, which one network scored, are paired." * (board.source == "study")),
        ("Method", *(metric.title for metric in metrics), *strata),
        ("", *(metric.short for metric in metrics), *strata),
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
    titles = [f"{size.title}, {size.patches:,.0f} patches" for size in board.sizes]
    rows = [tuple(figure_cell(group, "percent") for group in method.groups) for method in board.methods]
    return Block(
        "Every group.",
        "Accuracy in %. The intervals hold for all groups together (Bonferroni): WGA, a minimum, is biased "
        "down, and is read beside them.",
        ("Method", *titles),
        ("", *titles),
        _rows(board, terms, rows),
    )


def _lead(board: Scoreboard) -> str:
    each = " Each is tested once per repeat." if board.source == "study" else ""
    own = "" if board.value is not None else "; every fold has its own value, from its training patients"
    attribute = f" “Much tissue” is a tissue fraction above {board.told_value}{own}." if board.above else ""
    return f"{board.patients:,} test patients, {board.patches:,} test patches.{each}{attribute}"


def _not_estimable(board: Scoreboard) -> Iterator[str]:
    n_groups, left_out = len(board.sizes), f"{NOT_ESTIMABLE}, and left out of"
    missing = [f"{size.title} ({size.patches:g} patches)" for size in board.missing]
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
