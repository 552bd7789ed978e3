"""Repairs of a mask in micrometres, whatever the detector."""

import math
from dataclasses import astuple, dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from patching.errors import MissingMppError, SlideError
from patching.geometry import Mpp
from patching.tissue.parts.regions import drop_regions, fill_holes

_RUN = 8  # pixels of a straight piece of border
_STRAIGHT = 0.8  # share of a border in such pieces that no tissue has
_RECTANGULAR = 0.9  # share of the rectangle around it that tissue does not fill
_ENCLOSED = 0.1  # share of fill that may lie in holes of such rectangles
_WIDEST = 1024  # mask pixels: time grows with the square, 15 s a million pixels here


@dataclass(frozen=True, slots=True)
class Repairs:
    """What to close, open, remove and fill, in this order; 0 is off."""

    closing_um: float
    opening_um: float
    minimum_region_um2: float
    hole_um2: float

    def check(self, mpp: Mpp | None) -> None:
        """Refuse before the work starts.

        Raises:
            MissingMppError: something to repair and no pixel size.
            SlideError: a width of so many pixels that it would take hours.
        """
        if mpp is None and any(astuple(self)):
            raise MissingMppError(
                has="tissue settings in µm on a slide without pixel size",
                needs="µm per pixel for closing_um, opening_um, minimum_region_um2 and hole_um2",
                do="give it in the mpp column of slides.csv, or leave these settings of `tile.tissue` at 0",
            )
        width_um = max(self.closing_um, self.opening_um)
        if mpp is not None and width_um > _WIDEST * min(mpp.x, mpp.y):
            raise SlideError(
                has=f"a width of {width_um:g} µm on a tissue mask of {min(mpp.x, mpp.y):.4g} µm per pixel",
                needs=f"closing_um and opening_um of at most {_WIDEST} mask pixels",
                do="lower them, or `tile.mask_pixels_per_patch`, or check the slide's pixel size",
            )

    def apply(self, mask_HW: NDArray[np.bool_], mpp: Mpp | None) -> NDArray[np.bool_]:
        """The repaired mask, which may be the same array.

        Args:
            mask_HW: is changed.
            mpp: pixel size of the mask.
        """
        if mpp is None:
            return mask_HW
        for width_um, operation in (
            (self.closing_um, cv2.MORPH_CLOSE),
            (self.opening_um, cv2.MORPH_OPEN),
        ):
            if width_um > 0:
                mask_HW = morphed(mask_HW, operation, disc(width_um / mpp.x, width_um / mpp.y))
        if self.minimum_region_um2 > 0:
            drop_regions(mask_HW, self.minimum_region_um2 / mpp.pixel_area_um2)
        if self.hole_um2 > 0:
            fill_holes(mask_HW, self.hole_um2 / mpp.pixel_area_um2)
        return mask_HW


def disc(width: float, height: float) -> NDArray[np.uint8]:
    """Ellipse of these diameters in pixels, uint8 of odd sides: the pixels whose centers lie inside.

    A pixel beside the middle belongs to it from a diameter of 2; under that the disc is one pixel.
    """
    x, y = int(width / 2), int(height / 2)
    across = np.arange(-x, x + 1)[None] / max(width / 2, 1)
    down = np.arange(-y, y + 1)[:, None] / max(height / 2, 1)
    return (across**2 + down**2 <= 1).astype(np.uint8)


def morphed(mask_HW: NDArray[np.bool_], operation: int, disc_hw: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """OpenCV's morphology of a mask; what lies outside changes nothing."""
    result: NDArray[np.uint8] = cv2.morphologyEx(
        np.ascontiguousarray(mask_HW).view(np.uint8), operation, disc_hw
    )
    return result.view(np.bool_)


def straight(mask_HW: NDArray[np.bool_]) -> bool:
    """Whether the border runs along rows and columns, as that of tiles does."""
    mask_HW = morphed(mask_HW, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))  # without single pixels
    along = total = 0
    for border_HW, shape in (
        (mask_HW[1:] != mask_HW[:-1], (1, _RUN)),
        (mask_HW[:, 1:] != mask_HW[:, :-1], (_RUN, 1)),
    ):
        total += int(np.count_nonzero(border_HW))
        if border_HW.any():
            kept_HW = morphed(border_HW, cv2.MORPH_OPEN, np.ones(shape, np.uint8))
            along += int(np.count_nonzero(kept_HW))
    return along >= _STRAIGHT * max(1, total)


def turned(mask_HW: NDArray[np.bool_]) -> bool:
    """Whether it lies around rectangles at any angle, as fill does around a scan that was turned."""
    # JPEG rings around them, in blocks of eight pixels.
    rest_HW = morphed(~mask_HW, cv2.MORPH_OPEN, np.ones((9, 9), np.uint8)).view(np.uint8)
    outlines, _ = cv2.findContours(rest_HW, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    # Rectangles go through the centers of pixels.
    around = sum(math.prod(side + 1 for side in cv2.minAreaRect(outline)[1]) for outline in outlines)
    if not np.count_nonzero(rest_HW) >= _RECTANGULAR * around > 0:
        return False
    cv2.drawContours(rest_HW, outlines, -1, 1, cv2.FILLED)
    return bool(np.count_nonzero(mask_HW & (rest_HW > 0)) <= _ENCLOSED * np.count_nonzero(mask_HW))
