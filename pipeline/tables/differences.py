"""Paired differences of a scoreboard as tables: the worst group is judged, the rest is exploratory."""

from collections.abc import Sequence

from models.metrics.intervals import Interval
from pipeline.results.figures import FAMILY, RANKING, Contrast, Metric, Scoreboard
from pipeline.results.verdict import READINGS, SURE
from pipeline.tables.blocks import Block, Cell, Row
from pipeline.tables.numbers import figure_cell, kind_of

MOST_STRATA = 4
"""Differences within more attribute values are told in table.json alone."""


def difference_blocks(board: Scoreboard) -> list[Block]:
    """Differences of the worst group with their verdicts, and those of all other figures, in a table each."""
    exploratory = [metric for metric in board.metrics if metric.key != FAMILY]
    accuracies = [metric for metric in exploratory if metric.key not in RANKING]
    ranking = [metric for metric in exploratory if metric.key in RANKING]
    return [_judged(board), _accuracies(board, accuracies), *([_ranking(board, ranking)] if ranking else [])]


def beside_block(board: Scoreboard) -> Block:
    """Candidates minus the reference as further rules decide it; a scoreboard may have none."""
    others = [metric for metric in board.metrics if metric.key != FAMILY]
    accuracies = [metric for metric in others if metric.key not in RANKING]
    worst = next(metric for metric in board.metrics if metric.key == FAMILY)
    return Block(
        "Exploratory: against the reference as other rules decide it.",
        "Percentage points; above 0, the first is better. Each is read by itself: they are no part of the "
        "corrected family, and nothing is concluded from them.",
        ("Difference", worst.title, "By itself", *(metric.title for metric in accuracies)),
        ("", worst.short, "by itself", *(metric.short for metric in accuracies)),
        tuple(_row(each, [_wga(each), _by_itself(each), *_cells(each, accuracies)]) for each in board.beside),
    )


def _judged(board: Scoreboard) -> Block:
    metric = next(metric for metric in board.metrics if metric.key == FAMILY)
    return Block(
        "Paired differences of the worst group.",
        "Percentage points; above 0, the first is better. The primary comparison was fixed before the run, "
        "and its verdict is its reading by itself. Every other verdict is corrected (Holm) for "
        f"{board.family} differences: all that are read here of the worst group, at every threshold, but "
        f"the primary one{' and exploratory ones' if board.beside else ''}.",
        ("Difference", metric.title, "By itself", "Verdict"),
        ("", metric.short, "by itself", "verdict"),
        (
            *(_row(each, [_wga(each), _by_itself(each), _verdict(each)]) for each in board.contrasts),
            *(_row(each, [_wga(each), _by_itself(each), Cell(("exploratory",))]) for each in board.beside),
        ),
    )


def _wga(contrast: Contrast) -> Cell:
    return figure_cell(contrast.figures[FAMILY], "percent", signed=True)


def _by_itself(contrast: Contrast) -> Cell:
    return Cell((READINGS[contrast.readings[FAMILY]],))


def _verdict(contrast: Contrast) -> Cell:
    words = (READINGS[contrast.verdict], *(["primary"] if contrast.primary else []))
    return Cell(words, contrast.verdict in SURE)


def _accuracies(board: Scoreboard, metrics: Sequence[Metric]) -> Block:
    return Block(
        "Exploratory: paired differences of other accuracies.",
        "Percentage points; above 0, the first is better. Not corrected for their number; nothing is "
        "concluded from them.",
        ("Difference", *(metric.title for metric in metrics)),
        ("", *(metric.short for metric in metrics)),
        tuple(_row(each, _cells(each, metrics)) for each in (*board.contrasts, *board.beside)),
    )


def _ranking(board: Scoreboard, metrics: Sequence[Metric]) -> Block:
    strata = board.told.attributes if len(board.told.attributes) <= MOST_STRATA else ()
    return Block(
        "Exploratory: paired differences of the AUROC.",
        "In its own units; above 0, the first ranks better. Within strata of the attribute no moved "
        "threshold changes it. Not corrected for their number.",
        ("Difference", *(metric.title for metric in metrics), *strata),
        ("", *(metric.short for metric in metrics), *strata),
        tuple(
            _row(each, [*_cells(each, metrics), *map(_area, each.strata[: len(strata)])])
            for each in (*board.contrasts, *board.beside)
        ),
    )


def _cells(contrast: Contrast, metrics: Sequence[Metric]) -> list[Cell]:
    return [figure_cell(contrast.figures[each.key], kind_of(each), signed=True) for each in metrics]


def _area(interval: Interval) -> Cell:
    return figure_cell(interval, "area", signed=True)


def _row(contrast: Contrast, cells: Sequence[Cell]) -> Row:
    return Row(f"{contrast.candidate.name} − {contrast.reference.name}", tuple(cells))
