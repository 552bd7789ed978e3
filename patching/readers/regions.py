"""Regions that were announced before they are read, so that a reader can prepare for all of them at once."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from patching.geometry import Location, Size


class Readable(Protocol):
    """What regions need of a slide (`patching.readers.base`, which imports this module)."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of its pixels."""

    def read_region(
        self, location: Location, level: int, size: Size, out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """Read pixels of one level."""


class Regions:
    """Regions of one level and size; each is read once, and about in order.

    Args:
        slide: an open slide.
        level: index into its levels.
        locations_N2: level-0 (x, y) of their corners.
        size: width and height in pixels of the level.
    """

    def __init__(self, slide: Readable, level: int, locations_N2: NDArray[np.int64], size: Size) -> None:
        self._slide, self._level, self._size = slide, level, size
        self._locations = locations_N2.tolist()

    def read(self, number: int, out_HWC: NDArray[Any]) -> None:
        """Fill an array with a region, as `read_region` does; threads may read at the same time.

        Raises:
            UnreadableSlideError: the file is damaged there.
        """
        x, y = self._locations[number]
        self._slide.read_region(Location(x, y), self._level, self._size, out=out_HWC)
