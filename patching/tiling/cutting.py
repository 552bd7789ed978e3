"""Patches out of a slide: threads read, resample, measure, encode and checksum, and one of them writes."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patching.geometry import Size
from patching.grid import Sampling
from patching.readers.base import AbstractSlide
from patching.readers.regions import Regions
from patching.resample import area_resize
from patching.store.chunks import ChunkBuffer, Codec
from patching.store.writing import StoreWriter
from patching.survey.quality import measure_quality
from patching.tiling.passthrough import Passthrough
from patching.tiling.runs import Filled, Run, RunQueue, runs_of

_RUN_BYTES = 2**19
"""Decoded bytes of a run: what is written should still lie in a core's own cache."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What to make of each place: where to read it, and how it is stored."""

    sampling: Sampling
    size: int
    """Side of a stored patch."""
    codec: Codec
    quality: bool
    """Whether to measure it."""
    white: float
    """Value of full light on the slide, by which quality is measured; NaN if unknown."""
    passthrough: Passthrough | None = None
    """The slide's own JPEG streams, to be stored in place of pixels."""


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
        threads: how many work.
        progress: told the number of patches of every shard that was written, by one thread at a time.

    Raises:
        SlideError: the slide cannot be read somewhere.
        DiskSpaceError: the disk is full.
    """
    if not shards:
        return
    rows = [(shard, writer.rows(shard)) for shard in shards]
    wanted_N2 = np.concatenate([locations_N2[part] for _, part in rows])
    length = max(1, _RUN_BYTES // writer.patch_bytes)
    memory = [writer.buffer(length) for _ in range(2 * threads + 1)]
    # Where patches shrink, most of the room would be given back, which costs more than it spares.
    set_aside = cut.passthrough is None and (cut.codec == "none" or slide.dtype.itemsize == 1)
    work = RunQueue(writer, runs_of(rows, length), memory, progress, set_aside=set_aside)
    side = cut.sampling.read
    regions = None if cut.passthrough else slide.expect(cut.sampling.level, wanted_N2, Size(side, side))

    def go_on() -> None:
        fill = _Filler(slide, cut, wanted_N2, regions, writer)
        run = None
        while (taken := work.take(run)) is not None:
            run, buffer = taken
            work.put(fill(run, buffer))

    try:
        if threads == 1:
            go_on()
            return
        with ThreadPoolExecutor(threads, thread_name_prefix="cut") as pool, work.stopped_in_the_end():
            for future in as_completed([pool.submit(go_on) for _ in range(threads)]):
                future.result()
    finally:
        work.abort()


class _Filler:
    """What each thread does with a run."""

    def __init__(
        self,
        slide: AbstractSlide,
        cut: Cut,
        locations_N2: NDArray[np.int64],
        regions: Regions | None,
        writer: StoreWriter,
    ) -> None:
        self._cut, self._regions, self._locations_N2 = cut, regions, locations_N2
        self._brightfield, self._maximum = slide.brightfield, cut.white
        self._columns = writer.quality_columns if cut.quality else 0
        self._encoder = writer.encoder(cut.codec)
        side = cut.sampling.read
        self._scratch_HWC = np.empty((side, side, len(slide.channels)), slide.dtype)

    def __call__(self, run: Run, buffer: ChunkBuffer) -> Filled:
        quality_NQ = np.full((len(run.rows), self._columns), np.nan, np.float32)
        for number in range(len(run.rows)):
            slot_B = buffer.slot(number)
            if self._regions is None:
                length = self._stream(run.start + number, slot_B)
            else:
                patch_HWC = self._patch(self._regions, run.start + number, slot_B)
                if self._columns:
                    quality_NQ[number] = measure_quality(
                        patch_HWC, brightfield=self._brightfield, detector_maximum=self._maximum
                    )
                # Last, because what is compressed may take the place of the pixels.
                length = self._encoder.encode(patch_HWC, slot_B)
            buffer.seal(number, length)
        return Filled(run, buffer, quality_NQ)

    def _patch(self, regions: Regions, wanted: int, slot_B: NDArray[np.uint8]) -> NDArray[Any]:
        """Pixels of a patch, in their slot if they are likely to stay as they are."""
        size, place_HWC = self._cut.size, self._encoder.place(slot_B)
        resampled = len(self._scratch_HWC) != size
        patch_HWC = self._scratch_HWC if self._encoder.compresses or resampled else place_HWC
        regions.read(wanted, patch_HWC)
        return area_resize(patch_HWC, Size(size, size), out_HWC=place_HWC) if resampled else patch_HWC

    def _stream(self, wanted: int, slot_B: NDArray[np.uint8]) -> int:
        """Put the slide's own stream into a slot; its length."""
        if self._cut.passthrough is None:
            raise ValueError("neither regions nor streams to cut")
        data_B = np.frombuffer(self._cut.passthrough.read(*self._locations_N2[wanted].tolist()), np.uint8)
        slot_B[: len(data_B)] = data_B
        return len(data_B)
