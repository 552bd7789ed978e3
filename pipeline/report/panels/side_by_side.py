"""The algorithms side by side at every threshold: a dot plot with intervals, and the table behind it."""

from collections.abc import Mapping
from typing import Any

from pipeline.report.sources import Sources


def values(sources: Sources) -> Mapping[str, Any]:
    """Worst-group, group-balanced and average accuracy, and AUROC, of every method."""
    return {
        "level": sources.intervals.level,
        "candidate": sources.settings.candidate,
        "dots": sources.dots(list(sources.boards.values()), "dots"),
        "single": sources.single,
        "boards": sources.boards.values(),
    }
