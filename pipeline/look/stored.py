"""Pictures of patches as tiling stored them: one intensity scale for all, the tissue outlined beside each."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray

from patching.errors import StoreError
from patching.store.reading import PatchStore, StoreAttributes
from pipeline.look import patches as pictures
from pipeline.look.html import jpeg_uri

logger = logging.getLogger(__name__)
_GAP = 4
"""Pixels between the patch and its outlined twin."""


class Pictures(NamedTuple):
    """Attributes:
    by_patch: data URIs by patch_id; without patches whose store is gone or damaged.
    colors: channel and the color it has; empty for brightfield, or without a picture.
    """

    by_patch: Mapping[str, Markup]
    colors: tuple[tuple[str, str], ...]


class _Stored(NamedTuple):
    patch_id: str
    image_HWC: NDArray[Any]
    tissue_HW: NDArray[np.bool_]
    attributes: StoreAttributes


def stored_pictures(stores: Mapping[str, Path], rows: pd.DataFrame, side: int) -> Pictures:
    """Pictures of patches, `side` pixels high.

    Args:
        stores: by slide_id; slides that are not named have no picture.
        rows: patch_id, slide_id and store_row.
        side: of a picture.
    """
    loaded = [
        item
        for slide_id, part in rows.groupby("slide_id")
        if str(slide_id) in stores
        for item in _loaded(stores[str(slide_id)], part)
    ]
    if not loaded:
        return Pictures({}, ())
    # Slides of a cohort share their patches' form; one that does not is not put on their scale.
    first = loaded[0].attributes
    alike = [item for item in loaded if item.image_HWC.shape == loaded[0].image_HWC.shape]
    range_C2 = pictures.intensity_range(np.stack([item.image_HWC for item in alike]))
    names = pictures.COLOR_NAMES[min(len(first.channels), 3)]
    colors = () if first.brightfield else tuple(zip(first.channels, names, strict=False))
    return Pictures({item.patch_id: _picture(item, range_C2, side) for item in alike}, colors)


def _loaded(path: Path, part: pd.DataFrame) -> list[_Stored]:
    try:
        store, places = PatchStore.open(path), part["store_row"].astype(int).tolist()
        images = store.read(places)
        return [
            _Stored(patch_id, image_HWC, _square_tissue(store, row), store.attributes)
            for patch_id, image_HWC, row in zip(part["patch_id"], images, places, strict=True)
        ]
    except (StoreError, OSError) as error:  # the page has no picture there, and says so
        logger.warning("no pictures of %s: %s", path.name, error)
        return []


def _picture(item: _Stored, range_C2: NDArray[np.float64], side: int) -> Markup:
    light, white = item.attributes.brightfield, item.attributes.white
    rgb_HWC = pictures.composite(item.image_HWC, range_C2, brightfield=light, white=white)
    gap_HWC = np.full((side, _GAP, 3), 255, np.uint8)
    seen_HWC, found_HWC = pictures.resized(rgb_HWC, side), pictures.outlined(rgb_HWC, item.tissue_HW, side)
    return jpeg_uri(np.concatenate([seen_HWC, gap_HWC, found_HWC], axis=1))


def _square_tissue(store: PatchStore, row: int) -> NDArray[np.bool_]:
    return pictures.squared(store.tissue_of(row), store.attributes.extent, store.attributes.tissue_downsample)
