"""Does the candidate beat its references in the worst group? In words, with paired intervals."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.look import plots as drawing
from pipeline.report.sources import Sources
from pipeline.results.verdict import N_GROUPS, Difference, GroupFigures, Reading, estimable

_READING: dict[Reading, str] = {
    "better": "better",
    "worse": "worse",
    "open": "no difference shown",
    "few": "too few test patients",
    "unknown": "not estimable",
}
_PHRASES: dict[Reading, str] = {
    "better": "better than {}",
    "worse": "worse than {}",
    "open": "not shown to differ from {}",
    "unknown": "not comparable with {}: worst-group accuracy is not estimable",
}
_FEW_PATIENTS = 10


def values(sources: Sources) -> Mapping[str, Any]:
    """One statement per threshold, and every difference with its interval."""
    statements = [_statement(sources, threshold) for threshold in sources.evidence.thresholds]
    patients = sources.evidence.index.query("split == 'test'")["patient_id"].nunique()
    drawable = [item for item in sources.comparison.differences if estimable(item.wga)]
    return {
        "candidate": sources.named(sources.settings.candidate),
        "key": sources.settings.candidate,
        "statements": statements,
        "forest": drawing.svg_uri(_forest(sources, drawable)) if drawable else None,
        "level": sources.intervals.level,
        "draws": sources.intervals.draws,
        "judged": all(item.judged for item in sources.comparison.differences),
        "minimum": sources.settings.minimum_test_patients,
        "few_patients": patients if patients < _FEW_PATIENTS else None,
    }


def _statement(sources: Sources, threshold: str) -> dict[str, Any]:
    differences = [item for item in sources.comparison.differences if item.threshold == threshold]
    figures = sources.comparison.at(threshold)
    missing = figures[0].missing if figures else ()
    return {
        "threshold": threshold,
        "value": sources.evidence.threshold_value(threshold),
        "answer": answer(sources, differences, missing),
        "missing": missing,
        "figures": [(sources.named(item.run.algorithm), item) for item in figures],
        "differences": [
            (sources.named(item.reference), item, _READING[item.reading]) for item in differences
        ],
    }


def answer(sources: Sources, differences: Sequence[Difference], missing: Sequence[GroupFigures] = ()) -> str:
    """The verdict at one threshold in one sentence; "better" only where the interval excludes 0."""
    candidate = sources.named(sources.settings.candidate)
    if not differences:
        return f"There is no {candidate} run with a reference at this threshold, so nothing is compared."
    # The patients are the same in every difference.
    if not all(item.judged for item in differences):
        return "Too few test patients to judge."
    names = {
        reading: [sources.named(item.reference) for item in differences if item.reading == reading]
        for reading in _PHRASES
    }
    phrases = [_PHRASES[reading].format(_listed(found)) for reading, found in names.items() if found]
    judged = N_GROUPS - len(missing)
    scope = f" of the {judged} (of {N_GROUPS}) that can be judged" if 0 < judged < N_GROUPS else ""
    return f"By its worst group{scope}, {candidate} is {'; '.join(phrases)}."


def _listed(names: Sequence[str]) -> str:
    return " and ".join([*([", ".join(names[:-1])] if names[1:] else []), names[-1]])


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
