"""From a TIFF's stored segment (tile or strip) to its pixels."""

import os
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from tifffile import TiffPage
from tifffile.tifffile import jpeg_decode_colorspace

from patching.jpeg_stream import JpegStream
from patching.readers.base import RGB
from patching.readers.tiff.alpha import composited
from patching.readers.tiff.layout import (
    JPEG,
    PHOTOMETRIC_RGB,
    SEPARATE,
    SegmentGrid,
    segment_bytes,
    segment_shape,
)
from patching.readers.tiff.plain_bytes import plain_bytes
from patching.readers.tiff.segment_cache import Key, Segment
from patching.readers.tiff.stored_size import check_stored_size, jpeg_pixels

_JPEG_8 = 7


def plain_jpeg(page: Any) -> JpegStream | None:
    """How a page's tiles decode as tifffile would decode them, if they are 8-bit RGB JPEG; else None."""
    key: TiffPage = page.keyframe
    rgb = key.photometric in PHOTOMETRIC_RGB and key.samplesperpixel == len(RGB)
    plain = rgb and key.is_tiled and key.planarconfig != SEPARATE
    if not plain or key.compression != _JPEG_8 or key.dtype != np.uint8 or key.jpegheader:
        return None
    spaces = jpeg_decode_colorspace(key.photometric, key.planarconfig, key.extrasamples, key.is_jfif)
    colorspace, outcolorspace = (None if space is None else int(space) for space in spaces)
    return JpegStream(page.jpegtables, colorspace, outcolorspace)


class TiffSegments:
    """Reads and decodes segments; threads may share it.

    Args:
        file: the TIFF, unbuffered; read at given places only, so that no position is shared.
        pages: per level, the pages of its channels.
        straight_alpha: the last sample is transparency, to be laid over white.
    """

    def __init__(self, file: BinaryIO, pages: list[list[Any]], *, straight_alpha: bool) -> None:
        self._file, self._pages, self._straight_alpha = file, pages, straight_alpha
        self.grids = [[SegmentGrid.of(page.keyframe) for page in level] for level in pages]
        self._dtype = np.dtype(pages[0][0].keyframe.dtype)
        self._plain = [[plain_jpeg(page) or plain_bytes(page) for page in level] for level in pages]

    def stream(self, key: Key) -> JpegStream | None:
        """How this segment's JPEG stream decodes, or None where it is none of the plain kind."""
        plain = self._plain[key[0]][key[1]]
        return plain if isinstance(plain, JpegStream) else None

    def raw(self, key: Key) -> bytes:
        """The stored bytes; none where the segment is not stored."""
        level, number, index = key
        page = self._pages[level][number]
        offset, count = int(page.dataoffsets[index]), int(page.databytecounts[index])
        if count == 0 or offset == 0:
            return b""
        data = os.pread(self._file.fileno(), count, offset)
        if len(data) < count:
            raise EOFError(f"segment {index} ends after {len(data)} of {count} bytes")
        return data

    def length(self, key: Key) -> int:
        """Stored bytes; 0 where the segment is not stored."""
        page = self._pages[key[0]][key[1]]
        return int(page.databytecounts[key[2]]) if page.dataoffsets[key[2]] else 0

    def whole_jpeg(self, key: Key) -> bytes:
        """A plain JPEG tile's stream, which begins, ends and is as large as the directory says.

        Raises:
            ValueError: it does not.
        """
        data = self.raw(key)
        grid = self.grids[key[0]][key[1]]
        if jpeg_pixels(data) != grid.height * grid.width or not data.rstrip(b"\0").endswith(b"\xff\xd9"):
            raise ValueError(f"tile {key[2]} is no whole JPEG of {grid.width} x {grid.height}")
        return data

    def decode(self, key: Key, buffer: NDArray[Any] | None) -> Segment:
        """Pixels and place of a segment; `buffer` may be overwritten and returned."""
        level, number, index = key
        data, plain = self.raw(key), self._plain[level][number]
        if data and plain is not None and not self._straight_alpha:
            grid = self.grids[level][number]
            shape = (grid.height, grid.width, grid.samples)
            fits = buffer is not None and buffer.shape == shape and buffer.dtype == self._dtype
            pixels_HWS = buffer if buffer is not None and fits else np.empty(shape, self._dtype)
            if plain.decode(data, pixels_HWS):
                return Segment(pixels_HWS, shape[:2], *grid.corner(index))
        return self._decoded_by_tifffile(self._pages[level][number], data, index)

    def direct(self, key: Key) -> bool:
        """Whether whole tiles like this one decode straight into an array."""
        return self._plain[key[0]][key[1]] is not None and not self._straight_alpha

    def decode_into(self, key: Key, out_HWS: NDArray[Any]) -> bool:
        """Decode a `direct` tile into a contiguous array of its shape; False where it is not stored so."""
        plain, data = self._plain[key[0]][key[1]], self.raw(key)
        return bool(data) and plain is not None and plain.decode(data, out_HWS)

    def _decoded_by_tifffile(self, page: Any, data: bytes, index: int) -> Segment:
        jpeg = {}
        if page.keyframe.compression in JPEG:
            jpeg = {"jpegtables": page.jpegtables, "jpegheader": page.keyframe.jpegheader}
        if data:
            pixels = segment_bytes(page.keyframe) // np.dtype(page.keyframe.dtype).itemsize
            check_stored_size(page.keyframe.jpegheader or data, int(page.keyframe.compression), pixels)
        pixels_DHWS, (sample, _, top, left, _), _ = page.keyframe.decode(data or None, index, **jpeg)
        pixels_HWS = None if pixels_DHWS is None else pixels_DHWS[0]
        if pixels_HWS is not None and self._straight_alpha:
            pixels_HWS = composited(pixels_HWS, background=255)
        return Segment(pixels_HWS, segment_shape(page.keyframe), sample, top, left)
