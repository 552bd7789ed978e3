"""Whether any chunk of an array is stored, and where its documents say.

A chunk that is not there is no error in Zarr: it reads as the fill value. An array whose chunks lie under
other names than it says would be read as one that is all fill.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from patching.readers.zarr.files import fetched


@dataclass(frozen=True, slots=True)
class ChunkKeys:
    """How chunks are called: a prefix, and their numbers along the axes with a separator between."""

    prefix: str
    separator: str

    def __str__(self) -> str:
        return self.of((1, 0))

    def of(self, numbers: Sequence[int]) -> str:
        """What the chunk of these numbers is called."""
        parts = [str(number) for number in numbers]
        return self.separator.join([self.prefix, *parts] if self.prefix else parts)


ALL_KEYS = tuple(ChunkKeys(prefix, separator) for prefix in ("", "c") for separator in ("/", "."))
_GLANCE = 1000  # entries of a folder that are looked at for what should not be there


def stored_under(folder: Path, keys: ChunkKeys, dimensions: int, most: int | None = None) -> bool:
    """Whether a chunk of these names lies in the folder of an array.

    Args:
        folder: of the array.
        keys: how its chunks are called.
        dimensions: of the array.
        most: entries of a folder to look at; by default all, as far as the first chunk.

    Raises:
        UnreadableSlideError: the folder must not be looked into.
    """
    if keys.separator == "/":
        return _nested(folder / keys.prefix if keys.prefix else folder, dimensions, most)
    prefix = re.escape(f"{keys.prefix}.") if keys.prefix else ""
    name = re.compile(prefix + r"\.".join(["[0-9]+"] * dimensions))
    return any(name.fullmatch(entry.name) for entry in _entries(folder, most))


def _nested(folder: Path, depth: int, most: int | None) -> bool:
    """Whether numbered folders lie in each other, and a file at the end."""
    if not fetched(folder, folder.is_dir):
        return False
    numbered = (
        (entry, fetched(folder, entry.is_dir)) for entry in _entries(folder, most) if entry.name.isdecimal()
    )
    if depth == 1:
        return any(not is_folder for _, is_folder in numbered)
    return any(is_folder and _nested(Path(entry.path), depth - 1, most) for entry, is_folder in numbered)


def _entries(folder: Path, most: int | None) -> Iterator[os.DirEntry[str]]:
    seen = 0
    with fetched(folder, os.scandir, folder) as entries:
        while (entry := fetched(folder, next, entries, None)) is not None and seen != most:
            seen += 1
            yield entry


def stored_elsewhere(folder: Path, keys: ChunkKeys, dimensions: int) -> ChunkKeys | None:
    """Other names than its own under which an array's chunks lie, None where none are seen.

    Raises:
        UnreadableSlideError: the folder must not be looked into.
    """
    others = (other for other in ALL_KEYS if other != keys)
    return next((other for other in others if stored_under(folder, other, dimensions, _GLANCE)), None)
