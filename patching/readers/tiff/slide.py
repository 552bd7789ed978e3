"""TIFF in its many dialects: OME-TIFF, SVS, QPTIFF, ImageJ, plain; tiled or not, any number of channels.

tifffile parses the directories and decodes single segments (a tile or a strip); this file finds the
segments under a window and pastes them, so that only what is asked for is read and decoded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tifffile import TiffPageSeries

from patching.damage import decoded
from patching.geometry import Level, Size, even_levels
from patching.readers.base import Header, StoredJpeg, Window
from patching.readers.planes import ONE_PLANE, Planes
from patching.readers.projection import PlanesSlide
from patching.readers.regions import Regions
from patching.readers.tiff.checks import check_tags, checked, checked_pages
from patching.readers.tiff.finer import finer_window, from_finer
from patching.readers.tiff.interleave import interleave
from patching.readers.tiff.layout import SEPARATE, StoredPage, alike, size
from patching.readers.tiff.meaning.images import chosen as chosen_image
from patching.readers.tiff.meaning.images import images_of, opened
from patching.readers.tiff.meaning.samples import (
    check_jpeg_2000,
    check_samples,
    check_type,
    tell_second,
)
from patching.readers.tiff.metadata import channel_names, pixel_size, tell_calibration, transmitted_light
from patching.readers.tiff.planes import TiffPlanes, pages_of, tiff_planes
from patching.readers.tiff.regions import TiffRegions
from patching.readers.tiff.segment_cache import Key, Segment, SegmentCache
from patching.readers.tiff.segments import TiffSegments
from patching.readers.tiff.strips import held_bytes
from patching.readers.zarr.files import Source

CACHE_BYTES = 384 * 2**20
# Compressed strips up to this are held whatever the limit: each read would decode them all.
_LARGEST_CACHE = 2**30
_AT_ONCE = 16  # segments that a thread holds
_INTERLEAVED = 2**25  # bytes: larger regions are not collected plane by plane first


class TiffSlide(PlanesSlide):
    """A slide in one TIFF file.

    Levels are the pyramid that tifffile finds (sub-IFDs, SVS, reduced pages); of several images the
    largest is the slide unless another is asked for, and labels and macro pictures are never read.

    Raises:
        UnreadableSlideError: damaged or truncated, several Z planes or time points without a
            choice, no such image, samples that are neither intensities nor RGB.
    """

    def __init__(self, path: Source, planes: Planes = ONE_PLANE) -> None:
        self.path, self._planes = Path(path), planes
        super().__init__(path)

    def _open(self) -> Header:
        self._tiff, told = opened(self.path, self._resources)
        image = chosen_image(self.path, images_of(self.path, self._tiff, told), self._planes.series)
        series = image.series
        check_tags(self.path, self._tiff, series.keyframe)
        levels = [checked(self.path, level) for level in series.levels if alike(level, series)]
        levels = [levels[number] for number in even_levels(self.path, [size(level) for level in levels])]
        for level in levels:
            check_samples(self.path, level, named=image.named)
        check_type(self.path, series.keyframe, image.told)
        tell_second(self.path, series.keyframe, named=image.named)
        tell_calibration(self.path, self._tiff)
        chosen = tiff_planes(self.path, series, self._planes)
        self._pages = [self._chosen_pages(level, chosen) for level in levels]
        for pages in self._pages:
            check_jpeg_2000(self.path, self._tiff, pages[0])
        self._transparent = chosen.transparent
        self._separate = series.keyframe.planarconfig == SEPARATE
        file = self._resources.enter_context(decoded(self.path, lambda: self.path.open("rb", buffering=0)))
        self._stored = TiffSegments(
            self.path, file, self._pages, transparent=self._transparent, background=lambda: self.background
        )
        held = held_bytes(self._pages)
        self._least_cache = held if held <= _LARGEST_CACHE else 0
        self._cache = SegmentCache(self._decode, max(CACHE_BYTES, self._least_cache))
        names = channel_names(self.path, self._tiff, series, image.told, chosen.channels, chosen.colors)
        header = Header(
            channels=names,
            dtype=np.dtype(series.dtype).newbyteorder("="),
            sizes=tuple(size(level) for level in levels),
            mpp=pixel_size(self.path, self._tiff, series, image.told),
            brightfield=transmitted_light(self.path, self._tiff, series, image.told, names, chosen.colors),
        )
        return self._planned(header, chosen.selection, self._planes)

    def _chosen_pages(self, level: TiffPageSeries, chosen: TiffPlanes) -> list[StoredPage]:
        pages = pages_of(self.path, level)
        return checked_pages(self.path, self._tiff, [pages[number] for number in chosen.pages])

    def stored_jpeg(self, level: int) -> StoredJpeg | None:
        """See the base class."""
        stream, grid = self._stored.stream((level, 0, 0)), self._stored.grids[level][0]
        if stream is None or self._transparent or not self.brightfield:
            return None
        return StoredJpeg(
            Size(grid.width, grid.height),
            stream,
            lambda column, row: self._stored.whole_jpeg((level, 0, row * grid.columns + column)),
            lambda column, row: self._stored.length((level, 0, row * grid.columns + column)),
        )

    def limit_cache(self, nbytes: int) -> None:
        """See the base class."""
        self._cache.capacity = max(nbytes, self._least_cache)

    @property
    def segments_decoded(self) -> int:
        """See the base class."""
        return self._cache.decoded

    def expect(self, level: int, locations_N2: NDArray[np.int64], size: Size) -> Regions:
        """See the base class: shared segments are decoded once."""
        return TiffRegions(self, self._stored, self._cache, self._read_into, level, locations_N2, size)

    def stores_something(self) -> bool | None:
        """See the base class: stored lengths tell it, but for transparency."""
        if self._transparent:
            return None
        return all(
            any(
                self._stored.any_stored(number, page, _whole(level))
                for number, level in enumerate(self.levels)
            )
            for page in range(len(self._pages[0]))
        )

    def lacking(self, level: int) -> Sequence[Window]:
        """See the base class."""
        size, found = self.levels[level].size, dict[Window, None]()
        for number, grid in enumerate(self._stored.grids[level]):
            for index in self._stored.not_stored(level, number):
                window = grid.window(index, size)
                if self._finer_of(level, number, window) is None:
                    found[window] = None
        return list(found)

    def _read_into(
        self, region_HWC: NDArray[Any], level: int, window: Window, covered_HW: NDArray[np.bool_] | None
    ) -> None:
        pages = len(self._pages[level])
        if (pages == 1 and not self._separate) or region_HWC.nbytes > _INTERLEAVED:
            samples = region_HWC.shape[-1] // pages
            parts = [region_HWC[..., page * samples : (page + 1) * samples] for page in range(pages)]
            self._fill(dict(enumerate(parts)), level, window, covered_HW)
            return
        planes_CHW = np.empty((region_HWC.shape[-1], *region_HWC.shape[:2]), region_HWC.dtype)
        parts = [np.moveaxis(part, 0, -1) for part in np.split(planes_CHW, pages)]
        self._fill(dict(enumerate(parts)), level, window, covered_HW)
        interleave(planes_CHW, region_HWC)

    def _fill(
        self,
        parts: Mapping[int, NDArray[Any]],
        level: int,
        window: Window,
        covered_HW: NDArray[np.bool_] | None,
    ) -> None:
        """Fill an array [H, W, S] for each of some pages, by their numbers."""
        grids = self._stored.grids[level]
        keys = [(level, number, index) for number in parts for index in grids[number].under(window)]
        for start in range(0, len(keys), _AT_ONCE):
            some = keys[start : start + _AT_ONCE]
            with self._cache.lent(some) as segments:
                for (_, number, _), segment in zip(some, segments, strict=True):
                    self._paste(segment, parts[number], window, covered_HW)

    def _decode(self, key: Key, buffer: NDArray[Any] | None) -> Segment:
        """A segment; one that is not stored is made from the nearest finer level that has some of it."""
        segment, (level, number, index) = self._stored.decode(key, buffer), key
        if segment.pixels_HWS is not None or level == 0:
            return segment
        window = self._stored.grids[level][number].window(index, self.levels[level].size)
        finer = self._finer_of(level, number, window)
        if finer is None:
            return segment
        coarse, fine = self.levels[level], self.levels[finer]
        together = len(self.channels) // len(self._pages[level])
        pixels_HWS, covered_HW = from_finer(
            lambda region_HWS, under, known_HW: self._fill({number: region_HWS}, finer, under, known_HW),
            window, coarse, fine, together, self.dtype,
        )  # fmt: skip
        if self._separate:
            pixels_HWS = pixels_HWS[..., segment.sample : segment.sample + 1]
        shape, known_HW = (window.height, window.width), None if covered_HW.all() else covered_HW
        return replace(segment, pixels_HWS=pixels_HWS, shape=shape, covered_HW=known_HW)

    def _finer_of(self, level: int, number: int, window: Window) -> int | None:
        """The nearest finer level that has some of a page's window of a level; None where none has."""
        coarse = self.levels[level]
        for finer in range(level - 1, -1, -1):
            fine = self.levels[finer]
            is_finer = fine.downsample < coarse.downsample  # files may list levels in any order
            if is_finer and self._stored.any_stored(finer, number, finer_window(window, coarse, fine)):
                return finer
        return None

    def _paste(
        self,
        segment: Segment,
        region_HWS: NDArray[Any],
        window: Window,
        covered_HW: NDArray[np.bool_] | None,
    ) -> None:
        """Copy where segment and window overlap."""
        down, right = window.top - segment.top, window.left - segment.left
        y0, x0 = max(-down, 0), max(-right, 0)
        y1, x1 = segment.shape[0] - down, segment.shape[1] - right
        if segment.pixels_HWS is None:
            together = 1 if self._separate else region_HWS.shape[-1]
            region_HWS[y0:y1, x0:x1, segment.sample : segment.sample + together] = self.background
            if covered_HW is not None:
                covered_HW[y0:y1, x0:x1] = False
            return
        part_HWS = segment.pixels_HWS[max(down, 0) :, max(right, 0) :]
        target_HWS = region_HWS[y0:y1, x0:x1, segment.sample : segment.sample + part_HWS.shape[-1]]
        target_HWS[:] = part_HWS[: target_HWS.shape[0], : target_HWS.shape[1]]
        if segment.covered_HW is not None:
            known_HW = segment.covered_HW[max(down, 0) :, max(right, 0) :]
            known_HW = known_HW[: target_HWS.shape[0], : target_HWS.shape[1]]
            target_HWS[~known_HW] = self.background
            if covered_HW is not None:
                covered_HW[y0:y1, x0:x1] &= known_HW


def _whole(level: Level) -> Window:
    return Window(0, 0, level.size.width, level.size.height)
