"""Does the candidate beat its references in the worst group? In words, with paired intervals."""

from collections.abc import Mapping
from typing import Any

from pipeline.look import plots as drawing
from pipeline.report.sources import Sources
from pipeline.results.figures import Contrast, Scoreboard
from pipeline.results.verdict import READINGS, SURE, Reading, estimable

_PHRASES: dict[Reading, str] = {
    "better": "better than {}",
    "worse": "worse than {}",
    "open": "not shown to differ from {}",
    "unknown": f"not comparable with {{}}: worst-group accuracy is {READINGS['unknown']}",
}
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
        "statements": [{"board": board, "answer": answer(sources, board)} for board in boards],
        "readings": READINGS,
        "forest": drawing.svg_uri(_forest(sources, drawable)) if drawable else None,
        "judged": all(board.judged for board in boards if board.contrasts),
        "few_patients": patients if patients < _FEW_PATIENTS else None,
    }


def answer(sources: Sources, board: Scoreboard) -> str:
    """The verdict at one threshold in one sentence; "better" only where the interval excludes 0."""
    candidate = sources.named(sources.settings.candidate)
    if not board.contrasts:
        return f"There is no {candidate} run with a reference at this threshold, so nothing is compared."
    if not board.judged:
        return "Too few test patients to judge."
    names = {
        reading: [each.reference.name for each in board.contrasts if each.readings["wga"] == reading]
        for reading in _PHRASES
    }
    phrases = [_PHRASES[reading].format(_listed(found)) for reading, found in names.items() if found]
    n_groups = len(board.sizes)
    judged = n_groups - len(board.missing)
    scope = f" of the {judged} (of {n_groups}) that can be judged" if 0 < judged < n_groups else ""
    return f"By its worst group{scope}, {candidate} is {'; '.join(phrases)}."


def _listed(names: list[str]) -> str:
    return " and ".join([*([", ".join(names[:-1])] if names[1:] else []), names[-1]])


def _forest(sources: Sources, differences: list[tuple[str, Contrast]]) -> bytes:
    """Differences of worst-group accuracy with their intervals, one row each, 0 marked."""
    labels = [f"− {contrast.reference.name}, {threshold}" for threshold, contrast in differences]
    with drawing.canvas(7.4, 0.75 + 0.34 * len(differences)) as (figure, grid):
        axes = grid[0, 0]
        for row, (_, contrast) in enumerate(differences):
            wga, sure = contrast.figures["wga"], contrast.readings["wga"] in SURE
            tone = drawing.ACCENT if sure else drawing.MUTED
            axes.plot([100 * wga.low, 100 * wga.high], [row, row], color=tone, linewidth=2)
            axes.plot(100 * wga.estimate, row, "o", color=tone, markerfacecolor=tone if sure else "white")
        axes.axvline(0, color=drawing.INK, linewidth=1)
        axes.set_yticks(range(len(labels)), labels)
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.grid(axis="y", visible=False)
        candidate = sources.named(sources.settings.candidate)
        axes.set_xlabel(f"difference of worst-group accuracy, {candidate} minus the other, percentage points")
        return drawing.svg(figure, "forest")
