"""One file per modality of the same field, read as one slide."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patching.errors import ChannelError
from patching.geometry import Mpp, Size
from patching.readers.base import AbstractSlide, Header, Window
from patching.readers.zarr_files import Source

_MPP_TOLERANCE = 0.01


class StackSlide(AbstractSlide):
    """Several co-registered files of equal size and dtype; their channels are joined in order.

    Only levels that all files have are kept. Names that occur twice get their modality's number:
    M1.R, M2.R.

    Raises:
        ChannelError: the files differ in size, dtype or pixel size.
    """

    def __init__(self, paths: Sequence[Source], opener: Callable[[Source], AbstractSlide]) -> None:
        self._paths, self._opener = tuple(paths), opener
        super().__init__()

    def __str__(self) -> str:
        return "; ".join(str(path) for path in self._paths)

    def _open(self) -> Header:
        self._parts = [self._resources.enter_context(self._opener(path)) for path in self._paths]
        self._require_equal("size in pixels", [f"{p.size.width} x {p.size.height}" for p in self._parts])
        self._require_equal("pixel type", [str(part.dtype) for part in self._parts])
        return Header(
            channels=_joined([part.channels for part in self._parts]),
            dtype=self._parts[0].dtype,
            sizes=self._shared_sizes(),
            mpp=self._shared_mpp(),
        )

    def limit_cache(self, nbytes: int) -> None:
        """See the base class: each file gets its share."""
        for part in self._parts:
            part.limit_cache(nbytes // len(self._parts))

    @property
    def segments_decoded(self) -> int:
        """See the base class."""
        return sum(part.segments_decoded for part in self._parts)

    def expect(self, level: int, locations_N2: NDArray[np.int64], size: Size) -> None:
        """See the base class."""
        for part in self._parts:
            part.expect(level, locations_N2, size)

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

    def _read_into(self, region_HWC: NDArray[Any], level: int, window: Window) -> None:
        first = 0
        for part in self._parts:
            last = first + len(part.channels)
            part._read_into(region_HWC[..., first:last], level, window)
            first = last


def _joined(names: Sequence[Sequence[str]]) -> tuple[str, ...]:
    flat = tuple(name for part in names for name in part)
    if len(set(flat)) == len(flat):
        return flat
    return tuple(f"M{number}.{name}" for number, part in enumerate(names, 1) for name in part)
