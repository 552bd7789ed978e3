"""Which reader opens which file."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import openslide
from tifffile import TiffFile

from patching.damage import decoded
from patching.errors import ChannelError, MissingFileError
from patching.readers.base import AbstractSlide, SlideKind
from patching.readers.containers.claims import check_claim, check_folder, check_forced
from patching.readers.image.slide import ImageSlide
from patching.readers.joined_reader import JoinedSlide, Shift
from patching.readers.microscopes.slide import MicroscopeSlide
from patching.readers.openslide_reader import OpenSlideSlide
from patching.readers.planes import Choice, Planes, Series
from patching.readers.projection import projected
from patching.readers.signatures import (
    JPEG_MAGIC,
    PNG_MAGIC,
    TIFF_MAGIC,
    empty,
    head_of,
    not_read,
    recognized,
    unknown,
)
from patching.readers.tiff.checks import misread_ycbcr
from patching.readers.tiff.slide import TiffSlide
from patching.readers.zarr.files import Source, is_url
from patching.readers.zarr.slide import ZarrSlide

logger = logging.getLogger(__name__)
READERS: dict[str, Callable[[Source, Planes], AbstractSlide]] = {
    "tiff": TiffSlide,
    "openslide": OpenSlideSlide,
    "image": ImageSlide,
    "zarr": ZarrSlide,
    "microscope": MicroscopeSlide,
}
# OpenSlide recognizes these too, but as TIFFs they are read faster, and 16-bit ones rightly.
_TIFF_VENDORS = (None, "aperio", "generic-tiff")


def open_slide(
    paths: str | Path | Sequence[str | Path],
    channels: Sequence[str] | None = None,
    reader: str | None = None,
    *,
    z: Choice = None,
    t: Choice = None,
    axes: str | None = None,
    shift: Sequence[Shift] | None = None,
    kind: SlideKind | None = None,
    series: Series = None,
) -> AbstractSlide:
    """Open a slide, as a context manager.

    Args:
        paths: one file, OME-Zarr folder or address of one (s3://..., https://...); or several of the same
            field, one per modality, whose channels are joined.
        channels: names for the channels, in order; they must match the files in number.
        reader: a name in READERS to force that one; by default the file's content decides.
        z: the plane along Z, from 0, or `max` or `mean` over all; needed where there are several.
        t: the same for time points.
        axes: names for the file's axes in its order, where it names them wrongly: see `Planes`.
        shift: what the content of each file is moved by, where there are several.
        kind: what the pixels are, where the files do not tell it or err.
        series: the image of a file that holds several: its number from 0, or its name.

    Raises:
        MissingFileError: no such file.
        UnreadableSlideError: damaged, of an unknown format, of a kind that would be read wrongly, or a
            stack of several planes without a choice.
        ChannelError: other channels than named, or modalities that do not fit together.
    """
    sources = [paths] if isinstance(paths, (str, Path)) else list(paths)
    sources = [source if is_url(source) else Path(source) for source in sources]
    if not sources:
        raise ValueError("open_slide needs at least one path")
    planes = Planes(z, t, axes, series)

    def open_one(source: Source) -> AbstractSlide:
        name = reader or reader_for(source)
        if reader is not None:
            check_forced(source, reader)
        if name not in READERS:
            raise ValueError(f"no reader {name!r}; there are {', '.join(READERS)}")
        return projected(READERS[name](source, planes))

    for source in sources:
        _require(source)
    slide = open_one(sources[0]) if len(sources) == 1 else JoinedSlide(sources, open_one, shift)
    try:
        if channels is not None:
            slide.name_channels(channels)
        if kind is not None:
            slide.declare(kind)
    except ChannelError:
        slide.close()
        raise
    _tell_pixel_size(slide)
    return slide


def _tell_pixel_size(slide: AbstractSlide) -> None:
    if slide.mpp is not None and not slide.mpp.plausible:
        logger.warning(
            "%s: pixels of %g x %g µm are no light microscope's: if the unit is wrong, fill the column `mpp`",
            *(slide, slide.mpp.x, slide.mpp.y),
        )


def reader_for(source: Source) -> str:
    """Name of the reader that fits the file's content; its suffix must not claim something else.

    Raises:
        MissingFileError: no such file.
        UnreadableSlideError: no reader takes the format, or the file is only the preview of a slide.
    """
    _require(source)
    path = Path(source)
    if is_url(source):
        return "zarr"
    if path.is_dir():
        check_folder(path)
        return "zarr"
    head = head_of(path)
    if not head:
        raise empty(path)
    vendor = decoded(path, openslide.OpenSlide.detect_format, path)
    known = None if head.startswith((*TIFF_MAGIC, PNG_MAGIC, JPEG_MAGIC)) else recognized(path, head)
    check_claim(path, vendor, known, head)
    # OpenSlide knows some CZI, in 8-bit RGB: what has a reader of its own goes there whatever it holds.
    if known and known.reader in READERS:
        return known.reader
    # OpenSlide goes before pictures: an MRXS slide looks like a JPEG, an NDPI like a TIFF.
    if vendor not in _TIFF_VENDORS:
        return "openslide"
    if known:
        raise not_read(path, known)
    if head.startswith(TIFF_MAGIC):
        return "openslide" if vendor == "aperio" and _is_misread(path) else "tiff"
    if head.startswith((PNG_MAGIC, JPEG_MAGIC)):
        return "image"
    raise unknown(path, head)


def _is_misread(path: Path) -> bool:
    with decoded(path, TiffFile, path) as tiff:
        return misread_ycbcr(decoded(path, lambda: tiff.pages.first))


def _require(source: Source) -> None:
    """An address is taken as it is: opening it will tell."""
    if not is_url(source) and not _is_there(Path(source)):
        raise MissingFileError(
            has=f"no file {source}",
            needs="the slide's file",
            do="check the column `image`: paths are relative to slides.csv",
        )


def _is_there(path: Path) -> bool:
    """A file or folder: a pipe that nobody writes would be read for ever."""
    try:
        return path.is_file() or path.is_dir()
    except OSError:  # a name too long, or a folder that must not be entered
        return False
