"""Where patches coincide with a slide's JPEG tiles, the tiles' own streams can be stored, undecoded."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patching.geometry import Size
from patching.grid import Sampling
from patching.jpeg_stream import JpegStream
from patching.readers.base import AbstractSlide


@dataclass(frozen=True)
class Passthrough:
    """The streams of a slide's patches."""

    stream: JpegStream
    """How they decode."""
    read: Callable[[int, int], bytes]
    """From a patch's level-0 (x, y) to its stream."""


def find_passthrough(
    slide: AbstractSlide, sampling: Sampling, size: int, locations_N2: NDArray[np.int64]
) -> Passthrough | str:
    """The streams of all patches, or the reason why not every patch is a JPEG tile of the slide.

    Args:
        slide: an open slide.
        sampling: how patches are read.
        size: side of a stored patch.
        locations_N2: level-0 (x, y) of the patches.
    """
    if sampling.read != size:
        return f"patches of {size} pixels are resampled from {sampling.read}"
    stored = slide.stored_jpeg(sampling.level)
    if stored is None:
        return "its tiles are not 8-bit RGB JPEG"
    if stored.tile != Size(size, size):
        return f"its tiles are {stored.tile.width} x {stored.tile.height} pixels, patches {size} x {size}"
    level = slide.levels[sampling.level]
    corner_N2 = locations_N2 / level.downsample
    column_N2 = np.rint(corner_N2 / size).astype(np.int64)
    last_2 = np.array([level.size.width // size, level.size.height // size])
    if (np.abs(corner_N2 - column_N2 * size) > 0).any() or (column_N2 < 0).any():
        return "patches and tiles do not begin at the same places"
    if (column_N2 >= last_2).any():
        return "some patches stick out of the slide"
    length_N = np.array([stored.length(column, row) for column, row in column_N2.tolist()])
    if (length_N <= 0).any() or (length_N > size * size * 3).any():
        return "some tiles are not stored"

    def read(x: int, y: int) -> bytes:
        return stored.read(round(x / level.downsample / size), round(y / level.downsample / size))

    return Passthrough(stored.stream, read)
