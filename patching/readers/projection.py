"""From the planes that are read to the channels that were asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patching.geometry import Size
from patching.readers.base import AbstractSlide, Header, Window
from patching.readers.naming import numbered
from patching.readers.planes import Choice, Planes, Selection
from patching.readers.regions import Regions

_BAND_BYTES = 128 * 2**20


class PlanesSlide(AbstractSlide):
    """A slide whose file may hold more planes than it has channels.

    Where `projection` is set, the slide's channels are the planes that are read, one by one, and
    `projected` makes the slide that was asked for.
    """

    projection: "Projection | None" = None

    def _planned(self, header: Header, selection: Selection, planes: Planes) -> Header:
        """What this slide shows: `header`, or the planes to be read where those must be projected."""
        if selection.direct:
            return header
        self.projection = Projection(selection, planes, header.channels, header.brightfield)
        return replace(header, channels=numbered(len(selection.wanted)))


@dataclass(frozen=True, slots=True)
class Projection:
    """How planes become channels."""

    selection: Selection
    planes: Planes
    channels: tuple[str, ...]
    brightfield: bool | None

    def apply(self, planes_HWP: NDArray[Any]) -> NDArray[Any]:
        """Project planes [H, W, P] to channels [H, W, C], Z first; a mean is rounded once, at the end."""
        groups_TZC = self.selection.groups_TZC
        result_HWC = np.empty((*planes_HWP.shape[:2], groups_TZC.shape[2]), planes_HWP.dtype)
        for channel in range(groups_TZC.shape[2]):
            stack_HWTZ = planes_HWP[..., groups_TZC[:, :, channel]]
            stack_HWT = _reduced(stack_HWTZ, self.planes.z)
            result_HW = _reduced(stack_HWT, self.planes.t)
            result_HWC[..., channel] = np.rint(result_HW) if planes_HWP.dtype.kind in "iu" else result_HW
        return result_HWC


def _reduced(stack: NDArray[Any], choice: Choice) -> NDArray[Any]:
    if stack.shape[-1] == 1:
        return stack[..., 0]
    reduced: NDArray[Any] = stack.max(axis=-1) if choice == "max" else stack.mean(axis=-1, dtype=np.float64)
    return reduced


class ProjectedSlide(AbstractSlide):
    """A slide whose channels are projections, or some of the samples, of another's planes."""

    def __init__(self, inner: AbstractSlide, projection: Projection) -> None:
        self._inner, self._projection = inner, projection
        super().__init__(inner)

    def _open(self) -> Header:
        self._resources.callback(self._inner.close)
        self._inner_slides = (self._inner,)
        return Header(
            channels=self._projection.channels,
            dtype=self._inner.dtype,
            sizes=tuple(level.size for level in self._inner.levels),
            mpp=self._inner.mpp,
            brightfield=self._projection.brightfield,
            bounds=self._inner.bounds,
            scanned=self._inner.scanned,
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

    def stores_something(self) -> bool | None:
        """See the base class."""
        return self._inner.stores_something()

    def lacking(self, level: int) -> Sequence[Window]:
        """See the base class."""
        return self._inner.lacking(level)

    def _read_into(
        self, region_HWC: NDArray[Any], level: int, window: Window, covered_HW: NDArray[np.bool_] | None
    ) -> None:
        planes = len(self._inner.channels)
        row_bytes = window.width * planes * self.dtype.itemsize
        step = max(1, _BAND_BYTES // row_bytes)
        for top in range(0, window.height, step):
            height = min(step, window.height - top)
            band_HWP = np.empty((height, window.width, planes), self.dtype)
            part = Window(window.left, window.top + top, window.width, height)
            known_HW = None if covered_HW is None else covered_HW[top : top + height]
            self._inner._read_into(band_HWP, level, part, known_HW)
            region_HWC[top : top + height] = self._projection.apply(band_HWP)


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
        self._inner_slides = (self._inner,)
        return Header(
            channels=tuple(self._inner.channels[number] for number in self._order),
            dtype=self._inner.dtype,
            sizes=tuple(level.size for level in self._inner.levels),
            mpp=self._inner.mpp,
            brightfield=self._inner.brightfield,
            bounds=self._inner.bounds,
            scanned=self._inner.scanned,
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

    def stores_something(self) -> bool | None:
        """See the base class."""
        return self._inner.stores_something()

    def lacking(self, level: int) -> Sequence[Window]:
        """See the base class."""
        return self._inner.lacking(level)

    def _read_into(
        self, region_HWC: NDArray[Any], level: int, window: Window, covered_HW: NDArray[np.bool_] | None
    ) -> None:
        all_HWC = np.empty((window.height, window.width, len(self._inner.channels)), self.dtype)
        self._inner._read_into(all_HWC, level, window, covered_HW)
        region_HWC[:] = all_HWC[..., self._order]


def projected(slide: AbstractSlide) -> AbstractSlide:
    """The slide that was asked for: the same one, unless its planes have to be picked or projected."""
    projection = slide.projection if isinstance(slide, PlanesSlide) else None
    return slide if projection is None else ProjectedSlide(slide, projection)
