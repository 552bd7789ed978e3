"""One picture per slide: what was tiled, and why."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from patching.geometry import Mpp, Size
from patching.resample import area_resize

Color = tuple[int, int, int]
TUMOR: Color = (214, 48, 39)
NORMAL: Color = (33, 113, 181)
FAINT: Color = (150, 150, 150)
TISSUE: Color = (20, 160, 70)
ANNOTATION: Color = (255, 200, 0)
_SIDE = 1100
_MAGNIFIED = 2.0  # tiny slides are not blown up to the full side
_BAND = 60
_NARROWEST = 470
_BARS_UM = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)


@dataclass(frozen=True)
class OverlayContent:
    """All that the picture shows; lengths in level-0 pixels unless said otherwise."""

    title: str
    image_HWC: NDArray[Any]
    """Thumbnail of the whole slide, any scale."""
    size: Size
    brightfield: bool
    tissue_HW: NDArray[np.bool_]
    tissue_downsample: float
    locations_N2: NDArray[np.int64]
    label_N: NDArray[np.int8]
    """1 tumor, 0 normal, -1 dropped."""
    extent: int
    outlines: tuple[NDArray[np.float64], ...]
    mpp: Mpp | None
    """Pixel size at level 0."""


def write_overlay(content: OverlayContent, path: Path) -> None:
    """Write the picture as PNG, whole or not at all."""
    scale = min(_SIDE / max(content.size.width, content.size.height), _MAGNIFIED)
    picture_HW3 = _thumbnail(content, scale)
    _draw_grid(picture_HW3, content, scale)
    _draw_tissue(picture_HW3, content, scale)
    for color, width in (((0, 0, 0), 5), (ANNOTATION, 2)):
        for outline_N2 in content.outlines:
            points = _pixels(outline_N2 * scale).reshape(-1, 1, 2)
            cv2.polylines(picture_HW3, [points], True, color, width, cv2.LINE_AA)
    image = _captioned(picture_HW3, content, scale)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    # Higher levels take a second per picture and save a tenth.
    image.save(part, format="PNG", compress_level=2)
    part.replace(path)


def false_color(image_HWC: NDArray[Any], *, brightfield: bool) -> NDArray[np.uint8]:
    """RGB picture of any number of channels, uint8 [H, W, 3].

    Brightfield passes through. Else each channel is stretched between its 1st and 99.7th percentile
    and tinted: one channel gray, several in evenly spaced hues, added up.
    """
    if brightfield:
        return np.ascontiguousarray(image_HWC[..., :3], np.uint8)
    image = image_HWC.astype(np.float32)
    low_C, high_C = np.percentile(image, (1, 99.7), axis=(0, 1)).astype(np.float32)
    unit_HWC = np.clip((image - low_C) / np.maximum(high_C - low_C, 1e-6), 0, 1)
    summed_HW3: NDArray[np.float32] = np.clip(unit_HWC @ _tints(image.shape[-1]), 0, 1) * 255
    return summed_HW3.round().astype(np.uint8)


def _tints(channels: int) -> NDArray[np.float32]:
    """RGB weight of each channel [C, 3]: white for one, red-green-blue for three."""
    if channels == 1:
        return np.ones((1, 3), np.float32)
    hue_C1 = np.arange(channels)[:, None] / channels
    distance_C3 = np.abs((hue_C1 - np.array([0, 1 / 3, 2 / 3]) + 0.5) % 1 - 0.5)
    tint_C3: NDArray[np.float32] = np.clip(2 - distance_C3 * 6, 0, 1).astype(np.float32)
    return tint_C3


def _thumbnail(content: OverlayContent, scale: float) -> NDArray[np.uint8]:
    width, height = (max(1, round(n * scale)) for n in (content.size.width, content.size.height))
    picture = false_color(content.image_HWC, brightfield=content.brightfield)
    if picture.shape[1] >= width:
        return np.ascontiguousarray(area_resize(picture, Size(width, height)), np.uint8)
    enlarged: NDArray[np.uint8] = cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)
    return enlarged


def _draw_grid(picture_HW3: NDArray[np.uint8], content: OverlayContent, scale: float) -> None:
    """Kept patches as tinted frames in their label's color, dropped ones as faint frames."""
    thickness = 2 if content.extent * scale > 20 else 1
    # Frames lie inside their patch, so that neighbors do not cover each other.
    first = _pixels(content.locations_N2 * scale) + thickness // 2
    last = _pixels((content.locations_N2 + content.extent) * scale) - 1 - thickness // 2
    tinted = picture_HW3.copy()
    for corner, end, label in zip(first.tolist(), last.tolist(), content.label_N.tolist(), strict=True):
        if label >= 0:
            cv2.rectangle(tinted, corner, end, _color(label), -1)
    cv2.addWeighted(tinted, 0.15, picture_HW3, 0.85, 0, dst=picture_HW3)
    for corner, end, label in zip(first.tolist(), last.tolist(), content.label_N.tolist(), strict=True):
        cv2.rectangle(picture_HW3, corner, end, _color(label), thickness if label >= 0 else 1)


def _draw_tissue(picture_HW3: NDArray[np.uint8], content: OverlayContent, scale: float) -> None:
    """Outline of the mask along its pixels' borders."""
    height, width = picture_HW3.shape[:2]
    step = 1 / (scale * content.tissue_downsample)
    y_H, x_W = (((np.arange(n) + 0.5) * step).astype(np.int64) for n in (height, width))
    rows, columns = content.tissue_HW.shape
    mask_HW = content.tissue_HW[np.minimum(y_H, rows - 1)[:, None], np.minimum(x_W, columns - 1)[None]]
    rings, _ = cv2.findContours(mask_HW.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture_HW3, rings, -1, TISSUE, 1)


def _captioned(picture_HW3: NDArray[np.uint8], content: OverlayContent, scale: float) -> Image.Image:
    """The picture above a band with slide_id, legend and scale bar."""
    height, width = picture_HW3.shape[:2]
    page = Image.new("RGB", (max(width, _NARROWEST), height + _BAND), "white")
    page.paste(Image.fromarray(picture_HW3), (0, 0))
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size=16)
    draw.text((8, height + 5), content.title, fill="black", font=font)
    x = 8.0
    for text, color in _legend(content):
        draw.rectangle((x, height + 37, x + 12, height + 49), fill=color)
        draw.text((x + 17, height + 33), text, fill="black", font=font)
        x += 30 + draw.textlength(text, font=font)
    if content.mpp is not None:
        _draw_bar(draw, page.width, height, scale / content.mpp.x)
    return page


def _legend(content: OverlayContent) -> list[tuple[str, Color]]:
    counted = (("tumor", 1, TUMOR), ("normal", 0, NORMAL), ("dropped", -1, FAINT))
    entries = [(f"{name} {int((content.label_N == label).sum())}", color) for name, label, color in counted]
    entries.append(("tissue", TISSUE))
    if content.outlines:
        entries.append(("annotation", ANNOTATION))
    return entries


def _draw_bar(draw: ImageDraw.ImageDraw, width: int, top: int, pixels_per_um: float) -> None:
    """Scale bar of a round length, at most a quarter of the picture."""
    fitting = [um for um in _BARS_UM if um * pixels_per_um <= width / 4]
    if not fitting:
        return
    length, font = fitting[-1] * pixels_per_um, ImageFont.load_default(size=16)
    # Pillow's own font has no micro sign.
    text = f"{fitting[-1]} um" if fitting[-1] < 1000 else f"{fitting[-1] // 1000} mm"
    draw.rectangle((width - 12 - length, top + 8, width - 12, top + 13), fill="black")
    draw.text((width - 12 - draw.textlength(text, font=font), top + 15), text, fill="black", font=font)


def _color(label: int) -> Color:
    return {1: TUMOR, 0: NORMAL}.get(int(label), FAINT)


def _pixels(points: NDArray[Any]) -> NDArray[np.int32]:
    return np.round(points).astype(np.int32)
