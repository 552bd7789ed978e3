"""What the pictures of slides and patches share: false color, text, PNG."""

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
_WHITE = 255
_SAMPLED = 2**16  # pixels per channel that a stretch is measured on


def false_color(
    image_HWC: NDArray[Any], *, brightfield: bool, stretch_C2: NDArray[np.float32] | None = None
) -> NDArray[np.uint8]:
    """RGB picture of any number of channels, uint8 [H, W, 3].

    Brightfield is shown as `light_color` shows it. Else each channel is stretched and tinted: one channel
    gray, several in evenly spaced hues, added up.

    Args:
        image_HWC: the pixels.
        brightfield: whether they are red, green, blue already.
        stretch_C2: what is shown black and what brightest, per channel; None measures it on this image.
    """
    if brightfield:
        return light_color(image_HWC)
    low_C, high_C = (stretch([image_HWC]) if stretch_C2 is None else stretch_C2).T
    # Plane by plane: NumPy works on interleaved channels at a third of the speed.
    unit_CHW = image_HWC.transpose(2, 0, 1).astype(np.float32, order="C")
    for unit_HW, low, range_ in zip(unit_CHW, low_C, np.maximum(high_C - low_C, 1e-6), strict=True):
        unit_HW -= low
        unit_HW /= range_
        np.clip(unit_HW, 0, 1, out=unit_HW)
    picture_HW3 = np.empty((*image_HWC.shape[:2], 3), np.uint8)
    for color, color_HW in enumerate(_colors(unit_CHW)):
        picture_HW3[..., color] = np.rint(color_HW * np.float32(255))
    return picture_HW3


def light_color(image_HWC: NDArray[Any], white: float | None = None) -> NDArray[np.uint8]:
    """Red, green and blue of transmitted light in 8 bits, uint8 [..., H, W, 3].

    Args:
        image_HWC: unsigned integers; those of 8 bits stay as they are.
        white: full light; None is the type's largest value.
    """
    if image_HWC.dtype == np.uint8:
        return np.ascontiguousarray(image_HWC[..., :3])
    scaled_HW3 = image_HWC[..., :3].astype(np.float32) * np.float32(
        _WHITE / (white or np.iinfo(image_HWC.dtype).max)
    )
    shown_HW3: NDArray[np.uint8] = np.rint(np.minimum(scaled_HW3, _WHITE)).astype(np.uint8)
    return shown_HW3


def stretch(images: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    """1st and 99.7th percentile of every channel over images [H, W, C] together, float32 [C, 2].

    From evenly spaced pixels, some 65,000 at most.
    """
    channels = images[0].shape[-1]
    pixels = sum(image.shape[0] * image.shape[1] for image in images)
    step = max(1, round((pixels / _SAMPLED) ** 0.5))
    sampled_NC = np.concatenate([image[::step, ::step].reshape(-1, channels) for image in images])
    return np.percentile(sampled_NC.astype(np.float32), (1, 99.7), axis=0).T.astype(np.float32)


def _colors(unit_CHW: NDArray[np.float32]) -> Sequence[NDArray[np.float32]]:
    """Red, green and blue, each [H, W] in 0..1, of the tinted channels."""
    tint_C3 = _tints(len(unit_CHW))
    if len(unit_CHW) <= 3:  # each color shows one channel
        return [unit_CHW[channel] for channel in tint_C3.argmax(axis=0)]
    summed_HW3 = np.clip(unit_CHW.transpose(1, 2, 0) @ tint_C3, 0, 1)
    return [summed_HW3[..., color] for color in range(3)]


def _tints(channels: int) -> NDArray[np.float32]:
    """RGB weight of each channel [C, 3]: white for one, red-green-blue for three."""
    if channels == 1:
        return np.ones((1, 3), np.float32)
    hue_C1 = np.arange(channels)[:, None] / channels
    distance_C3 = np.abs((hue_C1 - np.array([0, 1 / 3, 2 / 3]) + 0.5) % 1 - 0.5)
    tint_C3: NDArray[np.float32] = np.clip(2 - distance_C3 * 6, 0, 1).astype(np.float32)
    return tint_C3


@cache
def label_font(size: int) -> Font:
    """DejaVu Sans as matplotlib ships it, found without loading matplotlib; Pillow's own font lacks µ."""
    found = find_spec("matplotlib")
    if found is not None and found.origin is not None:
        path = Path(found.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        if path.is_file():
            return ImageFont.truetype(str(path), size)
    return ImageFont.load_default(size)


def shortened(text: str, width: float, font: Font, *, tail: bool = False) -> str:
    """The text, or an ellipsis and what fits into `width` pixels: its beginning, with `tail` its end."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[1:] if tail else text[:-1]
    return f"…{text}" if tail else f"{text}…"


def write_picture(image_HW3: NDArray[np.uint8], path: Path) -> None:
    """Write an RGB picture as JPEG or PNG, by its suffix; whole or not at all, the same bytes each time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    if path.suffix == ".jpg":
        # Without subsampling of colors, or thin lines lose theirs.
        encoded = imagecodecs.jpeg8_encode(image_HW3, level=90, subsampling="444")
    else:
        png = imagecodecs.PNG
        # A third of the default's time, and no larger.
        encoded = imagecodecs.png_encode(
            image_HW3, level=1, strategy=png.STRATEGY.RLE, filter=png.FILTER.PAETH
        )
    part.write_bytes(encoded)
    part.replace(path)
