"""Tissue and grid of one slide, found on an overview; nothing of labels."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patching.errors import SlideError
from patching.geometry import Level, Mpp
from patching.grid import Sampling, grid_locations, read_plan, resolve
from patching.pictures.drawing import false_color, stretch
from patching.readers.base import AbstractSlide
from patching.readers.overview import overview
from patching.resample import shrink, shrunk
from patching.survey.settings import FEWEST_MASK_PIXELS, SurveySettings
from patching.tissue.base import SlideOrigin
from patching.tissue_area import AreaTable

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
        SlideError: the slide cannot be read, is too coarse, or lacks what the settings need.
        AnnotationError: an external mask is unusable.
    """
    pixel = pixel_size(mpp, slide.mpp)
    sampling = resolve(settings.patch, slide.levels, pixel)
    thumbnail_HW3, tissue = _find_tissue(slide, slide_id, sampling, pixel, settings, threads)
    locations_N2 = grid_locations(slide.size, sampling.extent, sampling.stride, settings.patch.edge)
    area = AreaTable.of_slide(tissue.mask_HW, slide.size, tissue.downsample)
    fraction_N = area.fractions(locations_N2, sampling.extent, tissue.downsample)
    return Survey(pixel, sampling, tissue, thumbnail_HW3, locations_N2, fraction_N)


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
    settings: SurveySettings,
    threads: int,
) -> tuple[NDArray[np.uint8], TissueMask]:
    """Thumbnail and tissue mask from one pass over the slide."""
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
    image_HWC, downsample = overview(slide, max(1.0, min(wanted, pictured)), threads)
    factor = max(1, int(wanted / downsample + 1e-6))
    mask_downsample = downsample * factor
    mask_mpp = None if mpp is None else mpp.coarser(mask_downsample)
    mask_HW = settings.detector.detect(
        shrink(image_HWC, factor),
        mask_mpp,
        brightfield=slide.brightfield,
        channels=slide.channels,
        origin=SlideOrigin(slide_id, slide.size, mask_downsample, slide.bounds, slide.scanned),
    )
    thumbnail_HW3 = _picture(shrunk(image_HWC, _THUMBNAIL), threads, brightfield=slide.brightfield)
    return thumbnail_HW3, TissueMask(mask_HW, mask_downsample)


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
