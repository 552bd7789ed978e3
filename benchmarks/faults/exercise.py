"""Everything that evenpatch does with a file: what must end well, or in a typed error."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from patching.annotations.registry import load_annotation
from patching.geometry import Location, Size
from patching.manifest import read_manifest
from patching.readers.base import AbstractSlide
from patching.readers.overview import overview
from patching.readers.registry import open_slide
from patching.tissue.registry import make_detector

_OVERVIEW = 256
_REGION = Size(197, 131)
_SLIDE = Size(300, 200)
_CLASSES = {"tumor": "tumor", "normal": "normal", "ignore": "ignore", "*": "normal"}
_PLACES: tuple[dict[str, Any], ...] = (
    {},
    {"bounds": Location(40, 20), "scanned": Size(225, 150)},
    {"bounds": Location(-7, 30), "scanned": None, "origin": "bounds"},
)
_NUMBERED = 0.5
_CODES = {"0": "normal", "1": "tumor", "*": "ignore"}


def slide(path: Path, rng: np.random.Generator) -> None:
    """Open by content, or by a forced reader, and read all there is."""
    _explore(path, (None, None, "tiff", "openslide")[rng.integers(4)], rng)


def picture(path: Path, rng: np.random.Generator) -> None:
    """The same with the reader of pictures."""
    _explore(path, None, rng)


def microscope(path: Path, rng: np.random.Generator) -> None:
    """Open an image of a file by its content, with a choice of planes, and read all there is."""
    plane, image = ("max", 0, 1)[rng.integers(3)], (None, 0, 1)[rng.integers(3)]
    _explore(path, None, rng, z=plane, t="mean", series=image)


def _explore(path: Path, reader: str | None, rng: np.random.Generator, **how: Any) -> None:
    """Tell the slide's properties, read regions of every level, find tissue."""
    with open_slide(path, reader=reader, **how) as opened:
        _ = (opened.size, opened.channels, opened.mpp, opened.dtype, opened.brightfield, opened.background)
        for number in range(len(opened.levels)):
            _read_some(opened, number, rng)
        longest = max(opened.size.width, opened.size.height)
        image_HWC = overview(opened, max(1.0, longest / _OVERVIEW)).image_HWC
        make_detector("otsu").detect(
            image_HWC, None, brightfield=opened.brightfield, channels=opened.channels
        )


def _read_some(opened: AbstractSlide, level: int, rng: np.random.Generator) -> None:
    size, downsample = opened.levels[level].size, opened.levels[level].downsample
    corners = [(-5, -7), (size.width - 90, size.height - 60)]
    inside = [(int(rng.integers(size.width)), int(rng.integers(size.height))) for _ in range(2)]
    for x, y in corners + inside:
        opened.read_region(Location(round(x * downsample), round(y * downsample)), level, _REGION)


def annotation(path: Path, rng: np.random.Generator) -> None:
    """Load against a slide of 300 by 200 pixels, whose scanned region may begin elsewhere, and measure."""
    classes = _CODES if path.suffix in (".png", ".tif", ".tiff") and rng.random() < _NUMBERED else _CLASSES
    place = _PLACES[rng.integers(len(_PLACES))]
    loaded = load_annotation(path, label=None, size=_SLIDE, classes=classes, **place)
    locations_N2 = rng.integers(-30, 300, (20, 2)).astype(np.int64)
    for fraction_N in (loaded.fractions(locations_N2, 48), loaded.fractions(locations_N2, 48, "ignore")):
        if not ((fraction_N >= 0) & (fraction_N <= 1)).all():
            raise AssertionError(f"fractions outside 0 to 1: {fraction_N}")
    loaded.outlines()
    loaded.outlines("ignore")


def manifest(path: Path, _rng: np.random.Generator) -> None:
    """Read the rows."""
    read_manifest(path)


EXERCISES: dict[str, Callable[[Path, np.random.Generator], None]] = {
    "slide": slide,
    "picture": picture,
    "annotation": annotation,
    "manifest": manifest,
    "microscope": microscope,
}
