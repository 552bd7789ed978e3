"""Whole specimens, rebuilt from patches that tell where they were cut, with a mask of their labels."""

import struct
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from patching.damage import damaged, decoded
from patching.errors import SlideError
from patching.geometry import Location, Size
from patching.readers.signatures import PNG_MAGIC
from pipeline.files import replacing
from pipeline.published.patch_set import STEP, PatchFile, require_grid

NORMAL, TUMOR, NOTHING = 0, 1, 255
"""Values of a mask; `NOTHING` is where the set has no patch."""
_TILE = 400
"""Pixels of a stored tile's side: whole patches, and a multiple of 16, as TIFF wants."""
_MOST_PIXELS = 2**27
"""Of a specimen; those of the set have some ten million."""
_HEADER = struct.Struct(">16sIIBB")
"""Of a PNG: signature and length, width, height, bits of a sample, and color type."""
_RGB = 2


@dataclass(frozen=True)
class Specimen:
    """A specimen as its patches leave it.

    Attributes:
        image_HWA: red, green, blue, and alpha: 0 where there is no patch, white below it.
        mask_HW: NORMAL, TUMOR or NOTHING of every pixel.
        patches, tumor: that were placed, and those of them with carcinoma.
        doubled: files that say again what another one says.
        smaller: patches of fewer pixels than the others, as at the edge of a specimen.
    """

    image_HWA: NDArray[np.uint8]
    mask_HW: NDArray[np.uint8]
    patches: int
    tumor: int
    doubled: int
    smaller: int


def rebuilt(name: str, patches: Sequence[PatchFile]) -> Specimen:
    """Put the patches of an id where they were cut.

    Raises:
        SlideError: patches that do not lie on one grid, or differ at one place; a specimen too large.
        UnreadableSlideError: a file that is no picture of a patch.
    """
    require_grid(name, patches)
    size = _size(name, patches)
    image_HWA = np.full((size.height, size.width, 4), 255, np.uint8)
    image_HWA[..., 3] = 0
    mask_HW = np.full((size.height, size.width), NOTHING, np.uint8)
    places: dict[Location, list[PatchFile]] = defaultdict(list)
    for patch in patches:
        places[patch.location].append(patch)
    smaller = 0
    for location, found in places.items():
        pixels_HWC = _agreed(found)
        height, width, _ = pixels_HWC.shape
        part = np.s_[location.y : location.y + height, location.x : location.x + width]
        image_HWA[part][..., :3], image_HWA[part][..., 3] = pixels_HWC, 255
        mask_HW[part] = TUMOR if found[0].label else NORMAL
        smaller += (height, width) != (STEP, STEP)
    return Specimen(
        image_HWA,
        mask_HW,
        patches=len(places),
        tumor=sum(found[0].label for found in places.values()),
        doubled=len(patches) - len(places),
        smaller=smaller,
    )


def write_specimen(specimen: Specimen, image: Path, mask: Path) -> None:
    """Write a tiled TIFF without loss, and the mask as a gray PNG; each appears whole.

    The same patches give the same bytes.
    """
    with replacing(mask) as part:
        part.write_bytes(imagecodecs.png_encode(specimen.mask_HW))
    with replacing(image) as part:
        tifffile.imwrite(
            part,
            specimen.image_HWA,
            photometric="rgb",
            extrasamples=["unassalpha"],
            tile=(_TILE, _TILE),
            compression="zlib",
            metadata=None,
            software=False,
        )


def _size(name: str, patches: Sequence[PatchFile]) -> Size:
    """Of the smallest specimen that begins at (0, 0) and holds every patch whole."""
    width = max(patch.location.x for patch in patches) + STEP
    height = max(patch.location.y for patch in patches) + STEP
    if width * height > _MOST_PIXELS:
        raise SlideError(
            has=f"{name} with patches up to ({width}, {height})",
            needs=f"a specimen of at most {_MOST_PIXELS} pixels",
            do="correct the names: one of them lies far from the others",
        )
    return Size(width, height)


def _agreed(found: Sequence[PatchFile]) -> NDArray[np.uint8]:
    """The pixels of a place, which all its files must share, as their label."""
    first, *others = found
    data = decoded(first.path, first.path.read_bytes)
    pixels_HWC = _pixels(first.path, data)
    for other in others:
        again = decoded(other.path, other.path.read_bytes)
        if other.label != first.label:
            raise _at_odds(first, other, "labels")
        if again != data and not np.array_equal(_pixels(other.path, again), pixels_HWC):
            raise _at_odds(first, other, "pixels")
    return pixels_HWC


def _at_odds(first: PatchFile, other: PatchFile, what: str) -> SlideError:
    return SlideError(
        has=f"{first.path} and {other.path}: one place and other {what}",
        needs="one patch at every place, or copies of it",
        do="take the wrong one out of the folder",
    )


def _pixels(path: Path, data: bytes) -> NDArray[np.uint8]:
    # By the header first: a picture that is far too large is not decoded.
    if not data.startswith(PNG_MAGIC) or len(data) < _HEADER.size:
        raise damaged(path, "no PNG")
    _, width, height, bits, color = _HEADER.unpack_from(data)
    if (bits, color) != (8, _RGB) or not (0 < width <= STEP and 0 < height <= STEP):
        raise damaged(path, f"no patch: {width} x {height} pixels of {bits} bits, color type {color}")
    pixels: NDArray[np.uint8] = decoded(path, imagecodecs.png_decode, data)
    return pixels
