"""PNG and JPEG: small pictures, decoded whole at the first read."""

import logging
import threading
import warnings
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from patching.damage import damaged, decoded
from patching.errors import UnreadableSlideError
from patching.geometry import Size
from patching.readers.base import RGB, AbstractSlide, Header, Window
from patching.readers.image.told import check_jpeg, jpeg_told, png_told, turned
from patching.readers.naming import numbered, tell_intensities
from patching.readers.planes import ONE_PLANE, Planes, require_one_plane
from patching.readers.signatures import JPEG_MAGIC, PNG_MAGIC, head_of
from patching.readers.tiff.alpha import composited, opaque
from patching.readers.tiff.palettes import is_scale
from patching.readers.zarr.files import Source

logger = logging.getLogger(__name__)
_FORMATS = ("PNG", "JPEG", "MPO")  # MPO: JPEGs one after the other, as phones write them
_LARGEST_STEP = 16
_WHOLE_PALETTE = 256  # programs that draw intensities write a color for each value
# Modes that decode to these channels; a palette expands to RGB.
_CHANNELS = {"1": 1, "L": 1, "I;16": 1, "I;16B": 1, "I": 1, "LA": 1, "RGB": 3, "RGBA": 3, "P": 3}


class ImageSlide(AbstractSlide):
    """A PNG or JPEG as a slide of one level, without pixel size; alpha is laid over the background.

    It is turned as its EXIF says; the first is read of several pictures in a file. Both are told in the log.

    Raises:
        UnreadableSlideError: damaged, too many pixels, or of a kind that is not decoded, such as CMYK.
    """

    def __init__(self, path: Source, planes: Planes = ONE_PLANE) -> None:
        require_one_plane(str(path), planes)
        self.path = Path(path)
        super().__init__(path)

    def _open(self) -> Header:
        self._picture: tuple[NDArray[Any], NDArray[np.bool_] | None] | None = None
        self._decoding = threading.Lock()
        if head_of(self.path).startswith(JPEG_MAGIC):
            check_jpeg(self.path)
        with _guarded(self.path) as image:
            if image.format not in _FORMATS or image.mode not in _CHANNELS:
                raise UnreadableSlideError(
                    has=f"{self.path}: {image.format} in mode {image.mode}",
                    needs="PNG or JPEG, gray or RGB",
                    do="export it as RGB PNG or as tiled TIFF",
                )
            _refuse_scale(self.path, image)
            if not image.tile:
                raise damaged(self.path, "a picture without pixels")
            # Pillow would cut 16-bit color to 8 bits and make color of gray; its raw mode tells what
            # the file holds.
            raw = str(image.tile[0][3])
            wide = image.mode.startswith("I") or "16" in raw
            count = 1 if raw.startswith("LA") else _CHANNELS[image.mode]
            self._told = png_told(self.path) if image.format == "PNG" else jpeg_told(self.path, image)
            self._tell(image.format)
            channels = RGB if count == len(RGB) else numbered(count)
            dtype: np.dtype[Any] = np.dtype(np.uint16 if wide else np.uint8)
            if wide:
                tell_intensities(self, channels, dtype)
            return Header(
                channels=channels,
                dtype=dtype,
                sizes=(Size(*(image.size[::-1] if self._told.sideways else image.size)),),
                brightfield=(count == len(RGB) and not wide) or None,
            )

    def _tell(self, kind: str) -> None:
        """What a viewer may show otherwise, in the log."""
        told = self._told
        if told.orientation > 1:
            logger.warning(
                "%s: turned as its EXIF orientation (%d) says; not every program does so: outlines must have "
                "been drawn on the turned picture",
                self.path,
                told.orientation,
            )
        if told.animated or kind == "MPO":
            logger.warning("%s: several pictures in one file; the first is read", self.path)
        if told.gamma is not None:
            logger.info("%s: values are read as stored, its gamma (%g) is not applied", self.path, told.gamma)

    def _read_into(
        self, region_HWC: NDArray[Any], level: int, window: Window, covered_HW: NDArray[np.bool_] | None
    ) -> None:
        with self._decoding:
            if self._picture is None:
                self._picture = self._decoded()
        pixels_HWC, opaque_HW = self._picture
        rows = slice(window.top, window.top + window.height)
        columns = slice(window.left, window.left + window.width)
        region_HWC[:] = pixels_HWC[rows, columns]
        if opaque_HW is not None:
            region_HWC[~opaque_HW[rows, columns]] = self.background
            if covered_HW is not None:
                covered_HW &= opaque_HW[rows, columns]

    def _decoded(self) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """The pixels, and which of them are not fully transparent; None where all are."""
        data = decoded(self.path, self.path.read_bytes)
        if data.startswith(PNG_MAGIC):
            pixels: NDArray[Any] = decoded(self.path, imagecodecs.png_decode, data)
        else:
            # Pillow tells a truncated JPEG; the faster decoder fills it with gray.
            with _guarded(self.path) as image:
                pixels = decoded(self.path, np.asarray, image)
        pixels_HWC = turned(pixels.reshape(*pixels.shape[:2], -1), self._told.orientation)
        opaque_HW = None
        if pixels_HWC.shape[-1] == len(self.channels) + 1:
            opaque_HW = opaque(pixels_HWC)
            pixels_HWC = composited(pixels_HWC, self.background)
        if pixels_HWC.shape != (self.size.height, self.size.width, len(self.channels)):
            raise damaged(self.path, f"pixels of {pixels_HWC.shape}, where {self.size} was told")
        return pixels_HWC, opaque_HW


def _refuse_scale(path: Path, image: ImageFile.ImageFile) -> None:
    """Refuse intensities that are drawn in the colors of a scale: as RGB they would be no longer the same."""
    # As the header tells it: `getpalette` would decode the pixels. No scale has transparent colors.
    table = image.palette if image.mode == "P" and "transparency" not in image.info else None
    colors = np.frombuffer(b"" if table is None else bytes(table.palette), np.uint8)
    if len(colors) != _WHOLE_PALETTE * len(RGB):
        return
    colors_NC = colors.reshape(-1, len(RGB)).astype(np.int64)
    # The colors that programs find in a picture leap from one to the next somewhere.
    if is_scale(colors_NC) and np.abs(np.diff(colors_NC, axis=0)).max() <= _LARGEST_STEP:
        raise UnreadableSlideError(
            has=f"{path}: a palette of {_WHOLE_PALETTE} colors that is a scale, for display of intensities",
            needs="intensities or RGB",
            do="save it as gray with the values as stored (ImageJ: lookup table Grays); if it is a picture "
            "in a few colors, convert it to RGB",
        )


def _guarded(path: Path) -> ImageFile.ImageFile:
    """Open a picture without decoding; refuse more pixels than Pillow's guard against bombs allows."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return decoded(path, Image.open, path)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableSlideError(
            has=f"{path}: {error}",
            needs=f"a picture of at most {Image.MAX_IMAGE_PIXELS} pixels",
            do="convert a picture this large to a tiled TIFF",
        ) from error
