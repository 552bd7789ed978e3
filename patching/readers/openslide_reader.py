"""OpenSlide, for the scanners' own formats: NDPI, MRXS, SCN, BIF, SVS and others; 8-bit brightfield only.

OpenSlide turns 16-bit and multi-channel TIFFs into wrong 8-bit values without an error, so those are
refused here and left to the TIFF reader. Labels and macro pictures (associated images) are never read.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import openslide
from numpy.typing import NDArray
from tifffile import TiffFile

from patching.damage import damage_told
from patching.errors import ChannelError, UnreadableSlideError
from patching.geometry import Mpp, Size
from patching.readers.base import RGB, AbstractSlide, Header, Window
from patching.readers.planes import ONE_PLANE, Planes, require_one_plane
from patching.readers.tiff.alpha import composited
from patching.readers.tiff.checks import check_tiles
from patching.readers.zarr.files import Source

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
        super().__init__()

    def __str__(self) -> str:
        return str(self.path)

    def _open(self) -> Header:
        _refuse_what_openslide_misreads(self.path)
        with damage_told(self.path):
            try:
                self._slide = self._resources.enter_context(openslide.OpenSlide(self.path))
            except openslide.OpenSlideError as error:
                raise _unreadable(self.path, error) from error
            return Header(
                channels=RGB,
                dtype=np.dtype(np.uint8),
                sizes=tuple(Size(*dimensions) for dimensions in self._slide.level_dimensions),
                mpp=_pixel_size(self._slide.properties),
                brightfield=not _is_fluorescence(self._slide.properties),
            )

    def _read_into(self, region_HWC: NDArray[Any], level: int, window: Window) -> None:
        # OpenSlide's own ratio, which it divides by: ours may be rounded.
        downsample = self._slide.level_downsamples[level]
        corner = (round(window.left * downsample), round(window.top * downsample))
        try:
            image = self._slide.read_region(corner, level, (window.width, window.height))
        except openslide.OpenSlideError as error:
            raise _unreadable(self.path, error) from error
        region_HWC[:] = composited(np.asarray(image), self.background)


def _unreadable(path: Path, error: openslide.OpenSlideError) -> UnreadableSlideError:
    return UnreadableSlideError(
        has=f"{path}: {error}",
        needs="a whole file in a format that OpenSlide reads",
        do="copy the file again from its source, with the folder that belongs to it",
    )


def _refuse_what_openslide_misreads(path: Path) -> None:
    with damage_told(path), path.open("rb") as file:
        if file.read(4) not in TIFF_MAGIC:
            return
    with damage_told(path), TiffFile(path) as tiff:
        check_tiles(path, tiff)
        bits = {page.aspage().bitspersample for page in tiff.pages}
        samples = max(page.aspage().samplesperpixel for page in tiff.pages)
        main = tiff.series[0]
        channels = dict(zip(main.axes, main.shape, strict=True)).get("C", 1) * samples
    if bits != {8} or channels > len(RGB) or (samples == 1 and channels > 1):
        raise ChannelError(
            has=f"{path}: a TIFF of {' and '.join(sorted(map(str, bits)))} bits and {channels} channels",
            needs="8-bit RGB: OpenSlide would return wrong values for this file without an error",
            do="leave the choice of the reader to evenpatch, or force `tiff`",
        )


def _pixel_size(properties: Mapping[str, str]) -> Mpp | None:
    x, y = properties.get(openslide.PROPERTY_NAME_MPP_X), properties.get(openslide.PROPERTY_NAME_MPP_Y)
    return Mpp(float(x), float(y)) if x and y and float(x) > 0 and float(y) > 0 else None


def _is_fluorescence(properties: Mapping[str, str]) -> bool:
    # Hamamatsu writes the filter set of a fluorescence scan as one block of text, which OpenSlide
    # splits at the first '=': the words may end up in the key.
    return any("ExcitationWaveLength" in key + value for key, value in properties.items())
