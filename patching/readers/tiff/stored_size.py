"""What a compressed picture says of its own size: decoders believe it and allocate.

Streams without a header (deflate, LZW, zstd, ...) are decoded into as many bytes as the directory says.
"""

import re
import struct
from dataclasses import dataclass

from patching.readers.tiff.layout import JPEG

# Streams, and WebP, whose format ends at 16,383 pixels a side.
_BOUNDED = {1, 5, 8, 32773, 32946, 34925, 34926, 34927, 50000, 50001, 50013}
JPEG_2000 = {33003, 33004, 33005, 34712}
_PNG = 34933
KNOWN = _BOUNDED | set(JPEG) | JPEG_2000 | {_PNG}
"""Compressions whose decoded size is known beforehand."""
_SIZE_MARKER = re.compile(rb"\xff\x4f\xff\x51", re.DOTALL)
_CODING, _DATA = 0xFF52, 0xFF90  # markers of JPEG 2000
_TIMES = 4
"""How much larger than the directory says a tile may be: some writers fill it up."""
_SMALL = 2**22


def why_too_large(data: bytes, compression: int, pixels: int) -> str | None:
    """Why a tile or strip must not be decoded: it grows beyond what its directory says, or may; None if not.

    Args:
        data: the stored bytes, for JPEG with the header that they lack.
        compression: TIFF's code.
        pixels: of a whole tile, all samples counted.
    """
    if compression in _BOUNDED:
        return None
    if compression in JPEG:
        declared = jpeg_pixels(data)
    elif compression in JPEG_2000:
        # A stream may begin at every such marker; only one of them is decoded.
        starts = [marker.end() for marker in _SIZE_MARKER.finditer(data)]
        headers = [data[start : start + 38].ljust(38, b"\0") for start in starts]
        declared = max(map(_jpeg_2000_pixels, headers), default=0)
    elif compression == _PNG:
        width, height = struct.unpack_from(">II", data.ljust(24, b"\0"), 16)
        declared = width * height
    else:
        return f"a tile of compression {compression}, whose size cannot be told beforehand"
    if declared > max(_TIMES * pixels, _SMALL):
        return f"a tile that grows to {declared} pixels, where its directory says {pixels}"
    return None


def jpeg_pixels(data: bytes) -> int:
    """Height times width of the first frame; what lies between markers is skipped, as decoders do."""
    place = data.find(0xFF, 2)
    while 0 <= place <= len(data) - 9:
        marker = data[place + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, place + 5)
            return int(height) * int(width)
        step = 2
        if marker == 0xFF:
            step = 1
        elif marker > 0x01 and not 0xD0 <= marker <= 0xD8:
            step += int.from_bytes(data[place + 2 : place + 4], "big")
        place = data.find(0xFF, place + step)
    return 0


def _jpeg_2000_pixels(header: bytes) -> int:
    right, lower, left, upper = struct.unpack_from(">4I", header, 4)
    (components,) = struct.unpack_from(">H", header, 36)
    return int(max(right - left, 0) * max(lower - upper, 0) * components)


@dataclass(frozen=True, slots=True)
class Codestream:
    """What the header of a JPEG 2000 stream tells of its colors."""

    subsampled: bool
    """Some components have fewer samples than pixels, as those of chroma do."""
    transformed: bool
    """The first three were made from red, green and blue by its own transform, which decoders undo."""


def codestream(data: bytes) -> Codestream:
    """Read the header of a JPEG 2000 stream, with or without the boxes of a JP2 file around it."""
    begin = _SIZE_MARKER.search(data)
    if begin is None:
        return Codestream(subsampled=False, transformed=False)
    place = begin.end() - 2
    (components,) = struct.unpack_from(">H", data.ljust(place + 40, b"\0"), place + 38)
    steps = data[place + 40 : place + 40 + 3 * components]
    subsampled = any(steps[at] != 1 for at in range(len(steps)) if at % 3)
    transformed = False
    marker = 0
    while marker != _DATA and len(data) >= place + 9:
        marker, length = struct.unpack_from(">HH", data, place)
        if marker == _CODING:
            transformed = data[place + 8] != 0
        place += 2 + length
    return Codestream(subsampled, transformed)
