"""A test slide as layers of one size: thumbnail, probability, errors, tissue, annotation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray

from patching.geometry import Size
from patching.pictures.overlay import draw_outlines, draw_tissue
from patching.resample import shrunk
from patching.store.reading import PatchStore
from pipeline.look.heatmap_picture import ramp
from pipeline.look.html import jpeg_uri
from pipeline.look.uris import data_uri

_COVER = 170
"""Of 255: weight of a probability's color over the thumbnail."""
_KEY = (1, 2, 3)
"""A color that nothing is drawn in: where it is left, a layer is clear."""
_ROOM = 9
"""Pixels of a patch that a cross or a ring needs."""
_BOLD = 24
"""Pixels of a patch from which marks are bold."""
_MARK, _CASING = (255, 255, 255), (0, 0, 0)


@dataclass(frozen=True)
class Layers:
    """Data URIs; `annotation` is None where nothing is known of one."""

    thumbnail: Markup
    probability: Markup | None = None
    errors: Markup | None = None
    tissue: Markup | None = None
    annotation: Markup | None = None


def plain_layers(store: PatchStore, side: int) -> Layers:
    """The thumbnail alone, as of a montage."""
    return Layers(jpeg_uri(shrunk(store.thumbnail, side), 75))


def slide_layers(
    store: PatchStore, rows: pd.DataFrame, threshold: float, outlines: Sequence[Any] | None, side: int
) -> Layers:
    """All layers of a slide.

    Args:
        store: of the slide.
        rows: its test patches, with store_row, probability, label and prediction.
        threshold: the probability in the middle of the color scale.
        outlines: rings of the annotation, level-0 [N, 2] each; None where there is none.
        side: longest side of the picture in pixels.
    """
    about = store.attributes
    # Not the thumbnail's own size: of few pixels, no mark would be told from another.
    scale = side / max(about.slide_size)
    size = Size(*(max(1, round(length * scale)) for length in about.slide_size))
    first_N2 = np.floor(store.locations[rows["store_row"]] * scale).astype(np.int32)
    last_N2 = np.ceil((store.locations[rows["store_row"]] + about.extent) * scale).astype(np.int32) - 1
    rings = tuple(np.asarray(ring, np.float64) for ring in outlines or ())
    return Layers(
        thumbnail=jpeg_uri(shrunk(store.thumbnail, side), 75),
        probability=_probability(
            size, first_N2, last_N2, rows["probability"].to_numpy(np.float64), threshold
        ),
        errors=_layer(size, lambda picture: _errors(picture, first_N2, last_N2, rows)),
        tissue=_layer(
            size, lambda picture: draw_tissue(picture, store.tissue, 1 / (scale * about.tissue_downsample))
        ),
        annotation=_layer(size, lambda picture: draw_outlines(picture, rings, scale)) if rings else None,
    )


def _probability(
    size: Size,
    first_N2: NDArray[np.int32],
    last_N2: NDArray[np.int32],
    probability_N: NDArray[np.float64],
    threshold: float,
) -> Markup:
    picture_HW4 = np.zeros((size.height, size.width, 4), np.uint8)
    known_N = np.isfinite(probability_N)
    step_N = np.interp(probability_N[known_N], (0, threshold, 1), (0, 127.5, 255)).astype(np.uint8)
    color_N3 = ramp()[step_N]
    corners = zip(first_N2[known_N].tolist(), last_N2[known_N].tolist(), color_N3.tolist(), strict=True)
    for first, last, color in corners:
        cv2.rectangle(picture_HW4, first, last, (*color, _COVER), -1)
    return _png_uri(picture_HW4)


def _errors(
    picture_HW3: NDArray[np.uint8],
    first_N2: NDArray[np.int32],
    last_N2: NDArray[np.int32],
    rows: pd.DataFrame,
) -> None:
    """A cross on missed tumor, a ring on a false alarm."""
    labels, predictions = (rows[column].to_numpy(np.int64) for column in ("label", "prediction"))
    for first, last, label, prediction in zip(first_N2, last_N2, labels, predictions, strict=True):
        if label == prediction:
            continue
        middle, half = (first + last) // 2, max(2, int((last - first).min() * 0.3))
        small, bold = (last - first).min() < _ROOM, (last - first).min() > _BOLD
        for color, thickness in ((_CASING, 6), (_MARK, 3)) if bold else ((_CASING, 3), (_MARK, 1)):
            if label == 0:
                cv2.circle(picture_HW3, middle.tolist(), half, color, thickness)
                continue
            for sign in (1,) if small else (1, -1):
                ends = [(middle + way * np.array([half, sign * half])).tolist() for way in (1, -1)]
                cv2.line(picture_HW3, ends[0], ends[1], color, thickness)


def _layer(size: Size, draw: Callable[[NDArray[np.uint8]], None]) -> Markup:
    """What is drawn, clear where nothing is."""
    picture_HW3 = np.full((size.height, size.width, 3), _KEY, np.uint8)
    draw(picture_HW3)
    cover_HW = np.asarray(cv2.bitwise_not(cv2.inRange(picture_HW3, _KEY, _KEY)), np.uint8)
    clear_HW3 = cv2.bitwise_and(picture_HW3, picture_HW3, mask=cover_HW)
    return _png_uri(np.asarray(cv2.merge([*cv2.split(clear_HW3), cover_HW]), np.uint8))


def _png_uri(picture_HW4: NDArray[np.uint8]) -> Markup:
    _, encoded = cv2.imencode(".png", cv2.cvtColor(picture_HW4, cv2.COLOR_RGBA2BGRA))
    return data_uri("png", encoded.tobytes())
