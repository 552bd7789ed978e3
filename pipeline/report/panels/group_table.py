"""Accuracy of every test group, with counts, patients and simultaneous intervals."""

from collections.abc import Mapping
from typing import Any

from pipeline.report.evidence import GROUP_NAMES
from pipeline.report.sources import Sources


def values(sources: Sources) -> Mapping[str, Any]:
    """One table: thresholds, in them algorithms, in them groups; the worst one is marked."""
    intervals = sources.intervals
    return {
        "group_names": GROUP_NAMES,
        "level": intervals.level,
        "minimum_patches": intervals.minimum_patches,
        "minimum_patients": intervals.minimum_patients,
        "candidate": sources.settings.candidate,
        "thresholds": [
            {
                "name": threshold,
                "sizes": figures[0].groups if figures else (),
                "rows": [(sources.named(item.run.algorithm), item) for item in figures],
            }
            for threshold in sources.evidence.thresholds
            for figures in [sources.comparison.at(threshold)]
        ],
    }
