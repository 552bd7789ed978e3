"""How much room patches take, before they are cut."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from patching.errors import DiskSpaceError
from patching.geometry import Size
from patching.grid import PatchSpec

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# The least that compression leaves of microscope pictures: less room is certain to be too little.
_LEAST_SHARE: dict[str, float] = {"none": 1.0, "blosc-lz4": 0.2, "zstd": 0.15, "jpeg": 0.02}


@dataclass(frozen=True, slots=True)
class Room:
    """Upper bounds for a slide or a cohort."""

    patches: int
    nbytes: int
    """Before compression."""

    def __add__(self, other: "Room") -> "Room":
        return Room(self.patches + other.patches, self.nbytes + other.nbytes)


def room_for(size: Size, mpp: float | None, spec: PatchSpec, channels: int, dtype: str) -> Room:
    """What a slide would take if all of it were tissue; nothing where its resolution is unknown.

    Args:
        size: the slide at level 0.
        mpp: µm per level-0 pixel.
        spec: the patch spec.
        channels: their number.
        dtype: of the pixels.
    """
    if spec.downsample is not None:
        stride = spec.step * spec.downsample
    elif spec.mpp is not None and mpp:
        stride = spec.step * spec.mpp / mpp
    else:
        return Room(0, 0)
    stride = max(1.0, stride - 1)  # it is rounded to whole pixels of the level that is read
    patches = int(np.ceil(size.width / stride) * np.ceil(size.height / stride))
    return Room(patches, patches * spec.size**2 * channels * np.dtype(dtype).itemsize)


def free_space(path: Path) -> int:
    """Bytes free where a folder is, or will be."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def require_room(path: Path, nbytes: int, codec: str) -> None:
    """Refuse to begin what cannot end.

    Raises:
        DiskSpaceError: even well compressed, these bytes do not fit.
    """
    least, free = nbytes * _LEAST_SHARE[codec], free_space(path)
    if least > free:
        raise DiskSpaceError(
            has=f"{free / 1e9:.3g} GB free for {path.name}",
            needs=f"{least / 1e9:.3g} GB{' at the very least' if codec != 'none' else ''}",
            do="free some space, choose `tile.codec: zstd`, or make patches coarser in `tile.patch`, "
            "and run the same command again: finished slides are kept",
        )


def full_disk(error: OSError, path: Path) -> OSError:
    """The error itself, or what it means where the disk is full."""
    if error.errno not in _FULL:
        return error
    return no_space(path, "")


def no_space(path: Path, told: str) -> DiskSpaceError:
    """The error of a disk that is full, or refuses for another reason, which is `told`."""
    return DiskSpaceError(
        has=f"no space left for {path} ({free_space(path) / 1e9:.1f} GB free){told}",
        needs="room for all that is written",
        do="free some space (tiling: or set `tile.codec: zstd`), and run the same command again: what is "
        "whole is kept",
    )


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Tell what the system says when something cannot be written.

    Raises:
        DiskSpaceError: it cannot.
    """
    try:
        yield
    except OSError as error:
        raise full_disk(error, path) from error
