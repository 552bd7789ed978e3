"""Where the pixels of a level lie, and how large they are: the coordinate transformations of OME-Zarr."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from patching.geometry import Mpp, Size
from patching.numbers import micrometres, number
from patching.readers.zarr.documents import Multiscale, Transformation
from patching.readers.zarr.files import ZarrFiles

logger = logging.getLogger(__name__)
_TOLERANCE = 0.01  # relative: scales are written with few digits


@dataclass(frozen=True, slots=True)
class Step:
    """Along one axis, physical place = `scale` * pixel + `offset`; NaN where it is not told."""

    scale: float = math.nan
    offset: float = 0.0


@dataclass(frozen=True, slots=True)
class Placement:
    """Of a level's pixels along X and Y."""

    x: Step
    y: Step


def placement(files: ZarrFiles, multiscale: Multiscale, level: int, axes: str) -> Placement:
    """Of a level: its own transformations first, then those of all levels.

    One that is not understood, or has not a number for each axis, leaves the scale unknown; the log tells.
    """
    told = (*multiscale.datasets[level].transformations, *multiscale.transformations)
    steps = [_numbers(files, step, len(axes)) for step in told]
    return Placement(*(_along(steps, axes.index(axis)) for axis in "XY"))


def _numbers(files: ZarrFiles, step: Transformation, count: int) -> tuple[str, list[float]]:
    """A transformation's kind and its number for each axis, NaN for what is no number."""
    kind = str(step.type)
    if kind == "identity":
        return "translation", [0.0] * count
    given = {"scale": step.scale, "translation": step.translation}.get(kind)
    if isinstance(given, list) and len(given) == count:
        return kind, [_number(value) for value in given]
    length = f" of {len(given)} numbers" if isinstance(given, list) else ""
    logger.warning(
        "%s: a transformation `%s`%s for %d axes is not understood: no pixel size",
        *(files.source, kind, length, count),
    )
    return "scale", [math.nan] * count


def _number(value: Any) -> float:
    if isinstance(value, bool | None):
        return math.nan
    found = (
        number(value) if isinstance(value, str) else float(value) if isinstance(value, int | float) else None
    )
    return math.nan if found is None or not math.isfinite(found) else found


def _along(steps: Sequence[tuple[str, list[float]]], axis: int) -> Step:
    scales = [values[axis] for kind, values in steps if kind == "scale"]
    offset = 0.0
    for kind, values in steps:
        offset = offset * values[axis] if kind == "scale" else offset + values[axis]
    return Step(math.prod(scales) if scales else math.nan, offset)


def pixel_size(multiscale: Multiscale, axes: str, full: Placement) -> Mpp | None:
    """Of the finest level; None where one of X and Y has no scale or no unit of length."""
    x, y = (
        micrometres(repr(step.scale), unit) if unit else None
        for step, unit in zip((full.x, full.y), units(multiscale, axes), strict=True)
    )
    return None if x is None or y is None else Mpp(x, y)


def units(multiscale: Multiscale, axes: str) -> tuple[str, str]:
    """Units of X and Y as they are written, an empty text where none is."""
    told = [multiscale.axes[axes.index(axis)].unit if multiscale.axes else None for axis in "XY"]
    x, y = (unit.strip() if isinstance(unit, str) else "" for unit in told)
    return x, y


def described_size(pixels: Mapping[str, str]) -> Mpp | None:
    """Pixel size in the attributes of OME-XML's Pixels, whose unit is µm where none is told."""
    x, y = (
        micrometres(pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit")) for axis in "XY"
    )
    return None if x is None or y is None else Mpp(x, y)


def contradiction(full: Placement, level: Placement, sizes: tuple[Size, Size]) -> str | None:
    """Why a level's transformations contradict its shape, in words; None where they do not.

    Args:
        full: of the finest level.
        level: of the coarser one.
        sizes: of both.
    """
    fine, coarse = sizes
    along = (
        ("X", full.x, level.x, fine.width, coarse.width),
        ("Y", full.y, level.y, fine.height, coarse.height),
    )
    for axis, first, own, whole, side in along:
        if not (first.scale > 0 and own.scale > 0):
            continue
        ratio = own.scale / first.scale
        if abs(whole / ratio - side) >= 1 + _TOLERANCE * side:
            return (
                f"its pixels are said to be {ratio:g} times as large along {axis}, not {whole / side:g} times"
            )
        # A pixel's place is its center: that of a mean lies amid what it was made of, a sample is part of it.
        moved = own.offset - first.offset - (own.scale - first.scale) / 2
        if not abs(moved) <= own.scale * (0.5 + _TOLERANCE):
            return f"it is said to begin {moved / first.scale:g} pixels off along {axis}"
    return None
