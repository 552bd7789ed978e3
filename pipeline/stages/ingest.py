"""Check a cohort: its slides.csv, every slide, every annotation's presence. Writes data/<cohort>/cohort.

Slides that cannot be used go to excluded.csv with the reason, up to the configured budget; the others to
slides.csv, with fingerprint, size and pixel type. A path that is absolute stays so; others are relative to
the project's folder.
"""

import argparse
import csv
import hashlib
import logging
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
from rich.console import Console
from rich.progress import track

from patching.errors import AnnotationError, ConfigError, EvenpatchError, MemoryShortageError, SlideError
from patching.geometry import Location
from patching.manifest import SlideRow
from patching.readers.cells import COLUMNS, Reading
from patching.readers.naming import SlideKind
from patching.tiling.examination import Examined, examine, misfits
from pipeline.artifacts import SLIDES, Paths
from pipeline.cohort.excluded import require_budget, write_excluded
from pipeline.cohort.foreseen import load_tiling, tell_foreseen
from pipeline.cohort.slides import file_cells, manifest_rows, with_files
from pipeline.config import Context, Settings, load_cohort, load_stage, slides_manifest
from pipeline.files import checksums, replacing, write_json

logger = logging.getLogger(__name__)
_NAMED = 10


class IngestSettings(Settings):
    """configs/ingest.yaml."""

    error_budget: float = Field(ge=0, le=1)
    """Share of the cohort's slides that may be excluded."""
    exclude: tuple[str, ...]
    """Patients that are left out, by patient_id; no part of the error budget."""
    channels: tuple[str, ...] | None
    """Channels every slide must have, in order; by default those that most slides have."""
    z: Annotated[int, Field(ge=0)] | Literal["max", "mean"] | None
    """Plane along Z of stacks, from 0, or a projection; a row's own choice wins."""
    t: Annotated[int, Field(ge=0)] | Literal["max", "mean"] | None
    """The same along time."""
    axes: str | None
    """Names for the files' axes, in their order, where the files name them wrongly."""
    kind: SlideKind | None
    """What the pixels are, where files do not tell it or err; a row's own kind wins."""
    series: Annotated[int, Field(ge=0)] | str | None
    """The image of files that hold several: its number from 0, or its name."""
    annotation_origin: Literal["slide", "bounds"] | None
    """Which corner annotations count from, the slide's or the scanned region's; by default their format's."""
    reader: Literal["tiff", "openslide", "image", "zarr"] | None
    """Reader of every slide; by default each file's content decides."""
    registration: Literal["report", "correct"] | None
    """Estimate the shift between the modalities of a slide: only report it, or correct it too."""
    largest_shift: float = Field(gt=0)
    """Level-0 pixels; a slide whose modalities are further apart is excluded."""

    mpp: float | None = Field(gt=0)
    """µm per level-0 pixel of slides for which neither slides.csv nor the file tells it."""

    @field_validator("exclude", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        # YAML reads an id of digits as a number; anything else but text is refused.
        if not isinstance(value, list):
            return value
        return [str(each) if type(each) is int else each for each in value]

    @property
    def reading(self) -> Reading:
        """Defaults of the slides' columns."""
        return Reading(
            z=self.z,
            t=self.t,
            axes=self.axes,
            reader=self.reader,
            kind=self.kind,
            series=self.series,
            annotation_origin=self.annotation_origin,
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The stage's own arguments."""
    parser.add_argument(
        "--error-budget", type=float, help="share of slides that may fail; overrides the setting"
    )


def run(context: Context, options: argparse.Namespace) -> None:
    """Check the cohort and write what the next stages read.

    Raises:
        ConfigError: a setting is unknown or out of its range, or the cohort has no slides.
        ManifestError: slides.csv breaks its rules.
        ErrorBudgetError: more slides are excluded than the budget allows, or all of them.
    """
    given = {"error_budget": options.error_budget}
    settings = load_stage(context.configs, context.cohort, "ingest", IngestSettings, **given)
    cohort, tiling = load_cohort(context.configs, context.cohort), load_tiling(context)
    listed = manifest_rows(slides_manifest(cohort, context.cohort), context.paths.root)
    told = wanted(sorted(listed, key=lambda row: row.slide_id), settings.exclude)
    rows = with_files(told, context.paths.root)
    examined, excluded = examine_cohort(rows, settings)
    # Those of an earlier run must not outlive a run that failed.
    for path in (context.paths.slides, context.paths.ingested / "summary.json"):
        path.unlink(missing_ok=True)
    table = context.paths.ingest_excluded
    write_excluded(table, "ingest", rows, excluded, told)
    require_budget(table, "ingest", rows, excluded, settings.error_budget)
    _write(context.paths, examined, excluded, told)
    without = tell_foreseen(context, tiling, examined)
    foreseen = f"read; {len(without)} of them tiling will exclude" if without else "used"
    logger.info("%d of %d slides can be %s: %s", len(examined), len(rows), foreseen, context.paths.slides)


def wanted(rows: Sequence[SlideRow], excluded: Collection[str]) -> list[SlideRow]:
    """The slides without those of patients that are to be left out.

    Raises:
        ConfigError: a patient to leave out that no slide has, or no slide is left.
    """
    patients = {row.patient_id for row in rows}
    excluded = {unicodedata.normalize("NFC", name) for name in excluded}  # as read_manifest has them
    if unknown := sorted(excluded - patients):
        raise ConfigError(
            has=f"ingest.exclude with {', '.join(map(repr, unknown))}",
            needs=f"patient ids of slides.csv, such as {min(patients)!r}",
            do="correct them; an id with a leading zero needs quotes",
        )
    left = [row for row in rows if row.patient_id not in excluded]
    if not left:
        raise ConfigError(
            has=f"ingest.exclude with all {len(patients)} patients of slides.csv",
            needs="a patient that is not left out",
            do="shorten the list",
        )
    if len(left) < len(rows):
        logger.info("%d slides of %d patients are left out", len(rows) - len(left), len(excluded))
    return left


def examine_cohort(
    rows: Sequence[SlideRow], settings: IngestSettings
) -> tuple[list[Examined], dict[str, EvenpatchError]]:
    """Open every slide; return those that fit together, and the others' errors by slide_id."""
    opened: list[Examined] = []
    excluded: dict[str, EvenpatchError] = {}
    for row in track(rows, "checking slides", console=Console(stderr=True)):
        try:
            filled = replace(row, reading=row.reading.filled(settings.reading))
            slide = examine(filled, settings.registration, settings.largest_shift)
            opened.append(slide if slide.mpp else replace(slide, mpp=settings.mpp))
        except (SlideError, AnnotationError, MemoryShortageError) as error:
            excluded[row.slide_id] = error
    excluded |= misfits(opened, settings.channels)
    return [slide for slide in opened if slide.row.slide_id not in excluded], excluded


def _write(
    paths: Paths,
    examined: Sequence[Examined],
    excluded: Mapping[str, EvenpatchError],
    told: Sequence[SlideRow],
) -> None:
    extras = dict.fromkeys(key for slide in examined for key in slide.row.extra)
    files = {row.slide_id: row for row in told}
    # Only where one is set: the table of most cohorts stays as it is.
    set_columns = [name for name in COLUMNS if any(name in slide.row.reading.cells() for slide in examined)]
    columns = tuple(dict.fromkeys((*SLIDES, *set_columns, *extras)))
    with replacing(paths.slides) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(_slide_cells(slide) | file_cells(files[slide.row.slide_id]) for slide in examined)
    summary = summarize(examined, excluded) | checksums(paths.slides, paths.ingest_excluded)
    write_json(paths.ingested / "summary.json", summary)


def _slide_cells(slide: Examined) -> dict[str, Any]:
    row = slide.row
    return row.extra | {
        "slide_id": row.slide_id,
        "patient_id": row.patient_id,
        "channels": ";".join(slide.channels),
        "label": row.label,
        "mpp": slide.mpp,
        "split": row.split,
        "fingerprint": slide.fingerprint,
        "annotation_fingerprint": slide.annotation_fingerprint,
        "width": slide.size.width,
        "height": slide.size.height,
        "dtype": slide.dtype,
        **row.reading.cells(),
        "kind": slide.kind,
    }


def summarize(examined: Sequence[Examined], excluded: Mapping[str, EvenpatchError]) -> dict[str, Any]:
    """The cohort in figures, for the report and for MLflow's dataset fingerprint."""
    rows = [slide.row for slide in examined]
    sizes = sorted({slide.mpp for slide in examined if slide.mpp is not None})
    if len(sizes) > 1:
        logger.warning("mixed pixel sizes, %g to %g µm: tile by `patch.mpp`", sizes[0], sizes[-1])
    same = defaultdict(list)
    for slide in examined:
        same[slide.fingerprint, slide.row.reading.series].append(slide.row.slide_id)
    twins = [names for names in same.values() if len(names) > 1]
    if twins:
        logger.warning("%d groups of slides with the same content: %s", len(twins), twins[:_NAMED])
    apart = {
        slide.row.slide_id: [[round(shift.x, 2), round(shift.y, 2)] for shift in slide.shifts]
        for slide in examined
        if slide.shifts
    }
    # Only of slides on which QuPath counts from elsewhere than the corner.
    bounds = {
        slide.row.slide_id: [slide.bounds.x, slide.bounds.y]
        for slide in examined
        if slide.bounds != Location(0, 0)
    }
    listed = "\n".join(f"{slide.row.slide_id} {slide.fingerprint}" for slide in examined)
    return {
        "slides": len(examined),
        "patients": len({row.patient_id for row in rows}),
        "channels": list(examined[0].channels) if examined else [],
        "dtype": examined[0].dtype if examined else None,
        "kinds": dict(sorted(Counter(slide.kind for slide in examined).items())),
        "mpp": {"smallest": min(sizes, default=None), "largest": max(sizes, default=None),
                "missing": sum(slide.mpp is None for slide in examined)},
        "labels": dict(sorted(Counter(str(row.label) for row in rows if row.label is not None).items())),
        "annotated": sum(row.annotation is not None for row in rows),
        "same_content": twins,
        "bounds": bounds,
        "excluded": dict(sorted(Counter(type(error).__name__ for error in excluded.values()).items())),
        "fingerprint": hashlib.sha256(listed.encode()).hexdigest(),
        **({"shifts": apart} if apart else {}),
    }  # fmt: skip
