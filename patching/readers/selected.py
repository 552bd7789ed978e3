"""Some channels of a slide, in another order."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patching.geometry import Size
from patching.readers.base import AbstractSlide, Header, Window
from patching.readers.regions import Regions


class SelectedSlide(AbstractSlide):
    """The given channels of another slide, in the given order; it is closed with this one.

    Args:
        inner: an open slide.
        order: numbers of its channels, each at most once.
    """

    def __init__(self, inner: AbstractSlide, order: Sequence[int]) -> None:
        self._inner, self._order = inner, list(order)
        super().__init__(inner)

    def _open(self) -> Header:
        self._resources.callback(self._inner.close)
        return Header(
            channels=tuple(self._inner.channels[number] for number in self._order),
            dtype=self._inner.dtype,
            sizes=tuple(level.size for level in self._inner.levels),
            mpp=self._inner.mpp,
            brightfield=self._inner.brightfield,
            bounds=self._inner.bounds,
        )

    def limit_cache(self, nbytes: int) -> None:
        """See the base class."""
        self._inner.limit_cache(nbytes)

    @property
    def segments_decoded(self) -> int:
        """See the base class."""
        return self._inner.segments_decoded

    def expect(self, level: int, locations_N2: NDArray[np.int64], size: Size) -> Regions:
        """See the base class."""
        self._inner.expect(level, locations_N2, size)
        return super().expect(level, locations_N2, size)

    def _read_into(self, region_HWC: NDArray[Any], level: int, window: Window) -> None:
        all_HWC = np.empty((window.height, window.width, len(self._inner.channels)), self.dtype)
        self._inner._read_into(all_HWC, level, window)
        region_HWC[:] = all_HWC[..., self._order]
