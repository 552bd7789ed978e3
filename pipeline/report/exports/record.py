"""metrics.json: all figures of the report's model, in a form that its schema describes (docs/report.md)."""

import json
import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from models.metrics.intervals import Interval
from pipeline.results.clinical.misses import PlaceFigures, Regions
from pipeline.results.clinical.operating_point import ReliabilityBin
from pipeline.results.clinical.parts import Part


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class FigureRecord(_Record):
    """A figure with its interval over patients; null where it is not estimable."""

    estimate: float | None
    low: float | None
    high: float | None
    level: float = Field(description="Coverage of this interval; of groups after Bonferroni's correction.")

    @classmethod
    def of(cls, interval: Interval) -> "FigureRecord":
        """Of an interval, unrounded."""
        ends = (finite(each) for each in (interval.estimate, interval.low, interval.high))
        return cls(**dict(zip(("estimate", "low", "high"), ends, strict=True)), level=interval.level)


class PartRecord(_Record):
    """All test patches, those of one attribute value (both labels), or of one group (one label)."""

    key: str = Field(description="`all`, `attribute_<a>` or `group_<g>`, g = label * 2 + attribute.")
    name: str
    patches: float = Field(description="A mean over the seeds.")
    wrong: float = Field(description="Wrong verdicts among them.")
    slides: int
    patients: int
    prevalence: float | None = Field(description="Share of tumor among the patches.")
    figures: dict[str, FigureRecord] = Field(
        description="sensitivity, specificity, ppv and npv (at the patches' own prevalence), ppv_at and "
        "npv_at (at stated_prevalence), auroc, auprc, brier; of a group sensitivity or specificity, brier."
    )
    ece: float | None
    ece_by_chance: float | None = Field(description="About what `ece` is if all probabilities are right.")

    @classmethod
    def of(cls, part: Part) -> "PartRecord":
        """Of a part, without rounding."""
        return cls(
            key=part.key,
            name=part.name,
            patches=part.patches,
            wrong=part.wrong,
            slides=part.slides,
            patients=part.patients,
            prevalence=finite(part.prevalence),
            figures={name: FigureRecord.of(each) for name, each in part.figures.items()},
            ece=finite(part.calibration.error),
            ece_by_chance=finite(part.calibration.by_chance),
        )


class PlaceRecord(_Record):
    """Tumor patches wholly inside their outline, or at its border."""

    place: Literal["border", "inside"]
    patches: float
    missed: float
    patients: int
    found: FigureRecord

    @classmethod
    def of(cls, place: PlaceFigures) -> "PlaceRecord":
        """Of one kind of place."""
        return cls(
            place="inside" if place.inside else "border",
            patches=place.patches,
            missed=place.missed,
            patients=place.patients,
            found=FigureRecord.of(place.found),
        )


class RegionsRecord(_Record):
    """Connected regions of tumor patches on annotated test slides; of one training."""

    regions: int
    missed: int = Field(description="Regions of which no patch is found.")
    share_missed: FigureRecord

    @classmethod
    def of(cls, regions: Regions) -> "RegionsRecord":
        """Of all regions together."""
        share = FigureRecord.of(regions.missed)
        return cls(regions=len(regions.table), missed=len(regions.lost), share_missed=share)


class BinRecord(_Record):
    """Patches of like probability; of one training."""

    part: str
    low: float
    high: float
    patches: int
    patients: int
    mean_probability: float | None
    tumor: FigureRecord

    @classmethod
    def of(cls, part: str, each: ReliabilityBin) -> "BinRecord":
        """Of a bin of a part."""
        return cls(
            part=part,
            low=each.low,
            high=each.high,
            patches=each.patches,
            patients=each.patients,
            mean_probability=finite(each.mean),
            tumor=FigureRecord.of(each.share),
        )


class SubjectRecord(_Record):
    """The model that all figures are of."""

    run: str = Field(description="Training whose single patches are exported.")
    algorithm: str
    name: str
    threshold: str = Field(description="Of the attribute stage.")
    tissue_fraction: float | None = Field(description="Above it a patch has much tissue.")
    seeds: list[int]
    decision_threshold: float | None = Field(description="A patch is tumor above this probability.")


class SlidesRecord(_Record):
    """Which slides have files for QuPath."""

    tested: int
    written: int
    left_out: str = Field(description="Why some or all slides have none; empty where all have.")


class MetricsRecord(_Record):
    """metrics.json of an evenpatch report: figures of one model on the test patients of one split."""

    schema_version: Literal[1] = 1
    cohort: str
    model: SubjectRecord
    split: Literal["test"] = "test"
    level: float
    minimum_patches: int
    minimum_patients: int
    stated_prevalence: float
    inside: float = Field(description="Tumor fraction from which a tumor patch is wholly inside.")
    summary: dict[str, FigureRecord] = Field(
        description="wga, wga_cross_fitted, gba, average, worst_class, auroc, auroc_within."
    )
    parts: list[PartRecord]
    places: list[PlaceRecord]
    places_left_out: str = Field(
        description="Why border and inside are not told apart; empty where they are."
    )
    regions: RegionsRecord | None
    regions_left_out: str
    reliability: list[BinRecord]
    slides: SlidesRecord


def finite(value: float) -> float | None:
    """A figure for JSON; null stands for one that is not estimable."""
    return float(value) if math.isfinite(value) else None


def metrics_json(record: MetricsRecord) -> bytes:
    """The file."""
    return _written(record.model_dump(mode="json"))


def metrics_schema() -> bytes:
    """Its JSON Schema (draft 2020-12)."""
    schema = MetricsRecord.model_json_schema()
    return _written({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})


def _written(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
