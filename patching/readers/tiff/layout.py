"""How a TIFF's pixels lie in its segments (tiles or strips): pure arithmetic on tifffile's directories."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from tifffile import TiffPage, TiffPageSeries

from patching.geometry import Size
from patching.readers.base import RGB, Window

SEPARATE = 2
PHOTOMETRIC_RGB = (2, 6)
JPEG = (6, 7, 34892, 33007)
PREMULTIPLIED, STRAIGHT = 1, 2  # of TIFF's extra samples: how colors are stored beside their transparency


@dataclass(frozen=True, slots=True)
class SegmentGrid:
    """How the segments (tiles or strips) of a page lie: tifffile works it out anew at every question."""

    height: int
    width: int
    """Of a whole segment, pixels."""
    rows: int
    columns: int
    samples: int
    """Stored together."""
    planes: int
    """Samples stored apart, one after the other, each in all its segments."""

    @classmethod
    def of(cls, page: TiffPage) -> Self:
        """The grid of a page."""
        height, width = page.tilelength, page.tilewidth
        if not page.is_tiled:
            height, width = min(page.rowsperstrip, page.imagelength), page.imagewidth
        apart = page.planarconfig == SEPARATE
        return cls(
            height=height,
            width=width,
            rows=-(-page.imagelength // height),
            columns=-(-page.imagewidth // width),
            samples=1 if apart else page.samplesperpixel,
            planes=page.samplesperpixel if apart else 1,
        )

    def under(self, window: Window) -> list[int]:
        """Indices of the segments that touch the window, for every plane."""
        columns = range(window.left // self.width, (window.left + window.width - 1) // self.width + 1)
        rows = range(window.top // self.height, (window.top + window.height - 1) // self.height + 1)
        starts = [(plane * self.rows + row) * self.columns for plane in range(self.planes) for row in rows]
        return [start + column for start in starts for column in columns]

    def corner(self, index: int) -> tuple[int, int, int]:
        """Plane, top and left of a segment."""
        plane, within = divmod(index, self.rows * self.columns)
        row, column = divmod(within, self.columns)
        return plane, row * self.height, column * self.width

    def window(self, index: int, plane: Size) -> Window:
        """What a segment holds of a level of this size."""
        _, top, left = self.corner(index)
        return Window(left, top, min(self.width, plane.width - left), min(self.height, plane.height - top))

    @property
    def values(self) -> int:
        """Of a whole segment: its pixels, all samples counted."""
        return self.height * self.width * self.samples


@dataclass(frozen=True, slots=True)
class StoredPage:
    """A page and where its segments lie in the file; everything in it was checked."""

    keyframe: TiffPage
    """Holds what many pages share."""
    offsets: NDArray[np.int64]
    """Of each segment, bytes from the file's start; 0 where it is not stored."""
    counts: NDArray[np.int64]
    """Stored bytes of each segment."""
    grid: SegmentGrid
    jpegtables: bytes | None
    plain: np.dtype[Any] | None = None
    """Type, in the file's byte order, of segments whose stored bytes are their pixels, of any height."""

    @property
    def segment_bytes(self) -> int:
        """Size of a decoded segment."""
        return self.grid.values * np.dtype(self.keyframe.dtype).itemsize


def segment_bytes(page: TiffPage) -> int:
    """Size of a decoded segment."""
    return SegmentGrid.of(page).values * np.dtype(page.dtype).itemsize


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
    """Whether a level holds the planes of the full resolution, as many of them in a page, stored alike."""
    pages = (level.keyframe, full.keyframe)
    samples = len({page.samplesperpixel for page in pages}) == len({page.planarconfig for page in pages}) == 1
    return samples and level.dtype == full.dtype and _stacked(level) == _stacked(full)


def _stacked(series: TiffPageSeries) -> list[tuple[str, int]]:
    lengths = zip(series.axes, series.shape, strict=True)
    return [(axis, length) for axis, length in lengths if axis not in "YX"]


def has_alpha(page: TiffPage) -> bool:
    """Whether this is RGB of 8 or 16 bits with transparency, sample by sample."""
    return (
        page.photometric in PHOTOMETRIC_RGB
        and page.samplesperpixel == len(RGB) + 1
        and page.planarconfig != SEPARATE
        and tuple(page.extrasamples) in ((PREMULTIPLIED,), (STRAIGHT,))
        and page.dtype in (np.uint8, np.uint16)
    )
