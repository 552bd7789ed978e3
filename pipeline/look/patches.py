"""Patches as pictures: false-color composite, and the tissue mask as an outline beside it."""

import cv2
import numpy as np
from numpy.typing import NDArray

from patching.pictures.drawing import light_color

_MIX = {
    1: ((1.0, 1.0, 1.0),),
    2: ((1.0, 0.0, 1.0), (0.0, 1.0, 0.0)),
    3: ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
}
"""Display color of each channel; magenta and green for two, so that color-blind readers tell them apart."""
COLOR_NAMES = {1: ("white",), 2: ("magenta", "green"), 3: ("red", "green", "blue")}
_OUTLINE = (255, 214, 10)


def intensity_range(patches_NHWC: NDArray[np.generic]) -> NDArray[np.float64]:
    """Display range [C, 2] of every channel: the 0.5th and 99.5th percentile over all patches shown."""
    low_C, high_C = np.percentile(patches_NHWC.astype(np.float64), (0.5, 99.5), axis=(0, 1, 2))
    return np.stack([low_C, np.maximum(high_C, low_C + 1e-9)], axis=1)


def composite(
    image_HWC: NDArray[np.generic],
    range_C2: NDArray[np.float64],
    *,
    brightfield: bool,
    white: float | None = None,
    lift: bool = True,
) -> NDArray[np.uint8]:
    """8-bit RGB of a patch. Brightfield is shown as it is; else channels are scaled and mixed by color.

    Channels beyond the third are not shown. `white` is the value of full light; None is the dtype's largest.
    `lift` is for intensities as they are: the square root lifts the faint signal that most of a nonlinear
    image is made of.
    """
    if brightfield:
        return light_color(image_HWC, white)
    mix_K3 = np.asarray(_MIX[min(image_HWC.shape[-1], 3)])
    low_C, high_C = range_C2.T
    scaled_HWC = np.clip((image_HWC.astype(np.float64) - low_C) / (high_C - low_C), 0, 1)
    mixed_HW3 = (np.sqrt(scaled_HWC) if lift else scaled_HWC)[..., : len(mix_K3)] @ mix_K3
    rgb_HW3: NDArray[np.uint8] = np.clip(np.rint(mixed_HW3 * 255), 0, 255).astype(np.uint8)
    return rgb_HW3


def outlined(rgb_HWC: NDArray[np.uint8], mask_HW: NDArray[np.bool_], side: int) -> NDArray[np.uint8]:
    """The patch at `side` pixels with the tissue's outline, the rest dimmed."""
    outlined_HWC = resized(rgb_HWC, side)
    large_HW = cv2.resize(mask_HW.astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR) > 0.5
    # Dimming what is not tissue shows on which side of the line the tissue lies.
    outlined_HWC[~large_HW] = outlined_HWC[~large_HW] // 2
    lines, _ = cv2.findContours(large_HW.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    drawn_HWC = cv2.drawContours(outlined_HWC.copy(), lines, -1, _OUTLINE, 1)
    # Half transparent, or the outline of fine fibers would hide them.
    return np.asarray(cv2.addWeighted(drawn_HWC, 0.55, outlined_HWC, 0.45, 0), np.uint8)


def squared(mask_HW: NDArray[np.bool_], extent: int, downsample: float) -> NDArray[np.bool_]:
    """Tissue under a patch as a square of one pixel or more; what sticks out of the slide holds none.

    Args:
        mask_HW: under the patch, cut at the slide's border; `patching.store.reading.PatchStore.tissue_of`.
        extent: the patch's side at level 0.
        downsample: level-0 pixels a pixel of the mask.
    """
    side = max(round(extent / downsample), *mask_HW.shape, 1)
    whole_HW = np.zeros((side, side), np.bool_)
    whole_HW[: mask_HW.shape[0], : mask_HW.shape[1]] = mask_HW
    return whole_HW


def resized(rgb_HWC: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The patch at `side` pixels: areas averaged, or where it is smaller its own pixels made larger."""
    how = cv2.INTER_AREA if rgb_HWC.shape[0] > side else cv2.INTER_NEAREST
    return np.array(cv2.resize(rgb_HWC, (side, side), interpolation=how), np.uint8)
