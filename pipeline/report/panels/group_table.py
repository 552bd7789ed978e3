"""Accuracy of every test group, with counts, patients and simultaneous intervals."""

from collections.abc import Mapping
from typing import Any

from pipeline.report.sources import Sources
from pipeline.training.layout import TISSUE


def values(sources: Sources) -> Mapping[str, Any]:
    """One table: thresholds, in them algorithms, in them groups; the worst ones are marked."""
    intervals = sources.intervals
    return {
        "group_names": TISSUE.names,
        "level": intervals.level,
        "minimum_patches": intervals.minimum_patches,
        "minimum_patients": intervals.minimum_patients,
        "candidate": sources.settings.candidate,
        "single": sources.single,
        "boards": sources.boards.values(),
    }
