"""What is to be cut from one slide: tissue, grid, labels; decided before a single patch is read."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patching.annotations.base import AbstractAnnotation
from patching.annotations.registry import load_annotation
from patching.errors import SlideError
from patching.geometry import Level, Mpp, Size
from patching.grid import Sampling, grid_locations, read_plan, resolve
from patching.manifest import SlideRow
from patching.pictures.drawing import false_color, stretch
from patching.pictures.overlay import OverlayContent
from patching.readers.base import AbstractSlide
from patching.readers.overview import overview
from patching.resample import shrink, shrunk
from patching.store.reading import PatchTable, StoreAttributes
from patching.tiling.labels import DROPPED
from patching.tiling.quality import quality_names
from patching.tiling.settings import FEWEST_MASK_PIXELS, TileSettings
from patching.tissue.base import SlideOrigin
from patching.tissue_area import AreaTable

MAX_MASK_PIXELS = 2**28
_THUMBNAIL = 1280
_PAINTED = 64  # rows
_COARSER = 4 / 3  # than wanted: what a stored level may be
STORED_THUMBNAIL = 640
"""Longer side, at most, of the picture of the slide that the store holds."""
KEPT, NO_TISSUE, LITTLE_TISSUE, IGNORED, AMBIGUOUS = range(5)
REASONS = {
    NO_TISSUE: "no_tissue",
    LITTLE_TISSUE: "little_tissue",
    IGNORED: "ignored",
    AMBIGUOUS: "ambiguous_label",
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
        )

    @property
    def dropped(self) -> dict[str, int]:
        """Number of patches dropped for each reason."""
        return {name: int((self.outcome_N == code).sum()) for code, name in REASONS.items()}


@dataclass(frozen=True)
class _Tissue:
    mask_HW: NDArray[np.bool_]
    downsample: float


@dataclass(frozen=True)
class SlidePlan:
    """All that is known of a slide before its patches are read."""

    sampling: Sampling
    candidates: Candidates
    attributes: StoreAttributes
    tissue_HW: NDArray[np.bool_]
    thumbnail_HW3: NDArray[np.uint8]
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
    mpp = pixel_size(row.mpp, slide.mpp)
    sampling = resolve(settings.patch, slide.levels, mpp)
    thumbnail_HW3, tissue = _find_tissue(slide, row.slide_id, sampling, mpp, settings, threads)
    annotation = load_annotation(row.annotation, label=row.label, size=slide.size, classes=settings.classes)
    candidates = _choose(slide.size, sampling, tissue, annotation, settings)
    attributes = _attributes(row.slide_id, fingerprint, slide, mpp, sampling, settings, tissue, candidates)
    overlay = OverlayContent(
        title=row.slide_id,
        image_HWC=thumbnail_HW3,
        size=slide.size,
        brightfield=True,
        tissue_HW=tissue.mask_HW,
        tissue_downsample=tissue.downsample,
        locations_N2=candidates.table.locations_N2,
        label_N=np.where(candidates.outcome_N == KEPT, candidates.table.label_N, DROPPED),
        extent=sampling.extent,
        outlines=annotation.outlines(),
        mpp=mpp,
    )
    return SlidePlan(sampling, candidates, attributes, tissue.mask_HW, thumbnail_HW3, overlay)


def pixel_size(given: float | None, found: Mpp | None) -> Mpp | None:
    """The manifest's pixel size wins; where it is but the mean of the file's, the file knows both sides."""
    if given is None or (found is not None and found.mean == given):
        return found
    return Mpp(given, given)


def _find_tissue(
    slide: AbstractSlide,
    slide_id: str,
    sampling: Sampling,
    mpp: Mpp | None,
    settings: TileSettings,
    threads: int,
) -> tuple[NDArray[np.uint8], _Tissue]:
    """Thumbnail and tissue mask from one pass over the slide."""
    wanted = _mask_scale(slide.levels, sampling.extent, settings.mask_pixels_per_patch)
    longest = max(slide.size.width, slide.size.height)
    if slide.size.width * slide.size.height / wanted**2 > MAX_MASK_PIXELS:
        raise SlideError(
            has=f"a tissue mask of {slide.size.width / wanted:.0f} x {slide.size.height / wanted:.0f} pixels",
            needs=f"at most {MAX_MASK_PIXELS} pixels",
            do="lower tile.mask_pixels_per_patch, or make patches larger",
        )
    pictured = _unshrunk(slide.levels, longest / _THUMBNAIL, longest / STORED_THUMBNAIL)
    image_HWC, downsample = overview(slide, max(1.0, min(wanted, pictured)), threads)
    factor = max(1, int(wanted / downsample + 1e-6))
    mask_downsample = downsample * factor
    mask_mpp = None if mpp is None else mpp.coarser(mask_downsample)
    mask_HW = settings.detector.detect(
        shrink(image_HWC, factor),
        mask_mpp,
        brightfield=slide.brightfield,
        channels=slide.channels,
        origin=SlideOrigin(slide_id, slide.size, mask_downsample),
    )
    thumbnail_HW3 = _picture(shrunk(image_HWC, _THUMBNAIL), threads, brightfield=slide.brightfield)
    return thumbnail_HW3, _Tissue(mask_HW, mask_downsample)


def _mask_scale(levels: Sequence[Level], extent: int, pixels: int) -> float:
    """Level-0 pixels wanted per mask pixel: a little coarser where that spares the reading of a finer level.

    Example: 240 level-0 pixels at 16 mask pixels want 15. Of levels of 1, 4 and 16, 16 is taken.
    """
    wanted = max(1.0, extent / pixels)
    return _unshrunk(levels, wanted, min(wanted * _COARSER, extent / FEWEST_MASK_PIXELS))


def _unshrunk(levels: Sequence[Level], wanted: float, coarsest: float) -> float:
    """The wanted scale, or that of a stored level up to `coarsest` where else a finer one would be shrunk."""
    near = [level.downsample for level in levels if wanted < level.downsample <= coarsest]
    shrinks = near and read_plan(levels, max(1.0, wanted), tolerance=0.01)[1] >= 2
    return min(near) if shrinks else wanted


def _picture(image_HWC: NDArray[np.generic], threads: int, *, brightfield: bool) -> NDArray[np.uint8]:
    """False color of the thumbnail, in strips of rows: they stay in the processor's cache."""
    if brightfield:
        return false_color(image_HWC, brightfield=True)
    stretch_C2 = stretch([image_HWC])
    picture_HW3 = np.empty((*image_HWC.shape[:2], 3), np.uint8)

    def paint(top: int) -> None:
        rows = slice(top, top + _PAINTED)
        picture_HW3[rows] = false_color(image_HWC[rows], brightfield=False, stretch_C2=stretch_C2)

    with ThreadPoolExecutor(threads, thread_name_prefix="thumbnail") as pool:
        for _ in pool.map(paint, range(0, len(image_HWC), _PAINTED)):
            pass
    return picture_HW3


def _choose(
    size: Size,
    sampling: Sampling,
    tissue: _Tissue,
    annotation: AbstractAnnotation,
    settings: TileSettings,
) -> Candidates:
    """Measure every patch of the grid and decide on it."""
    locations_N2 = grid_locations(size, sampling.extent, sampling.stride, settings.patch.edge)
    area = AreaTable.of_slide(tissue.mask_HW, size, tissue.downsample)
    tissue_N = area.fractions(locations_N2, sampling.extent, tissue.downsample)
    judged = settings.label.judge(annotation, locations_N2, sampling.extent)
    outcome_N = np.full(len(locations_N2), KEPT, np.int8)
    # From the weakest reason to the strongest, which is written last.
    outcome_N[judged.label_N == DROPPED] = AMBIGUOUS
    outcome_N[judged.ignored_fraction_N > settings.label.ignore] = IGNORED
    outcome_N[tissue_N < settings.minimum_tissue_fraction] = LITTLE_TISSUE
    outcome_N[tissue_N == 0] = NO_TISSUE
    table = PatchTable(locations_N2, tissue_N, judged.tumor_fraction_N, judged.label_N)
    return Candidates(table, outcome_N)


def _attributes(
    slide_id: str,
    fingerprint: str,
    slide: AbstractSlide,
    mpp: Mpp | None,
    sampling: Sampling,
    settings: TileSettings,
    tissue: _Tissue,
    candidates: Candidates,
) -> StoreAttributes:
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
        tissue_downsample=tissue.downsample,
        dropped=candidates.dropped,
        # Streams that are passed through are not decoded, so that there is nothing to measure.
        quality=quality_names(slide.channels) if settings.quality and settings.codec != "jpeg" else (),
    )
