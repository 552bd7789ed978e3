"""What every slide reader is.

Three planes of coordinates occur: level 0 (locations), the pixels of one level (`Window`), and the
array that is returned, whose pixel (0, 0) is the location asked for. The base class does all the
arithmetic between them; a backend only opens a file and copies pixels that exist.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from patching.damage import damaged
from patching.geometry import Level, Location, Mpp, Size, nearest
from patching.readers.header import Header, StoredJpeg, Window, require_finite
from patching.readers.naming import RGB, SlideKind, colors_of, names_light
from patching.readers.regions import Regions

__all__ = ["RGB", "AbstractSlide", "Header", "SlideKind", "StoredJpeg", "Window"]


class AbstractSlide(ABC):
    """An opened slide; a context manager.

    Backends write `_open`, which registers what must be closed in `self._resources`, and `_read_into`. Those
    that read through other slides name them in `_inner_slides`.
    A slide belongs to the process that opened it: decoders do not survive a fork, so workers get paths.

    Args:
        source: what the slide is called in errors: its file, folder or address, or several.
    """

    _inner_slides: tuple["AbstractSlide", ...] = ()

    def __init__(self, source: object = "slide") -> None:
        self._source = source
        self._resources = ExitStack()
        with ExitStack() as if_it_fails:
            if_it_fails.callback(self.close)
            self._describe(self._open())
            self._levels = self._pyramid()
            if_it_fails.pop_all()

    def __str__(self) -> str:
        return str(self._source)

    @abstractmethod
    def _open(self) -> Header:
        """Open the file and tell what it holds."""

    def _describe(self, header: Header) -> None:
        """Be what a header says; what is missing inside looks alike, whatever each file was taken for."""
        self._header = header
        self.fill_with(int(np.iinfo(header.dtype).max) if header.brightfield else 0)

    def fill_with(self, background: int) -> None:
        """From now on, what does not exist has another value: 4,095 suits cameras of 12 bits."""
        self._background = background
        for slide in self._inner_slides:
            slide.fill_with(background)

    @abstractmethod
    def _read_into(
        self, region_HWC: NDArray[Any], level: int, window: Window, covered_HW: NDArray[np.bool_] | None
    ) -> None:
        """Fill an array of the window's size with its pixels; those not stored become `background`.

        `covered_HW` comes true all over, and turns false where a pixel of any channel does not exist; None
        where nobody asks. Several threads may call it at the same time.
        """

    def expect(self, level: int, locations_N2: NDArray[np.int64], size: Size) -> Regions:
        """Announce regions that will be read, each once and about in this order.

        A backend may use it to decode what regions share only once. Args as for `read_region`.
        """
        return Regions(self.read_region, level, locations_N2, size)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a slide is opened inside the worker that reads it: send its paths instead")

    def close(self) -> None:
        """Release the files; reading is over."""
        self._resources.close()

    @property
    def size(self) -> Size:
        """Width and height at level 0, pixels."""
        return self._header.sizes[0]

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels in the order of the last axis."""
        return self._header.channels

    @property
    def mpp(self) -> Mpp | None:
        """Pixel size at level 0, µm per pixel, or None where the file does not tell."""
        return self._header.mpp

    @property
    def bounds(self) -> Location:
        """Where the scanned region begins at level 0; QuPath counts from here, locations from the corner."""
        return self._header.bounds

    @property
    def scanned(self) -> Size | None:
        """Width and height of the region that begins at `bounds`, or None where the file does not tell."""
        return self._header.scanned

    @property
    def dtype(self) -> np.dtype[Any]:
        """The pixels' own type, in native byte order."""
        return self._header.dtype

    def stored_jpeg(self, level: int) -> StoredJpeg | None:
        """The tiles of a level as they are stored, if they are 8-bit RGB JPEG; else None."""
        return None

    def limit_cache(self, nbytes: int) -> None:  # noqa: B027 - most backends have none
        """Hold at most this many bytes of decoded tiles; more may be decoded more than once."""

    @property
    def segments_decoded(self) -> int:
        """Stored tiles or strips decoded so far; 0 where the backend cannot tell."""
        return 0

    def stores_something(self) -> bool | None:
        """Whether any pixel exists, as far as the file's directories tell it; None where they do not."""
        return None

    def lacking(self, level: int) -> Sequence[Window]:
        """Where no pixel of a level exists in some channel, as far as the file's directories tell it."""
        return ()

    @property
    def brightfield(self) -> bool:
        """Whether this is RGB of transmitted light, 8 or 16 bits, with a bright background."""
        return bool(self._header.brightfield)

    @property
    def kind(self) -> SlideKind:
        """What the pixels are: `brightfield` or `intensity`."""
        return "brightfield" if self.brightfield else "intensity"

    @property
    def background(self) -> int:
        """Value of pixels that do not exist: unless told otherwise white for brightfield, else 0."""
        return self._background

    @property
    def levels(self) -> tuple[Level, ...]:
        """Resolutions, finest first; see `Level.of` for their `downsample`."""
        return self._levels

    def _pyramid(self) -> tuple[Level, ...]:
        if any(size.width < 1 or size.height < 1 for size in self._header.sizes):
            raise damaged(self, "a level without pixels")
        return tuple(Level.of(self.size, size) for size in self._header.sizes)

    def name_channels(self, names: Sequence[str]) -> None:
        """Rename the channels.

        Red, green and blue (or R, G, B; case does not matter) say that three unsigned channels of 8 or 16
        bits are transmitted light, unless the file says otherwise. Other names say that an RGB file holds
        other signals: it is not brightfield then, and its background is dark.

        Raises:
            ChannelError: another number of names than channels.
        """
        light = names_light(str(self), self.channels, names, self.dtype, self._header.brightfield)
        self._describe(replace(self._header, channels=tuple(names), brightfield=light))

    def declare(self, kind: SlideKind) -> None:
        """Say what the pixels are; wins over what the file tells. Channels without names become R, G, B.

        Raises:
            ChannelError: transmitted light in other than red, green and blue of 8 or 16 bits, unsigned.
        """
        names = colors_of(str(self), self.channels, self.dtype) if kind == "brightfield" else self.channels
        self._describe(replace(self._header, channels=names, brightfield=kind == "brightfield"))

    def read_region(
        self,
        location: Location,
        level: int,
        size: Size,
        out: NDArray[Any] | None = None,
        covered: NDArray[np.bool_] | None = None,
    ) -> NDArray[Any]:
        """Read pixels of one level; threads may share a slide.

        Args:
            location: top-left corner at level 0; may lie outside the slide, negative too. It is
                rounded to the nearest pixel of `level`.
            level: index into `levels`.
            size: width and height in pixels of `level`.
            out: array [H, W, C] of the slide's dtype to fill and return; by default a fresh one.
            covered: array [H, W] to fill: true where the pixel exists in every channel. It does not outside
                the slide, in tiles and chunks that are not stored, and where it is fully transparent.

        Returns:
            An array [H, W, C] in the slide's dtype; where a pixel does not exist it holds `background`.

        Raises:
            ValueError: no such level, or an empty size.
            UnreadableSlideError: the file is damaged there, or holds values that are not finite.
        """
        if not 0 <= level < len(self._levels):
            raise ValueError(f"level {level} of {self}: there are {len(self._levels)}")
        if size.width < 1 or size.height < 1:
            raise ValueError(f"cannot read a region of {size}")
        shape = (size.height, size.width, len(self.channels))
        region_HWC = np.empty(shape, self.dtype) if out is None else out
        if region_HWC.shape != shape or region_HWC.dtype != self.dtype:
            raise ValueError(f"{region_HWC.dtype} {region_HWC.shape} cannot take {self.dtype} {shape}")
        if covered is not None and (covered.shape != shape[:2] or covered.dtype != np.bool_):
            raise ValueError(f"{covered.dtype} {covered.shape} cannot take the coverage of {shape[:2]}")
        left, top, window = self._window(location, level, size)
        if (window.width, window.height) != (size.width, size.height):
            region_HWC.fill(self.background)
        rows = slice(window.top - top, window.top - top + window.height)
        columns = slice(window.left - left, window.left - left + window.width)
        if covered is not None:
            covered.fill(False)
            covered[rows, columns] = True
        if window.width > 0 and window.height > 0:
            inside_HW = None if covered is None else covered[rows, columns]
            self._read_into(region_HWC[rows, columns], level, window, inside_HW)
        if self.dtype.kind == "f":
            require_finite(self, region_HWC)
        return region_HWC

    def _window(self, location: Location, level: int, size: Size) -> tuple[int, int, Window]:
        """Left and top of a region in the pixels of its level, and the part inside; empty if none is."""
        plane, downsample = self._levels[level].size, self._levels[level].downsample
        left, top = nearest(location.x / downsample), nearest(location.y / downsample)
        x0, x1 = max(left, 0), min(left + size.width, plane.width)
        y0, y1 = max(top, 0), min(top + size.height, plane.height)
        return left, top, Window(x0, y0, max(0, x1 - x0), max(0, y1 - y0))
