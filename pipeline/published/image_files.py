"""Images of any size, read from their files when asked for, as squares of one side."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from patching.errors import MissingFileError, UnreadableSlideError


class ImageFiles:
    """Image files as squares: the shorter side is scaled to `side`, and what sticks out is cut off evenly.

    Args:
        paths: one file per image.
        side: height and width of every image, in pixels.

    Raises:
        MissingFileError: a file is not there.
    """

    def __init__(self, paths: Sequence[Path], side: int) -> None:
        missing = [path for path in paths if not path.is_file()]
        if missing:
            raise MissingFileError(
                has=f"no {missing[0]}, and {len(missing) - 1} more missing of {len(paths)} images",
                needs="every image that the benchmark lists",
                do="unpack the benchmark's images again (docs/benchmark-cohorts.md), or correct its folder",
            )
        self._paths, self._side = paths, side

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, row: int, /) -> NDArray[np.uint8]:
        """The image [side, side, 3] of a row.

        Raises:
            UnreadableSlideError: the file is damaged, or no image.
        """
        path = self._paths[row]
        try:
            # No other format is tried: some of them run a program.
            with Image.open(path, formats=("JPEG", "PNG")) as image:
                if image.mode.startswith(("I", "F")):
                    raise _unreadable(path, f"pixels of the mode {image.mode}, more than 8 bits")
                return np.asarray(squared(image.convert("RGB"), self._side))
        # Pillow has no error of its own: a text chunk that is too large, for one, is a ValueError.
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError, ValueError) as error:
            raise _unreadable(path, str(error)) from error


def _unreadable(path: Path, reason: str) -> UnreadableSlideError:
    return UnreadableSlideError(
        has=f"{path}: {reason}",
        needs="a whole JPEG or PNG of 8 bits a channel",
        do="unpack the benchmark's images again",
    )


def squared(image: Image.Image, side: int) -> Image.Image:
    """The middle of an image as a square of `side` pixels; one that is such a square stays as it is.

    >>> squared(Image.new("RGB", (178, 218)), 64).size
    (64, 64)
    """
    if image.size == (side, side):
        return image
    width, height = image.size
    shorter = min(width, height)
    left, top = (width - shorter) / 2, (height - shorter) / 2
    # Cut before it is scaled: a strip of 1 by 20,000 pixels would become one of 1,024 by 20 million.
    box = (left, top, left + shorter, top + shorter)
    return image.resize((side, side), Image.Resampling.BILINEAR, box=box)
