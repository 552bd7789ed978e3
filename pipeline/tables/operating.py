"""The table of probabilities and verdicts: Brier score, calibration error, sensitivity, specificity."""

from collections.abc import Iterator
from typing import Any

from pipeline.files import NOT_ESTIMABLE
from pipeline.results.figures import Method, Scoreboard
from pipeline.results.profiles.operating import Operating, operating_record
from pipeline.results.terms import Terms
from pipeline.results.tested import Source
from pipeline.tables.blocks import Block, Cell, Row
from pipeline.tables.cells import MOST_GROUPS
from pipeline.tables.numbers import figure_cell, number

_TITLES = ("Brier score", "Calibration error (ECE)", "Sensitivity", "Specificity")
_SHORT = ("Brier", "ECE", "sensitivity", "specificity")
_ALL = "all patches"
_CALIBRATED: dict[Source, str] = {
    "split": "Probabilities of a rule are calibrated on validation patients with groups of equal weight, "
    "plain ones with patients of equal weight, or not, as the model’s card says.",
    "study": "Probabilities of a rule are calibrated on validation patients; plain ones are the networks’ "
    "own.",
}
"""Why Brier score and calibration error of a method and of the same one decided by a rule differ."""


def operating_blocks(board: Scoreboard, terms: Terms) -> Iterator[Block]:
    """One table where there are two classes with probabilities: a row for every method and part."""
    rows = tuple(
        Row(f"{method.name}, {_part(board, each)}", _cells(each), terms.is_candidate(method.algorithm))
        for method in board.methods
        for each in method.operating
        if each.attribute is None or len(board.sizes) <= MOST_GROUPS
    )
    if rows:
        yield Block(
            "Probabilities and verdicts.",
            "Brier score and calibration error from 0 to 1, the lower the better; below the error, about "
            "what chance alone would make of it, more where patches of one patient are alike. Sensitivity "
            "and specificity in %, of the verdicts as told. Intervals of attribute values hold together. "
            + _CALIBRATED[board.source],
            ("Method", *_TITLES),
            ("", *_SHORT),
            rows,
        )


def operating_content(board: Scoreboard, method: Method) -> dict[str, Any]:
    """The same for JSON, unrounded, by part."""
    return {_part(board, each): operating_record(each) for each in method.operating}


def _part(board: Scoreboard, operating: Operating) -> str:
    return _ALL if operating.attribute is None else board.layout.attributes[operating.attribute]


def _cells(operating: Operating) -> tuple[Cell, ...]:
    return (
        figure_cell(operating.brier, "area"),
        _error(operating),
        figure_cell(operating.sensitivity, "percent"),
        figure_cell(operating.specificity, "percent"),
    )


def _error(operating: Operating) -> Cell:
    error, by_chance = operating.calibration
    if error != error:
        return Cell((NOT_ESTIMABLE,))
    return Cell((number(error, "area"), f"({number(by_chance, 'area')} by chance)"))
