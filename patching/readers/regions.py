"""Regions that were announced before they are read, so that a reader can prepare for all of them at once."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patching.geometry import Location, Size

ReadRegion = Callable[[Location, int, Size, NDArray[Any]], NDArray[Any]]


class Regions:
    """Regions of one level and size; each is read once, and about in order.

    Args:
        read_region: of an open slide.
        level: index into its levels.
        locations_N2: level-0 (x, y) of their corners.
        size: width and height in pixels of the level.
    """

    def __init__(
        self, read_region: ReadRegion, level: int, locations_N2: NDArray[np.int64], size: Size
    ) -> None:
        self._read_region, self._level, self._size = read_region, level, size
        self._locations = locations_N2.tolist()

    def read(self, number: int, out_HWC: NDArray[Any]) -> None:
        """Fill an array with a region, as `read_region` does; threads may read at the same time.

        Raises:
            UnreadableSlideError: the file is damaged there.
        """
        x, y = self._locations[number]
        self._read_region(Location(x, y), self._level, self._size, out_HWC)
