"""The files beside the report for other programs, and how to open them."""

from collections.abc import Iterator, Mapping
from typing import Any

from models.networks.card import DecisionCard
from pipeline.report.exports.record import (
    BinRecord,
    FigureRecord,
    MetricsRecord,
    PartRecord,
    PlaceRecord,
    RegionsRecord,
    SlidesRecord,
    SubjectRecord,
    metrics_json,
    metrics_schema,
)
from pipeline.report.exports.slides import Chosen, chosen_slides, slide_files
from pipeline.report.exports.tables import groups_csv, predictions_of, predictions_parquet, run_of
from pipeline.report.panels import calibration, metrics
from pipeline.report.sources import Sources, Subject
from pipeline.results.audit.export import audit_table
from pipeline.results.clinical.parts import SUMMARY


def values(sources: Sources) -> Mapping[str, Any]:
    """What is written, and what is left out and why."""
    subject = sources.subject
    if subject is None or not subject.method.operating:
        return {"subject": None}
    chosen = chosen_slides(sources, predictions_of(sources, subject))
    return {"subject": subject, "chosen": chosen, "montages": sources.evidence.montages}


def files(sources: Sources) -> Iterator[tuple[str, bytes]]:
    """audit.csv; of a tested model groups.csv, predictions.parquet, metrics.json, its schema, and slides/."""
    yield "audit.csv", audit_table(sources.audit).to_csv(index=False, lineterminator="\n").encode()
    subject = sources.subject
    if subject is None or not subject.method.operating:
        return
    table = predictions_of(sources, subject)
    chosen, card = chosen_slides(sources, table), calibration.subject_card(sources, subject)
    decision = DecisionCard() if card is None else card.decision
    yield "groups.csv", groups_csv(metrics.subject_parts(sources, subject))
    yield "predictions.parquet", predictions_parquet(table)
    yield "metrics.json", metrics_json(record_of(sources, subject, chosen, decision))
    yield "metrics.schema.json", metrics_schema()
    yield from slide_files(sources, table, chosen, decision)


def record_of(sources: Sources, subject: Subject, chosen: Chosen, decision: DecisionCard) -> MetricsRecord:
    """All figures of the panels `metrics` and `calibration`."""
    shown, bins = metrics.values(sources), calibration.bins_of(sources, subject)
    method, board, settings = subject.method, subject.board, sources.intervals
    regions = shown["regions"]
    return MetricsRecord(
        cohort=sources.evidence.paths.cohort,
        model=SubjectRecord(
            run=run_of(subject, sources),
            algorithm=method.algorithm,
            name=method.name,
            threshold=board.threshold,
            tissue_fraction=board.value,
            seeds=list(method.pool.seeds),
            decision_threshold=decision.threshold,
        ),
        level=settings.level,
        minimum_patches=settings.minimum_patches,
        minimum_patients=settings.minimum_patients,
        stated_prevalence=shown["prevalence"],
        inside=shown["inside"],
        summary={name: FigureRecord.of(method.figures[name]) for name in SUMMARY if name in method.figures},
        parts=[PartRecord.of(part) for part in shown["parts"]],
        places=[PlaceRecord.of(place) for place in shown["places"] or ()],
        places_left_out=shown["no_border"],
        regions=None if regions is None else RegionsRecord.of(regions),
        regions_left_out=shown["no_regions"],
        reliability=[BinRecord.of(name, each) for name, own in bins.items() for each in own],
        slides=SlidesRecord(tested=chosen.tested, written=len(chosen.names), left_out=chosen.left_out),
    )
