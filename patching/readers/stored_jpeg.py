"""Levels whose tiles are JPEG streams, for those who take them as they are."""

from collections.abc import Callable
from dataclasses import dataclass

from patching.geometry import Size
from patching.jpeg_stream import JpegStream


@dataclass(frozen=True, slots=True)
class StoredJpeg:
    """A level that is stored as tiles of 8-bit RGB JPEG."""

    tile: Size
    stream: JpegStream
    """How the tiles decode."""
    read: Callable[[int, int], bytes]
    """From a tile's column and row to its stream; an UnreadableSlideError where it is damaged."""
    length: Callable[[int, int], int]
    """From a tile's column and row to the bytes of its stream."""
