"""A patch as bytes, as a cell of the registered model's input holds it.

NumPy's .npy format holds patches of any type; PNG and TIFF hold the same pixels. JPEG changes them, and is
taken for 8-bit patches of brightfield slides alone, whose own tiles mostly are JPEG. How the bytes begin says
which it is. What a header promises is compared with the model's patches before anything is decoded, so that
no cell makes the server allocate more than a patch; nothing here unpickles.
"""

import io
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from tokenize import TokenError
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.lib import format as npy
from numpy.typing import NDArray
from PIL import Image

from patching.damage import Foreign
from patching.errors import PatchError

_PNG_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
"""By color type; 3, a palette, is none."""
_PNG_TYPES = {8: np.dtype(np.uint8), 16: np.dtype(np.uint16)}
_TIFF_LOSSLESS = {1, 5, 8, 32773, 32946, 34926, 50000}
"""None, LZW, deflate, PackBits, deflate, Zstandard twice: decoded into as many bytes as a directory says."""
_PADDING = 4
"""How much larger than the patch the tiles of its TIFF may be: some writers fill them up."""


@dataclass(frozen=True)
class PatchForm:
    """What the raw patches of a model are.

    Attributes:
        shape: (H, W, C). dtype: of the pixels.
        lossy: whether JPEG is taken.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    lossy: bool

    def __str__(self) -> str:
        formats = ".npy (numpy.save), PNG or TIFF" + (" or JPEG" if self.lossy else "")
        return f"one patch of shape {self.shape} (H, W, C) and dtype {self.dtype} as the bytes of {formats}"


def encode_patch(patch_HWC: NDArray[Any]) -> bytes:
    """One patch in .npy format."""
    buffer = io.BytesIO()
    np.save(buffer, patch_HWC, allow_pickle=False)
    return buffer.getvalue()


def decode_patch(cell: object, form: PatchForm) -> NDArray[Any]:
    """Pixels [H, W, C] of one cell.

    Raises:
        PatchError: it is no patch, or not of this form; says what it has.
        MemoryShortageError: there is no memory left.
    """
    if not isinstance(cell, bytes | bytearray):
        raise _refused(form, f"a {type(cell).__name__}")
    data = bytes(cell)
    for beginning, read in _FORMATS:
        if data.startswith(beginning):
            patch_HWC = read(data, form)
            _require(form, patch_HWC.shape, patch_HWC.dtype)
            return patch_HWC
    raise _refused(form, f"{len(data)} bytes that are no picture of a known format")


def _refused(form: object, has: str) -> PatchError:
    return PatchError(
        has=has,
        needs=str(form),
        do="write every patch with numpy.save into a buffer, or as lossless PNG or TIFF, in the model's size",
    )


# numpy evaluates a header as a literal and, failing that, tokenizes it as Python 2 wrote it. Pillow refuses a
# header of very many pixels, or warns of it where warnings are errors.
_decoded = Foreign(_refused, own=(TokenError, Image.DecompressionBombError, Image.DecompressionBombWarning))


def _require(form: PatchForm, shape: tuple[int, ...], dtype: object) -> None:
    if shape != form.shape or dtype != form.dtype:
        raise _refused(form, f"shape {shape} and dtype {dtype}")


def _npy(data: bytes, form: PatchForm) -> NDArray[Any]:
    stream = io.BytesIO(data)
    version = _decoded(form, npy.read_magic, stream)
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = _decoded(form, read_header, stream)
    _require(form, shape, dtype)
    expected = stream.tell() + math.prod(shape) * dtype.itemsize
    if len(data) != expected:
        raise _refused(form, f"{len(data)} bytes where its header promises {expected}")
    stream.seek(0)
    patch_HWC: NDArray[Any] = _decoded(form, np.load, stream, allow_pickle=False)
    return patch_HWC


def _png(data: bytes, form: PatchForm) -> NDArray[Any]:
    width, height, depth, color = struct.unpack_from(">IIBB", data.ljust(26, b"\0"), 16)
    if color not in _PNG_CHANNELS or depth not in _PNG_TYPES:
        raise _refused(form, f"a PNG of color type {color} with {depth} bits, a palette or less than bytes")
    _require(form, (height, width, _PNG_CHANNELS[color]), _PNG_TYPES[depth])
    pixels: NDArray[Any] = _decoded(form, imagecodecs.png_decode, data)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _jpeg(data: bytes, form: PatchForm) -> NDArray[Any]:
    if not form.lossy:
        raise _refused(form, "a JPEG, which changes pixels")
    # Pillow decodes at the second call, and tells a truncated stream, which faster decoders fill with gray.
    picture = _decoded(form, Image.open, io.BytesIO(data), formats=("JPEG",))
    _require(form, (picture.height, picture.width, len(picture.getbands())), np.dtype(np.uint8))
    pixels: NDArray[Any] = _decoded(form, np.asarray, picture)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _tiff(data: bytes, form: PatchForm) -> NDArray[Any]:
    """One page of all channels, or a page each."""
    height, width, channels = form.shape
    with _decoded(form, tifffile.TiffFile, io.BytesIO(data)) as file:
        count = _decoded(form, len, file.pages)
        pages = [_decoded(form, file.pages.__getitem__, i) for i in range(min(count, channels))]
        if not pages:
            raise _refused(form, "a TIFF without a page")
        if channels > 1 and pages[0].shape == (height, width):
            if count != channels:
                raise _refused(form, f"a TIFF of {count} pages, where one a channel makes {channels}")
            return np.stack([_pixels(form, page, ((height, width),)) for page in pages], axis=-1)
        layouts = (form.shape, (channels, height, width), (height, width))
        pixels = _pixels(form, pages[0], layouts if channels == 1 else layouts[:2])
    if pixels.shape == form.shape:
        return pixels
    return pixels[..., None] if pixels.ndim == 2 else np.moveaxis(pixels, 0, -1)


def _pixels(
    form: PatchForm, page: tifffile.TiffPage | tifffile.TiffFrame, layouts: tuple[tuple[int, ...], ...]
) -> NDArray[Any]:
    segment = math.prod(page.chunks)
    if page.compression not in _TIFF_LOSSLESS:
        raise _refused(form, f"a TIFF of compression {page.compression}, none of {sorted(_TIFF_LOSSLESS)}")
    if page.shape not in layouts or segment > _PADDING * math.prod(form.shape) or page.dtype != form.dtype:
        raise _refused(form, f"a TIFF page of shape {page.shape} in tiles of {segment} values, {page.dtype}")
    # What a directory leaves out is filled with zeros, without a word.
    if not page.databytecounts or not all(page.databytecounts):
        raise _refused(form, "a TIFF page without all its pixels")
    pixels: NDArray[Any] = _decoded(form, page.asarray, maxworkers=1)
    return pixels


_FORMATS: tuple[tuple[bytes, Callable[[bytes, PatchForm], NDArray[Any]]], ...] = (
    (npy.MAGIC_PREFIX, _npy),
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"II*\0", _tiff),
    (b"MM\0*", _tiff),
    (b"\xff\xd8\xff", _jpeg),
)
