"""The data card: where slides come from, what they are, how they were cut and split; Markdown."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from models.networks.card import Range
from pipeline.cards.markdown import code, listed, page, section, table, text
from pipeline.cards.words import spanned
from pipeline.cohort.duplicates import Twins
from pipeline.cohort.flow import Count, Flow
from pipeline.config import CohortFile

_MOST_TWINS = 20
_UNSAID = "not stated"


@dataclass(frozen=True)
class DataFacts:
    """What the data card is made of.

    Attributes:
        name: of the cohort. file: its file.
        slides: artifacts.SLIDES.
        flow: to the tested patches. groups: names of the groups that it counts.
        threshold: at which these are made, in words.
        tied: Cramér's V between label and attribute of the training patches, by threshold; none where
            it is undefined.
        patch: how patches are cut and tissue is found, by what it is about; Markdown.
        twins: slides of the same content.
        warned: slides that tiling warned of.
        said: what the people of the study say, by what it is about.
        made: fingerprints of the tables.
    """

    name: str
    file: CohortFile
    slides: pd.DataFrame
    flow: Flow
    groups: tuple[str, ...]
    threshold: str
    tied: Mapping[str, float | None]
    patch: Mapping[str, str]
    twins: tuple[Twins, ...]
    warned: int
    said: Mapping[str, str]
    made: Mapping[str, str]


def data_card(facts: DataFacts) -> str:
    """The document."""
    return (
        page(
            f"# Data card: cohort {text(facts.name)}",
            text(facts.file.description),
            section("Where it is from", _source(facts), 2),
            section("What the slides are", table(("", ""), acquired(facts.slides).items()), 2),
            section("How patches were cut", table(("", ""), facts.patch.items()), 2),
            section("What was left out", _left_out(facts.flow), 2),
            section("Splits", _splits(facts), 2),
            section("What goes together", _tied(facts), 2),
            section("Same content twice", _twins(facts.twins), 2),
            section("Limits", _limits(facts.file.limits), 2),
            section("Fingerprints", table(("file", "SHA-256"), _coded(facts.made)), 2),
        )
        + "\n"
    )


def _source(facts: DataFacts) -> str:
    listed_in = [("slides.csv", code(facts.file.manifest or _UNSAID))]
    return table(
        ("", ""), [*listed_in, *((about, text(words) or _UNSAID) for about, words in facts.said.items())]
    )


def acquired(slides: pd.DataFrame) -> dict[str, str]:
    """What the slides' files tell of their acquisition: name and words, in Markdown."""
    mpp = pd.to_numeric(slides["mpp"]).dropna()
    known = spanned(Range(low=mpp.min(), high=mpp.max())) if len(mpp) else "not told by any file"
    missing = f"; not known of {len(slides) - len(mpp)} slides" if 0 < len(mpp) < len(slides) else ""
    annotated = int(_filled(slides["annotation"]).sum())
    whole = int(_filled(slides["label"]).sum())
    size = slides[["width", "height"]].dropna().astype(int)
    return {
        "patients": f"{slides['patient_id'].nunique():,}",
        "slides": f"{len(slides):,}",
        "kind": _counted(slides["kind"]),
        "channels": _counted(slides["channels"]),
        "pixel type": _counted(slides["dtype"]),
        "µm per pixel of the slides": f"{known}{missing}",
        "width and height": f"{_spanned(size['width'])} by {_spanned(size['height'])} pixels"
        if len(size)
        else "unknown",
        "labels": f"{annotated:,} slides with outlines or a mask, {whole:,} with a label for the whole slide",
    }


def _filled(column: pd.Series) -> pd.Series:
    return column.notna() & (column.astype("str") != "")


def _counted(column: pd.Series) -> str:
    counts = column.astype("str").where(column.notna(), "unknown").value_counts()
    if len(counts) == 1:
        return text(str(counts.index[0]))
    return ", ".join(f"{text(str(name))} ({count:,})" for name, count in sorted(counts.items()))


def _spanned(column: pd.Series) -> str:
    low, high = int(column.min()), int(column.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _left_out(flow: Flow) -> str:
    rows = list(_of_settings(flow.left_out))
    rows += [(f"slide: {text(loss.reason)}", f"{loss.number:,}") for loss in (*flow.unusable, *flow.untiled)]
    rows += [("slide without a single patch", f"{flow.empty:,}")] if flow.empty else []
    rows += [(f"place of the grid: {text(loss.reason)}", f"{loss.number:,}") for loss in flow.dropped]
    told = "Nothing was." if not rows else table(("what, and why", "how many"), rows)
    return page(
        told, "" if flow.places is None else f"The grid has {flow.places:,} places on all tiled slides."
    )


def _of_settings(left_out: Count | None) -> Iterator[tuple[str, str]]:
    if left_out is not None:
        yield "patient: left out by the settings", f"{left_out.patients:,}"


def _splits(facts: DataFacts) -> str:
    head = ("split", "patients", "slides", "patches", "non-tumor", "tumor", *map(text, facts.groups))
    rows = [(part.name, *(f"{number:,}" for number in part.numbers)) for part in facts.flow.parts]
    return page(f"Patients are split, not patches. Groups of: {text(facts.threshold)}.", table(head, rows))


def _tied(facts: DataFacts) -> str:
    rows = [(text(name), "undefined" if v is None else f"{v:.2f}") for name, v in facts.tied.items()]
    return page(
        "How far tissue fraction and label go together among the training patches: Cramér’s V, 0 not at all, "
        "1 entirely. A model can learn the one for the other.",
        table(("threshold", "Cramér’s V"), rows),
        f"Slides that tiling warned of: {facts.warned:,}; the report tells of what." if facts.warned else "",
    )


def _twins(twins: Sequence[Twins]) -> str:
    if not twins:
        return "No two slides have the same bytes. Images that were stored anew are not found by that."
    rows = [
        (text(", ".join(each.slides)), ", ".join(each.splits) or "–", "yes" if each.conflicting else "no")
        for each in twins[:_MOST_TWINS]
    ]
    across = sum(each.across for each in twins)
    conflicting = sum(each.conflicting for each in twins)
    return page(
        f"Groups of slides with the same bytes: {len(twins):,}; across splits: {across:,}; with conflicting "
        f"labels: {conflicting:,}.",
        table(("slides", "splits", "conflicting labels"), rows),
        f"{len(twins) - _MOST_TWINS:,} more are not shown." if len(twins) > _MOST_TWINS else "",
    )


def _limits(limits: Sequence[str]) -> str:
    return listed(limits) if limits else "The cohort’s file names none."


def _coded(made: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(code(name), code(digest)) for name, digest in made.items()]
