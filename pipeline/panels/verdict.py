"""Does the candidate beat its references in the worst group? In words, with paired intervals."""

from collections.abc import Mapping
from typing import Any

from pipeline import drawing
from pipeline.comparison import Difference, estimable
from pipeline.panels.base import Sources

_READING = {
    "better": "better",
    "worse": "worse",
    "open": "no difference shown",
    "unknown": "not estimable",
}


def values(sources: Sources) -> Mapping[str, Any]:
    """One statement per threshold, and every difference with its interval."""
    statements = [_statement(sources, threshold) for threshold in sources.evidence.thresholds]
    drawable = [item for item in sources.comparison.differences if estimable(item.wga)]
    return {
        "candidate": sources.named(sources.settings.candidate),
        "statements": statements,
        "forest": drawing.svg_uri(_forest(sources, drawable)) if drawable else None,
        "level": sources.intervals.level,
        "draws": sources.intervals.draws,
    }


def _statement(sources: Sources, threshold: str) -> dict[str, Any]:
    differences = [item for item in sources.comparison.differences if item.threshold == threshold]
    figures = sources.comparison.at(threshold)
    return {
        "threshold": threshold,
        "value": sources.evidence.threshold_value(threshold),
        "answer": answer(sources, differences),
        "missing": figures[0].missing if figures else (),
        "figures": [(sources.named(item.run.algorithm), item) for item in figures],
        "differences": [
            (sources.named(item.reference), item, _READING[item.reading]) for item in differences
        ],
    }


def answer(sources: Sources, differences: list[Difference]) -> str:
    """The verdict at one threshold in one sentence; "better" only where the interval excludes 0."""
    candidate = sources.named(sources.settings.candidate)
    if not differences:
        return f"There is no {candidate} run with a reference at this threshold, so nothing is compared."
    by_reading = {
        reading: _listed([sources.named(item.reference) for item in differences if item.reading == reading])
        for reading in _READING
    }
    phrases = []
    if by_reading["better"]:
        phrases.append(f"better than {by_reading['better']}")
    if by_reading["worse"]:
        phrases.append(f"worse than {by_reading['worse']}")
    if by_reading["open"]:
        phrases.append(f"not shown to differ from {by_reading['open']}")
    if by_reading["unknown"]:
        phrases.append(f"not comparable with {by_reading['unknown']}: a group is not estimable")
    return f"In the worst group of patches, {candidate} is {'; '.join(phrases)}."


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else " and ".join([", ".join(names[:-1]), names[-1]]) if names else ""


def _forest(sources: Sources, differences: list[Difference]) -> bytes:
    """Differences of worst-group accuracy with their intervals, one row each, 0 marked."""
    labels = [f"− {sources.named(item.reference)}, {item.threshold}" for item in differences]
    with drawing.canvas(7.4, 0.75 + 0.34 * len(differences)) as (figure, grid):
        axes = grid[0, 0]
        for row, item in enumerate(differences):
            sure = item.reading in ("better", "worse")
            tone = drawing.ACCENT if sure else drawing.MUTED
            axes.plot([100 * item.wga.low, 100 * item.wga.high], [row, row], color=tone, linewidth=2)
            axes.plot(
                100 * item.wga.estimate, row, "o", color=tone, markerfacecolor=tone if sure else "white"
            )
        axes.axvline(0, color=drawing.INK, linewidth=1)
        axes.set_yticks(range(len(labels)), labels)
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.grid(axis="y", visible=False)
        candidate = sources.named(sources.settings.candidate)
        axes.set_xlabel(f"difference of worst-group accuracy, {candidate} minus the other, percentage points")
        return drawing.svg(figure, "forest")
