"""Does the candidate beat its references in the worst group? In words, with paired intervals."""

from collections.abc import Mapping
from typing import Any

from pipeline.look import plots as drawing
from pipeline.report.sources import Sources
from pipeline.results.answers import answer, why
from pipeline.results.figures import WITHIN, Contrast
from pipeline.results.verdict import READINGS, SURE, estimable
from pipeline.tables.differences import beside_block

_FEW_PATIENTS = 10


def values(sources: Sources) -> Mapping[str, Any]:
    """One statement per threshold, and every difference with its interval."""
    boards = list(sources.boards.values())
    patients = sources.evidence.test_patients
    drawable = [
        (board.threshold, contrast)
        for board in boards
        for contrast in board.contrasts
        if estimable(contrast.figures["wga"])
    ]
    return {
        "candidate": sources.named(sources.settings.candidate),
        "statements": [
            {"board": board, "answer": answer(board, sources.terms), "why": why(board, sources.terms)}
            for board in boards
        ],
        "primary": sources.terms.judging.primary,
        "primary_is_there": any(contrast.primary for board in boards for contrast in board.contrasts),
        "within": WITHIN,
        "readings": READINGS,
        "forest": drawing.svg_uri(_forest(sources, drawable)) if drawable else None,
        "judged": all(board.judged for board in boards if board.contrasts),
        "beside": [(board, beside_block(board)) for board in boards if board.beside],
        "few_patients": patients if patients < _FEW_PATIENTS else None,
    }


def _forest(sources: Sources, differences: list[tuple[str, Contrast]]) -> bytes:
    """Differences of worst-group accuracy with their intervals, one row each, 0 marked."""
    candidate = sources.settings.candidate
    labels = [_label(contrast, threshold, candidate) for threshold, contrast in differences]
    with drawing.canvas(7.4, 0.75 + 0.34 * len(differences)) as (figure, grid):
        axes = grid[0, 0]
        for row, (_, contrast) in enumerate(differences):
            wga, sure = contrast.figures["wga"], contrast.verdict in SURE
            tone = drawing.ACCENT if sure else drawing.MUTED
            axes.plot([100 * wga.low, 100 * wga.high], [row, row], color=tone, linewidth=2)
            axes.plot(100 * wga.estimate, row, "o", color=tone, markerfacecolor=tone if sure else "white")
        axes.axvline(0, color=drawing.INK, linewidth=1)
        axes.set_yticks(range(len(labels)), labels)
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("difference of worst-group accuracy, percentage points")
        return drawing.svg(figure, "forest")


def _label(contrast: Contrast, threshold: str, candidate: str) -> str:
    """The reference alone, but where another than the candidate is compared with it."""
    whose = "" if contrast.candidate.algorithm == candidate else f"{contrast.candidate.name} "
    return f"{whose}− {contrast.reference.name}, {threshold}"
