"""One picture per slide: what was tiled, and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from patching.geometry import Mpp, Size
from patching.pictures.drawing import Font, false_color, label_font, shortened, write_picture
from patching.resample import area_resize

Color = tuple[int, int, int]
TUMOR: Color = (214, 48, 39)
NORMAL: Color = (33, 113, 181)
FAINT: Color = (150, 150, 150)
# Okabe and Ito's hues, darkened: told apart by color-blind readers. The first four are two pairs.
GROUPS: tuple[Color, ...] = (
    (47, 143, 196),
    (11, 90, 131),
    (201, 133, 0),
    (181, 84, 28),
    (0, 132, 95),
    (168, 82, 127),
    (59, 59, 59),
    (109, 119, 128),
)
TISSUE: Color = (20, 160, 70)
ANNOTATION: Color = (255, 200, 0)
_SIDE = 900
_SMALLEST, _PER_PATCH = 512, 96  # pixels a side: slides of few patches need no more to show them
_COARSER = 1.5  # from here on pixels are averaged over areas; less hardly shows and takes four times as long
_MAGNIFIED = 2.0  # tiny slides are not blown up to the full side
_TINT, _GROUP_TINT = 0.15, 0.35  # groups come in pairs of like hues, which a thin frame does not tell apart
_BAND, _LINE = 38, 22
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
    groups: tuple[str, ...] = ()
    """Names of groups; where there are any, they color the grid instead of the labels."""
    group_N: NDArray[np.int8] | None = None
    """Place in `groups`, -1 dropped."""


def write_overlay(content: OverlayContent, path: Path) -> None:
    """Write the picture as JPEG or PNG, whole or not at all."""
    write_picture(draw_overlay(content), path)


def draw_overlay(content: OverlayContent) -> NDArray[np.uint8]:
    """The picture above its legend, RGB [H, W, 3]."""
    scale = picture_scale(content.size, content.extent)
    width, height = (max(1, round(n * scale)) for n in (content.size.width, content.size.height))
    band_HW3 = np.asarray(_band(width, content, scale))
    page_HW3: NDArray[np.uint8] = np.full((height + len(band_HW3), *band_HW3.shape[1:]), 255, np.uint8)
    page_HW3[height:] = band_HW3
    _draw(page_HW3[:height, :width], content, scale)
    return page_HW3


def picture_scale(size: Size, extent: int, per_patch: int = _PER_PATCH, smallest: int = _SMALLEST) -> float:
    """Pixels of the picture per level-0 pixel; a side is no longer than to show so many pixels a patch.

    Args:
        size: of the slide.
        extent: of a patch.
        per_patch: pixels of the picture.
        smallest: side of the picture however few patches there are.
    """
    longest = max(size.width, size.height)
    side = min(_SIDE, max(smallest, per_patch * longest / extent))
    return min(side / longest, _MAGNIFIED)


def _draw(picture_HW3: NDArray[np.uint8], content: OverlayContent, scale: float) -> None:
    draw_thumbnail(picture_HW3, false_color(content.image_HWC, brightfield=content.brightfield))
    _draw_grid(picture_HW3, content, scale)
    draw_tissue(picture_HW3, content.tissue_HW, 1 / (scale * content.tissue_downsample))
    draw_outlines(picture_HW3, content.outlines, scale)


def draw_thumbnail(picture_HW3: NDArray[np.uint8], source_HW3: NDArray[np.uint8]) -> None:
    """Fill the picture with a thumbnail of any size."""
    height, width = picture_HW3.shape[:2]
    if source_HW3.shape[1] >= _COARSER * width:
        picture_HW3[:] = area_resize(source_HW3, Size(width, height))
    else:
        cv2.resize(source_HW3, (width, height), dst=picture_HW3, interpolation=cv2.INTER_LINEAR)


def draw_outlines(
    picture_HW3: NDArray[np.uint8], outlines: Sequence[NDArray[np.float64]], scale: float
) -> None:
    """Rings of the annotation, level-0 [N, 2] each; `scale` is pixels of the picture per level-0 pixel."""
    for color, width in (((0, 0, 0), 5), (ANNOTATION, 2)):
        for outline_N2 in outlines:
            points = _pixels(outline_N2 * scale).reshape(-1, 1, 2)
            cv2.polylines(picture_HW3, [points], True, color, width, cv2.LINE_AA)


def _draw_grid(picture_HW3: NDArray[np.uint8], content: OverlayContent, scale: float) -> None:
    """Kept patches as tinted frames in their label's or group's color, dropped ones as faint frames."""
    thickness = 2 if content.extent * scale > 20 else 1
    # Frames lie inside their patch, so that neighbors do not cover each other.
    first = _pixels(content.locations_N2 * scale) + thickness // 2
    last = _pixels((content.locations_N2 + content.extent) * scale) - 1 - thickness // 2
    kind_N, colors = _kinds(content)
    kept_N = kind_N >= 0
    tinted = picture_HW3.copy()
    for corner, end, kind in zip(*(rows[kept_N].tolist() for rows in (first, last, kind_N)), strict=True):
        cv2.rectangle(tinted, corner, end, colors[kind], -1)
    tint = _TINT if content.group_N is None else _GROUP_TINT
    cv2.addWeighted(tinted, tint, picture_HW3, 1 - tint, 0, dst=picture_HW3)
    for corner, end, kind in zip(first.tolist(), last.tolist(), kind_N.tolist(), strict=True):
        if kind < 0:
            cv2.rectangle(picture_HW3, corner, end, FAINT, 1)
        else:
            cv2.rectangle(picture_HW3, corner, end, colors[kind], thickness)


def _kinds(content: OverlayContent) -> tuple[NDArray[np.int8], Sequence[Color]]:
    """What colors each patch, -1 for dropped, and the color of each kind."""
    if content.group_N is None:
        return content.label_N, (NORMAL, TUMOR)
    return content.group_N, [GROUPS[place % len(GROUPS)] for place in range(len(content.groups))]


def draw_tissue(picture_HW3: NDArray[np.uint8], tissue_HW: NDArray[np.bool_], step: float) -> None:
    """Outline of the mask along its pixels' borders; `step`: mask pixels per pixel of the picture."""
    height, width = picture_HW3.shape[:2]
    y_H, x_W = (((np.arange(n) + 0.5) * step).astype(np.int64) for n in (height, width))
    rows, columns = tissue_HW.shape
    # Row by row and then column by column: a third of the time of both at once.
    mask_HW = tissue_HW[np.minimum(y_H, rows - 1)].take(np.minimum(x_W, columns - 1), axis=1)
    rings, _ = cv2.findContours(mask_HW.view(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture_HW3, rings, -1, TISSUE, 1)


def _band(width: int, content: OverlayContent, scale: float) -> Image.Image:
    """What stands under a picture of this width: slide_id, scale bar and legend."""
    width, font = max(width, _NARROWEST), label_font(15)
    lines = legend_lines(_legend(content), width, font)
    band = Image.new("RGB", (width, _BAND + _LINE * len(lines)), "white")
    draw = ImageDraw.Draw(band)
    draw.text((8, 8), shortened(content.title, width * 0.7, font), fill="black", font=font)
    for row, line in enumerate(lines):
        top = _BAND + _LINE * row
        for x, text, color in line:
            draw.rectangle((x, top + 2, x + 12, top + 14), fill=color)
            draw.text((x + 17, top - 1), text, fill="black", font=font)
    if content.mpp is not None:
        draw_bar(draw, font, width, scale / content.mpp.x)
    return band


def legend_lines(
    entries: Sequence[tuple[str, Color]],
    width: int,
    font: Font,
) -> list[list[tuple[float, str, Color]]]:
    """The legend in lines that fit, each entry with its place."""
    lines: list[list[tuple[float, str, Color]]] = [[]]
    x = 8.0
    for text, color in entries:
        length = 32 + font.getlength(text)
        if lines[-1] and x + length > width:
            lines.append([])
            x = 8.0
        lines[-1].append((x, text, color))
        x += length
    return lines


def _legend(content: OverlayContent) -> list[tuple[str, Color]]:
    kind_N, colors = _kinds(content)
    names = content.groups if content.group_N is not None else ("non-tumor", "tumor")
    entries = [(f"{name} {(kind_N == kind).sum():,}", colors[kind]) for kind, name in enumerate(names)]
    if dropped := int((kind_N < 0).sum()):
        entries.append((f"dropped {dropped:,}", FAINT))
    entries.append(("tissue", TISSUE))
    if content.outlines:
        entries.append(("annotation", ANNOTATION))
    return entries


def draw_bar(
    draw: ImageDraw.ImageDraw,
    font: Font,
    right: int,
    pixels_per_um: float,
) -> None:
    """Scale bar of a round length, at most a quarter of the picture, under its lower right corner."""
    fitting = [um for um in _BARS_UM if um * pixels_per_um <= right / 4]
    if not fitting:
        return
    length = fitting[-1] * pixels_per_um
    text = f"{fitting[-1]} µm" if fitting[-1] < 1000 else f"{fitting[-1] // 1000} mm"
    draw.rectangle((right - 12 - length, 8, right - 12, 13), fill="black")
    draw.text((right - 12 - draw.textlength(text, font=font), 15), text, fill="black", font=font)


def _pixels(points: NDArray[Any]) -> NDArray[np.int32]:
    return np.round(points).astype(np.int32)
