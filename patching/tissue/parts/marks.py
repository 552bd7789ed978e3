"""What darkens a brightfield slide and is no tissue: ink of pens, and black borders of the scan."""

import cv2
import numpy as np
from numpy.typing import NDArray

from patching.geometry import Mpp
from patching.resample import shrink
from patching.tissue.parts.morphology import disc, morphed
from patching.tissue.parts.strips import Floats, over_channels, planes_of

_INK_WIDTH = 7  # mask pixels, and
_INK_WIDTH_UM = 60.0  # where the pixel size is known: pens write wider than this, nuclei and vessels are not
_WIDEST_DISC = 24  # mask pixels: time grows with the square of a disc's width
_COARSE_DISC = 8  # about as many pixels of a coarser mask stand for a wider one
_FRINGE = 9  # mask pixels: diameter of the disc by which a mark grows over its blurred edge
_BLACK = 0.95  # optical density: under 29 of 255
_CONTACT = 16  # mask pixels that a border has in common with the image's edge


def is_ink(excess_HWC: Floats) -> NDArray[np.bool_]:
    """Pixels of the color of ink, bool [H, W], by their densities above the background (red, green, blue).

    Hematoxylin (0.65, 0.70, 0.29), eosin (0.07, 0.99, 0.11) and DAB (0.27, 0.57, 0.78) all absorb green
    at least about as much as red. Blue and green ink absorb red much more; red ink absorbs green and
    blue, and no red; black ink absorbs all alike, and more than dense nuclei do at mask resolution.
    """
    red, green, blue = planes_of(excess_HWC)
    if max(red.max(), green.max()) <= 0.3:
        return np.zeros(red.shape, np.bool_)
    cold_HW = (red > 1.2 * green + 0.05) & (red > 0.3)
    warm_HW = (green > 0.45) & (blue > 0.7 * green) & (red < 0.2 * green)
    least_HW, most_HW = (over_channels(extreme, excess_HWC) for extreme in (np.minimum, np.maximum))
    black_HW = (least_HW > 0.65) & (most_HW < 1.2 * least_HW)
    ink_HW: NDArray[np.bool_] = cold_HW | warm_HW | black_HW
    return ink_HW


def is_black(density_HWC: Floats) -> NDArray[np.bool_]:
    """Pixels where no light came, bool [H, W]."""
    black_HW: NDArray[np.bool_] = over_channels(np.minimum, density_HWC) > _BLACK
    return black_HW


def ink_strokes(ink_HW: NDArray[np.bool_], mpp: Mpp | None) -> NDArray[np.bool_]:
    """Ink as wide as a pen writes, and its fringe; `mpp` is that of the mask."""
    if not ink_HW.any():
        return ink_HW
    width = _INK_WIDTH if mpp is None else max(_INK_WIDTH, _INK_WIDTH_UM / mpp.mean)
    return _grown(_at_least(width, ink_HW))


def borders(black_HW: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Black regions along the edge of the image, and their fringe."""
    rim = (black_HW[0], black_HW[-1], black_HW[:, 0], black_HW[:, -1])
    if not any(np.count_nonzero(line) >= _CONTACT for line in rim):
        return np.zeros(black_HW.shape, np.bool_)
    count, label_HW = cv2.connectedComponents(np.ascontiguousarray(black_HW).view(np.uint8))
    touching_N = np.zeros(count, np.bool_)
    for line in (label_HW[0], label_HW[-1], label_HW[:, 0], label_HW[:, -1]):
        touching_N |= np.bincount(line, minlength=count) >= _CONTACT
    touching_N[0] = False
    found_HW = np.empty(black_HW.shape, np.bool_)
    for found_W, label_W in zip(found_HW, label_HW, strict=True):
        found_W[:] = touching_N[label_W]
    del label_HW
    return _grown(found_HW)


def _at_least(width: float, ink_HW: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The ink into which a disc of this width fits; wide discs are fitted on a coarser mask."""
    if width <= _WIDEST_DISC:
        return morphed(ink_HW, cv2.MORPH_OPEN, disc(width, width))
    factor = round(width / _COARSE_DISC)
    small_HW = shrink(ink_HW.view(np.uint8)[..., None], factor)[..., 0].astype(np.bool_)
    small_HW = morphed(small_HW, cv2.MORPH_OPEN, disc(width / factor, width / factor))
    # A coarse pixel more all around, so that the edge is the ink's own.
    small_HW = morphed(small_HW, cv2.MORPH_DILATE, np.ones((3, 3), np.uint8))
    found_HW = small_HW.repeat(factor, axis=0).repeat(factor, axis=1)[: ink_HW.shape[0], : ink_HW.shape[1]]
    return found_HW & ink_HW


def _grown(mark_HW: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return morphed(mark_HW, cv2.MORPH_DILATE, disc(_FRINGE, _FRINGE)) if mark_HW.any() else mark_HW
