"""Whole-slide DICOM as small as OpenSlide takes it: a level in a file, tiles in rows, not compressed."""

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
EXPLICIT = "1.2.840.10008.1.2.1"
JPEG_LS = "1.2.840.10008.1.2.4.80"


def _element(group: int, number: int, kind: str, value: bytes) -> bytes:
    pad = b"\0" if kind in ("UI", "OB", "OW", "SQ") else b" "
    value += pad * (len(value) % 2)
    head = struct.pack("<HH2s", group, number, kind.encode())
    if kind in ("OB", "OW", "SQ"):
        return head + struct.pack("<HI", 0, len(value)) + value
    return head + struct.pack("<H", len(value)) + value


def _short(value: int) -> bytes:
    return struct.pack("<H", value)


def dicom(
    path: Path,
    image_HWC: NDArray[np.generic],
    *,
    instance: int,
    kind: str = "NONE",
    mpp: float = 0.5,
    tile: int = 64,
    syntax: str = EXPLICIT,
    series: str = "1.2.3.4.5",
    sop: str = WHOLE_SLIDE,
) -> Path:
    """A level; `kind` is NONE for the scanned one, RESAMPLED for coarser ones."""
    height, width, samples = image_HWC.shape
    rows, columns = -(-height // tile), -(-width // tile)
    padded = np.zeros((rows * tile, columns * tile, samples), image_HWC.dtype)
    padded[:height, :width] = image_HWC
    tiles = padded.reshape(rows, tile, columns, tile, samples).swapaxes(1, 2)
    bits = image_HWC.itemsize * 8
    origin = "ORIGINAL" if kind == "NONE" else "DERIVED"
    uid = f"1.2.3.4.5.{instance}"
    spacing = _element(0x0028, 0x0030, "DS", f"{mpp / 1000}\\{mpp / 1000}".encode())
    measures = _element(0x0028, 0x9110, "SQ", struct.pack("<HHI", 0xFFFE, 0xE000, len(spacing)) + spacing)
    shared = struct.pack("<HHI", 0xFFFE, 0xE000, len(measures)) + measures
    body = b"".join(
        [
            _element(0x0008, 0x0008, "CS", rf"{origin}\PRIMARY\VOLUME\{kind}".encode()),
            _element(0x0008, 0x0016, "UI", sop.encode()),
            _element(0x0008, 0x0018, "UI", uid.encode()),
            _element(0x0008, 0x0060, "CS", b"SM"),
            _element(0x0020, 0x000D, "UI", b"1.2.3.4"),
            _element(0x0020, 0x000E, "UI", series.encode()),
            _element(0x0020, 0x9311, "CS", b"TILED_FULL"),
            _element(0x0028, 0x0002, "US", _short(samples)),
            _element(0x0028, 0x0004, "CS", b"RGB" if samples == 3 else b"MONOCHROME2"),
            _element(0x0028, 0x0006, "US", _short(0)),
            _element(0x0028, 0x0008, "IS", str(rows * columns).encode()),
            _element(0x0028, 0x0010, "US", _short(tile)),
            _element(0x0028, 0x0011, "US", _short(tile)),
            _element(0x0028, 0x0100, "US", _short(bits)),
            _element(0x0028, 0x0101, "US", _short(bits)),
            _element(0x0028, 0x0102, "US", _short(bits - 1)),
            _element(0x0028, 0x0103, "US", _short(0)),
            _element(0x0048, 0x0006, "UL", struct.pack("<I", width)),
            _element(0x0048, 0x0007, "UL", struct.pack("<I", height)),
            _element(0x5200, 0x9229, "SQ", shared),
            _element(0x7FE0, 0x0010, "OW" if bits > 8 else "OB", np.ascontiguousarray(tiles).tobytes()),
        ]
    )
    meta = b"".join(
        [
            _element(0x0002, 0x0001, "OB", b"\0\x01"),
            _element(0x0002, 0x0002, "UI", sop.encode()),
            _element(0x0002, 0x0003, "UI", uid.encode()),
            _element(0x0002, 0x0010, "UI", syntax.encode()),
            _element(0x0002, 0x0012, "UI", b"1.2.3.9"),
        ]
    )
    length = _element(0x0002, 0x0000, "UL", struct.pack("<I", len(meta)))
    path.write_bytes(bytes(128) + b"DICM" + length + meta + body)
    return path
