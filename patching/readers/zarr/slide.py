"""OME-Zarr in a folder or at an address: only the chunks under a window are read, each decoded once."""

import logging
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patching.geometry import Location, Size
from patching.readers.base import RGB, Header, Window
from patching.readers.planes import ONE_PLANE, Planes, Selection, renamed, select
from patching.readers.projection import PlanesSlide
from patching.readers.regions import Regions
from patching.readers.tiff.finer import finer_window, from_finer
from patching.readers.tiff.layout import SegmentGrid
from patching.readers.tiff.segment_cache import Key, Segment, SegmentCache
from patching.readers.zarr.chunks import open_chunks, read_chunk, stored_parts
from patching.readers.zarr.files import Source, ZarrFiles, is_url
from patching.readers.zarr.metadata import ZarrArray, read_image

logger = logging.getLogger(__name__)
_CACHE_BYTES = 384 * 2**20


@dataclass(frozen=True, slots=True)
class _Block:
    """The chunks of some planes: their range along the axes beside Y and X, and the planes wanted of it.

    `inside` counts the planes of the range, the last axis fastest; `channels` are theirs on the slide.
    """

    ranges: tuple[slice, ...]
    inside: tuple[int, ...]
    channels: tuple[int, ...]


class ZarrSlide(PlanesSlide):
    """A slide in an OME-Zarr image of versions 0.1 to 0.5.

    Levels are the arrays of `multiscales` that show the same planes as the finest, coarser along both axes
    alike. It is brightfield if its three channels of 8 or 16 bits are called red, green and blue, or, at 8
    bits and without names, are drawn in these colors.

    Raises:
        UnreadableSlideError: no such image, a codec or size that is refused, several planes without a
            choice.
    """

    def __init__(self, source: Source, planes: Planes = ONE_PLANE) -> None:
        self.source, self._planes = source, planes
        super().__init__(source)

    def _open(self) -> Header:
        image = read_image(ZarrFiles(self.source), self._planes.series)
        full = image.levels[0]
        self._axes = renamed(str(self), image.axes, full.shape, self._planes.axes)
        selection = select(str(self), image.axes, full.shape, self._planes)
        self._arrays = list(image.levels)
        self._grids = [self._grid(array) for array in self._arrays]
        self._blocks = [list(self._blocks_of(array, selection)) for array in self._arrays]
        self._stored = [open_chunks(self.source, array, image.format) for array in self._arrays]
        self._cache = SegmentCache(self._decode, _CACHE_BYTES)
        self._told_of_gaps = False
        names = image.names(selection.groups_TZC.shape[2])
        image.tell_what_is_guessed(self, names)
        header = Header(
            channels=names,
            dtype=full.dtype,
            sizes=tuple(self._size(array) for array in self._arrays),
            mpp=image.mpp,
            brightfield=(names == RGB and full.dtype in (np.uint8, np.uint16)) or None,
        )
        return self._planned(header, selection, self._planes)

    def _along(self, axis: str, array: ZarrArray) -> int:
        return array.shape[self._axes.index(axis)]

    def _size(self, array: ZarrArray) -> Size:
        return Size(self._along("X", array), self._along("Y", array))

    def _stacked(self, lengths: tuple[int, ...]) -> tuple[int, ...]:
        """Of a value for each axis, those beside Y and X."""
        return tuple(length for axis, length in zip(self._axes, lengths, strict=True) if axis not in "YX")

    def _blocks_of(self, array: ZarrArray, selection: Selection) -> Iterator[_Block]:
        shape, chunk = self._stacked(array.shape), self._stacked(array.chunk)
        by_chunk: defaultdict[tuple[int, ...], list[tuple[int, int]]] = defaultdict(list)
        for channel, number in enumerate(selection.wanted):
            place = np.unravel_index(number, shape) if shape else ()
            by_chunk[tuple(int(at) // side for at, side in zip(place, chunk, strict=True))].append(
                (channel, number)
            )
        for corner, members in by_chunk.items():
            ranges = tuple(
                slice(at * side, min((at + 1) * side, length))
                for at, side, length in zip(corner, chunk, shape, strict=True)
            )
            numbers_of_range = np.arange(math.prod(shape)).reshape(shape)[ranges].ravel().tolist()
            inside = tuple(numbers_of_range.index(number) for _, number in members)
            yield _Block(ranges, inside, tuple(channel for channel, _ in members))

    def limit_cache(self, nbytes: int) -> None:
        """See the base class."""
        self._cache.capacity = nbytes

    @property
    def segments_decoded(self) -> int:
        """See the base class: chunks."""
        return self._cache.decoded

    def expect(self, level: int, locations_N2: NDArray[np.int64], size: Size) -> Regions:
        """See the base class: shared chunks are decoded once."""
        for x, y in locations_N2.tolist():
            _, _, window = self._window(Location(x, y), level, size)
            self._cache.expect(self._keys(level, window))
        return super().expect(level, locations_N2, size)

    def lacking(self, level: int) -> Sequence[Window]:
        """See the base class: files tell it, in a folder."""
        if isinstance(self.source, str) and is_url(self.source):
            return ()
        coarse, found = self.levels[level], dict[Window, None]()
        for window, is_stored in self._parts(level, Window(0, 0, coarse.size.width, coarse.size.height)):
            finer = [(at, finer_window(window, coarse, self.levels[at])) for at in range(level)]
            if not is_stored and not any(there for under in finer for _, there in self._parts(*under)):
                found[window] = None
        return list(found)

    def _parts(self, level: int, window: Window) -> Iterator[tuple[Window, bool]]:
        for block in self._blocks[level]:
            yield from stored_parts(Path(self.source), self._arrays[level], self._axes, block.ranges, window)

    def _keys(self, level: int, window: Window) -> list[Key]:
        if window.width < 1 or window.height < 1:
            return []
        indices = self._grids[level].under(window)
        return [(level, number, index) for number in range(len(self._blocks[level])) for index in indices]

    def _grid(self, array: ZarrArray) -> SegmentGrid:
        """How chunks lie along Y and X."""
        height, width = (array.chunk[self._axes.index(axis)] for axis in "YX")
        rows, columns = -(-self._along("Y", array) // height), -(-self._along("X", array) // width)
        return SegmentGrid(height, width, rows, columns, samples=1, planes=1)

    def _decode(self, key: Key, buffer: NDArray[Any] | None) -> Segment:
        level, number, index = key
        grid, array, block = self._grids[level], self._arrays[level], self._blocks[level][number]
        _, top, left = grid.corner(index)
        ranges = iter(block.ranges)
        spatial = {
            "Y": slice(top, min(top + grid.height, self._along("Y", array))),
            "X": slice(left, min(left + grid.width, self._along("X", array))),
        }
        index_D = tuple(spatial.get(axis) or next(ranges) for axis in self._axes)
        whole = read_chunk(self.source, array, self._stored[level], index_D)
        if whole is None:
            return self._missing(key)
        order = [at for at, axis in enumerate(self._axes) if axis not in "YX"]
        planes = whole.transpose([*order, self._axes.index("Y"), self._axes.index("X")])
        planes_PHW = planes.reshape(-1, *planes.shape[-2:])[list(block.inside)]
        pixels_HWS = np.ascontiguousarray(np.moveaxis(planes_PHW, 0, -1))
        return Segment(pixels_HWS, (pixels_HWS.shape[0], pixels_HWS.shape[1]), 0, top, left)

    def _missing(self, key: Key) -> Segment:
        """A chunk that is not stored: made from the next finer level, or nothing."""
        level, number, index = key
        window = self._grids[level].window(index, self.levels[level].size)
        nothing = Segment(None, (window.height, window.width), 0, window.top, window.left)
        coarse, fine = self.levels[level], self.levels[max(0, level - 1)]
        if fine.downsample >= coarse.downsample:
            return nothing
        channels = self._blocks[level][number].channels

        def fill(region_HWS: NDArray[Any], under: Window, known_HW: NDArray[np.bool_]) -> None:
            self._fill(region_HWS, level - 1, under, known_HW, channels)

        pixels_HWS, covered_HW = from_finer(fill, window, coarse, fine, len(channels), self.dtype)
        if not covered_HW.any():
            return nothing
        return replace(nothing, pixels_HWS=pixels_HWS, covered_HW=None if covered_HW.all() else covered_HW)

    def _read_into(
        self, region_HWC: NDArray[Any], level: int, window: Window, covered_HW: NDArray[np.bool_] | None
    ) -> None:
        self._fill(region_HWC, level, window, covered_HW, range(len(self.channels)))

    def _fill(
        self,
        region_HWS: NDArray[Any],
        level: int,
        window: Window,
        covered_HW: NDArray[np.bool_] | None,
        channels: Sequence[int],
    ) -> None:
        """Fill an array with some channels, given by their numbers."""
        place = {channel: at for at, channel in enumerate(channels)}
        stored: dict[bool, set[int]] = {True: set(), False: set()}
        for key in self._keys(level, window):
            held = self._blocks[level][key[1]].channels
            pairs = [(sample, place[channel]) for sample, channel in enumerate(held) if channel in place]
            if pairs:
                with self._cache.lent([key]) as (segment,):
                    _paste(segment, region_HWS, pairs, window, covered_HW, self.background)
                    stored[segment.pixels_HWS is not None].add(key[2])
        if stored[True] & stored[False] and not self._told_of_gaps:
            self._told_of_gaps = True
            logger.warning(
                "%s: chunks of some channels are not stored where those of others are: such places do not "
                "count as scanned. If a writer left chunks of zeros out, have it write all (zarr-python: "
                "write_empty_chunks)",
                self,
            )


def _paste(
    segment: Segment,
    region_HWC: NDArray[Any],
    pairs: Sequence[tuple[int, int]],
    window: Window,
    covered_HW: NDArray[np.bool_] | None,
    background: int,
) -> None:
    """Copy where segment and window overlap; `pairs`: a sample of the segment, a channel of the region."""
    down, right = window.top - segment.top, window.left - segment.left
    y0, x0 = max(-down, 0), max(-right, 0)
    if segment.pixels_HWS is None:
        rows, columns = slice(y0, segment.shape[0] - down), slice(x0, segment.shape[1] - right)
        for _, channel in pairs:
            region_HWC[rows, columns, channel] = background
        if covered_HW is not None:
            covered_HW[rows, columns] = False
        return
    part_HWS = segment.pixels_HWS[max(down, 0) :, max(right, 0) :]
    part_HWS = part_HWS[: region_HWC.shape[0] - y0, : region_HWC.shape[1] - x0]
    rows, columns = slice(y0, y0 + part_HWS.shape[0]), slice(x0, x0 + part_HWS.shape[1])
    for sample, channel in pairs:
        region_HWC[rows, columns, channel] = part_HWS[..., sample]
    if segment.covered_HW is not None:
        known_HW = segment.covered_HW[max(down, 0) :, max(right, 0) :]
        known_HW = known_HW[: part_HWS.shape[0], : part_HWS.shape[1]]
        for _, channel in pairs:
            region_HWC[rows, columns, channel][~known_HW] = background
        if covered_HW is not None:
            covered_HW[rows, columns] &= known_HW
