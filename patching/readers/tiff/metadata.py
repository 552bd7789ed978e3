"""Pixel size and channel names out of the many places where TIFF dialects keep them."""

import re
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from defusedxml.ElementTree import fromstring
from tifffile import TiffFile, TiffPageSeries

from patching.damage import decoded
from patching.geometry import Mpp
from patching.readers.base import RGB
from patching.readers.naming import distinct
from patching.readers.tiff.layout import PHOTOMETRIC_RGB

_APERIO_MPP = re.compile(r"\|\s*MPP\s*=\s*([0-9]+(?:\.[0-9]+)?)")
_OME_UNIT = {"nm": 1e-3, "µm": 1.0, "μm": 1.0, "um": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6, "Å": 1e-4}
# ImageJ names the unit of the resolution itself, and writes letters outside ASCII as escapes.
_IMAGEJ_UNIT = _OME_UNIT | {"micron": 1.0, "microns": 1.0, "\\u00B5m": 1.0}
_NO_UNIT, _INCH, _CENTIMETER = 1, 2, 3
_UNIT_UM = {_INCH: 25400.0, _CENTIMETER: 10000.0}
# Screen and print defaults (72 to 1,200 dpi) are 353 to 21 µm: no microscope's pixel.
_COARSEST_UM = 20.0


def ome_image(path: Path, tiff: TiffFile, index: int) -> Element | None:
    """The OME-XML's image number `index` with its namespace removed, or None where there is none.

    Raises:
        UnreadableSlideError: no XML, or it declares entities; it is refused before tifffile parses it.
    """
    text = decoded(path, lambda: tiff.ome_metadata if tiff.is_ome else None)
    if text is None:
        return None
    images = [child for child in _plain(decoded(path, fromstring, text)) if child.tag == "Image"]
    return images[index] if index < len(images) else None


def _plain(root: Element) -> Element:
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def pixel_size(path: Path, tiff: TiffFile, series: TiffPageSeries, image: Element | None) -> Mpp | None:
    """Level-0 pixel size in µm: OME-XML, then Aperio's or ImageJ's description, then the resolution tags.

    Raises:
        UnreadableSlideError: the OME-XML tells a size that is no number.
    """
    page = series.keyframe
    if image is not None and (found := _ome_pixel_size(path, image)):
        return found
    if decoded(path, lambda: tiff.is_svs):
        match = _APERIO_MPP.search(page.description)
        return _mpp(float(match[1]), float(match[1])) if match else None
    unit: Any
    unit, resolution = decoded(path, lambda: (page.resolutionunit, page.resolution))
    if not isinstance(unit, int):
        return None
    told = decoded(path, lambda: tiff.imagej_metadata) if unit == _NO_UNIT else None
    if told is not None:
        return _tagged_pixel_size(resolution, _IMAGEJ_UNIT.get(str(told.get("unit"))))
    found = _tagged_pixel_size(resolution, _UNIT_UM.get(unit))
    return found if found and max(found.x, found.y) <= _COARSEST_UM else None


def _ome_pixel_size(path: Path, image: Element) -> Mpp | None:
    pixels = image.find("Pixels")
    if pixels is None:
        return None
    sides = [
        decoded(path, float, pixels.get(f"PhysicalSize{axis}", 0))
        * _OME_UNIT.get(pixels.get(f"PhysicalSize{axis}Unit", "µm"), 0)
        for axis in "XY"
    ]
    return _mpp(*sides)


def _tagged_pixel_size(per_unit: tuple[float, float], unit: float | None) -> Mpp | None:
    x_per_unit, y_per_unit = per_unit
    if unit is None or x_per_unit <= 0 or y_per_unit <= 0:
        return None
    return _mpp(unit / x_per_unit, unit / y_per_unit)


def _mpp(x: float, y: float) -> Mpp | None:
    return Mpp(x, y) if 0 < x < float("inf") and 0 < y < float("inf") else None


def channel_names(
    path: Path, tiff: TiffFile, series: TiffPageSeries, image: Element | None, count: int, colors: bool
) -> tuple[str, ...]:
    """Names of the series' `count` channels: R, G, B, or the file's own, or C0, C1, ...

    `colors` tells that the samples of a page are channels, not planes along another axis.
    """
    page = series.keyframe
    if colors and count == len(RGB) == page.samplesperpixel and page.photometric in PHOTOMETRIC_RGB:
        return RGB
    if image is not None:
        found = [channel.get("Name", "") for channel in image.iter("Channel")]
    elif decoded(path, lambda: tiff.is_qpi):
        described = decoded(path, lambda: [page.aspage().description for page in series.pages if page])
        roots = [_plain(decoded(path, fromstring, text)) for text in described]
        found = [root.findtext("Name", "") for root in roots]
    else:
        found = []
    return distinct(found, count)
