"""One slide into patches: plan, cut, publish."""

import logging
import math
import resource
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from patching.damage import memory_told
from patching.disk_space import require_room
from patching.errors import StoreError
from patching.grid import Sampling, resolve
from patching.pictures.overlay import write_overlay
from patching.readers.base import AbstractSlide
from patching.resample import shrink
from patching.store.writing import StoreWriter, read_part
from patching.survey.survey import STORED_THUMBNAIL, pixel_size
from patching.tiling.cutting import Cut, cut_shards
from patching.tiling.passthrough import Passthrough, find_passthrough
from patching.tiling.planning import SlidePlan, plan_slide
from patching.tiling.settings import TileSettings
from patching.tiling.task import SlideLog, SlideTask

logger = logging.getLogger(__name__)
_MIB = 2**20


def tile_slide(
    task: SlideTask,
    *,
    threads: int = 1,
    keep_part: bool = False,
    most_shards: float = math.inf,
    begun: Callable[[], None] = lambda: None,
    progress: Callable[[int], None] = lambda _: None,
) -> tuple[SlideLog, list[int]]:
    """Write one slide's patch store and overlay picture; of a large slide all but the patches, if wanted.

    Args:
        task: the slide. Its store appears whole.
        threads: threads that decode.
        keep_part: an unfinished store beside the final one is known to be of this slide and these settings,
            and is finished.
        most_shards: where more are to be cut, none is: they are left to `cut_slide` and `publish_slide`.
        begun: called once the unfinished store lacks nothing but patches.
        progress: told the number of patches of every shard that was written.

    Returns:
        The log, and the numbers of the shards that are left.

    Raises:
        SlideError: the slide cannot be read, is too coarse, or lacks what the settings need.
        AnnotationError: the annotation is unusable.
        DiskSpaceError: the disk is full.
        MemoryShortageError: it needs more memory than there is.
    """
    store, overlay, _ = task.folders.of(task.row.slide_id)
    log = SlideLog(task.row.slide_id, threads=threads)
    with _opened(task) as slide, ThreadPoolExecutor(1, thread_name_prefix="pictures") as aside:
        plan = _plan(slide, task, log)
        writer = StoreWriter(store) if keep_part else _create(slide, store, plan, task.settings, log)
        drawn = None if keep_part else aside.submit(_draw, writer, plan, overlay, begun)

        def told(patches: int) -> None:
            if drawn is not None and drawn.done():
                drawn.result()  # an error ends the slide now, not after the last patch
            progress(patches)

        shards = writer.missing()
        if here := len(shards) <= most_shards:
            places_N2, survey = plan.candidates.kept.locations_N2, plan.survey
            cut = _how(slide, survey.sampling, survey.white, task.settings, places_N2)
            _cut(slide, cut, places_N2, writer, shards, log, told)
        if drawn is not None:
            drawn.result()
    if not here:
        return log, shards
    publish_slide(store)
    return log, []


def cut_slide(task: SlideTask, shards: Sequence[int]) -> SlideLog:
    """Cut some of the shards that `tile_slide` left; different ones may be cut at the same time elsewhere."""
    store, _, _ = task.folders.of(task.row.slide_id)
    log = SlideLog(task.row.slide_id)
    with _opened(task) as slide:
        sampling = resolve(task.settings.patch, slide.levels, pixel_size(task.row.mpp, slide.mpp))
        part = read_part(store)
        white = math.nan if part.attributes.white is None else part.attributes.white
        cut = _how(slide, sampling, white, task.settings, part.locations)
        _cut(slide, cut, part.locations, StoreWriter(store), shards, log, lambda _: None)
    return log


@contextmanager
def _opened(task: SlideTask) -> Iterator[AbstractSlide]:
    with memory_told(task.row.slide_id), task.row.open() as slide:
        slide.limit_cache(task.cache_mib * _MIB)
        yield slide


def publish_slide(store: Path) -> None:
    """Give the finished store its name.

    Raises:
        StoreError: a shard is missing.
    """
    writer = StoreWriter(store)
    if missing := writer.missing():
        raise StoreError(
            has=f"{store.name} without {len(missing)} of its shards",
            needs="all of them",
            do="run `evenpatch tile` again: it cuts what is missing",
        )
    writer.publish()


def _plan(slide: AbstractSlide, task: SlideTask, log: SlideLog) -> SlidePlan:
    with log.timed("plan"):
        plan = plan_slide(slide, task.row, task.fingerprint, task.settings, log.threads)
    log.segments_decoded["plan"] = slide.segments_decoded
    log.candidates, log.patches = len(plan.candidates.table), len(plan.candidates.kept)
    log.dropped = plan.candidates.dropped
    log.covered_fraction, log.warnings = plan.attributes.covered_fraction, plan.attributes.warnings
    for warning in log.warnings:
        # For this slide alone; how many are warned of alike is told at the end (pipeline.cohort.index).
        logger.debug("%s: %s", log.slide_id, warning)
    return plan


def _passthrough(
    slide: AbstractSlide, sampling: Sampling, settings: TileSettings, locations_N2: NDArray[np.int64]
) -> Passthrough | str | None:
    """The slide's own streams, or why they cannot be used; None where they are not wanted."""
    if settings.codec != "jpeg":
        return None
    return find_passthrough(slide, sampling, settings.patch.size, locations_N2)


def _create(
    slide: AbstractSlide, store: Path, plan: SlidePlan, settings: TileSettings, log: SlideLog
) -> StoreWriter:
    patch_bytes = settings.patch.size**2 * len(plan.attributes.channels)
    nbytes = log.patches * patch_bytes * np.dtype(plan.attributes.dtype).itemsize
    require_room(store, nbytes, settings.codec)
    with log.timed("create"):
        found = _passthrough(slide, plan.survey.sampling, settings, plan.candidates.kept.locations_N2)
        if isinstance(found, str):
            logger.warning("%s: stored with blosc-lz4, because %s", plan.attributes.slide_id, found)
        return StoreWriter.create(
            store,
            plan.attributes,
            plan.candidates.kept,
            codec=settings.codec,
            stream=found.stream if isinstance(found, Passthrough) else None,
            patches_per_shard=settings.patches_per_shard,
        )


def _draw(writer: StoreWriter, plan: SlidePlan, overlay: Path, begun: Callable[[], None]) -> None:
    """Pictures of a slide; after that its unfinished store lacks nothing but patches."""
    # Means over whole pixels: over fractions of them they take ten times as long.
    factor = -(-max(plan.survey.thumbnail_HW3.shape) // STORED_THUMBNAIL)
    writer.write_pictures(
        plan.survey.tissue.mask_HW, np.asarray(shrink(plan.survey.thumbnail_HW3, factor), np.uint8)
    )
    write_overlay(plan.overlay, overlay)
    begun()


def _how(
    slide: AbstractSlide,
    sampling: Sampling,
    white: float,
    settings: TileSettings,
    locations_N2: NDArray[np.int64],
) -> Cut:
    """What to make of each place; what does not exist there is white as the slide's glass is."""
    if slide.brightfield and not math.isnan(white):
        slide.fill_with(int(white))
    found = _passthrough(slide, sampling, settings, locations_N2)
    passthrough = found if isinstance(found, Passthrough) else None
    return Cut(sampling, settings.patch.size, settings.codec, settings.quality, white, passthrough)


def _cut(
    slide: AbstractSlide,
    cut: Cut,
    locations_N2: NDArray[np.int64],
    writer: StoreWriter,
    shards: Sequence[int],
    log: SlideLog,
    progress: Callable[[int], None],
) -> None:
    log.cut = sum(len(writer.rows(shard)) for shard in shards)
    before = slide.segments_decoded
    with log.timed("cut"):
        cut_shards(slide, cut, locations_N2, writer, shards, threads=log.threads, progress=progress)
    log.segments_decoded["cut"] = slide.segments_decoded - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    log.peak_memory_mib = round(peak / (_MIB if sys.platform == "darwin" else 1024), 1)
