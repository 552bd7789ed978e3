"""A slide's probabilities over its thumbnail, as a picture."""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from patching.geometry import Mpp, Size
from patching.pictures.drawing import label_font, shortened
from patching.pictures.overlay import (
    ANNOTATION,
    TISSUE,
    Color,
    draw_bar,
    draw_outlines,
    draw_tissue,
    legend_lines,
    picture_scale,
)
from patching.resample import shrink
from pipeline.look.heatmap import TOP

_COVER = 0.65
"""Weight of the color over the thumbnail."""
_PER_STEP = -(-TOP // 255)
_MARK, _CASING = (255, 255, 255), (0, 0, 0)
_NARROWEST, _BAND, _LINE = 470, 84, 22
_RAMP, _RAMP_TOP = 160, 38
_INSET = 0.25  # of a patch's side, around its mark
_SMALLEST, _PER_PATCH = 384, 32
_ROOM = 8  # pixels of a patch that a cross needs


@dataclass(frozen=True)
class HeatContent:
    """All that the picture shows; lengths in level-0 pixels unless said otherwise."""

    title: str
    image_HW3: NDArray[np.uint8]
    """Thumbnail of the whole slide, any scale."""
    size: Size
    heat_HW: NDArray[np.uint16]
    """As pipeline.look.heatmap paints it."""
    threshold: float
    """The probability beyond which a patch is tumor, 0 to 1 exclusive: the middle of the color scale."""
    decision: str
    """How probabilities came about, in a few words."""
    cell: int
    """Level-0 pixels a side of its pixels."""
    extent: int
    marked_N2: NDArray[np.int64]
    """Corners of the patches that are not to be relied on."""
    tissue_HW: NDArray[np.bool_]
    tissue_downsample: float
    outlines: tuple[NDArray[np.float64], ...]
    mpp: Mpp | None
    marked_as: str = "not to be relied on"
    """What is said of the marked patches."""


def draw_heat(content: HeatContent) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The thumbnail, and the same under its probabilities, tissue, annotation and marks; RGB [H, W, 3] each.

    A pixel has the color of the place in its middle.
    """
    scale = heat_scale(content)
    width, height = (max(1, round(n * scale)) for n in (content.size.width, content.size.height))
    plain_HW3 = _resized(content.image_HW3, Size(width, height))
    heat_HW = _sampled(content.heat_HW, content.cell, Size(width, height), scale)
    shown_HW3 = colored(plain_HW3, heat_HW, content.threshold)
    _draw_marks(shown_HW3, content, scale)
    draw_tissue(shown_HW3, content.tissue_HW, 1 / (scale * content.tissue_downsample))
    draw_outlines(shown_HW3, content.outlines, scale)
    return plain_HW3, shown_HW3


def with_legend(picture_HW3: NDArray[np.uint8], content: HeatContent) -> NDArray[np.uint8]:
    """The picture above slide_id, scale bar, color scale, legend and what it may be used for."""
    height, width = picture_HW3.shape[:2]
    band_HW3 = np.asarray(_band(width, content, heat_scale(content)))
    page_HW3: NDArray[np.uint8] = np.full((height + len(band_HW3), *band_HW3.shape[1:]), 255, np.uint8)
    page_HW3[height:] = band_HW3
    page_HW3[:height, :width] = picture_HW3
    return page_HW3


def heat_scale(content: HeatContent) -> float:
    """Pixels of the picture per level-0 pixel: fewer a patch than where its label is a frame around it."""
    return picture_scale(content.size, content.extent, _PER_PATCH, _SMALLEST)


def colored(
    picture_HW3: NDArray[np.uint8], heat_HW: NDArray[np.uint16], threshold: float
) -> NDArray[np.uint8]:
    """The picture with the color of each probability over it, where there is one.

    The color lies over shades of gray, or a stain's hue would make another color of it than the scale shows.
    The threshold has the color in the middle of the scale: what is brighter is tumor, whatever the threshold.
    """
    color_HW3 = cv2.applyColorMap(_steps(threshold).take(heat_HW), cv2.COLORMAP_CIVIDIS)
    cv2.cvtColor(color_HW3, cv2.COLOR_BGR2RGB, dst=color_HW3)
    gray_HW3 = cv2.cvtColor(cv2.cvtColor(picture_HW3, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    mixed_HW3 = cv2.addWeighted(color_HW3, _COVER, gray_HW3, 1 - _COVER, 0)
    shown_HW3 = picture_HW3.copy()
    cv2.copyTo(mixed_HW3, (heat_HW > 0).view(np.uint8), shown_HW3)
    return shown_HW3


@cache
def _steps(threshold: float) -> NDArray[np.uint8]:
    """Step of the color scale of every value of a heatmap, even on either side of the threshold."""
    probability_V = np.arange(TOP + 2).clip(1) - 1
    scaled_V = np.interp(probability_V / TOP, (0, threshold, 1), (0, 0.5, 1))
    return np.asarray(np.rint(scaled_V * TOP) // _PER_STEP, np.uint8)


def ramp() -> NDArray[np.uint8]:
    """RGB of the color scale in 256 steps: cividis, even to the eye and made for color-blind
    readers.

    Nuñez, Anderton and Renslow, PLoS ONE 13, 2018.
    """
    steps = np.arange(256, dtype=np.uint8)[:, None]
    return np.ascontiguousarray(cv2.applyColorMap(steps, cv2.COLORMAP_CIVIDIS)[:, 0, ::-1])


def _resized(image_HW3: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """A picture of any size as one of this size: blocks of whole pixels averaged, and places between them.

    Areas that are no whole pixels take OpenCV seven times as long.
    """
    height, width = image_HW3.shape[:2]
    factor = max(1, width // size.width)
    step_x, step_y = width / (factor * size.width), height / (factor * size.height)
    # Middles of pixels, for the blocks at the border may stick out of the image.
    places = np.array([[step_x, 0, (step_x - 1) / 2], [0, step_y, (step_y - 1) / 2]])
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    blocks_HW3 = np.ascontiguousarray(shrink(image_HW3, factor))
    resized = cv2.warpAffine(
        blocks_HW3, places, (size.width, size.height), flags=how, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(resized, np.uint8)


def _sampled(image_HW: NDArray[np.uint16], cell: int, size: Size, scale: float) -> NDArray[np.uint16]:
    """The value under the middle of every pixel of a picture."""
    limits = zip((size.height, size.width), image_HW.shape, strict=True)
    y_H, x_W = (
        np.minimum(((np.arange(n) + 0.5) / (scale * cell)).astype(np.int64), last - 1) for n, last in limits
    )
    picked_HW: NDArray[np.uint16] = image_HW[y_H].take(x_W, axis=1)
    return picked_HW


def _draw_marks(picture_HW3: NDArray[np.uint8], content: HeatContent, scale: float) -> None:
    """A cross over each patch that is not to be relied on, half of one where there is no room for more."""
    first_N2, last_N2 = (
        np.floor((content.marked_N2 + share * content.extent) * scale).astype(np.int32)
        for share in (_INSET, 1 - _INSET)
    )
    strokes = list(np.stack([first_N2, last_N2], axis=1))
    if content.extent * scale < _ROOM:
        cv2.polylines(picture_HW3, strokes, False, _MARK, 1)
        return
    rising = np.stack([first_N2[:, 0], last_N2[:, 1], last_N2[:, 0], first_N2[:, 1]], axis=1)
    strokes += list(rising.reshape(-1, 2, 2))
    for color, thickness in ((_CASING, 3), (_MARK, 1)):
        cv2.polylines(picture_HW3, strokes, False, color, thickness)


def _band(width: int, content: HeatContent, scale: float) -> Image.Image:
    width, font = max(width, _NARROWEST), label_font(15)
    lines = legend_lines(_legend(content), width, font)
    band = Image.new("RGB", (width, _BAND + _LINE * len(lines)), "white")
    draw = ImageDraw.Draw(band)
    draw.text((8, 8), shortened(content.title, width * 0.7, font), fill="black", font=font)
    band.paste(_ramp_told(content.threshold, content.decision), (8, _RAMP_TOP - 1))
    for row, line in enumerate(lines):
        top = _BAND + _LINE * row
        for x, text, color in line:
            draw.rectangle((x, top + 2, x + 12, top + 14), fill=color)
            draw.text((x + 17, top - 1), text, fill="black", font=font)
    if content.mpp is not None:
        draw_bar(draw, font, width, scale / content.mpp.x)
    return band


@cache
def _ramp_told(threshold: float, decision: str) -> Image.Image:
    """The color scale with its ends and the threshold, and beside it what is shown, and what the picture may
    be used for; nobody draws on it."""
    scale = Image.new("RGB", (_NARROWEST - 8, _BAND - _RAMP_TOP), "white")
    draw, font = ImageDraw.Draw(scale), label_font(12)
    steps = np.linspace(0, 255, _RAMP).round().astype(int)
    scale.paste(Image.fromarray(np.repeat(ramp()[None, steps], 14, axis=0)), (0, 1))
    for place, text in ((0.0, "0"), (0.5, f"{threshold:.3g}"), (1.0, "1")):
        draw.text((place * (_RAMP - draw.textlength(text, font)), 17), text, "black", font)
    draw.text((8 + _RAMP, 0), "probability of tumor; research use only", "black", font)
    draw.text((8 + _RAMP, 17), decision, "black", font)
    return scale


def _legend(content: HeatContent) -> list[tuple[str, Color]]:
    entries = [("tissue", TISSUE)]
    if content.outlines:
        entries.append(("annotation", ANNOTATION))
    if len(content.marked_N2):
        entries.append((f"crossed: {content.marked_as} {len(content.marked_N2):,}", _CASING))
    return entries
