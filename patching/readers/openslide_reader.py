"""OpenSlide, for the scanners' own formats: NDPI, MRXS, SCN, BIF, SVS and others; 8-bit brightfield only.

OpenSlide turns 16-bit and multi-channel TIFFs into wrong 8-bit values without an error, so those are
refused here and left to the TIFF reader. Labels and macro pictures (associated images) are never read.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import openslide
from numpy.typing import NDArray
from tifffile import TiffFile

from patching.damage import Foreign, decoded
from patching.errors import ChannelError, UnreadableSlideError
from patching.geometry import Location, Mpp, Size, even_levels
from patching.readers.base import RGB, AbstractSlide, Header, Window
from patching.readers.planes import ONE_PLANE, Planes, require_one_plane
from patching.readers.tiff.alpha import composited
from patching.readers.tiff.checks import check_tiles, series_of
from patching.readers.tiff.layout import extent
from patching.readers.zarr.files import Source

_BOUNDS = (
    openslide.PROPERTY_NAME_BOUNDS_X,
    openslide.PROPERTY_NAME_BOUNDS_Y,
    openslide.PROPERTY_NAME_BOUNDS_WIDTH,
    openslide.PROPERTY_NAME_BOUNDS_HEIGHT,
)
_WHOLE = re.compile(r"-?[0-9]{1,10}")
_FILTERS = "ExcitationWaveLength"
TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class OpenSlideSlide(AbstractSlide):
    """A slide that OpenSlide reads; alpha is laid over the background.

    Raises:
        ChannelError: a TIFF with other than 8 bits, or with more than three channels.
        UnreadableSlideError: damaged, or not a format OpenSlide knows.
    """

    def __init__(self, path: Source, planes: Planes = ONE_PLANE) -> None:
        require_one_plane(str(path), planes)
        self.path = Path(path)
        super().__init__(path)

    def _open(self) -> Header:
        _refuse_what_openslide_misreads(self.path)
        slide = self._slide = self._resources.enter_context(
            _by_openslide(self.path, openslide.OpenSlide, self.path)
        )
        # Hamamatsu writes the filter set of a fluorescence scan as one block of text, which OpenSlide
        # splits at the first '=': the words may end up in the key.
        told = slide.properties.items
        fluorescence = _by_openslide(self.path, lambda: any(_FILTERS in key + value for key, value in told()))
        sizes = [Size(*sides) for sides in _by_openslide(self.path, lambda: slide.level_dimensions)]
        self._numbers = even_levels(self.path, sizes)
        return Header(
            channels=RGB,
            dtype=np.dtype(np.uint8),
            sizes=tuple(sizes[number] for number in self._numbers),
            mpp=_pixel_size(self.path, slide.properties),
            brightfield=not fluorescence,
            bounds=_bounds(self.path, slide.properties),
        )

    def _read_into(
        self, region_HWC: NDArray[Any], level: int, window: Window, covered_HW: NDArray[np.bool_] | None
    ) -> None:
        number = self._numbers[level]
        # OpenSlide's own ratio, which it divides by: ours may be rounded.
        downsample = _by_openslide(self.path, lambda: self._slide.level_downsamples[number])
        corner = (round(window.left * downsample), round(window.top * downsample))
        image = _by_openslide(
            self.path, self._slide.read_region, corner, number, (window.width, window.height)
        )
        pixels_HWA = np.asarray(image)
        region_HWC[:] = composited(pixels_HWA, self.background)
        if covered_HW is not None:
            covered_HW &= pixels_HWA[..., -1] > 0


def _damaged(path: Path, what: str) -> UnreadableSlideError:
    return UnreadableSlideError(
        has=f"{path}: {what}",
        needs="a whole file in a format that OpenSlide reads",
        do="copy the file again from its source, with the folder that belongs to it",
    )


_by_openslide = Foreign(_damaged, (openslide.OpenSlideError,))


def _refuse_what_openslide_misreads(path: Path) -> None:
    with decoded(path, lambda: path.open("rb")) as file:
        if decoded(path, file.read, 4) not in TIFF_MAGIC:
            return
    with decoded(path, TiffFile, path) as tiff:
        pages = check_tiles(path, tiff)
        bits = {page.bitspersample for page in pages}
        samples = max(page.samplesperpixel for page in pages)
        main = series_of(path, tiff)[0]
        channels = extent(main, "C") * samples
    if bits != {8} or channels > len(RGB) or (samples == 1 and channels > 1):
        raise ChannelError(
            has=f"{path}: a TIFF of {' and '.join(sorted(map(str, bits)))} bits and {channels} channels",
            needs="8-bit RGB: OpenSlide would return wrong values for this file without an error",
            do="leave the choice of the reader to evenpatch, or force `tiff`",
        )


def _pixel_size(path: Path, properties: Mapping[str, str]) -> Mpp | None:
    names = (openslide.PROPERTY_NAME_MPP_X, openslide.PROPERTY_NAME_MPP_Y)
    x, y = (decoded(path, float, _by_openslide(path, properties.get, name) or 0) for name in names)
    return Mpp(x, y) if x > 0 and y > 0 else None


def _bounds(path: Path, properties: Mapping[str, str]) -> Location:
    told = [_by_openslide(path, properties.get, name) or "" for name in _BOUNDS]
    # QuPath crops to them only where all four are whole numbers, and its frame is what they are for.
    if not all(map(_WHOLE.fullmatch, told)):
        return Location(0, 0)
    return Location(int(told[0]), int(told[1]))
