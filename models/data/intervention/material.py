"""Real tissue and real background to put into a patch, pieced together from other patches' pixels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Material:
    """A patch's pixels and how much of each is tissue.

    Attributes:
        image_HWC: in the slide's own dtype.
        tissue_HW: share of every pixel that is tissue, 0 to 1.
    """

    image_HWC: NDArray[np.generic]
    tissue_HW: NDArray[np.float64]

    @property
    def tissue_fraction(self) -> float:
        """Share of the patch that is tissue."""
        return float(self.tissue_HW.mean())


@dataclass(frozen=True)
class Pieced:
    """Material of one kind in every pixel, from other patches.

    Attributes:
        material: the pixels.
        donor_HW: which donor every pixel is of.
        drawn_HW: pixels that no donor had at that place: each is one pixel of a donor, drawn at random.
    """

    material: Material
    donor_HW: NDArray[np.int64]
    drawn_HW: NDArray[np.bool_]


def tissue_shares(mask_HW: NDArray[np.bool_], side: int) -> NDArray[np.float64]:
    """Share of tissue of each of `side` x `side` pixels under a mask of another resolution.

    A finer mask is averaged over each pixel's area; of a coarser one every pixel has the nearest value.
    """
    kind = cv2.INTER_AREA if mask_HW.shape[0] > side else cv2.INTER_NEAREST
    shares_HW = cv2.resize(mask_HW.astype(np.float64), (side, side), interpolation=kind)
    return np.asarray(shares_HW, np.float64)


def background_of(material: Material, margin: int) -> NDArray[np.bool_]:
    """Pixels without tissue that lie more than `margin` pixels from it, bool [H, W]."""
    tissue_HW = (material.tissue_HW > 0).astype(np.uint8)
    kernel = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
    return np.asarray(cv2.dilate(tissue_HW, kernel) == 0, np.bool_)


def pieced(
    donors: Sequence[Material], usable: Sequence[NDArray[np.bool_]], rng: np.random.Generator
) -> Pieced | None:
    """A patch full of the donors' usable pixels; None where they have none.

    A pixel is of the first donor that has a usable one at its place, each donor in all of the square's eight
    symmetries before the next. Where none has, it is one of their pixels, drawn at random.
    """
    if not any(usable_HW.any() for usable_HW in usable):
        return None
    image_HWC = np.array(donors[0].image_HWC)
    tissue_HW = np.zeros(image_HWC.shape[:2])
    donor_HW = np.full(image_HWC.shape[:2], -1)
    for number, (donor, usable_HW) in enumerate(zip(donors, usable, strict=True)):
        parts = (_symmetries(part) for part in (donor.image_HWC, donor.tissue_HW, usable_HW))
        for image, tissue, fits in zip(*parts, strict=True):
            taken_HW = (donor_HW < 0) & fits
            image_HWC[taken_HW], tissue_HW[taken_HW], donor_HW[taken_HW] = (
                image[taken_HW],
                tissue[taken_HW],
                number,
            )
    drawn_HW = donor_HW < 0
    places = np.argwhere(drawn_HW)
    if len(places):
        number_Q, row_Q, column_Q = np.concatenate(
            [np.insert(np.argwhere(fits_HW), 0, number, axis=1) for number, fits_HW in enumerate(usable)]
        ).T
        for place, q in zip(map(tuple, places), rng.integers(0, len(row_Q), len(places)), strict=True):
            donor, own = donors[number_Q[q]], (row_Q[q], column_Q[q])
            image_HWC[place], tissue_HW[place], donor_HW[place] = (
                donor.image_HWC[own],
                donor.tissue_HW[own],
                number_Q[q],
            )
    return Pieced(Material(image_HWC, tissue_HW), donor_HW, drawn_HW)


def _symmetries(part: NDArray[np.generic]) -> Iterator[NDArray[np.generic]]:
    """The eight of a square [H, W, ...], itself first."""
    for turned in (part, part[:, ::-1]):
        for quarter in range(4):
            yield np.rot90(turned, quarter)
