"""Test slides and patients by their errors: tables that sort, pictures with layers, more on pages beside."""

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from models.metrics.audit.concentration import Concentration
from patching.store.reading import PatchStore
from pipeline.explain.ranking import by_errors
from pipeline.look.html import make_environment, script
from pipeline.report.slide_layers import Layers, plain_layers, slide_layers
from pipeline.report.sources import Sources
from pipeline.report.subject import Subject
from pipeline.training.layout import TISSUE

_CSV = "slides.csv"
_NAMED = 20
"""Patients in the report's table at most."""


def values(sources: Sources) -> Mapping[str, Any]:
    """Slides and patients with the most errors, and where the others are."""
    subject = _subject(sources)
    rows = subject.run.patches
    slides, patients = by_errors(rows, "slide_id"), by_errors(rows, "patient_id")
    shown = sources.settings.slides
    return {
        **_page_values(sources, rows, slides.head(shown.rows), shown.inside, _outlines(sources)),
        "patients": _patients(sources, rows, patients),
        "n_patients": len(patients),
        "clusters": [
            _concentrated(subject.concentration("patient"), "patient"),
            _concentrated(subject.concentration("slide"), "slide"),
        ],
        "n_slides": len(slides),
        "n_errors": int(slides["errors"].sum()),
        "pages": [name for name, _ in _pages(sources, slides)],
        "csv": _CSV,
    }


def files(sources: Sources) -> Iterator[tuple[str, bytes]]:
    """slides.csv of all slides, and pages with pictures of those that are not in the report."""
    rows = _subject(sources).run.patches
    slides = by_errors(rows, "slide_id")
    yield _CSV, _csv(_told_slides(sources, rows, slides))
    environment = make_environment("pipeline.report")
    environment.globals |= {"sources": sources, "group_names": TISSUE.names}
    pages, outlines = _pages(sources, slides), _outlines(sources)
    for number, (name, part) in enumerate(pages, start=2):
        html = environment.get_template("slides_page.html").render(
            **_page_values(sources, rows, part, len(part), outlines),
            cohort=sources.evidence.paths.cohort,
            number=number,
            of=len(pages) + 1,
            scripts=[script("sort.js")],
        )
        yield name, html.encode()


def _subject(sources: Sources) -> Subject:
    if sources.subject is None:
        raise ValueError("the panel is of tested patients")
    return sources.subject


def _pages(sources: Sources, slides: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Names of the pages beside the report, and the slides on each."""
    shown = sources.settings.slides
    starts = range(shown.inside, len(slides), shown.per_page)
    return [
        (f"page-{number}.html", slides[start : start + shown.per_page])
        for number, start in enumerate(starts[: shown.pages], start=2)
    ]


def _outlines(sources: Sources) -> dict[str, Any]:
    """Rings of the annotation by slide, of those that the explain stage kept."""
    found = sources.explained
    return {} if isinstance(found, str) else {name: row["tumor"] for name, row in found.slides.items()}


def _page_values(
    sources: Sources,
    rows: pd.DataFrame,
    slides: pd.DataFrame,
    pictured: int,
    outlines: Mapping[str, Any],
) -> dict[str, Any]:
    """What slides_body.html shows: a row of every slide, and pictures of the first ones."""
    told = _told_slides(sources, rows, slides)
    with_pictures = rows[rows["slide_id"].isin(slides["slide_id"].head(pictured))]
    parts = dict(tuple(with_pictures.groupby("slide_id")))
    threshold = sources.decision.threshold
    pictures = [
        {**each, "layers": _layers(sources, slide_id, parts[slide_id], threshold, outlines.get(slide_id))}
        for slide_id, each in zip(slides["slide_id"].head(pictured), told, strict=False)
    ]
    return {
        "slides": told,
        "pictures": pictures,
        "montages": sources.evidence.montages,
        "decision_threshold": threshold,
    }


def _layers(
    sources: Sources, slide_id: str, rows: pd.DataFrame, threshold: float, outlines: Any | None
) -> Layers:
    store, side = PatchStore.open(sources.evidence.paths.store(slide_id)), sources.settings.slides.side
    if sources.evidence.montages:
        return plain_layers(store, side)
    return slide_layers(store, rows, threshold, outlines, side)


def _told_slides(sources: Sources, rows: pd.DataFrame, slides: pd.DataFrame) -> list[dict[str, Any]]:
    """A row of every slide, named as the report names slides."""
    own = rows[rows["slide_id"].isin(slides["slide_id"])]
    patient_of = own.drop_duplicates("slide_id").set_index("slide_id")["patient_id"]
    groups = _groups(own, "slide_id")
    return [
        {
            "slide": sources.ids.slide(each["slide_id"]),
            "patient": sources.ids.patient(patient_of[each["slide_id"]]),
            **_counted(each, groups.get(each["slide_id"], {})),
        }
        for each in slides.to_dict("records")
    ]


def _patients(sources: Sources, rows: pd.DataFrame, patients: pd.DataFrame) -> list[dict[str, Any]]:
    groups, total = _groups(rows, "patient_id"), max(int(patients["errors"].sum()), 1)
    return [
        {
            "patient": sources.ids.patient(each["patient_id"]),
            "share": each["errors"] / total,
            **_counted(each, groups.get(each["patient_id"], {})),
        }
        for each in patients.head(_NAMED).to_dict("records")
    ]


def _concentrated(found: Concentration, unit: str) -> str:
    """Where half of the errors lie, in words."""
    return (
        f"Half of the {found.errors:,} errors lie in {found.fewest:,} of {found.units:,} {unit}"
        f"{'' if found.units == 1 else 's'}, with {100 * found.share:.0f}\u00a0% of the patches; "
        f"with one error rate for all, it would take {found.even:,}."
    )


def _groups(rows: pd.DataFrame, unit: str) -> dict[Any, dict[int, tuple[int, int]]]:
    """Errors and patches of every group, by slide or patient."""
    counted = rows.assign(wrong=rows["label"] != rows["prediction"]).groupby([unit, "group"])["wrong"]
    found: dict[Any, dict[int, tuple[int, int]]] = {}
    for (name, group), errors, patches in counted.agg(["sum", "size"]).itertuples():
        found.setdefault(name, {})[int(group)] = (int(errors), int(patches))
    return found


def _counted(each: Mapping[Any, Any], groups: Mapping[int, tuple[int, int]]) -> dict[str, Any]:
    numbers = {name: int(each[name]) for name in ("patches", "errors", "missed", "alarms")}
    return {
        **numbers,
        "rate": float(each["rate"]),
        "groups": [groups.get(g, (0, 0)) for g in range(len(TISSUE.names))],
    }


def _csv(slides: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [name.replace(", ", "_").replace(" ", "_") for name in TISSUE.names]
    counts = [f"{kind}_{name}" for name in names for kind in ("errors", "patches")]
    writer.writerow(["slide", "patient", "patches", "errors", "missed", "alarms", "error_rate", *counts])
    for each in slides:
        own = [each[name] for name in ("slide", "patient", "patches", "errors", "missed", "alarms")]
        writer.writerow([*own, f"{each['rate']:.4f}", *(n for pair in each["groups"] for n in pair)])
    return text.getvalue().encode()
