"""How a TIFF's pixels lie in its segments (tiles or strips): pure arithmetic on tifffile's directories."""

import math
from collections.abc import Iterator

import numpy as np
from tifffile import TiffPage, TiffPageSeries

from patching.geometry import Size
from patching.readers.base import RGB, Window

SEPARATE = 2
PHOTOMETRIC_RGB = (2, 6)
JPEG = (6, 7, 34892, 33007)


def segments_under(page: TiffPage, window: Window) -> Iterator[int]:
    """Indices of the segments that touch the window, for every separately stored sample."""
    height, width = segment_shape(page)
    rows, columns = math.ceil(page.imagelength / height), math.ceil(page.imagewidth / width)
    planes = page.samplesperpixel if page.planarconfig == SEPARATE else 1
    for plane in range(planes):
        for row in range(window.top // height, (window.top + window.height - 1) // height + 1):
            for column in range(window.left // width, (window.left + window.width - 1) // width + 1):
                yield (plane * rows + row) * columns + column


def segment_shape(page: TiffPage) -> tuple[int, int]:
    """Height and width of a whole segment."""
    if page.is_tiled:
        return page.tilelength, page.tilewidth
    return min(page.rowsperstrip, page.imagelength), page.imagewidth


def segment_bytes(page: TiffPage) -> int:
    """Size of a decoded segment."""
    height, width = segment_shape(page)
    samples = 1 if page.planarconfig == SEPARATE else page.samplesperpixel
    return height * width * samples * np.dtype(page.dtype).itemsize


def extent(series: TiffPageSeries, axis: str) -> int:
    """Length along an axis, 1 where there is none."""
    return int(series.shape[series.axes.index(axis)]) if axis in series.axes else 1


def size(series: TiffPageSeries) -> Size:
    """Width and height in the series' own pixels."""
    return Size(extent(series, "X"), extent(series, "Y"))


def area(series: TiffPageSeries) -> int:
    """Pixels of one channel."""
    return extent(series, "X") * extent(series, "Y")


def alike(level: TiffPageSeries, full: TiffPageSeries) -> bool:
    """Whether a level holds the planes that the full resolution holds."""
    return level.dtype == full.dtype and _stacked(level) == _stacked(full)


def _stacked(series: TiffPageSeries) -> list[tuple[str, int]]:
    lengths = zip(series.axes, series.shape, strict=True)
    return [(axis, length) for axis, length in lengths if axis not in "YX"]


def has_alpha(page: TiffPage) -> bool:
    """Whether this is 8-bit RGB with transparency, sample by sample."""
    return (
        page.photometric in PHOTOMETRIC_RGB
        and page.samplesperpixel == len(RGB) + 1
        and page.planarconfig != SEPARATE
        and tuple(page.extrasamples) in ((1,), (2,))
        and page.dtype == np.uint8
    )
