"""TIFF in its many dialects: OME-TIFF, SVS, QPTIFF, ImageJ, plain; tiled or not, any number of channels.

tifffile parses the directories and decodes single segments (a tile or a strip); this file finds the
segments under a window and pastes them, so that only what is asked for is read and decoded.
"""

import math
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tifffile import TiffFile, TiffPage, TiffPageSeries

from patching.errors import UnreadableSlideError
from patching.geometry import Size
from patching.readers.base import RGB, AbstractSlide, Header, Window, composited, damage_told
from patching.readers.tiff_metadata import channel_names, ome_image, pixel_size

_CACHE_BYTES = 64 * 2**20
_LARGEST_SEGMENT = 2**30
_JPEG = (6, 7, 34892, 33007)
_PALETTE = 3
_SEPARATE = 2
_ALPHA = (1, 2)


class TiffSlide(AbstractSlide):
    """A slide in one TIFF file.

    Levels are the pyramid that tifffile finds (sub-IFDs, SVS, reduced pages); of several images the
    largest is the slide, so labels and macro pictures are never read.

    Raises:
        UnreadableSlideError: damaged or truncated, several Z planes or time points, a colour palette.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__()

    def __str__(self) -> str:
        return str(self.path)

    def _open(self) -> Header:
        with damage_told(self.path):
            self._tiff = self._resources.enter_context(TiffFile(self.path))
            # The XML is parsed by defusedxml first: tifffile's own parser follows entities.
            ome_image(self._tiff, 0)
            number, series = max(enumerate(self._tiff.series), key=lambda item: _area(item[1]))
            levels = [_checked(self.path, level) for level in series.levels if _alike(level, series)]
            self._pages: list[list[Any]] = [list(level.pages) for level in levels]
            self._straight_alpha = _has_alpha(series.keyframe)
            count = _channel_count(series) - self._straight_alpha
            largest = max(_segment_bytes(level.keyframe) for level in levels)
            self._segment = lru_cache(maxsize=max(1, _CACHE_BYTES // largest))(self._decoded)
            image = ome_image(self._tiff, number)
            names = RGB if self._straight_alpha else channel_names(self._tiff, series, image, count)
            return Header(
                channels=names,
                dtype=np.dtype(series.dtype).newbyteorder("="),
                sizes=tuple(_size(level) for level in levels),
                mpp=pixel_size(self._tiff, series, image),
                brightfield=names == RGB and series.dtype == np.uint8,
            )

    def _read_into(self, region_HWC: NDArray[Any], level: int, window: Window) -> None:
        samples = len(self.channels) // len(self._pages[level])
        with damage_told(self.path):
            for number, page in enumerate(self._pages[level]):
                for index in _segments_under(page.keyframe, window):
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
        jpeg = {"jpegtables": page.jpegtables} if page.keyframe.compression in _JPEG else {}
        if jpeg:
            jpeg["jpegheader"] = page.keyframe.jpegheader
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


def _segments_under(page: TiffPage, window: Window) -> Iterator[int]:
    """Indices of the segments that touch the window, for every separately stored sample."""
    height, width = _segment_shape(page)
    rows, columns = math.ceil(page.imagelength / height), math.ceil(page.imagewidth / width)
    planes = page.samplesperpixel if page.planarconfig == _SEPARATE else 1
    for plane in range(planes):
        for row in range(window.top // height, (window.top + window.height - 1) // height + 1):
            for column in range(window.left // width, (window.left + window.width - 1) // width + 1):
                yield (plane * rows + row) * columns + column


def _segment_shape(page: TiffPage) -> tuple[int, int]:
    if page.is_tiled:
        return page.tilelength, page.tilewidth
    return min(page.rowsperstrip, page.imagelength), page.imagewidth


def _segment_bytes(page: TiffPage) -> int:
    height, width = _segment_shape(page)
    samples = 1 if page.planarconfig == _SEPARATE else page.samplesperpixel
    return height * width * samples * np.dtype(page.dtype).itemsize


def _extent(series: TiffPageSeries, axis: str) -> int:
    return int(series.shape[series.axes.index(axis)]) if axis in series.axes else 1


def _size(series: TiffPageSeries) -> Size:
    return Size(_extent(series, "X"), _extent(series, "Y"))


def _area(series: TiffPageSeries) -> int:
    return _extent(series, "X") * _extent(series, "Y")


def _channel_count(series: TiffPageSeries) -> int:
    return _extent(series, "C") * _extent(series, "S")


def _alike(level: TiffPageSeries, full: TiffPageSeries) -> bool:
    return level.dtype == full.dtype and _channel_count(level) == _channel_count(full)


def _has_alpha(page: TiffPage) -> bool:
    return (
        page.photometric in (2, 6)
        and page.samplesperpixel == len(RGB) + 1
        and page.planarconfig != _SEPARATE
        and tuple(page.extrasamples) in {(kind,) for kind in _ALPHA}
        and page.dtype == np.uint8
    )


def _checked(path: Path, series: TiffPageSeries) -> TiffPageSeries:
    """Refuse what would be read wrongly, before anything is allocated."""
    page = series.keyframe
    others = {
        axis: extent
        for axis, extent in zip(series.axes, series.shape, strict=True)
        if axis not in "YXCS" and extent > 1
    }
    if others or page.imagedepth > 1:
        raise _refusal(
            path,
            f"axes {series.axes} of {'x'.join(map(str, series.shape))}, with several planes along "
            f"{', '.join(others) or 'Z'}",
            "one plane: Y, X and channels (C or RGB samples)",
            "export one Z plane, time point or projection per file, or name the axis C in OME-XML",
        )
    if page.photometric == _PALETTE:
        raise _refusal(path, "a colour palette", "intensities or RGB", "export it as RGB")
    if np.dtype(series.dtype).kind not in "uif":
        raise _refusal(path, f"pixels of type {series.dtype}", "integer or real pixels", "convert the file")
    if (
        None in series.pages
        or series.is_multifile
        or len(series.pages) * page.samplesperpixel != _channel_count(series)
    ):
        raise _refusal(
            path, "channels spread over other files or beyond its directories", "a self-contained file",
            "export one file with all channels, or list one file per modality",
        )  # fmt: skip
    if _segment_bytes(page) > _LARGEST_SEGMENT:
        raise _refusal(
            path,
            f"a strip or tile of {_segment_bytes(page) / 2**30:.1f} GiB",
            "at most 1 GiB",
            "save it tiled",
        )
    for member in series.pages:
        _check_segments(path, member)
    return series


def _check_segments(path: Path, page: Any) -> None:
    """Every segment is listed and lies inside the file."""
    expected = math.prod(page.keyframe.chunked)
    ends = np.asarray(page.dataoffsets, np.int64) + np.asarray(page.databytecounts, np.int64)
    length = page.parent.filehandle.size
    if len(ends) < expected or ends.max(initial=0) > length:
        raise _refusal(
            path,
            f"{len(ends)} of {expected} segments listed, the last ending at byte {ends.max(initial=0)} "
            f"of {length}: it is truncated or damaged",
            "a whole file",
            "copy it again from its source",
        )


def _refusal(path: Path, has: str, needs: str, do: str) -> UnreadableSlideError:
    return UnreadableSlideError(has=f"{path}: {has}", needs=needs, do=do)
