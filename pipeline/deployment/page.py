"""The page of a run: predictions.html, one file that opens offline, made of the slides' summaries.

It is written row by row, so that thousands of slides take no more memory than one. The same outputs give the
same page: no time, no machine.
"""

import base64
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.networks.decision_words import decision_facts
from models.networks.evidence import STUDY, UNTESTED, Evidence
from models.networks.reliability import group_name, weak_groups
from pipeline.deployment.model import Model
from pipeline.deployment.outputs import HEAT, TABLE, THUMBNAIL
from pipeline.deployment.score import score_of_run
from pipeline.deployment.summary import SUMMARY, SlideSummary
from pipeline.files import replacing, write_json
from pipeline.look.html import make_environment, script
from pipeline.training.layout import NamedLayout

PAGE, SCORE, RUN = OF_THE_RUN = "predictions.html", "score.json", "run.json"
"""Files of a run beside its slides' folders."""
_INSIDE = 200
"""Slides whose pictures lie in the page itself; those of the others are loaded from beside it as they are
seen."""
_ROOM = "pipeline.deployment"


@dataclass(frozen=True)
class ModelFacts:
    """What the page's head says of the model, in words."""

    name: str
    version: str
    cohort: str
    trained_on: str
    """Patients, slides and patches, modality, µm per pixel."""
    threshold: float
    """A patch is predicted as tumor where its probability exceeds it."""
    decision: tuple[tuple[str, str], ...]
    """What makes a probability and a class: name and words of rule, calibration and verdict."""
    layout: NamedLayout
    """Names of the classes and of the parts of the tissue fractions (none where the model knows no parts)."""
    weak_groups: tuple[str, ...] | None = ()
    """Names of groups that the model is weak in; None where no evidence tells them."""
    others: tuple[tuple[str, str], ...] = ()
    """More to tell: name and value."""


@dataclass(frozen=True)
class Failure:
    """A slide that was not predicted."""

    slide_id: str
    error: str
    """Name of the error's class."""
    reason: str


def facts_of(model: Model) -> ModelFacts:
    """What a model's card and evidence tell the page."""
    card, evidence = model.card, model.evidence
    ends = (card.ranges.mpp.low, card.ranges.mpp.high) if card.ranges.mpp else ()
    mpp = " to ".join(dict.fromkeys(f"{end:.4g}" for end in ends)) or "unknown"
    patches = sum(map(sum, card.counts))
    weak = None if evidence is None else weak_groups(evidence)
    return ModelFacts(
        name=model.name,
        version=model.version or "a folder",
        cohort="unknown" if evidence is None else f"{evidence.cohort}: {evidence.description}",
        trained_on=f"{patches:,} patches of {', '.join(card.channels)}, {mpp} µm per pixel",
        threshold=card.decision.threshold,
        decision=tuple(decision_facts(card).items()),
        layout=model.layout,
        weak_groups=None
        if weak is None
        else tuple(group_name(card, group.label, group.attribute) for group in weak),
        others=tuple(("how well it does", words) for words in [_how_known(evidence)] if words),
    )


def _how_known(evidence: Evidence | None) -> str:
    """Where figures are not those of the model's own test patients, in words; else empty."""
    if evidence is None:
        return "unknown: no evidence.json"
    return {
        STUDY: "known from models trained alike, in its cohort's study, and not from these weights",
        UNTESTED: "unknown: it was tested on nobody",
    }.get(evidence.split, "")


def write_page(
    summaries: Sequence[SlideSummary], failures: Sequence[Failure], folder: Path, model: ModelFacts
) -> None:
    """Write predictions.html into the folder of the run, and score.json where slides are annotated.

    Args:
        summaries: of every slide whose files lie in `folder`/<slide_id>.
        failures: the others.
        folder: of the run.
        model: what predicted them.

    Raises:
        ArtifactError: the patches of an annotated slide are missing or damaged.
    """
    ordered = sorted(summaries, key=lambda summary: summary.slide_id)
    scored = _write_score(ordered, folder, model)
    stream = (
        make_environment(_ROOM)
        .get_template("predictions.html")
        .stream(
            model=model,
            facts=_facts(ordered, failures),
            totals=_totals(ordered, model.layout),
            notes=_notes(ordered),
            rows=_rows(ordered, folder, model.layout),
            slides=len(ordered),
            failures=sorted(failures, key=lambda failure: failure.slide_id),
            score=scored,
            scores=[(each.slide_id, each.score) for each in ordered if each.score is not None],
            scripts=[script("sort.js")],
        )
    )
    with replacing(folder / PAGE) as part, part.open("w", encoding="utf-8") as file:
        file.writelines(stream)


def _write_score(summaries: Sequence[SlideSummary], folder: Path, model: ModelFacts) -> dict[str, Any] | None:
    annotated = [summary for summary in summaries if summary.score is not None]
    if not annotated:
        (folder / SCORE).unlink(missing_ok=True)
        return None
    tables = (folder / summary.slide_id / TABLE for summary in annotated)
    run = score_of_run(tables, model.layout.classes, model.layout.attributes)
    slides = {summary.slide_id: summary.score for summary in annotated}
    write_json(folder / SCORE, {"run": run, "slides": slides}, seal=False)
    return run


def _facts(summaries: Sequence[SlideSummary], failures: Sequence[Failure]) -> list[tuple[str, str]]:
    patches = sum(summary.patches for summary in summaries)
    noted = [summary.not_reliable for summary in summaries]
    counts = (
        ("slides predicted", len(summaries)),
        ("slides failed", len(failures)),
        ("patches", patches),
        ("predicted as tumor", sum(summary.tumor_patches for summary in summaries)),
        ("not to be relied on", None if None in noted else sum(count or 0 for count in noted)),
    )
    return [(name, "–" if count is None else f"{count:,}") for name, count in counts]


def _totals(summaries: Sequence[SlideSummary], layout: NamedLayout) -> list[tuple[str, int, int]]:
    """Name of every group, its patches, and slides that have any."""
    rows = []
    for number, name in enumerate(layout.names):
        k, a = divmod(number, len(layout.attributes))
        counts = [summary.groups[k][a] for summary in summaries]
        rows.append((name, sum(counts), sum(count > 0 for count in counts)))
    return rows


def _notes(summaries: Sequence[SlideSummary]) -> list[tuple[str, int]]:
    counts: Counter[str] = Counter()
    for summary in summaries:
        counts.update(summary.notes)
    return counts.most_common()


def _rows(summaries: Sequence[SlideSummary], folder: Path, layout: NamedLayout) -> Iterator[dict[str, Any]]:
    for number, summary in enumerate(summaries):
        beside = folder / summary.slide_id
        yield {
            "slide": summary,
            "groups": _group_counts(summary, layout),
            "plain": _picture(beside / THUMBNAIL, inside=number < _INSIDE),
            "heat": _picture(beside / HEAT, inside=number < _INSIDE),
            "links": [
                (_kind(name, summary.slide_id), f"{summary.slide_id}/{name}") for name in _opened(summary)
            ],
        }


def _group_counts(summary: SlideSummary, layout: NamedLayout) -> list[tuple[str, int]]:
    counts = [count for row in summary.groups for count in row]
    return list(zip(layout.names, counts, strict=True))


def _picture(path: Path, *, inside: bool) -> str:
    """Address of a picture: its bytes themselves, or where it lies beside the page."""
    if inside:
        return f"data:image/jpeg;base64,{base64.b64encode(path.read_bytes()).decode()}"
    return f"{path.parent.name}/{path.name}"


def _opened(summary: SlideSummary) -> list[str]:
    return [name for name in (*summary.files, SUMMARY) if name not in (THUMBNAIL, HEAT)]


def _kind(name: str, slide_id: str) -> str:
    """What a link says: the name without the slide's."""
    return name.removeprefix(f"{slide_id}.")
