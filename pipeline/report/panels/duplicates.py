"""Slides of the same content: in several splits, of several patients, or with labels that contradict."""

from collections.abc import Mapping
from typing import Any

from models.data.splitting import TEST, TRAIN, VALIDATION
from pipeline.cohort.duplicates import Twins
from pipeline.report.sources import Sources

_SHOWN = 50
_LEAKS = (
    (
        {TRAIN, TEST},
        "leak",
        "training and test: the model was tested on what it was trained on, and its figures are too good.",
    ),
    (
        {VALIDATION, TEST},
        "leak",
        "validation and test: the model was tested on what it was chosen by; its figures may be too good.",
    ),
    (
        {TRAIN, VALIDATION},
        "not tested",
        "training and validation: the choice was made on training content, and may not be the best.",
    ),
)
"""Splits, what the table says of them, and what it means; the first that holds counts."""


def present(sources: Sources) -> bool:
    """Whether any two slides are the same."""
    return bool(sources.evidence.twins)


def values(sources: Sources) -> Mapping[str, Any]:
    """Every group of equal slides, those that do harm first."""
    found, ids = sources.evidence.twins, sources.ids
    kinds = [_leak(each) for each in found]
    return {
        "groups": [
            {
                "slides": [ids.slide(name) for name in each.slides],
                "patients": [ids.patient(name) for name in each.patients],
                "of": each,
                "leak": _LEAKS[kind][1] if (kind := _leak(each)) is not None else "",
            }
            for each in found[:_SHOWN]
        ],
        "total": len(found),
        "leaks": [(kinds.count(kind), told) for kind, (_, _, told) in enumerate(_LEAKS)],
        "conflicting": sum(each.conflicting for each in found),
        "strangers": sum(len(each.patients) > 1 for each in found),
    }


def _leak(twins: Twins) -> int | None:
    """Which of _LEAKS it is."""
    return next((n for n, (splits, _, _) in enumerate(_LEAKS) if splits <= set(twins.splits)), None)
