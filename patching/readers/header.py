"""What a reader tells of a file that it opened, and what its pixels must be."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patching.damage import not_finite
from patching.geometry import Location, Mpp, Size
from patching.jpeg_stream import JpegStream

_CORNER = Location(0, 0)
_LARGEST_PIXEL = 1e18  # its square is still a float32


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle in the pixels of one level, inside that level."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Header:
    """What a backend knows after opening: one entry of `sizes` per level, finest first."""

    channels: tuple[str, ...]
    dtype: np.dtype[Any]
    sizes: tuple[Size, ...]
    mpp: Mpp | None = None
    brightfield: bool | None = None
    """None where the file does not tell."""
    bounds: Location = _CORNER
    scanned: Size | None = None
    """Of what begins at `bounds`, level-0 pixels; None where the file does not tell."""


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


def require_finite(source: object, region_HWC: NDArray[Any]) -> None:
    """Refuse real pixels that no arithmetic could bear.

    Raises:
        UnreadableSlideError: some are infinite, not a number or too large.
    """
    if not (np.abs(region_HWC) <= _LARGEST_PIXEL).all():
        raise not_finite(source, _LARGEST_PIXEL)
