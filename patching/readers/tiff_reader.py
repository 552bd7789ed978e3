"""TIFF in its many dialects: OME-TIFF, SVS, QPTIFF, ImageJ, plain; tiled or not, any number of channels.

tifffile parses the directories and decodes single segments (a tile or a strip); this file finds the
segments under a window and pastes them, so that only what is asked for is read and decoded.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tifffile import TiffFile

from patching.readers.base import RGB, AbstractSlide, Header, Window, composited, damage_told
from patching.readers.tiff_checks import check_directory, checked
from patching.readers.tiff_layout import (
    JPEG,
    alike,
    area,
    channel_count,
    has_alpha,
    segment_bytes,
    segments_under,
    size,
)
from patching.readers.tiff_metadata import channel_names, ome_image, pixel_size

_CACHE_BYTES = 64 * 2**20


class TiffSlide(AbstractSlide):
    """A slide in one TIFF file.

    Levels are the pyramid that tifffile finds (sub-IFDs, SVS, reduced pages); of several images the
    largest is the slide, so labels and macro pictures are never read.

    Raises:
        UnreadableSlideError: damaged or truncated, several Z planes or time points, a color palette.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__()

    def __str__(self) -> str:
        return str(self.path)

    def _open(self) -> Header:
        with damage_told(self.path):
            self._tiff = self._resources.enter_context(TiffFile(self.path))
            check_directory(self.path, self._tiff)
            # The XML is parsed by defusedxml first: tifffile's own parser follows entities.
            ome_image(self._tiff, 0)
            number, series = max(enumerate(self._tiff.series), key=lambda item: area(item[1]))
            levels = [checked(self.path, level) for level in series.levels if alike(level, series)]
            self._pages: list[list[Any]] = [list(level.pages) for level in levels]
            self._straight_alpha = has_alpha(series.keyframe)
            count = channel_count(series) - self._straight_alpha
            largest = max(segment_bytes(level.keyframe) for level in levels)
            self._segment = lru_cache(maxsize=max(1, _CACHE_BYTES // largest))(self._decoded)
            image = ome_image(self._tiff, number)
            names = RGB if self._straight_alpha else channel_names(self._tiff, series, image, count)
            return Header(
                channels=names,
                dtype=np.dtype(series.dtype).newbyteorder("="),
                sizes=tuple(size(level) for level in levels),
                mpp=pixel_size(self._tiff, series, image),
                brightfield=names == RGB and series.dtype == np.uint8,
            )

    def _read_into(self, region_HWC: NDArray[Any], level: int, window: Window) -> None:
        samples = len(self.channels) // len(self._pages[level])
        with damage_told(self.path):
            for number, page in enumerate(self._pages[level]):
                for index in segments_under(page.keyframe, window):
                    tile_HWS, sample, top, left = self._segment(level, number, index)
                    if tile_HWS is not None:
                        first = number * samples + sample
                        channels_HWS = region_HWC[..., first : first + tile_HWS.shape[-1]]
                        _paste(channels_HWS, tile_HWS, window.top - top, window.left - left)

    def _decoded(self, level: int, number: int, index: int) -> tuple[NDArray[Any] | None, int, int, int]:
        """Segment `index` of a page: its pixels or None where not stored, first sample, top and left."""
        page = self._pages[level][number]
        offset, count = page.dataoffsets[index], page.databytecounts[index]
        handle = page.parent.filehandle
        [(data, _)] = handle.read_segments([offset], [count], indices=[index])
        jpeg = {}
        if page.keyframe.compression in JPEG:
            jpeg = {"jpegtables": page.jpegtables, "jpegheader": page.keyframe.jpegheader}
        tile_DHWS, (sample, _, top, left, _), _ = page.keyframe.decode(data, index, **jpeg)
        tile_HWS = None if tile_DHWS is None else tile_DHWS[0]
        if tile_HWS is not None and self._straight_alpha:
            tile_HWS = composited(tile_HWS, background=255)
        return tile_HWS, sample, top, left


def _paste(target_HWS: NDArray[Any], tile_HWS: NDArray[Any], down: int, right: int) -> None:
    """Copy where both overlap; `target` begins `down` rows and `right` columns inside the tile."""
    y0, x0 = max(-down, 0), max(-right, 0)
    part_HWS = tile_HWS[max(down, 0) :, max(right, 0) :][: len(target_HWS) - y0, : target_HWS.shape[1] - x0]
    target_HWS[y0 : y0 + part_HWS.shape[0], x0 : x0 + part_HWS.shape[1]] = part_HWS
