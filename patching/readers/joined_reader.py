"""One file per modality of the same field, read as one slide."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patching.errors import ChannelError
from patching.geometry import Location, Mpp, Size
from patching.readers.base import AbstractSlide, Header, Window
from patching.readers.regions import Regions
from patching.readers.zarr.files import Source

_MPP_TOLERANCE = 0.01


@dataclass(frozen=True, slots=True)
class Shift:
    """Level-0 pixels that content is moved by, to the right and down."""

    x: int
    y: int


class JoinedSlide(AbstractSlide):
    """Several co-registered files of equal size and dtype; their channels are joined in order.

    Only levels that all files have are kept. Names that occur twice get their modality's number:
    M1.R, M2.R. `shifts` moves the content of each file; what moves in from outside is background.

    Raises:
        ChannelError: the files differ in size, dtype or pixel size, or are not as many as the shifts.
    """

    def __init__(
        self,
        paths: Sequence[Source],
        opener: Callable[[Source], AbstractSlide],
        shifts: Sequence[Shift] | None = None,
    ) -> None:
        self._paths, self._opener = tuple(paths), opener
        self._shifts = tuple(shifts or [Shift(0, 0)] * len(self._paths))
        super().__init__("; ".join(map(str, self._paths)))

    def _open(self) -> Header:
        if len(self._shifts) != len(self._paths):
            raise ChannelError(
                has=f"{self}: {len(self._shifts)} shifts for {len(self._paths)} files",
                needs="a shift for each",
                do="correct the column `shift`, for example 0,0;3,-2",
            )
        self._parts = [self._resources.enter_context(self._opener(path)) for path in self._paths]
        self._inner_slides = tuple(self._parts)
        self._require_equal("size in pixels", [f"{p.size.width} x {p.size.height}" for p in self._parts])
        self._require_equal("pixel type", [str(part.dtype) for part in self._parts])
        return Header(
            channels=_joined([part.channels for part in self._parts]),
            dtype=self._parts[0].dtype,
            sizes=self._shared_sizes(),
            mpp=self._shared_mpp(),
            bounds=self._bounds_of_first(),
            scanned=self._parts[0].scanned,
        )

    def limit_cache(self, nbytes: int) -> None:
        """See the base class: each file gets its share."""
        for part in self._parts:
            part.limit_cache(nbytes // len(self._parts))

    @property
    def segments_decoded(self) -> int:
        """See the base class."""
        return sum(part.segments_decoded for part in self._parts)

    def expect(self, level: int, locations_N2: NDArray[np.int64], size: Size) -> Regions:
        """See the base class."""
        downsample = self.levels[level].downsample
        for part, shift in zip(self._parts, self._shifts, strict=True):
            right, down = _in_pixels(shift, downsample)
            moved_N2 = locations_N2 - np.array([round(right * downsample), round(down * downsample)])
            part.expect(level, moved_N2, size)
        return super().expect(level, locations_N2, size)

    def lacking(self, level: int) -> Sequence[Window]:
        """See the base class: what one file lacks, moved with its content."""
        plane, found = self.levels[level], list[Window]()
        for part, shift in zip(self._parts, self._shifts, strict=True):
            right, down = _in_pixels(shift, plane.downsample)
            for window in part.lacking(level):
                left, top = max(0, window.left + right), max(0, window.top + down)
                width = min(window.left + right + window.width, plane.size.width) - left
                height = min(window.top + down + window.height, plane.size.height) - top
                if width > 0 and height > 0:
                    found.append(Window(left, top, width, height))
        return found

    @property
    def parts(self) -> tuple[AbstractSlide, ...]:
        """The files' own slides, not shifted; they are closed with this one."""
        return tuple(self._parts)

    def _require_equal(self, what: str, values: Sequence[str]) -> None:
        if len(set(values)) > 1:
            raise ChannelError(
                has=", ".join(f"{path}: {value}" for path, value in zip(self._paths, values, strict=True)),
                needs=f"the same {what} in every modality of a slide",
                do="register and export the modalities alike",
            )

    def _shared_sizes(self) -> tuple[Size, ...]:
        shared: list[Size] = []
        for plane in zip(*(part.levels for part in self._parts), strict=False):
            if len({level.size for level in plane}) > 1:
                break
            shared.append(plane[0].size)
        return tuple(shared)

    def _shared_mpp(self) -> Mpp | None:
        known = [part.mpp for part in self._parts if part.mpp is not None]
        if known and any(
            abs(mpp.x / known[0].x - 1) > _MPP_TOLERANCE or abs(mpp.y / known[0].y - 1) > _MPP_TOLERANCE
            for mpp in known
        ):
            self._require_equal("pixel size", [str(part.mpp) for part in self._parts])
        return known[0] if known else None

    def _bounds_of_first(self) -> Location:
        # A viewer opens one file: where its frame begins has moved with its content.
        bounds, shift = self._parts[0].bounds, self._shifts[0]
        return Location(bounds.x + shift.x, bounds.y + shift.y)

    def _read_into(
        self, region_HWC: NDArray[Any], level: int, window: Window, covered_HW: NDArray[np.bool_] | None
    ) -> None:
        first = 0
        for part, shift in zip(self._parts, self._shifts, strict=True):
            last = first + len(part.channels)
            self._read_shifted(part, shift, region_HWC[..., first:last], level, window, covered_HW)
            first = last

    def _read_shifted(
        self,
        part: AbstractSlide,
        shift: Shift,
        region_HWC: NDArray[Any],
        level: int,
        window: Window,
        covered_HW: NDArray[np.bool_] | None,
    ) -> None:
        plane = self.levels[level]
        right, down = _in_pixels(shift, plane.downsample)
        left, top = window.left - right, window.top - down
        x0, x1 = max(left, 0), min(left + window.width, plane.size.width)
        y0, y1 = max(top, 0), min(top + window.height, plane.size.height)
        inside = Window(x0, y0, max(0, x1 - x0), max(0, y1 - y0))
        if (inside.width, inside.height) != (window.width, window.height):
            region_HWC[:] = self.background
        rows, columns = slice(y0 - top, max(y0, y1) - top), slice(x0 - left, max(x0, x1) - left)
        if covered_HW is not None:
            _only(covered_HW, rows, columns)
        if inside.width > 0 and inside.height > 0:
            # A part marks what it lacks, and leaves what another lacks.
            part_HW = None if covered_HW is None else covered_HW[rows, columns]
            part._read_into(region_HWC[rows, columns], level, inside, part_HW)


def _only(covered_HW: NDArray[np.bool_], rows: slice, columns: slice) -> None:
    """Nothing outside these rows and columns is covered."""
    covered_HW[: rows.start] = covered_HW[rows.stop :] = False
    covered_HW[:, : columns.start] = covered_HW[:, columns.stop :] = False


def _in_pixels(shift: Shift, downsample: float) -> tuple[int, int]:
    """Whole pixels of a level, to the right and down."""
    return round(shift.x / downsample), round(shift.y / downsample)


def _joined(names: Sequence[Sequence[str]]) -> tuple[str, ...]:
    flat = tuple(name for part in names for name in part)
    if len(set(flat)) == len(flat):
        return flat
    return tuple(f"M{number}.{name}" for number, part in enumerate(names, 1) for name in part)
