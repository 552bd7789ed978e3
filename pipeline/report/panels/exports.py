"""The files beside the report for other programs, and how to open them."""

from collections.abc import Iterator, Mapping
from typing import Any

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
from pipeline.report.exports.tables import groups_csv, predictions_of, predictions_parquet
from pipeline.report.sources import Sources
from pipeline.report.subject import Subject
from pipeline.results.audit.export import audit_table
from pipeline.results.clinical.parts import SUMMARY


def values(sources: Sources) -> Mapping[str, Any]:
    """What is written, and what is left out and why."""
    subject = sources.subject
    if subject is None or not subject.method.operating:
        return {"subject": None}
    chosen = chosen_slides(sources, subject.predictions)
    return {"subject": subject, "chosen": chosen, "montages": sources.evidence.montages}


def files(sources: Sources) -> Iterator[tuple[str, bytes]]:
    """audit.csv; of a tested model groups.csv, predictions.parquet, metrics.json, its schema, and slides/."""
    yield "audit.csv", audit_table(sources.audit).to_csv(index=False, lineterminator="\n").encode()
    subject = sources.subject
    if subject is None or not subject.method.operating:
        return
    table = predictions_of(sources, subject)
    chosen, decision = chosen_slides(sources, table), sources.decision
    yield "groups.csv", groups_csv(subject.parts)
    yield "predictions.parquet", predictions_parquet(table)
    yield "metrics.json", metrics_json(record_of(sources, subject, chosen))
    yield "metrics.schema.json", metrics_schema()
    yield from slide_files(sources, table, chosen, decision)


def record_of(sources: Sources, subject: Subject, chosen: Chosen) -> MetricsRecord:
    """All figures of the panels `metrics` and `calibration`."""
    method, board, settings = subject.method, subject.board, subject.intervals
    places, regions = subject.places, subject.regions
    return MetricsRecord(
        cohort=sources.evidence.paths.cohort,
        model=SubjectRecord(
            run=subject.training,
            algorithm=method.algorithm,
            name=method.name,
            threshold=board.threshold,
            tissue_fraction=board.value,
            seeds=list(method.pool.seeds),
            decision_threshold=sources.decision.threshold,
        ),
        level=settings.level,
        minimum_patches=settings.minimum_patches,
        minimum_patients=settings.minimum_patients,
        stated_prevalence=subject.prevalence,
        inside=subject.inside,
        summary={name: FigureRecord.of(method.figures[name]) for name in SUMMARY if name in method.figures},
        parts=[PartRecord.of(part) for part in subject.parts],
        places=[] if isinstance(places, str) else [PlaceRecord.of(place) for place in places],
        places_left_out=places if isinstance(places, str) else "",
        regions=None if isinstance(regions, str) else RegionsRecord.of(regions),
        regions_left_out=regions if isinstance(regions, str) else "",
        reliability=[BinRecord.of(name, each) for name, bins in subject.reliability.items() for each in bins],
        slides=SlidesRecord(tested=chosen.tested, written=len(chosen.names), left_out=chosen.left_out),
    )
