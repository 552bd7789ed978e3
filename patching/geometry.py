"""Named geometry: no bare tuples, every number with its plane.

Two planes occur. *Level 0* is the slide at full resolution; *read level* is the level (or the
resampled grid) in which pixels are returned. Locations are always level-0, sizes always read-level.
Areas on the tissue are `SquareMicrometres`.
"""

from dataclasses import dataclass
from typing import NewType

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

        `downsample` is the whole number that explains both sides within a pixel, as scanners round them;
        else the mean of both axes' ratios, as in OpenSlide.
        """
        mean = (full.width / size.width + full.height / size.height) / 2
        whole = max(1, round(mean))
        fits = abs(full.width / whole - size.width) < 1 and abs(full.height / whole - size.height) < 1
        return cls(size, float(whole) if fits else mean)
