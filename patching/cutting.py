"""Patches out of a slide: threads read, resample, measure and encode; one writer puts shards on disk."""

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
from patching.sharding import Codec, Encoder, ShardBuffer
from patching.store_writer import StoreWriter

_AHEAD = 2
"""Shards in memory: one is written while the next is filled."""


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


@dataclass
class _Batch:
    """A shard in the making."""

    shard: int
    buffer: ShardBuffer
    quality_NQ: NDArray[np.float32]
    places: deque[tuple[int, int, int]]
    """Slot, x and y of the patches that no thread has taken yet."""
    threads: list[Future[None]]


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
        rows = np.concatenate([np.asarray(writer.rows(n)) for n in shards])
        read = Size(cut.sampling.read, cut.sampling.read)
        slide.expect(cut.sampling.level, locations_N2[rows], read)
    free = [writer.buffer() for _ in range(min(_AHEAD, len(shards)))]
    ahead: deque[_Batch] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="cut") as pool:
        try:
            for shard in shards:
                if not free:
                    free.append(_finish(ahead.popleft(), writer, progress))
                ahead.append(_start(shard, free.pop(), slide, cut, locations_N2, writer, pool, threads))
            while ahead:
                _finish(ahead.popleft(), writer, progress)
        finally:
            for batch in ahead:
                batch.places.clear()


def _start(
    shard: int,
    buffer: ShardBuffer,
    slide: AbstractSlide,
    cut: Cut,
    locations_N2: NDArray[np.int64],
    writer: StoreWriter,
    pool: ThreadPoolExecutor,
    threads: int,
) -> _Batch:
    rows = writer.rows(shard)
    places = [(slot, x, y) for slot, (x, y) in enumerate(locations_N2[rows.start : rows.stop].tolist())]
    columns = writer.quality_columns if cut.quality else 0
    quality_NQ = np.full((len(rows), columns), np.nan, np.float32)
    buffer.clear()
    batch = _Batch(shard, buffer, quality_NQ, deque(places), [])
    batch.threads += [pool.submit(_fill, batch, slide, cut) for _ in range(threads)]
    return batch


def _finish(batch: _Batch, writer: StoreWriter, progress: Callable[[int], None]) -> ShardBuffer:
    """Wait for a shard, write it, and give its memory back."""
    try:
        for thread in batch.threads:
            thread.result()
    finally:
        batch.places.clear()  # after an error the other threads need not go on
    writer.write_shard(batch.shard, batch.buffer, batch.quality_NQ)
    progress(len(batch.quality_NQ))
    return batch.buffer


def _fill(batch: _Batch, slide: AbstractSlide, cut: Cut) -> None:
    """What each thread does: take the next place until none is left."""
    if cut.passthrough is not None:
        _fill_with_streams(batch, cut.passthrough)
        return
    read, stored = Size(cut.sampling.read, cut.sampling.read), Size(cut.size, cut.size)
    shape = (read.height, read.width, len(slide.channels))
    encoder = Encoder(cut.codec, slide.dtype, (cut.size, cut.size, len(slide.channels)))
    maximum, scratch_HWC = full_scale(slide.dtype), np.empty(shape, slide.dtype)
    for slot, x, y in _taken(batch):
        slot_B = batch.buffer.slot(slot)
        target_HWC = encoder.place(slot_B) if read == stored else scratch_HWC
        region_HWC = slide.read_region(Location(x, y), cut.sampling.level, read, out=target_HWC)
        patch_HWC = region_HWC if read == stored else np.ascontiguousarray(area_resize(region_HWC, stored))
        if batch.quality_NQ.shape[1]:
            batch.quality_NQ[slot] = measure_quality(
                patch_HWC, brightfield=slide.brightfield, detector_maximum=maximum
            )
        batch.buffer.seal(slot, encoder.encode(patch_HWC, slot_B))


def _fill_with_streams(batch: _Batch, passthrough: Passthrough) -> None:
    for slot, x, y in _taken(batch):
        data = np.frombuffer(passthrough.read(x, y), np.uint8)
        batch.buffer.slot(slot)[: len(data)] = data
        batch.buffer.seal(slot, len(data))


def _taken(batch: _Batch) -> Iterator[tuple[int, int, int]]:
    while batch.places:
        try:
            yield batch.places.popleft()
        except IndexError:
            return  # another thread took the last one
