"""Compound files (OLE2), as far as a damaged one would never be read to its end."""

import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from patching.damage import damaged, decoded

_SHIFTS = {9, 12}
_HEADER_BYTES = 512
_IN_HEADER = 109


def check_compound(path: Path) -> None:
    """Refuse chains of sectors that run in a circle: oiffile would follow them for ever.

    Raises:
        UnreadableSlideError: there are some, or no list of sectors at all.
    """
    with decoded(path, path.open, "rb") as file:
        header: bytes = decoded(path, file.read, _HEADER_BYTES)
        if len(header) < _HEADER_BYTES:
            raise damaged(path, f"a header of {len(header)} bytes")
        (shift,) = struct.unpack_from("<H", header, 30)
        n_fat, _, _, _, mini_start, n_mini, more, n_more = struct.unpack_from("<8I", header, 44)
        length = path.stat().st_size
        if shift not in _SHIFTS or max(n_fat, n_mini, n_more) > length >> shift:
            raise damaged(path, f"{n_fat} lists of sectors of 2^{shift} bytes in {length} bytes")
        places = np.frombuffer(header, "<u4", _IN_HEADER, 76).tolist()
        for _ in range(n_more):
            listed = _sectors(path, file, shift, [more])
            places += listed[:-1].tolist()
            more = int(listed[-1])
        fat = _sectors(path, file, shift, places[:n_fat])
        _check_chains(path, fat)
        mini_places: list[int] = []
        while len(mini_places) < n_mini and mini_start < len(fat):
            mini_places.append(mini_start)
            mini_start = int(fat[mini_start])
        _check_chains(path, _sectors(path, file, shift, mini_places))


def _sectors(path: Path, file: BinaryIO, shift: int, places: list[int]) -> NDArray[np.int64]:
    """The numbers in some sectors."""
    content = b""
    for place in places:
        decoded(path, file.seek, (place + 1) << shift)
        content += decoded(path, file.read, 1 << shift).ljust(1 << shift, b"\xff")
    return np.frombuffer(content, "<u4").astype(np.int64)


def _check_chains(path: Path, following_N: NDArray[np.int64]) -> None:
    end = len(following_N)
    reached_N = np.append(np.minimum(following_N, end), end)
    # Each round doubles how far ahead everybody looks.
    for _ in range(end.bit_length() + 1):
        reached_N = reached_N[reached_N]
    if (reached_N < end).any():
        raise damaged(path, f"{int((reached_N < end).sum())} sectors in a circle")
