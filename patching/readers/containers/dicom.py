"""The little of DICOM that is asked beside OpenSlide: of which series a file is, and why it may fail.

Elements are found by their tags, which lie in the first bytes of a file; values are never trusted with more
than a name in an error or a comparison.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from patching.damage import decoded

_PLACE, _MAGIC = 128, b"DICM"
_READ = 2**15
_MOST_SIBLINGS = 10_000
_SERIES = re.compile(rb"\x20\x00\x0e\x00(?:UI..|..\x00\x00)([0-9.]{8,64})", re.DOTALL)
_SYNTAX = re.compile(rb"\x02\x00\x10\x00UI..([0-9.]{8,64})", re.DOTALL)
_BITS = re.compile(rb"\x28\x00\x00\x01(?:US\x02\x00|\x02\x00\x00\x00)(.)\x00", re.DOTALL)
_MODALITY = re.compile(rb"\x08\x00\x60\x00(?:CS..|..\x00\x00)([A-Z]{2,4})", re.DOTALL)
_SYNTAXES = {
    "1.2.840.10008.1.2.4.57": "lossless JPEG",
    "1.2.840.10008.1.2.4.70": "lossless JPEG",
    "1.2.840.10008.1.2.4.80": "JPEG-LS",
    "1.2.840.10008.1.2.4.81": "JPEG-LS",
    "1.2.840.10008.1.2.4.90": "JPEG 2000",
    "1.2.840.10008.1.2.4.91": "JPEG 2000",
    "1.2.840.10008.1.2.4.110": "JPEG XL",
    "1.2.840.10008.1.2.4.111": "JPEG XL",
    "1.2.840.10008.1.2.4.112": "JPEG XL",
    "1.2.840.10008.1.2.4.201": "HTJ2K",
    "1.2.840.10008.1.2.4.202": "HTJ2K",
    "1.2.840.10008.1.2.4.203": "HTJ2K",
    "1.2.840.10008.1.2.5": "RLE",
}


def dicom_siblings(path: Path) -> Sequence[Path]:
    """The other files of a slide's series beside it: each level is a file, and any of them names the slide.

    Raises:
        UnreadableSlideError: one of them cannot be read.
    """
    series = _series(path)
    if series is None:
        return []
    others = [each for each in sorted(path.parent.glob("*.dcm"))[:_MOST_SIBLINGS] if each != path]
    return [each for each in others if each.is_file() and _series(each) == series]


def _series(path: Path) -> bytes | None:
    found = _SERIES.search(_start(path))
    return found[1] if found else None


def dicom_told(path: Path) -> str:
    """Modality, bits and compression of a DICOM file as far as they are found, for an error."""
    start = _start(path)
    modality, bits, syntax = (pattern.search(start) for pattern in (_MODALITY, _BITS, _SYNTAX))
    told = [f"modality {modality[1].decode()}"] if modality else []
    told += [f"{bits[1][0]} bits"] if bits else []
    told += [_SYNTAXES.get(syntax[1].decode(), f"transfer syntax {syntax[1].decode()}")] if syntax else []
    return ", ".join(told)


def _start(path: Path) -> bytes:
    """The first bytes, or none if this is no DICOM file."""
    with decoded(path, lambda: path.open("rb")) as file:
        start: bytes = decoded(path, file.read, _READ)
    return start if start.startswith(_MAGIC, _PLACE) else b""
