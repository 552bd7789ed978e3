"""Compound files (OLE2), the container of OIB and ZVI, as small as they can be."""

import struct
from collections.abc import Mapping
from itertools import pairwise

import numpy as np

SECTOR = 512
_END, _FREE, _FAT = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD
_STORAGE, _STREAM, _ROOT = 1, 2, 5
_NONE = 0xFFFFFFFF


def compound(streams: Mapping[str, bytes]) -> bytes:
    """A container of the given streams; a name may have one folder, `folder/name`.

    All go to ordinary sectors: the cutoff below which streams are small is 0.
    """
    entries: list[list[object]] = [["Root Entry", _ROOT, _NONE, _NONE, _END, 0]]
    folders: dict[str, int] = {"": 0}
    children: dict[int, list[int]] = {0: []}
    sectors: list[bytes] = []
    fat: list[int] = []
    for name, content in streams.items():
        folder, _, leaf = name.rpartition("/")
        if folder not in folders:
            folders[folder] = len(entries)
            children[0].append(len(entries))
            children[len(entries)] = []
            entries.append([folder, _STORAGE, _NONE, _NONE, _END, 0])
        children[folders[folder]].append(len(entries))
        first = _stored(content, sectors, fat) if content else _END
        entries.append([leaf, _STREAM, _NONE, _NONE, first, len(content)])
    for parent, numbers in children.items():
        # A tree that leans to the right is a tree: each entry names its successor.
        entries[parent][3] = numbers[0] if numbers else _NONE
        for number, following in pairwise(numbers):
            entries[number][2] = following
    directory = b"".join(_entry(*entry) for entry in entries)  # type: ignore[arg-type]
    first_directory = _stored(directory + bytes(-len(directory) % SECTOR), sectors, fat)
    n_fat = 1
    while n_fat * SECTOR // 4 < len(fat) + n_fat:
        n_fat += 1
    at = range(len(sectors), len(sectors) + n_fat)
    fat += [_FAT] * n_fat
    fat += [_FREE] * (n_fat * SECTOR // 4 - len(fat))
    header = struct.pack(
        "<8s16sHHHHH6xIIIIIIIII", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", bytes(16), 0x3E, 3, 0xFFFE, 9, 6,
        0, n_fat, first_directory, 0, 0, _END, 0, _END, 0,
    )  # fmt: skip
    difat = np.full(109, _FREE, np.uint32)
    difat[:n_fat] = at
    return header + difat.tobytes() + b"".join(sectors) + np.asarray(fat, np.uint32).tobytes()


def _stored(content: bytes, sectors: list[bytes], fat: list[int]) -> int:
    first = len(sectors)
    parts = [content[at : at + SECTOR].ljust(SECTOR, b"\0") for at in range(0, len(content), SECTOR)]
    sectors += parts
    fat += [first + number + 1 for number in range(len(parts) - 1)] + [_END]
    return first


def _entry(name: str, kind: int, right: int, child: int, first: int, size: int) -> bytes:
    raw = name.encode("utf-16-le")
    return struct.pack(
        "<64sHBBIII16sI8s8sIQ", raw, len(raw) + 2, kind, 1, _NONE, right, child, bytes(16), 0, bytes(8),
        bytes(8), first, size,
    )  # fmt: skip
