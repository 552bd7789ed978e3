"""Figures of the subject for who has to act on a verdict: parts, misses at the border, regions missed."""

from collections.abc import Hashable, Mapping
from typing import Any

from pipeline.report.sources import Sources
from pipeline.results.clinical.misses import Regions, by_size
from pipeline.results.clinical.parts import SUMMARY
from pipeline.results.figures import METRICS, RANKING

_LISTED = 20
"""Missed regions that are listed."""


def values(sources: Sources) -> Mapping[str, Any]:
    """Parts of the subject's test patches, and where its misses lie."""
    subject = sources.subject
    if subject is None:
        return {"subject": None}
    parts, places = subject.parts, subject.places
    regions = None if isinstance(subject.regions, str) else subject.regions
    return {
        "subject": subject,
        "parts": parts,
        "both": [part for part in parts if part.label is None],
        "groups": [part for part in parts if part.label is not None],
        "summary": [
            (metric.title, subject.method.figures[metric.key], metric.key in RANKING)
            for metric in METRICS
            if metric.key in SUMMARY and metric.key in subject.method.figures
        ],
        "prevalence": subject.prevalence,
        "inside": subject.inside,
        "places": None if isinstance(places, str) else places,
        "no_border": places if isinstance(places, str) else "",
        "regions": regions,
        "no_regions": subject.regions if isinstance(subject.regions, str) else "",
        "sizes_of_regions": by_size(regions) if regions else [],
        "listed": [] if regions is None else _rows(sources, regions),
    }


def _rows(sources: Sources, regions: Regions) -> list[dict[Hashable, Any]]:
    shown, ids = regions.lost.head(_LISTED), sources.ids
    named = shown.assign(slide=shown["slide_id"].map(ids.slide), patient=shown["patient_id"].map(ids.patient))
    return named.to_dict("records")
