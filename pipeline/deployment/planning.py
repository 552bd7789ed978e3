"""One slide opened, checked against the model and surveyed: all that is known before its patches are read."""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from models.networks.card import ModelCard
from models.networks.fitting import (
    channel_order,
    fitted_spec,
    require_kind,
    survey_settings,
    trained_spec,
)
from patching.annotations.base import Classes, Kind
from patching.damage import memory_told
from patching.geometry import Location, Size
from patching.manifest import SlideRow
from patching.readers.base import AbstractSlide
from patching.readers.projection import SelectedSlide
from patching.readers.regions import Regions
from patching.resample import area_resize
from patching.survey.annotated import annotation_of, tell_beside_tissue
from patching.survey.quality import measure_quality
from patching.survey.survey import Survey, pixel_size, survey_slide
from patching.tiling.labels import DROPPED, Judgement, LabelRule
from pipeline.config import Settings


class ScoringSettings(Settings):
    """What annotations mean, where slides have them: as the tile stage's settings of these names."""

    classes: Classes = Field(default_factory=lambda: {kind: kind for kind in get_args(Kind)})
    """Annotation class, or value of a mask image -> what it means; `*` is any other."""
    label: LabelRule = LabelRule()
    """From tumor fraction to label."""


@dataclass(frozen=True)
class Annotated:
    """What a slide's annotation says."""

    judged: Judgement
    outlines: tuple[NDArray[np.float64], ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class SlidePlan:
    """What is known of a slide before its patches are read; lasts longer than the open slide."""

    row: SlideRow
    survey: Survey
    size: Size
    bounds: Location
    locations_N2: NDArray[np.int64]
    """Level-0 (x, y) of the patches to predict."""
    tissue_fraction_N: NDArray[np.float64]
    covered_fraction_N: NDArray[np.float64]
    annotated: Annotated | None
    warnings: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.locations_N2)


class PatchReader:
    """Reads the patches of an open slide as tiling stores them; threads may read at the same time.

    Args:
        slide: open, with the model's channels.
        plan: of the slide.
        side: of a patch in its own pixels.
    """

    def __init__(self, slide: AbstractSlide, plan: SlidePlan, side: int) -> None:
        self._slide, self._side = slide, side
        self._sampling = plan.survey.sampling
        read = self._sampling.read
        if slide.brightfield:
            slide.fill_with(int(plan.survey.white))
        self._regions: Regions = slide.expect(self._sampling.level, plan.locations_N2, Size(read, read))
        self._maximum = plan.survey.white

    def read(self, number: int, out_HWC: NDArray[Any]) -> None:
        """Fill an array with a patch.

        Raises:
            UnreadableSlideError: the file is damaged there.
        """
        read = self._sampling.read
        if read == self._side:
            self._regions.read(number, out_HWC)
            return
        region_HWC = np.empty((read, read, out_HWC.shape[-1]), out_HWC.dtype)
        self._regions.read(number, region_HWC)
        area_resize(region_HWC, Size(self._side, self._side), out_HWC=out_HWC)

    def measure(self, patch_HWC: NDArray[Any]) -> NDArray[np.float32]:
        """The quality of a patch that was read."""
        return measure_quality(patch_HWC, brightfield=self._slide.brightfield, detector_maximum=self._maximum)

    def close(self) -> None:
        """Release the slide's files."""
        self._slide.close()


def open_for(row: SlideRow, card: ModelCard) -> tuple[AbstractSlide, tuple[str, ...]]:
    """The slide with the model's channels in the model's order, and what is to be told.

    Raises:
        SlideError: it cannot be read, lacks a channel, or is of another kind than the model's.
    """
    with ExitStack() as if_it_fails:
        slide = if_it_fails.enter_context(row.open())
        order = channel_order(card.channels, slide.channels)
        told: tuple[str, ...] = ()
        if order != tuple(range(len(slide.channels))):
            dropped = [name for number, name in enumerate(slide.channels) if number not in order]
            told = (f"channels not used by the model: {', '.join(dropped)}",) if dropped else ()
            slide = if_it_fails.enter_context(SelectedSlide(slide, order))
        require_kind(card, slide)
        if_it_fails.pop_all()
        return slide, told


def plan_slide(
    row: SlideRow,
    card: ModelCard,
    *,
    overlap: float | None = None,
    scoring: ScoringSettings | None = None,
    cache_bytes: int = 128 * 2**20,
) -> tuple[SlidePlan, PatchReader]:
    """Open a slide, check it, find its tissue and decide on its patches.

    Args:
        row: the slide.
        card: of the model.
        overlap: share of its side that a patch has in common with the next; None is the training's step.
        scoring: what annotations mean.
        cache_bytes: of decoded tiles that several patches share.

    Raises:
        SlideError: it cannot be read, or not as the model needs it.
        AnnotationError: its annotation is unusable.
        CheckpointError: the model was not trained on slides.
        MemoryShortageError: it needs more memory than there is.
    """
    with memory_told(row.slide_id), ExitStack() as if_it_fails:
        slide, told = open_for(row, card)
        if_it_fails.enter_context(slide)
        slide.limit_cache(cache_bytes)
        fitted = fitted_spec(trained_spec(card, overlap), card.ranges.mpp, pixel_size(row.mpp, slide.mpp))
        settings = survey_settings(card, fitted.spec)
        survey = survey_slide(slide, row.slide_id, settings, mpp=row.mpp)
        kept_N = survey.kept(settings)
        locations_N2 = survey.locations_N2[kept_N]
        annotated = _annotated(row, slide, locations_N2, survey, scoring or ScoringSettings())
        warnings = (*told, *fitted.warnings, *survey.warnings, *_empty(kept_N))
        plan = SlidePlan(
            row=row,
            survey=survey,
            size=slide.size,
            bounds=slide.bounds,
            locations_N2=locations_N2,
            tissue_fraction_N=survey.tissue_fraction_N[kept_N],
            covered_fraction_N=survey.covered_fraction_N[kept_N],
            annotated=annotated,
            warnings=(*warnings, *(annotated.warnings if annotated else ())),
        )
        reader = PatchReader(slide, plan, fitted.spec.size)
        if_it_fails.pop_all()
        return plan, reader


def _empty(kept_N: NDArray[np.bool_]) -> tuple[str, ...]:
    if not kept_N.size:
        return ("smaller than a patch: not one patch",)
    return () if kept_N.any() else ("no tissue found: not one patch",)


def _annotated(
    row: SlideRow,
    slide: AbstractSlide,
    locations_N2: NDArray[np.int64],
    survey: Survey,
    scoring: ScoringSettings,
) -> Annotated | None:
    if row.annotation is None and row.label is None:
        return None
    annotation = annotation_of(row, slide, scoring.classes)
    tell_beside_tissue(row, survey, annotation.fractions(survey.locations_N2, survey.sampling.extent))
    judged = scoring.label.judge(annotation, locations_N2, survey.sampling.extent)
    ignored_N = judged.ignored_fraction_N > scoring.label.ignore
    label_N = np.where(ignored_N, DROPPED, judged.label_N).astype(np.int8)
    outlines = tuple(np.asarray(ring, np.float64) for ring in annotation.outlines())
    judgement = Judgement(judged.tumor_fraction_N, label_N, judged.ignored_fraction_N)
    return Annotated(judgement, outlines, annotation.warnings)
