"""Named geometry: no bare tuples, every number with its plane.

Two planes occur. *Level 0* is the slide at full resolution; *read level* is the level (or the
resampled grid) in which pixels are returned. Locations are always level-0, sizes always read-level.
Areas on the tissue are `SquareMicrometres`.
"""

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NewType

logger = logging.getLogger(__name__)
_FINEST_UM, _COARSEST_UM = 0.005, 100.0
SquareMicrometres = NewType("SquareMicrometres", float)


@dataclass(frozen=True, slots=True)
class Location:
    """Top-left corner (x to the right, y down) in level-0 pixels."""

    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height in pixels of the read level."""

    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Mpp:
    """Pixel size in micrometres per pixel; of level 0 where nothing else is said."""

    x: float
    y: float

    @property
    def mean(self) -> float:
        """Arithmetic mean of both directions, µm per pixel."""
        return (self.x + self.y) / 2

    @property
    def square(self) -> bool:
        """Whether both directions agree within 1 %, so that their mean can stand for them."""
        return abs(self.x - self.y) <= 0.01 * self.mean

    @property
    def plausible(self) -> bool:
        """Whether it may be a light microscope's: others are often of a unit that was not told."""
        return all(_FINEST_UM <= side <= _COARSEST_UM for side in (self.x, self.y))

    @property
    def pixel_area_um2(self) -> SquareMicrometres:
        """Area of one pixel."""
        return SquareMicrometres(self.x * self.y)

    def coarser(self, downsample: float) -> "Mpp":
        """Pixel size of a grid with `downsample` of these pixels per pixel."""
        return Mpp(self.x * downsample, self.y * downsample)


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution of a slide: its size in its own pixels, and level-0 pixels per own pixel."""

    size: Size
    downsample: float

    @classmethod
    def of(cls, full: Size, size: Size) -> "Level":
        """A level of this size under a full resolution of that size.

        `downsample` explains both sides within a pixel, as scanners round them down, up or to the nearest:
        the whole number nearest to the ratio of the level's longer side, else the nearest ratio that does.
        Where no one number explains both, it is the mean of both axes' ratios, as in OpenSlide: such levels
        are none of a slide's, see `even_levels`.
        """
        factor = _factor(full, size)
        if factor is None:
            factor = (full.width / size.width + full.height / size.height) / 2
        return cls(size, factor)


def even_levels(source: object, sizes: Sequence[Size]) -> list[int]:
    """Numbers of the levels that are coarser than the first along both axes alike, within a pixel; in order.

    One number per level says how coarse it is. A level of half the columns and all the rows has none, and
    would be read from another place than asked for, at pixels of another shape. So it is left out, which
    the log tells; finer levels show the same.

    Args:
        source: the slide, for the log.
        sizes: of all levels, the full resolution first. One without pixels is kept, to be refused.
    """
    full = sizes[0]
    kept = [
        number
        for number, size in enumerate(sizes)
        if 0 in (size.width, size.height) or _factor(full, size) is not None
    ]
    for number, size in enumerate(sizes):
        if number not in kept:
            logger.warning(
                "%s: level %d is left out: %d x %d pixels are not %d x %d ones made coarser along both axes "
                "alike",
                *(source, number, size.width, size.height, full.width, full.height),
            )
    return kept


def _factor(full: Size, size: Size) -> float | None:
    """Level-0 pixels per pixel of the level, 1 or more, that explain both of its sides within a pixel."""
    pairs = ((full.width, size.width), (full.height, size.height))
    low = max(1.0, *(whole / (side + 1) for whole, side in pairs))
    high = min(whole / (side - 1) if side > 1 else math.inf for whole, side in pairs)
    longer = max(pairs, key=lambda pair: (pair[1], pair[0]))
    ratio = longer[0] / longer[1]
    nearest = (float(max(1, round(ratio))), ratio, (low + high) / 2, low)
    return next((factor for factor in nearest if _explained(factor, pairs)), None)


def _explained(factor: float, pairs: Iterable[tuple[int, int]]) -> bool:
    return factor >= 1 and all(abs(whole / factor - side) < 1 for whole, side in pairs)


def nearest(value: float) -> int:
    """The nearest whole number; a half goes up, where round() goes to even and shifts every other pixel."""
    return math.floor(value + 0.5)
