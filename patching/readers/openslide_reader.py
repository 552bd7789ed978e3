"""OpenSlide, for the scanners' own formats: NDPI, MRXS, SCN, BIF, SVS and others; 8-bit brightfield only.

OpenSlide turns 16-bit and multi-channel TIFFs into wrong 8-bit values without an error, so those are
refused here and left to the TIFF reader. Labels and macro pictures (associated images) are never read.
"""

import logging
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
from patching.numbers import micrometres
from patching.readers.base import RGB, AbstractSlide, Header, Window
from patching.readers.containers.claims import beside
from patching.readers.planes import ONE_PLANE, Planes, require_one_plane
from patching.readers.signatures import TIFF_MAGIC
from patching.readers.tiff.alpha import composited
from patching.readers.tiff.checks import check_tiles, series_of
from patching.readers.tiff.layout import PHOTOMETRIC_RGB, extent
from patching.readers.tiff.meaning.samples import check_samples
from patching.readers.zarr.files import Source

logger = logging.getLogger(__name__)
_BOUNDS = (
    openslide.PROPERTY_NAME_BOUNDS_X,
    openslide.PROPERTY_NAME_BOUNDS_Y,
    openslide.PROPERTY_NAME_BOUNDS_WIDTH,
    openslide.PROPERTY_NAME_BOUNDS_HEIGHT,
)
_WHOLE = re.compile(r"-?[0-9]{1,10}")
_UNSUPPORTED = re.compile(
    r"unsupported|not supported|unrecognized|unknown|not implemented|Attribute \w+ value .* !="
    r"|find main image",  # Leica's fluorescence: OpenSlide takes images of transmitted light alone
    re.IGNORECASE,
)
_ANY_TIFF = "generic-tiff"
_KIND = "dicom.ImageType["
_FILTERS, _FLUORESCENT = "ExcitationWaveLength", ("mirax.GENERAL.SLIDE_TYPE", "SLIDE_TYPE_FLUORESCENCE")


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
        _refuse_without_finest(self.path, slide.properties)
        fluorescence = _fluorescence(self.path, slide.properties)
        sizes = [Size(*sides) for sides in _by_openslide(self.path, lambda: slide.level_dimensions)]
        self._numbers = even_levels(self.path, sizes)
        bounds, scanned = _bounds(self.path, slide.properties)
        return Header(
            channels=RGB,
            dtype=np.dtype(np.uint8),
            sizes=tuple(sizes[number] for number in self._numbers),
            mpp=_pixel_size(self.path, slide.properties),
            brightfield=not fluorescence,
            bounds=bounds,
            scanned=scanned,
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
            covered_HW &= pixels_HWA[..., -1] > 0  # the rest was laid over the background


def _fluorescence(path: Path, properties: Mapping[str, str]) -> bool:
    """Whether the scanner tells of fluorescence; the log tells what OpenSlide makes of MIRAX slides."""
    told = _by_openslide(path, lambda: dict(properties.items()))
    if told.get(_FLUORESCENT[0], "").strip() == _FLUORESCENT[1]:
        logger.warning(
            "%s: fluorescence: three filters are read as R, G, B, and no others: if there are more, export "
            "it as OME-TIFF",
            path,
        )
        return True
    # Hamamatsu writes the filter set of a scan as one block of text, which OpenSlide splits at the first '=':
    # the words may end up in the key.
    return any(_FILTERS in key + value for key, value in told.items())


def _refuse_without_finest(path: Path, properties: Mapping[str, str]) -> None:
    """A DICOM slide opens without the file of its scanned level too, in another frame than outlines have."""
    kinds = [
        value for key, value in _by_openslide(path, lambda: list(properties.items())) if key.startswith(_KIND)
    ]
    if "RESAMPLED" in kinds:
        raise UnreadableSlideError(
            has=f"{path}: a DICOM slide without the file of the scanned level: the finest is resampled",
            needs="all files of its series in one folder: outlines count in pixels of the scanned level",
            do="copy all its files again; if there is no finer one, convert it to OME-TIFF with `bfconvert`",
        )


def _refused(path: Path, what: str) -> UnreadableSlideError:
    if _UNSUPPORTED.search(what):
        return UnreadableSlideError(
            has=f"{path}: {what}",
            needs="a kind of this format that OpenSlide decodes",
            do="convert it to OME-TIFF with QuPath or Bio-Formats' `bfconvert`",
        )
    others = beside(path)
    return UnreadableSlideError(
        has=f"{path}: {what}",
        needs=f"a whole file in a format that OpenSlide reads{f', and {others}' if others else ''}",
        do="copy the file again from its source, with the folder or the files that belong to it",
    )


_by_openslide = Foreign(_refused, (openslide.OpenSlideError,))


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
    if decoded(path, openslide.OpenSlide.detect_format, path) != _ANY_TIFF:
        return
    # It makes RGB of gray, palettes and lightness, and turns each tile by itself.
    check_samples(path, main, named=False)
    if int(main.keyframe.photometric) not in PHOTOMETRIC_RGB:
        raise ChannelError(
            has=f"{path}: a TIFF of intensities",
            needs="8-bit RGB: OpenSlide would make it of whatever there is",
            do="leave the choice of the reader to evenpatch, or force `tiff`",
        )


def _pixel_size(path: Path, properties: Mapping[str, str]) -> Mpp | None:
    names = (openslide.PROPERTY_NAME_MPP_X, openslide.PROPERTY_NAME_MPP_Y)
    texts = [_by_openslide(path, properties.get, name) for name in names]
    x, y = (micrometres(text) for text in texts)
    if (x is None or y is None) and any(texts):
        logger.warning(
            "%s: the pixel size is told as %s, which is no length: the slide has none; fill the column `mpp`",
            *(path, " x ".join(map(str, texts))),
        )
    return None if x is None or y is None else Mpp(x, y)


def _bounds(path: Path, properties: Mapping[str, str]) -> tuple[Location, Size | None]:
    told = [_by_openslide(path, properties.get, name) or "" for name in _BOUNDS]
    # QuPath crops to them only where all four are whole numbers, and its frame is what they are for.
    if not all(map(_WHOLE.fullmatch, told)):
        return Location(0, 0), None
    left, top, width, height = map(int, told)
    return Location(left, top), Size(width, height)
