"""From a TIFF's stored segment (tile or strip) to its pixels."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from patching.damage import damaged, decoded
from patching.jpeg_stream import JpegStream
from patching.readers.base import RGB, Window
from patching.readers.tiff.alpha import composited, opaque
from patching.readers.tiff.layout import JPEG, PHOTOMETRIC_RGB, PREMULTIPLIED, StoredPage
from patching.readers.tiff.plain_bytes import plain_bytes
from patching.readers.tiff.segment_cache import Key, Segment
from patching.readers.tiff.stored_size import jpeg_pixels, why_too_large

_JPEG_8, _CONTIGUOUS = 7, 1
_END, _ENDS_WITHIN = b"\xff\xd9", 1024  # of a JPEG: what pads it may follow
_RGB, _YCBCR = 2, 6  # of TIFF's photometric interpretations, and of imagecodecs' color spaces


def plain_jpeg(path: Path, page: StoredPage) -> JpegStream | None:
    """How a page's tiles decode as tifffile would decode them, if they are 8-bit RGB JPEG; else None."""
    key = page.keyframe
    rgb = key.photometric in PHOTOMETRIC_RGB and key.samplesperpixel == len(RGB)
    plain = rgb and key.is_tiled and key.planarconfig == _CONTIGUOUS and not key.extrasamples
    if not plain or key.compression != _JPEG_8 or key.dtype != np.uint8 or key.jpegheader:
        return None
    # Aperio stores RGB without saying so in the stream.
    unmarked = key.photometric == _RGB and not decoded(path, lambda: key.is_jfif)
    return JpegStream(page.jpegtables, colorspace=_RGB if unmarked else None, outcolorspace=_RGB)


def _tells_its_end(page: StoredPage) -> bool:
    """Whether each segment is a JPEG with a marker at its end; those that share a header have none."""
    return page.keyframe.compression == _JPEG_8 and not page.keyframe.jpegheader


class TiffSegments:
    """Reads and decodes segments; threads may share it.

    Args:
        path: the TIFF, for errors.
        file: the same, unbuffered; read at given places only, so that no position is shared.
        pages: per level, the pages of its channels.
        transparent: the last sample is transparency.
        background: of the slide, which transparent pixels are laid over; asked for when they are read.
    """

    def __init__(
        self,
        path: Path,
        file: BinaryIO,
        pages: list[list[StoredPage]],
        *,
        transparent: bool,
        background: Callable[[], int],
    ) -> None:
        self._background = background
        self._path, self._file, self._pages, self._transparent = path, file, pages, transparent
        self.grids = [[page.grid for page in level] for level in pages]
        self._dtype = np.dtype(pages[0][0].keyframe.dtype)
        self._premultiplied = tuple(pages[0][0].keyframe.extrasamples) == (PREMULTIPLIED,)
        self._ends = [[_tells_its_end(page) for page in level] for level in pages]
        self._plain = [[plain_jpeg(path, page) or plain_bytes(page) for page in level] for level in pages]

    def stream(self, key: Key) -> JpegStream | None:
        """How this segment's JPEG stream decodes, or None where it is none of the plain kind."""
        plain = self._plain[key[0]][key[1]]
        return plain if isinstance(plain, JpegStream) else None

    def raw(self, key: Key) -> bytes:
        """The stored bytes; none where the segment is not stored.

        Raises:
            UnreadableSlideError: the file ends before, or cannot be read there.
        """
        level, number, index = key
        page = self._pages[level][number]
        offset, count = int(page.offsets[index]), self.length(key)
        if count == 0:
            return b""
        data = decoded(self._path, os.pread, self._file.fileno(), count, offset)
        if len(data) < count:
            raise damaged(self._path, f"segment {index} ends after {len(data)} of {count} bytes")
        if self._ends[level][number] and _END not in data[-_ENDS_WITHIN:]:
            # Its decoder would fill the rest with gray.
            raise damaged(self._path, f"segment {index} is a JPEG that breaks off")
        return data

    def length(self, key: Key) -> int:
        """Stored bytes; 0 where the segment is not stored."""
        page = self._pages[key[0]][key[1]]
        return int(page.counts[key[2]]) if page.offsets[key[2]] else 0

    def whole_jpeg(self, key: Key) -> bytes:
        """A plain JPEG tile's stream, which begins, ends and is as large as the directory says.

        Raises:
            UnreadableSlideError: it does not.
        """
        data, grid = self.raw(key), self.grids[key[0]][key[1]]
        if jpeg_pixels(data) != grid.height * grid.width or not data.rstrip(b"\0").endswith(b"\xff\xd9"):
            raise damaged(self._path, f"tile {key[2]} is no whole JPEG of {grid.width} x {grid.height}")
        return data

    def decode(self, key: Key, buffer: NDArray[Any] | None) -> Segment:
        """Pixels and place of a segment; `buffer` may be overwritten and returned.

        Raises:
            UnreadableSlideError: it is damaged.
        """
        level, number, index = key
        page, data, plain = self._pages[level][number], self.raw(key), self._plain[level][number]
        grid = page.grid
        shape = (grid.height, grid.width, grid.samples)
        if page.plain is not None and data:
            pixels_HWS = np.frombuffer(data, page.plain).reshape(-1, *shape[1:])
            return self._segment(page, pixels_HWS, index)
        if data and plain is not None and not self._transparent:
            fits = buffer is not None and buffer.shape == shape and buffer.dtype == self._dtype
            out_HWS = buffer if buffer is not None and fits else np.empty(shape, self._dtype)
            if plain.decode(data, out_HWS):
                return self._segment(page, out_HWS, index)
        return self._segment(page, self._decoded_by_tifffile(page, data, index), index)

    def _segment(self, page: StoredPage, pixels_HWS: NDArray[Any] | None, index: int) -> Segment:
        covered_HW = None
        if pixels_HWS is not None and self._transparent:
            covered_HW = opaque(pixels_HWS)
            pixels_HWS = composited(pixels_HWS, self._background(), premultiplied=self._premultiplied)
        shape = (page.grid.height, page.grid.width)
        return Segment(pixels_HWS, shape, *page.grid.corner(index), covered_HW)

    def any_stored(self, level: int, number: int, window: Window) -> bool:
        """Whether something of a page is stored under a window of its level."""
        page = self._pages[level][number]
        under = page.grid.under(window)
        return bool(((page.counts[under] > 0) & (page.offsets[under] > 0)).any())

    def not_stored(self, level: int, number: int) -> list[int]:
        """Indices of a page's segments that are not stored."""
        page = self._pages[level][number]
        lacking: list[int] = np.flatnonzero((page.counts <= 0) | (page.offsets <= 0)).tolist()
        return lacking

    def direct(self, key: Key) -> bool:
        """Whether whole tiles like this one decode straight into an array."""
        return self._plain[key[0]][key[1]] is not None and not self._transparent

    def decode_into(self, key: Key, out_HWS: NDArray[Any]) -> bool:
        """Decode a `direct` tile into a contiguous array of its shape; False where it is not stored so."""
        plain, data = self._plain[key[0]][key[1]], self.raw(key)
        return bool(data) and plain is not None and plain.decode(data, out_HWS)

    def _decoded_by_tifffile(self, page: StoredPage, data: bytes, index: int) -> NDArray[Any] | None:
        key, jpeg = page.keyframe, {}
        if key.compression in JPEG:
            jpeg = {"jpegtables": page.jpegtables, "jpegheader": key.jpegheader}
        if data and (refused := why_too_large(key.jpegheader or data, key.compression, page.grid.values)):
            raise damaged(self._path, refused)
        pixels_DHWS, _, _ = decoded(self._path, lambda: key.decode(data or None, index, **jpeg))
        return None if pixels_DHWS is None else pixels_DHWS[0]
