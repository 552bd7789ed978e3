"""From a TIFF's stored segment (tile or strip) to its pixels."""

import os
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from tifffile import TiffPage
from tifffile.tifffile import jpeg_decode_colorspace

from patching.jpeg_stream import JpegStream
from patching.readers.alpha import composited
from patching.readers.base import RGB
from patching.readers.segment_cache import Key, Segment
from patching.readers.stored_size import check_stored_size, jpeg_pixels
from patching.readers.tiff_layout import JPEG, PHOTOMETRIC_RGB, SEPARATE, segment_bytes, segment_shape

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
        self._streams = [[plain_jpeg(page) for page in level] for level in pages]

    def stream(self, key: Key) -> JpegStream | None:
        """How this segment's JPEG stream decodes, or None where it is none of the plain kind."""
        return self._streams[key[0]][key[1]]

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
        height, width = segment_shape(self._pages[key[0]][key[1]].keyframe)
        if jpeg_pixels(data) != height * width or not data.rstrip(b"\0").endswith(b"\xff\xd9"):
            raise ValueError(f"tile {key[2]} is no whole JPEG of {width} x {height}")
        return data

    def decode(self, key: Key, buffer: NDArray[Any] | None) -> Segment:
        """Pixels and place of a segment; `buffer` may be overwritten and returned."""
        level, number, index = key
        page = self._pages[level][number]
        data, stream = self.raw(key), self.stream(key)
        height, width = segment_shape(page.keyframe)
        shape = (height, width, len(RGB))
        if data and stream is not None:
            fits = buffer is not None and buffer.shape == shape and buffer.dtype == np.uint8
            pixels_HWC = buffer if buffer is not None and fits else np.empty(shape, np.uint8)
            if stream.decode(data, pixels_HWC):
                row, column = divmod(index, -(-page.keyframe.imagewidth // width))
                return Segment(pixels_HWC, (height, width), 0, row * height, column * width)
        return self._decoded_by_tifffile(page, data, index)

    def fits(self, key: Key, region_HWC: NDArray[Any]) -> bool:
        """Whether this segment is a plain JPEG tile that fills the array."""
        page = self._pages[key[0]][key[1]].keyframe
        whole = region_HWC.shape[:2] == segment_shape(page)
        return whole and self.stream(key) is not None and region_HWC.flags.c_contiguous

    def decode_into(self, key: Key, out_HWC: NDArray[Any]) -> bool:
        """Decode a segment that `fits` straight into an array; False where it is not stored so."""
        stream, data = self.stream(key), self.raw(key)
        return bool(data) and stream is not None and stream.decode(data, out_HWC)

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
