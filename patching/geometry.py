"""Named geometry: no bare tuples, every number with its plane.

Two planes occur. *Level 0* is the slide at full resolution; *read level* is the level (or the
resampled grid) in which pixels are returned. Locations are always level-0, sizes always read-level.
"""

from dataclasses import dataclass


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
    """Pixel size at level 0 in micrometres per pixel."""

    x: float
    y: float

    @property
    def mean(self) -> float:
        """Arithmetic mean of both directions, µm per pixel."""
        return (self.x + self.y) / 2

    @property
    def pixel_area_um2(self) -> float:
        """Area of one level-0 pixel in µm²."""
        return self.x * self.y


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution of a slide: its size in its own pixels, and level-0 pixels per own pixel."""

    size: Size
    downsample: float
