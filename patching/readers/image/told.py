"""What a PNG or JPEG says beside its pixels: how it is turned, what it leaves out, and whether it is decoded.

Only headers are read here, in a few reads whatever the file's size.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from patching.damage import Foreign, damaged, decoded
from patching.errors import UnreadableSlideError

_ORIENTATION = 0x0112
_TURNS = range(1, 9)
_SIDEWAYS = 5
_MOST_PARTS = 100_000
_ALONE = (0x01, *range(0xD0, 0xD9))
_FRAMES = {at for at in range(0xC0, 0xD0) if at not in (0xC4, 0xC8, 0xCC)} | {0xF7}
_DECODED = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)
_SCAN, _FILL = 0xDA, 0xFF
_NAMES = {0xC3: "lossless JPEG", 0xCB: "lossless JPEG", 0xF7: "JPEG-LS"}
_SCREEN_GAMMA = 45455
_parsed = Foreign(damaged, (UnidentifiedImageError,))


@dataclass(frozen=True, slots=True)
class Told:
    """What a picture says of itself."""

    orientation: int = 1
    """As EXIF counts: 1 as stored, 3 upside down, 6 to be turned to the right, 8 to the left."""
    animated: bool = False
    gamma: float | None = None
    """Exponent of a PNG that is not the screens' usual one."""

    @property
    def sideways(self) -> bool:
        """Whether width and height change places."""
        return self.orientation >= _SIDEWAYS


def turned(pixels_HWC: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Pixels as they are to be shown, for an orientation of EXIF (TIFF counts alike)."""
    if orientation >= _SIDEWAYS:
        pixels_HWC = pixels_HWC.transpose(1, 0, 2)
    upside_down, mirrored = orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)
    return pixels_HWC[:: -1 if upside_down else 1, :: -1 if mirrored else 1]


def jpeg_told(path: Path, image: Image.Image) -> Told:
    """What an opened JPEG says.

    Raises:
        UnreadableSlideError: damaged.
    """
    return Told(orientation=_orientation(_parsed(path, lambda: image.getexif().get(_ORIENTATION, 1))))


def check_jpeg(path: Path) -> None:
    """Refuse a JPEG that no reader decodes, by its frame's header: it is not damaged.

    Raises:
        UnreadableSlideError: other than 8 bits, lossless, JPEG-LS or hierarchical.
    """
    with decoded(path, lambda: path.open("rb")) as file:
        decoded(path, file.seek, 2)
        for _ in range(_MOST_PARTS):
            start = decoded(path, file.read, 2)
            if start[:1] != b"\xff" or len(start) < 2 or start[1] == _SCAN:
                return
            if start[1] == _FILL:
                decoded(path, file.seek, -1, 1)
            elif start[1] not in _ALONE:
                body = decoded(path, file.read, 3)
                if start[1] in _FRAMES and len(body) == 3:
                    _check_frame(path, start[1], body[2])
                    return
                decoded(path, file.seek, max(int.from_bytes(body[:2], "big"), 2) - 3, 1)


def _check_frame(path: Path, kind: int, bits: int) -> None:
    if kind in _DECODED and bits == 8:
        return
    raise UnreadableSlideError(
        has=f"{path}: {_NAMES.get(kind, 'JPEG' if kind in _DECODED else 'hierarchical JPEG')} of {bits} bits",
        needs="8-bit JPEG, baseline or progressive",
        do="save it as PNG or TIFF, without loss and with all its bits",
    )


def png_told(path: Path) -> Told:
    """What a PNG's chunks say.

    Raises:
        UnreadableSlideError: the file cannot be read.
    """
    orientation, animated, gamma = 1, False, None
    with decoded(path, lambda: path.open("rb")) as file:
        decoded(path, file.seek, 8)
        for _ in range(_MOST_PARTS):
            start = decoded(path, file.read, 8)
            if len(start) < 8 or start[4:] == b"IEND":
                break
            length = int.from_bytes(start[:4], "big")
            content = decoded(path, file.read, min(length, 4096)) if start[4:] in _ASKED else b""
            if start[4:] == b"eXIf":
                exif = Image.Exif()
                _parsed(path, exif.load, content)
                orientation = _orientation(_parsed(path, exif.get, _ORIENTATION, 1))
            elif start[4:] == b"gAMA" and len(content) == 4:
                (value,) = struct.unpack(">I", content)
                gamma = None if value in (0, _SCREEN_GAMMA) else value / 100_000
            animated |= start[4:] == b"acTL"
            decoded(path, file.seek, length - len(content) + 4, 1)
    return Told(orientation, animated, gamma)


_ASKED = (b"eXIf", b"gAMA", b"acTL")


def _orientation(value: object) -> int:
    return int(value) if isinstance(value, int | np.integer) and value in _TURNS else 1
