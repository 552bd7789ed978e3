"""Segments whose decompressed bytes are the pixels: nothing to be swapped, unpacked or added up."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from patching.readers.tiff.layout import SEPARATE, StoredPage

_Decoder = Callable[..., Any]
_NATIVE = "<" if sys.byteorder == "little" else ">"


def _copied(data: bytes, out: NDArray[np.uint8]) -> NDArray[np.uint8]:
    # Not assigned: a single byte would be repeated.
    np.copyto(out, np.frombuffer(data, np.uint8).reshape(out.shape))
    return out


_DECODERS: dict[int, _Decoder] = {
    1: _copied,
    8: imagecodecs.deflate_decode,
    32946: imagecodecs.deflate_decode,
    34926: imagecodecs.zstd_decode,
    50000: imagecodecs.zstd_decode,
}


@dataclass(frozen=True, slots=True)
class PlainBytes:
    """How such segments of a page decode."""

    decoder: _Decoder

    def decode(self, data: bytes, out_HWS: NDArray[Any]) -> bool:
        """Decode into a contiguous array; False where the bytes are damaged or another number."""
        target_B = out_HWS.reshape(-1).view(np.uint8)
        try:
            return len(self.decoder(data, out=target_B)) == target_B.size
        except (ValueError, RuntimeError):  # the codecs' own errors are RuntimeErrors
            return False


def plain_bytes(page: StoredPage) -> PlainBytes | None:
    """How a page's tiles decode, if they are of this kind; else None."""
    key = page.keyframe
    whole = key.dtype is not None and key.bitspersample == 8 * np.dtype(key.dtype).itemsize
    native = key.parent.byteorder == _NATIVE or np.dtype(key.dtype).itemsize == 1
    plain = key.is_tiled and key.predictor == 1 and key.fillorder == 1 and whole and native
    if not plain or (key.is_subsampled and key.planarconfig != SEPARATE):
        return None
    decoder = _DECODERS.get(key.compression)
    return None if decoder is None else PlainBytes(decoder)
