"""Patches of each group side by side on one picture: what a network gets to see."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from patching.pictures.drawing import false_color, label_font, light_color, shortened, stretch
from patching.store.reading import PatchStore

_GAP, _MARGIN = 8, 16
_TITLE, _CAPTION, _LINE = 34, 34, 15
_AROUND = 64
_INK, _MUTED = "#1d2730", "#5d6b78"


@dataclass(frozen=True)
class SheetPatch:
    """A patch to be shown."""

    store: Path
    row: int
    """Its row in the store."""
    name: str
    note: str
    """What stands under its name, such as its tissue fraction and label."""


@dataclass(frozen=True)
class SheetGroup:
    """Patches under one heading."""

    title: str
    patches: tuple[SheetPatch, ...]


def spread(value_N: NDArray[np.float64], slide_N: Sequence[str], wanted: int) -> NDArray[np.int64]:
    """Positions of at most `wanted` patches, spread over a value and over slides, in the value's order.

    The patches are ordered by value and cut into `wanted` parts of equal number. Each part gives one of the
    patches around its middle: of the slide that was shown least so far, and there the one nearest to the
    middle. The same input gives the same choice; ties go to the earlier patch.

    Args:
        value_N: what is spread over, such as the tissue fraction.
        slide_N: slide of each patch.
        wanted: patches to choose.
    """
    order_N = np.argsort(value_N, kind="stable")
    shown: dict[str, int] = {}
    chosen = []
    for part_n in np.array_split(order_N, min(wanted, len(order_N))) if len(order_N) else ():
        nearest = np.argsort(np.abs(np.arange(len(part_n)) - (len(part_n) - 1) / 2), kind="stable")
        around = part_n[nearest[:_AROUND]].tolist()
        best = min(around, key=lambda place: shown.get(slide_N[place], 0))
        shown[slide_N[best]] = shown.get(slide_N[best], 0) + 1
        chosen.append(best)
    return np.array(chosen, np.int64)


def draw_contact_sheet(
    groups: Sequence[SheetGroup], *, side: int = 128, columns: int = 8
) -> NDArray[np.uint8]:
    """Patches of every group under its title, each with name and note; RGB [H, W, 3].

    Intensity images share one stretch over all patches shown, so that their brightness compares.

    Args:
        groups: what is shown; a group without patches says so.
        side: pixels of a patch in the picture.
        columns: patches in a row.

    Raises:
        StoreError: a store is missing.
    """
    pictures = load_pictures([patch for group in groups for patch in group.patches], side)
    tops, height = _heights(groups, side, columns)
    page = Image.new("RGB", (2 * _MARGIN + columns * (side + _GAP) - _GAP, height), "white")
    draw, heading, small = ImageDraw.Draw(page), label_font(16), label_font(10)
    for group, top in zip(groups, tops, strict=True):
        draw.text((_MARGIN, top), shortened(group.title, page.width - 2 * _MARGIN, heading), _INK, heading)
        if not group.patches:
            draw.text((_MARGIN, top + _TITLE), "no patches", _MUTED, small)
        for place, patch in enumerate(group.patches):
            x = _MARGIN + place % columns * (side + _GAP)
            y = top + _TITLE + place // columns * (side + _CAPTION + _GAP)
            page.paste(Image.fromarray(pictures[patch]), (x, y))
            # Slides' names differ at their end more often than at their beginning.
            draw.text((x, y + side + 3), shortened(patch.name, side, small, tail=True), _INK, small)
            draw.text((x, y + side + 3 + _LINE), shortened(patch.note, side, small), _MUTED, small)
    return np.asarray(page)


def load_pictures(patches: Iterable[SheetPatch], side: int) -> dict[SheetPatch, NDArray[np.uint8]]:
    """RGB picture [side, side, 3] of each patch; those of the same channels share one stretch."""
    loaded: dict[tuple[str, ...], dict[SheetPatch, NDArray[Any]]] = {}
    by_store: dict[Path, list[SheetPatch]] = {}
    for patch in patches:
        by_store.setdefault(patch.store, []).append(patch)
    for path, members in by_store.items():
        store = PatchStore.open(path)
        kind = ("",) if store.attributes.brightfield else store.attributes.channels
        images_nHWC = store.read([patch.row for patch in members])
        if store.attributes.brightfield:
            images_nHWC = light_color(images_nHWC, store.attributes.white)
        loaded.setdefault(kind, {}).update(zip(members, images_nHWC, strict=True))
    return {
        patch: picture
        for kind, images in loaded.items()
        for patch, picture in _colored(images, side, brightfield=kind == ("",)).items()
    }


def _colored(
    images: dict[SheetPatch, NDArray[Any]], side: int, *, brightfield: bool
) -> dict[SheetPatch, NDArray[np.uint8]]:
    stretch_C2 = None if brightfield else stretch(list(images.values()))
    colored = {}
    for patch, image_HWC in images.items():
        rgb_HW3 = false_color(image_HWC, brightfield=brightfield, stretch_C2=stretch_C2)
        method = cv2.INTER_AREA if rgb_HW3.shape[0] > side else cv2.INTER_NEAREST
        colored[patch] = np.asarray(cv2.resize(rgb_HW3, (side, side), interpolation=method), np.uint8)
    return colored


def _heights(groups: Sequence[SheetGroup], side: int, columns: int) -> tuple[list[int], int]:
    """Top of every group, and the height of the page."""
    tops, top = [], _MARGIN
    for group in groups:
        tops.append(top)
        rows = max(1, -(-len(group.patches) // columns))
        top += _TITLE + (rows * (side + _CAPTION + _GAP) if group.patches else _CAPTION) + _GAP
    return tops, top + _MARGIN // 2
