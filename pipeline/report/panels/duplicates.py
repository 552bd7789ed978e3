"""Slides of the same content: in several splits, of several patients, or with labels that contradict."""

from collections.abc import Mapping
from typing import Any

from pipeline.report.sources import Sources

_SHOWN = 50


def present(sources: Sources) -> bool:
    """Whether any two slides are the same."""
    return bool(sources.evidence.twins)


def values(sources: Sources) -> Mapping[str, Any]:
    """Every group of equal slides, those that do harm first."""
    found, ids = sources.evidence.twins, sources.ids
    return {
        "groups": [
            {
                "slides": [ids.slide(name) for name in each.slides],
                "patients": [ids.patient(name) for name in each.patients],
                "of": each,
            }
            for each in found[:_SHOWN]
        ],
        "total": len(found),
        "leaking": sum(each.across for each in found),
        "conflicting": sum(each.conflicting for each in found),
        "strangers": sum(len(each.patients) > 1 for each in found),
    }
