"""Figures of the subject for who has to act on a verdict: parts, misses at the border, regions missed."""

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from patching.store.reading import PatchStore
from pipeline.report.panels.structure import has_tumor_fractions
from pipeline.report.sources import Sources, Subject
from pipeline.results.clinical.misses import Regions, by_size, places_of, regions_of
from pipeline.results.clinical.parts import SUMMARY, Part, parts_of
from pipeline.results.figures import METRICS, RANKING

_LISTED = 20
"""Missed regions that are listed."""


def values(sources: Sources) -> Mapping[str, Any]:
    """Parts of the subject's test patches, and where its misses lie."""
    subject = sources.subject
    if subject is None:
        return {"subject": None}
    settings, parts = sources.settings, subject_parts(sources, subject)
    regions, no_regions = subject_regions(sources, subject)
    no_border = without_border(sources)
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
        "unknown": int(subject.method.pool.rows["probability"].isna().sum()) if parts else 0,
        "prevalence": settings.prevalence,
        "inside": settings.inside,
        "places": None if no_border else places_of(subject.method, settings.inside, sources.intervals),
        "no_border": no_border,
        "regions": regions,
        "no_regions": no_regions,
        "sizes_of_regions": by_size(regions) if regions else [],
        "listed": [] if regions is None else _rows(sources, regions),
    }


def subject_parts(sources: Sources, subject: Subject) -> tuple[Part, ...]:
    """All patches, attribute values and groups; empty without probabilities of two classes."""
    return parts_of(subject.method, subject.board.told, sources.intervals, sources.settings.prevalence)


def without_border(sources: Sources) -> str:
    """Why border and inside cannot be told apart, in words; empty where they can."""
    if has_tumor_fractions(sources.evidence.index):
        return ""
    if sources.evidence.montages:
        return (
            "The slides of this cohort are montages of loose patches, each with one label: how much of a "
            "patch is tumor is not known, so border and inside cannot be told apart."
        )
    return (
        "All tumor patches have the same tumor fraction, as where a label is given for a whole slide or "
        "core: border and inside cannot be told apart."
    )


def subject_regions(sources: Sources, subject: Subject) -> tuple[Regions | None, str]:
    """Regions of the shown training's tumor patches on annotated slides; none, and why."""
    evidence = sources.evidence
    if evidence.montages:
        return None, (
            "The slides of this cohort are montages of loose patches: patches that touch there are no region "
            "of a slide, so there is no region to miss."
        )
    outlined = evidence.slides["annotation"].astype("str").fillna("") != ""
    slides = set(evidence.slides.loc[outlined, "slide_id"])
    patches = with_places(subject.run.patches, evidence.index)
    patches = patches[patches["slide_id"].isin(slides) & (patches["label"] == 1)]
    if patches.empty:
        return None, (
            "No tested slide with tumor has an outline (labels are of whole slides or cores): there is no "
            "outlined region to miss."
        )
    reach = {str(name): _reach(sources, str(name)) for name in patches["slide_id"].unique()}
    return regions_of(patches, reach, sources.intervals), ""


def _reach(sources: Sources, slide_id: str) -> float:
    """How far apart neighbors of the slide's grid lie, in level-0 pixels; the grid may leave gaps."""
    about = PatchStore.open(sources.evidence.paths.store(slide_id)).attributes
    return float(max(about.stride, about.extent))


def with_places(patches: pd.DataFrame, index: pd.DataFrame) -> pd.DataFrame:
    """Test patches with their places, level-0 x, y and extent."""
    return patches.merge(index[["patch_id", "x", "y", "extent"]], on="patch_id", how="left", validate="1:1")


def _rows(sources: Sources, regions: Regions) -> list[dict[Hashable, Any]]:
    shown, ids = regions.lost.head(_LISTED), sources.ids
    named = shown.assign(slide=shown["slide_id"].map(ids.slide), patient=shown["patient_id"].map(ids.patient))
    return named.to_dict("records")
