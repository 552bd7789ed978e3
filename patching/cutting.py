"""Patches out of a slide: threads read, resample, measure and encode; the caller checksums and writes.

The unit of work is a run of a few patches, whose encoded bytes stay in the processor's cache until the
caller has written them. Runs are written in order, so that the same patches give the same files whatever
the number of threads.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patching.geometry import Location, Size
from patching.grid import Sampling
from patching.passthrough import Passthrough
from patching.quality import full_scale, measure_quality
from patching.readers.base import AbstractSlide
from patching.resample import area_resize
from patching.sharding import ChunkBuffer, Codec
from patching.store_writer import StoreWriter

_RUN_BYTES = 4 * 2**20
"""Decoded bytes of a run."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What to make of each place: where to read it, and how it is stored."""

    sampling: Sampling
    size: int
    """Side of a stored patch."""
    codec: Codec
    quality: bool
    """Whether to measure it."""
    passthrough: Passthrough | None = None
    """The slide's own JPEG streams, to be stored in place of pixels."""


@dataclass(frozen=True, slots=True)
class _Run:
    """Consecutive rows of one shard."""

    shard: int
    rows: range
    last: bool
    """Of its shard."""


@dataclass(frozen=True, slots=True)
class _Filled:
    run: _Run
    buffer: ChunkBuffer
    quality_NQ: NDArray[np.float32]


def cut_shards(
    slide: AbstractSlide,
    cut: Cut,
    locations_N2: NDArray[np.int64],
    writer: StoreWriter,
    shards: Sequence[int],
    *,
    threads: int = 1,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Write some shards of a store; patches outside them are not read.

    Args:
        slide: an open slide.
        cut: what to make of each place.
        locations_N2: level-0 (x, y) of all patches of the store.
        writer: the store.
        shards: numbers of the shards to write.
        threads: threads that decode; writing happens beside them in the caller's.
        progress: told the number of patches of every shard that was written.

    Raises:
        SlideError: the slide cannot be read somewhere.
        DiskSpaceError: the disk is full.
    """
    if not shards:
        return
    if cut.passthrough is None:
        rows = np.concatenate([np.asarray(writer.rows(shard)) for shard in shards])
        slide.expect(cut.sampling.level, locations_N2[rows], Size(cut.sampling.read, cut.sampling.read))
    length = max(1, _RUN_BYTES // writer.patch_bytes)
    fill = _Filler(slide, cut, locations_N2, writer)
    free = [writer.buffer(length) for _ in range(threads + 2)]
    ahead: deque[Future[_Filled]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="cut")
    out = _Writing(writer, progress)
    try:
        for run in _runs(writer, shards, length):
            if not free:
                free.append(out.write(ahead.popleft().result()))
            ahead.append(pool.submit(fill, run, free.pop()))
        while ahead:
            out.write(ahead.popleft().result())
    finally:
        pool.shutdown(cancel_futures=True)
        out.abort()


def _runs(writer: StoreWriter, shards: Sequence[int], length: int) -> Iterator[_Run]:
    for shard in shards:
        rows = writer.rows(shard)
        for start in range(rows.start, rows.stop, length):
            stop = min(start + length, rows.stop)
            yield _Run(shard, range(start, stop), stop == rows.stop)


class _Writing:
    """Puts filled runs on disk, in order, and closes each shard after its last run."""

    def __init__(self, writer: StoreWriter, progress: Callable[[int], None]) -> None:
        self._writer, self._progress = writer, progress
        self._quality: list[NDArray[np.float32]] = []
        self._abort: Callable[[], None] = lambda: None

    def write(self, filled: _Filled) -> ChunkBuffer:
        """Write a run, and give its memory back."""
        run = filled.run
        if not self._quality:
            self._file = self._writer.shard_file(run.shard)
            self._abort = self._file.abort
        self._file.append(filled.buffer.sealed(len(run.rows)))
        self._quality.append(filled.quality_NQ)
        if run.last:
            quality_NQ = np.concatenate(self._quality)
            self._writer.write_quality(run.shard, quality_NQ)
            self._file.close()
            self._quality.clear()
            self._progress(len(quality_NQ))
        return filled.buffer

    def abort(self) -> None:
        """Leave nothing of a shard that is not whole."""
        self._abort()


class _Filler:
    """What each thread does with a run."""

    def __init__(
        self, slide: AbstractSlide, cut: Cut, locations_N2: NDArray[np.int64], writer: StoreWriter
    ) -> None:
        self._slide, self._cut, self._locations_N2 = slide, cut, locations_N2
        self._read, self._stored = (Size(side, side) for side in (cut.sampling.read, cut.size))
        self._writer, self._columns = writer, writer.quality_columns if cut.quality else 0

    def __call__(self, run: _Run, buffer: ChunkBuffer) -> _Filled:
        quality_NQ = np.full((len(run.rows), self._columns), np.nan, np.float32)
        places = self._locations_N2[run.rows.start : run.rows.stop].tolist()
        if self._cut.passthrough is None:
            self._fill_with_pixels(places, buffer, quality_NQ)
        else:
            _fill_with_streams(places, buffer, self._cut.passthrough)
        return _Filled(run, buffer, quality_NQ)

    def _fill_with_pixels(
        self, places: list[list[int]], buffer: ChunkBuffer, quality_NQ: NDArray[np.float32]
    ) -> None:
        slide, level = self._slide, self._cut.sampling.level
        encoder, maximum = self._writer.encoder(self._cut.codec), full_scale(slide.dtype)
        resampled = self._read != self._stored
        scratch_HWC = np.empty((self._read.height, self._read.width, len(slide.channels)), slide.dtype)
        for number, (x, y) in enumerate(places):
            slot_B = buffer.slot(number)
            target_HWC = scratch_HWC if resampled else encoder.place(slot_B)
            patch_HWC = slide.read_region(Location(x, y), level, self._read, out=target_HWC)
            if resampled:
                patch_HWC = np.ascontiguousarray(area_resize(patch_HWC, self._stored))
            if self._columns:
                quality_NQ[number] = measure_quality(
                    patch_HWC, brightfield=slide.brightfield, detector_maximum=maximum
                )
            buffer.fill(number, encoder.encode(patch_HWC, slot_B))


def _fill_with_streams(places: list[list[int]], buffer: ChunkBuffer, passthrough: Passthrough) -> None:
    for number, (x, y) in enumerate(places):
        data_B = np.frombuffer(passthrough.read(x, y), np.uint8)
        buffer.slot(number)[: len(data_B)] = data_B
        buffer.fill(number, len(data_B))
