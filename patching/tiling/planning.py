"""What is to be cut from one slide: tissue, grid, labels; decided before a single patch is read."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patching.annotations.base import AbstractAnnotation
from patching.manifest import SlideRow
from patching.pictures.overlay import OverlayContent
from patching.readers.base import AbstractSlide
from patching.store.reading import PatchTable, StoreAttributes
from patching.survey.annotated import annotation_of, tell_beside_tissue
from patching.survey.quality import quality_names
from patching.survey.survey import Survey, survey_slide
from patching.tiling.labels import DROPPED
from patching.tiling.settings import TileSettings

KEPT, NO_TISSUE, LITTLE_TISSUE, IGNORED, AMBIGUOUS, UNCOVERED = range(6)
REASONS = {
    NO_TISSUE: "no_tissue",
    LITTLE_TISSUE: "little_tissue",
    IGNORED: "ignored",
    AMBIGUOUS: "ambiguous_label",
    UNCOVERED: "uncovered",
}


@dataclass(frozen=True)
class Candidates:
    """Every patch of the grid, kept or not."""

    table: PatchTable
    outcome_N: NDArray[np.int8]
    """KEPT, or the reason in REASONS."""

    @property
    def kept(self) -> PatchTable:
        """The table of those kept."""
        keep, table = self.outcome_N == KEPT, self.table
        return PatchTable(
            table.locations_N2[keep],
            table.tissue_fraction_N[keep],
            table.tumor_fraction_N[keep],
            table.label_N[keep],
            table.covered_fraction_N[keep],
        )

    @property
    def dropped(self) -> dict[str, int]:
        """Number of patches dropped for each reason."""
        return {name: int((self.outcome_N == code).sum()) for code, name in REASONS.items()}


@dataclass(frozen=True)
class SlidePlan:
    """All that is known of a slide before its patches are read."""

    survey: Survey
    candidates: Candidates
    attributes: StoreAttributes
    overlay: OverlayContent


def plan_slide(
    slide: AbstractSlide, row: SlideRow, fingerprint: str, settings: TileSettings, threads: int = 1
) -> SlidePlan:
    """Find tissue, measure every patch of the grid, and decide which ones to keep.

    Args:
        slide: the row's slide, open.
        row: the manifest's row.
        fingerprint: digest of the slide's files.
        settings: the tile settings.
        threads: threads that read the overview.

    Raises:
        SlideError: the slide cannot be read, is too coarse, or lacks what the settings need.
        AnnotationError: the annotation is unusable.
    """
    survey = survey_slide(slide, row.slide_id, settings, mpp=row.mpp, threads=threads)
    annotation = annotation_of(row, slide, settings.classes)
    candidates = _choose(survey, annotation, settings)
    tell_beside_tissue(row, survey, candidates.table.tumor_fraction_N)
    warnings = (*survey.warnings, *annotation.warnings)
    attributes = _attributes(row.slide_id, fingerprint, slide, survey, settings, candidates, warnings)
    overlay = OverlayContent(
        title=row.slide_id,
        image_HWC=survey.thumbnail_HW3,
        size=slide.size,
        brightfield=True,
        tissue_HW=survey.tissue.mask_HW,
        tissue_downsample=survey.tissue.downsample,
        locations_N2=survey.locations_N2,
        label_N=np.where(candidates.outcome_N == KEPT, candidates.table.label_N, DROPPED),
        extent=survey.sampling.extent,
        outlines=annotation.outlines(),
        mpp=survey.mpp,
    )
    return SlidePlan(survey, candidates, attributes, overlay)


def _choose(survey: Survey, annotation: AbstractAnnotation, settings: TileSettings) -> Candidates:
    """Label every place of the grid and decide on it."""
    tissue_N, covered_N = survey.tissue_fraction_N, survey.covered_fraction_N
    judged = settings.label.judge(annotation, survey.locations_N2, survey.sampling.extent)
    outcome_N = np.full(len(tissue_N), KEPT, np.int8)
    # From the weakest reason to the strongest, which is written last.
    outcome_N[judged.label_N == DROPPED] = AMBIGUOUS
    outcome_N[judged.ignored_fraction_N > settings.label.ignore] = IGNORED
    outcome_N[tissue_N < settings.minimum_tissue_fraction] = LITTLE_TISSUE
    outcome_N[tissue_N == 0] = NO_TISSUE
    outcome_N[(covered_N < settings.minimum_covered_fraction) | (covered_N == 0)] = UNCOVERED
    table = PatchTable(survey.locations_N2, tissue_N, judged.tumor_fraction_N, judged.label_N, covered_N)
    return Candidates(table, outcome_N)


def _attributes(
    slide_id: str,
    fingerprint: str,
    slide: AbstractSlide,
    survey: Survey,
    settings: TileSettings,
    candidates: Candidates,
    warnings: tuple[str, ...],
) -> StoreAttributes:
    mpp, sampling = survey.mpp, survey.sampling
    return StoreAttributes(
        slide_id=slide_id,
        fingerprint=fingerprint,
        spec=settings.patch.model_dump(),
        extent=sampling.extent,
        stride=sampling.stride,
        downsample=sampling.downsample,
        mpp=None if mpp is None else mpp.mean * sampling.downsample,
        slide_mpp=None if mpp is None else (mpp.x, mpp.y),
        slide_size=(slide.size.width, slide.size.height),
        channels=slide.channels,
        dtype=str(slide.dtype),
        brightfield=slide.brightfield,
        tissue_downsample=survey.tissue.downsample,
        dropped=candidates.dropped,
        # Streams that are passed through are not decoded, so that there is nothing to measure.
        quality=quality_names(slide.channels) if settings.quality and settings.codec != "jpeg" else (),
        tissue=settings.tissue_in_full,
        mask_pixels_per_patch=settings.mask_pixels_per_patch,
        minimum_tissue_fraction=settings.minimum_tissue_fraction,
        minimum_covered_fraction=settings.minimum_covered_fraction,
        covered_fraction=round(float(survey.tissue.covered_HW.mean()), 9),
        white=None if math.isnan(survey.white) else survey.white,
        warnings=warnings,
    )
