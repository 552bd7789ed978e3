"""Tissue and grid of one slide, found on an overview; nothing of labels."""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patching.errors import SlideError
from patching.geometry import Level, Mpp
from patching.grid import Sampling, grid_locations, read_plan, resolve
from patching.pictures.drawing import false_color, light_color, stretch
from patching.readers.base import AbstractSlide
from patching.readers.overview import Overview, nothing_stored, overview
from patching.resample import shrunk
from patching.survey.quality import full_light
from patching.survey.settings import FEWEST_MASK_PIXELS, SurveySettings
from patching.tissue.base import SlideOrigin
from patching.tissue_area import AreaTable

logger = logging.getLogger(__name__)
MAX_MASK_PIXELS = 2**28
_THUMBNAIL = 1280
_PAINTED = 64  # rows
_COARSER = 4 / 3  # than wanted: what a stored level may be
STORED_THUMBNAIL = 640
"""Longer side, at most, of the picture of the slide that is kept."""


@dataclass(frozen=True)
class TissueMask:
    """Where tissue is on a slide."""

    mask_HW: NDArray[np.bool_]
    covered_HW: NDArray[np.bool_]
    """Where the slide exists."""
    downsample: float
    """Level-0 pixels per pixel of the mask."""


@dataclass(frozen=True)
class Survey:
    """What is known of a slide's places before their pixels are read."""

    mpp: Mpp | None
    """µm per level-0 pixel."""
    sampling: Sampling
    tissue: TissueMask
    thumbnail_HW3: NDArray[np.uint8]
    """The whole slide in (false) color."""
    locations_N2: NDArray[np.int64]
    """Level-0 (x, y) of every place of the grid."""
    tissue_fraction_N: NDArray[np.float64]
    """Share of each place that is tissue, 0 to 1."""
    covered_fraction_N: NDArray[np.float64]
    """Share of each place that exists: scanned, stored, not transparent, and inside the slide."""
    white: float
    """Value of a detector's full light: see `full_light`."""
    warnings: tuple[str, ...]
    """What the slide's log, the cohort page and the report must tell."""

    def kept(self, settings: SurveySettings) -> NDArray[np.bool_]:
        """Which places hold enough tissue, and enough that exists, bool [N]."""
        tissue_N, covered_N = self.tissue_fraction_N, self.covered_fraction_N
        enough_N = (tissue_N > 0) & (tissue_N >= settings.minimum_tissue_fraction)
        return enough_N & (covered_N > 0) & (covered_N >= settings.minimum_covered_fraction)


def survey_slide(
    slide: AbstractSlide,
    slide_id: str,
    settings: SurveySettings,
    *,
    mpp: float | None = None,
    threads: int = 1,
) -> Survey:
    """Find tissue, and measure it in every place of the grid.

    Args:
        slide: an open slide.
        slide_id: its name, for detectors that look a mask up.
        settings: patches and tissue.
        mpp: µm per level-0 pixel; wins over the file's own.
        threads: threads that read the overview.

    Raises:
        SlideError: the slide cannot be read, is too coarse, lacks what the settings need, or has no pixel.
        AnnotationError: an external mask is unusable.
    """
    pixel = pixel_size(mpp, slide.mpp)
    sampling = resolve(settings.patch, slide.levels, pixel)
    view, tissue, white, warnings = _find_tissue(slide, slide_id, sampling, pixel, settings, threads)
    thumbnail_HW3 = _picture(
        shrunk(view.image_HWC, _THUMBNAIL),
        threads,
        brightfield=slide.brightfield,
        white=white,
        shown=None if view.covered_HW.all() else view.image_HWC[view.covered_HW][:, None],
    )
    locations_N2 = grid_locations(slide.size, sampling.extent, sampling.stride, settings.patch.edge)

    def shares(part_HW: NDArray[np.bool_]) -> NDArray[np.float64]:
        area = AreaTable.of_slide(part_HW, slide.size, tissue.downsample)
        return area.fractions(locations_N2, sampling.extent, tissue.downsample)

    # Places stick out of the slide with "pad" alone.
    whole = settings.patch.edge != "pad" and bool(tissue.covered_HW.all())
    covered_N = np.ones(len(locations_N2)) if whole else shares(tissue.covered_HW)
    tissue_N = shares(tissue.mask_HW)
    return Survey(pixel, sampling, tissue, thumbnail_HW3, locations_N2, tissue_N, covered_N, white, warnings)


def pixel_size(given: float | None, found: Mpp | None) -> Mpp | None:
    """The manifest's pixel size wins; where it is but the mean of the file's, the file knows both sides."""
    if given is None or (found is not None and found.mean == given):
        return found
    if found is not None and not found.square:
        logger.warning("pixels of %.4g x %.4g µm are taken for square ones of %g", found.x, found.y, given)
    return Mpp(given, given)


def _find_tissue(
    slide: AbstractSlide,
    slide_id: str,
    sampling: Sampling,
    mpp: Mpp | None,
    settings: SurveySettings,
    threads: int,
) -> tuple[Overview, TissueMask, float, tuple[str, ...]]:
    """Overview, tissue mask, value of full light and warnings, from one pass over the slide."""
    wanted = _mask_scale(slide.levels, sampling.extent, settings.mask_pixels_per_patch)
    longest = max(slide.size.width, slide.size.height)
    if slide.size.width * slide.size.height / wanted**2 > MAX_MASK_PIXELS:
        raise SlideError(
            has=f"a tissue mask of {slide.size.width / wanted:.0f} x {slide.size.height / wanted:.0f} pixels",
            needs=f"at most {MAX_MASK_PIXELS} pixels",
            do="tiling: lower `tile.mask_pixels_per_patch`, or make patches larger; predicting: take a model "
            "of larger or coarser patches, or a part of the slide",
        )
    pictured = _unshrunk(slide.levels, longest / _THUMBNAIL, longest / STORED_THUMBNAIL)
    view = overview(slide, max(1.0, min(wanted, pictured)), threads, patches=sampling.level)
    if not view.covered_HW.any():
        raise nothing_stored(slide, sampling.level)
    small = view.shrunk(max(1, int(wanted / view.downsample + 1e-6)))
    found = settings.detector.find(
        small.image_HWC,
        None if mpp is None else mpp.coarser(small.downsample),
        brightfield=slide.brightfield,
        channels=slide.channels,
        origin=SlideOrigin(slide_id, slide.size, small.downsample, slide.bounds, slide.scanned),
        covered_HW=small.covered_HW,
    )
    tissue = TissueMask(found.mask_HW, found.covered_HW, small.downsample)
    white = full_light(small.image_HWC, found.covered_HW, brightfield=slide.brightfield)
    return view, tissue, white, found.warnings


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


def _picture(
    image_HWC: NDArray[np.generic],
    threads: int,
    *,
    brightfield: bool,
    white: float | None = None,
    shown: NDArray[np.generic] | None = None,
) -> NDArray[np.uint8]:
    """False color of the thumbnail, in strips of rows: they stay in the processor's cache.

    `shown` are the pixels that decide on its range; by default all of them.
    """
    if brightfield:
        return light_color(image_HWC, white)
    stretch_C2 = stretch([image_HWC if shown is None else shown])
    picture_HW3 = np.empty((*image_HWC.shape[:2], 3), np.uint8)

    def paint(top: int) -> None:
        rows = slice(top, top + _PAINTED)
        picture_HW3[rows] = false_color(image_HWC[rows], brightfield=False, stretch_C2=stretch_C2)

    with ThreadPoolExecutor(threads, thread_name_prefix="thumbnail") as pool:
        for _ in pool.map(paint, range(0, len(image_HWC), _PAINTED)):
            pass
    return picture_HW3
