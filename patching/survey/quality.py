"""How good a patch is to look at: focus, light, clipping, pen, folds, and every channel's mean and spread.

Measured once per patch while a slide is cut, so it must cost a tenth of decoding or so: on evenly spaced rows
or pixels, at full resolution.
"""

import math
import re
import unicodedata
from collections.abc import Sequence
from functools import reduce
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_COMMON = ("focus", "brightness", "saturated_fraction", "pen_fraction", "fold_fraction")
_ROWS = 32  # at least, for means and spreads: 8,192 pixels of a 256 px patch
_FOCUS_ROWS = 16
_SIDE = 32  # at least, of the grid of pixels on which pen and folds are looked for
_LUMINANCE = (0.299, 0.587, 0.114)  # Rec. 601, which OpenCV's gray also uses
_PEN_COLORED = 0.15
_PEN_BLACK, _PEN_GRAY = 0.2, 0.06
_FOLD = 0.3
_GLASS = 99.9  # percentile that hot pixels do not reach
_ROUNDING = 1e-6  # relative spread under which a channel counts as constant


def quality_names(channels: Sequence[str]) -> tuple[str, ...]:
    """Names of what `measure_quality` gives, in its order: five of the patch, then means, then spreads.

    Channel names are reduced to lower-case ASCII letters, digits and underscores, so that each is a safe
    column name; those that then collide are numbered.

    Example: ("CARS", "SHG 2ω") -> (..., "mean_cars", "mean_shg_2", "spread_cars", "spread_shg_2").
    """
    names: list[str] = []
    for channel in channels:
        plain = unicodedata.normalize("NFKD", channel).encode("ascii", "ignore").decode().lower()
        name = stem = re.sub(r"[^0-9a-z]+", "_", plain).strip("_") or "channel"
        number = 2
        while name in names:
            name, number = f"{stem}_{number}", number + 1
        names.append(name)
    return (*_COMMON, *(f"mean_{name}" for name in names), *(f"spread_{name}" for name in names))


def full_scale(dtype: np.dtype[Any]) -> float:
    """Where a detector of this type saturates: an integer's largest value, NaN for floats."""
    return float(np.iinfo(dtype).max) if dtype.kind in "iu" else float("nan")


def full_light(image_HWC: NDArray[Any], covered_HW: NDArray[np.bool_], *, brightfield: bool) -> float:
    """Value of a detector's full light on a slide: `full_scale`, but for transmitted light in 16 bits.

    Cameras of 10, 12 or 14 bits are stored in 16 too; the glass tells how many are used. None has 11 or 13:
    glass at half of full light does not lower it.

    Example: 16 bits whose brightest thousandth is from 1,024 to 4,095 have 4,095.

    Args:
        image_HWC: the slide, coarse.
        covered_HW: where it exists.
        brightfield: whether it is red, green, blue of transmitted light.
    """
    if not brightfield or image_HWC.dtype == np.uint8 or not covered_HW.any():
        return full_scale(image_HWC.dtype)
    brightest = int(np.percentile(image_HWC[covered_HW], _GLASS))
    return float(2 ** max(8, 2 * math.ceil(brightest.bit_length() / 2)) - 1)


def measure_quality(
    patch_HWC: NDArray[Any], *, brightfield: bool, detector_maximum: float
) -> NDArray[np.float32]:
    """Quality of one patch, float32 [Q], in the order of `quality_names`.

    - focus: variance of the luminance's Laplacian over its squared mean. LAPV in Pertuz, Puig, Garcia
      (Pattern Recognition 46, 2013); the division makes it free of gain and number type, though not of a
      detector's offset. Luminance is Rec. 601 on brightfield, else the mean over channels. From 16 evenly
      spaced rows with both their neighbors; 0 on a constant patch, NaN under 3 pixels a side.
    - brightness: mean luminance over `detector_maximum`, 0 to 1, from 32 to 63 evenly spaced rows.
    - saturated_fraction: share of pixels that reach `detector_maximum` in any channel, on the same rows.
    - pen_fraction, fold_fraction: share of pixels that look like marker ink or like folded tissue
      (`pen_and_folds`), on a grid of 32 to 63 evenly spaced pixels a side; brightfield only.
    - mean and spread (standard deviation) per channel in the slide's own units, from the same rows.

    What cannot be told is NaN: pen and folds of intensity images, brightness and clipping without a maximum.

    Args:
        patch_HWC: pixels as stored, any integer or float type, any number of channels.
        brightfield: whether the first three channels are red, green, blue of transmitted light.
        detector_maximum: the value at which the detector saturates, as `full_light` gives it; NaN if unknown.
    """
    image_HWC = _for_opencv(patch_HWC)
    height, _, channels = image_HWC.shape
    color = brightfield and channels >= 3
    weight_C = _weights(channels, color=color)
    rows_RWC = np.ascontiguousarray(image_HWC[:: max(1, height // _ROWS)])
    mean_C, spread_C = _statistics(rows_RWC)
    light = float(mean_C @ weight_C)
    pen, folds = _artifacts(image_HWC, detector_maximum) if color else (np.nan, np.nan)
    common = (
        _focus(image_HWC, light, weight_C, color=color),
        light / detector_maximum,
        _saturated(rows_RWC, detector_maximum),
        pen,
        folds,
    )
    return np.array((*common, *mean_C.tolist(), *spread_C.tolist()), np.float32)


def pen_and_folds(unit_3N: NDArray[np.float32]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which pixels look like marker ink, and which like folded tissue; from red, green, blue light in 0..1.

    Ink: green exceeds red by 0.15; or all three are under 0.2 and within 0.06. Hematoxylin, eosin and DAB
    absorb green more than red, or nearly as much; green, turquoise and light blue inks absorb red most. Black
    ink is darker than tissue, and gray. Red and violet inks are not told from blood and stain. The rule is
    this project's own, of the kind that HistoQC applies to whole slides (Janowczyk et al., JCO Clinical
    Cancer Informatics 3, 2019).

    Folds: saturation (1 - least / most) minus luminance exceeds 0.3, and it is no ink. Two layers of tissue
    are darker and more saturated than one. That difference is Bautista and Yagi's (Journal of Pathology
    Informatics 1:25, 2010). Their threshold, and that of their successors, follows the slide; this one is
    fixed. Crowded dark nuclei and pigment exceed it too.
    """
    red_N, green_N, blue_N = unit_3N
    most_N = np.maximum(np.maximum(red_N, green_N), blue_N)
    range_N = most_N - np.minimum(np.minimum(red_N, green_N), blue_N)
    luminance_N = np.asarray(_LUMINANCE, np.float32) @ unit_3N
    pen_N = (green_N - red_N > _PEN_COLORED) | ((most_N < _PEN_BLACK) & (range_N < _PEN_GRAY))
    # Multiplied by `most`, which spares the division by zero of black pixels.
    return pen_N, (range_N > (luminance_N + _FOLD) * most_N) & ~pen_N


def _for_opencv(patch_HWC: NDArray[Any]) -> NDArray[Any]:
    known = patch_HWC.dtype in (np.uint8, np.uint16, np.float32)
    return np.ascontiguousarray(patch_HWC if known else patch_HWC.astype(np.float64))


def _weights(channels: int, *, color: bool) -> NDArray[np.float64]:
    """Share of each channel in the luminance."""
    if not color:
        return np.full(channels, 1 / channels)
    return np.array((*_LUMINANCE, *(0.0,) * (channels - 3)))


def _statistics(rows_RWC: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each channel, float64 [C]."""
    mean_C1, spread_C1 = cv2.meanStdDev(rows_RWC)
    mean_C, spread_C = mean_C1[:, 0], spread_C1[:, 0]
    # A difference of large sums: what is left of a constant channel is rounding.
    spread_C[spread_C < np.abs(mean_C) * _ROUNDING] = 0
    return mean_C, spread_C


def _focus(image_HWC: NDArray[Any], light: float, weight_C: NDArray[np.float64], *, color: bool) -> float:
    height, width, channels = image_HWC.shape
    if height < 3 or width < 3:
        return float("nan")
    step = max(3, height // _FOCUS_ROWS)
    count = min(height // step, _FOCUS_ROWS)
    blocks_RSWC = image_HWC[: count * step].reshape(count, step, width, channels)
    triples_HWC = blocks_RSWC[:, :3].reshape(count * 3, width, channels)
    gray_HW = _luminance(triples_HWC, weight_C, color=color)
    depth = {np.dtype(np.uint8): cv2.CV_16S, np.dtype(np.float32): cv2.CV_32F}[gray_HW.dtype]
    # Only the middle row of a triple has both its neighbors.
    inner_RW = cv2.Laplacian(gray_HW, depth, ksize=1)[1::3, 1:-1]
    spread = float(cv2.meanStdDev(inner_RW)[1][0, 0])
    if spread <= abs(light) * _ROUNDING:
        return 0.0
    return (spread / light) ** 2 if light > 0 else float("nan")


def _luminance(image_HWC: NDArray[Any], weight_C: NDArray[np.float64], *, color: bool) -> NDArray[Any]:
    if color and image_HWC.dtype == np.uint8 and image_HWC.shape[-1] == 3:
        gray_HW: NDArray[np.uint8] = cv2.cvtColor(image_HWC, cv2.COLOR_RGB2GRAY)
        return gray_HW
    if image_HWC.shape[-1] == 1:
        # A product with a single weight costs ten times as much.
        return image_HWC[..., 0].astype(np.float32)
    return image_HWC.astype(np.float32) @ weight_C.astype(np.float32)


def _saturated(image_HWC: NDArray[Any], detector_maximum: float) -> float:
    if np.isnan(detector_maximum):
        return float("nan")
    # Half of all patches hold no such pixel, and this look is a tenth of the count.
    if not image_HWC.max() >= detector_maximum:
        return 0.0
    height, width, channels = image_HWC.shape
    clipped_HC = cv2.compare(image_HWC.reshape(height, -1), detector_maximum, cv2.CMP_GE)
    clipped_HWC = clipped_HC.reshape(height, width, channels)
    return float(_count_any(clipped_HWC) / (height * width))


def _count_any(mask_HWC: NDArray[np.uint8]) -> int:
    """Pixels with a channel that is not 0, of a mask of 0 and 255; `any` over the last axis is slow."""
    channels = mask_HWC.shape[-1]
    if channels == 3:
        # The gray of a single white channel is not 0.
        return int(cv2.countNonZero(cv2.cvtColor(mask_HWC, cv2.COLOR_RGB2GRAY)))
    if channels in (1, 2, 4, 8):
        # All channels of a pixel as one number.
        return int(np.count_nonzero(mask_HWC.view(f"u{channels}")))
    return int(np.count_nonzero(reduce(np.bitwise_or, np.moveaxis(mask_HWC, -1, 0))))


def _artifacts(image_HWC: NDArray[Any], detector_maximum: float) -> tuple[float, float]:
    """Shares of pen and fold among evenly spaced pixels."""
    height, width = image_HWC.shape[:2]
    rows, columns = max(1, height // _SIDE), max(1, width // _SIDE)
    sample_HWC = image_HWC[rows // 2 :: rows, columns // 2 :: columns, :3]
    unit_3N = np.multiply(sample_HWC.reshape(-1, 3).T, 1 / detector_maximum, dtype=np.float32, order="C")
    pen_N, fold_N = pen_and_folds(unit_3N)
    return np.count_nonzero(pen_N) / pen_N.size, np.count_nonzero(fold_N) / pen_N.size
