"""What background is on a slide, so that a place can be covered by it."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from patching.store.reading import PatchStore
from pipeline.look.patches import squared

_LOOKED_AT = 8
"""Patches of a slide, those with the least tissue."""
_FEWEST = 256
"""Pixels without tissue that make a background."""


def square_tissue(store: PatchStore, row: int) -> NDArray[np.bool_]:
    """Tissue under a patch; see `pipeline.look.patches.squared`."""
    return squared(store.tissue_of(row), store.attributes.extent, store.attributes.tissue_downsample)


def pixels_without_tissue(store: PatchStore) -> NDArray[Any]:
    """Pixels [M, C] outside the tissue mask, of the patches of a slide that hold the least tissue."""
    rows = np.argsort(store.table.tissue_fraction_N, kind="stable")[:_LOOKED_AT]
    found = [
        image_HWC[~_at(square_tissue(store, int(row)), image_HWC.shape[0])]
        for row, image_HWC in zip(rows, store.read(rows), strict=True)
    ]
    return np.concatenate(found)


def fill_of(pixels_MC: NDArray[Any], others_C: NDArray[Any]) -> NDArray[Any]:
    """Each channel's median; `others_C` where there are too few pixels to tell."""
    if len(pixels_MC) < _FEWEST:
        return others_C
    median_C: NDArray[Any] = np.median(pixels_MC, axis=0).astype(pixels_MC.dtype)
    return median_C


def fill_of_all(stores: Sequence[PatchStore]) -> NDArray[Any]:
    """Background of slides that show none of their own: the median of the others', else white or black."""
    about = stores[0].attributes
    empty = about.white or np.iinfo(about.dtype).max if about.brightfield else 0
    nothing_C = np.full(len(about.channels), empty, np.dtype(about.dtype))
    return fill_of(np.concatenate([pixels_without_tissue(store) for store in stores]), nothing_C)


def _at(mask_HW: NDArray[np.bool_], side: int) -> NDArray[np.bool_]:
    """A mask in a patch's own pixels; a pixel that is partly tissue counts as tissue."""
    large = cv2.resize(mask_HW.astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR)
    return np.asarray(large > 0, np.bool_)
