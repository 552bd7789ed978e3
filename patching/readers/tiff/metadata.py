"""Pixel size and channel names out of the many places where TIFF dialects keep them."""

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tifffile import TiffFile, TiffPage, TiffPageSeries

from patching.damage import decoded
from patching.errors import UnreadableSlideError
from patching.geometry import Mpp
from patching.numbers import micrometres
from patching.readers.naming import RGB, called_rgb, distinct, tell_intensities
from patching.readers.tiff.layout import PHOTOMETRIC_RGB
from patching.readers.tiff.meaning.ome import OmeImage, plain_xml

logger = logging.getLogger(__name__)
_APERIO_KEY, _APERIO_WAVES = "MPP", ("ExWave", "EmWave")
_X_RESOLUTION, _Y_RESOLUTION = 282, 283
_NO_UNIT, _INCH, _CENTIMETER = 1, 2, 3
_UNIT_UM = {_INCH: 25400.0, _CENTIMETER: 10000.0}
# Screen and print defaults (72 to 1,200 dpi) are 353 to 21 µm: no microscope's pixel.
_COARSEST_UM = 20.0
_METRE_UM = 1e6
_ALPHA = ("a", "alpha")
_IMAGEJ_FUNCTION = ("c0", "c1", "c2", "c3", "c4")
_SHOWN = 40


def pixel_size(path: Path, tiff: TiffFile, series: TiffPageSeries, told: OmeImage | None) -> Mpp | None:
    """Level-0 pixel size in µm: OME-XML, then Aperio's or ImageJ's description, then the resolution tags.

    A size that is told and is no length is none, which the log says: what comes after it in this order is of
    other programs.
    """
    page = series.keyframe
    if told is not None and any(f"PhysicalSize{axis}" in told.pixels.attrib for axis in "XY"):
        return _ome_pixel_size(path, told.pixels.attrib)
    if decoded(path, lambda: tiff.is_svs):
        return _aperio_pixel_size(path, page.description)
    if decoded(path, lambda: tiff.is_lsm):
        return _zeiss_pixel_size(decoded(path, lambda: tiff.lsm_metadata or {}))
    unit = decoded(path, lambda: page.resolutionunit)
    per_unit = [_resolution(page, tag) for tag in (_X_RESOLUTION, _Y_RESOLUTION)]
    imagej = decoded(path, lambda: tiff.imagej_metadata) if unit == _NO_UNIT else None
    if imagej is not None:
        names = [imagej.get("unit"), imagej.get("yunit") or imagej.get("unit")]
        units = [None if name is None else micrometres("1", str(name)) for name in names]
        return _tagged_pixel_size(per_unit, units)
    found = _tagged_pixel_size(per_unit, [_UNIT_UM.get(unit) if isinstance(unit, int) else None] * 2)
    return found if found and max(found.x, found.y) <= _COARSEST_UM else None


def tell_calibration(path: Path, tiff: TiffFile) -> None:
    """In the log: ImageJ shows other values than it stored; signed ones of 16 bits it stores so."""
    imagej = decoded(path, lambda: tiff.imagej_metadata) or {}
    told = {key: imagej[key] for key in _IMAGEJ_FUNCTION if key in imagej}
    if told not in ({}, {"c0": 0, "c1": 1}):
        logger.warning(
            "%s: values are read as stored, ImageJ's calibration is not applied: %s of %s",
            *(path, imagej.get("vunit", "values"), str(told)[:_SHOWN]),
        )


def _ome_pixel_size(path: Path, told: Mapping[str, str]) -> Mpp | None:
    texts = [told.get(f"PhysicalSize{axis}") for axis in "XY"]
    units = [told.get(f"PhysicalSize{axis}Unit") or None for axis in "XY"]
    x, y = (micrometres(text, unit) for text, unit in zip(texts, units, strict=True))
    if x is None or y is None:
        _tell(
            path,
            "OME-XML",
            " x ".join(f"{text} {unit or 'µm'}" for text, unit in zip(texts, units, strict=True)),
        )
        return None
    return Mpp(x, y)


def _aperio_pixel_size(path: Path, description: str) -> Mpp | None:
    pairs = [field.partition("=") for field in description.split("|")]
    text = next((value for key, _, value in pairs if key.strip() == _APERIO_KEY), None)
    if text is None:
        return None
    side = micrometres(text)
    if side is None:
        _tell(path, "the description", text)
    return None if side is None else Mpp(side, side)


def _zeiss_pixel_size(told: Mapping[str, Any]) -> Mpp | None:
    x, y = (_length(told.get(f"VoxelSize{axis}", 0) * _METRE_UM) for axis in "XY")
    return None if x is None or y is None else Mpp(x, y)


def _tell(path: Path, where: str, text: str) -> None:
    logger.warning(
        "%s: the pixel size in %s is %r, which is no length: the slide has none; fill the column `mpp`",
        *(path, where, text[:_SHOWN]),
    )


def _resolution(page: TiffPage, tag: int) -> float | None:
    """Pixels per unit; a ratio whose lower number is 0 is none."""
    ratio = page.tags.valueof(tag)
    if not (isinstance(ratio, tuple) and len(ratio) == 2 and all(isinstance(part, int) for part in ratio)):
        return None
    return ratio[0] / ratio[1] if ratio[0] > 0 and ratio[1] > 0 else None


def _tagged_pixel_size(per_unit: list[float | None], unit_um: list[float | None]) -> Mpp | None:
    pairs = zip(per_unit, unit_um, strict=True)
    x, y = (None if unit is None or pixels is None else _length(unit / pixels) for pixels, unit in pairs)
    return None if x is None or y is None else Mpp(x, y)


def _length(value: float) -> float | None:
    return float(value) if 0 < value < math.inf else None


def channel_names(
    path: Path, tiff: TiffFile, series: TiffPageSeries, told: OmeImage | None, count: int, colors: bool
) -> tuple[str, ...]:
    """Names of the series' `count` channels: R, G, B, or the file's own, or C0, C1, ...

    `colors` tells that the samples of a page are channels, not planes along another axis.
    """
    page = series.keyframe
    found: list[str] = []
    if decoded(path, lambda: tiff.is_lsm):
        zeiss = decoded(path, lambda: tiff.lsm_metadata or {})
        found = [str(name) for name in zeiss.get("ChannelColors", {}).get("ColorNames", ())]
    elif colors and count == len(RGB) <= page.samplesperpixel and page.photometric in PHOTOMETRIC_RGB:
        return RGB
    elif told is not None:
        found = list(RGB if told.drawn_rgb and series.dtype == np.uint8 else told.channels)
    elif decoded(path, lambda: tiff.is_qpi):
        described = decoded(path, lambda: [page.aspage().description for page in series.pages if page])
        found = [plain_xml(path, text).findtext("Name", "") for text in described]
    return distinct(found, count)


def transmitted_light(
    path: Path,
    tiff: TiffFile,
    series: TiffPageSeries,
    told: OmeImage | None,
    names: tuple[str, ...],
    colors: bool,
) -> bool | None:
    """Whether the pixels are transmitted light, as far as the file tells; None where it does not.

    Colors by their photometric tag are, in 8 bits, and channels called red, green and blue in 8 or 16, unless
    the file's words are of fluorescence; what is guessed is told, for signals are stored so as well.

    Raises:
        UnreadableSlideError: a fourth channel is called alpha.
    """
    if len(names) == len(RGB) + 1 and called_rgb(names[:-1]) and names[-1].strip().lower() in _ALPHA:
        raise UnreadableSlideError(
            has=f"{path}: channels {', '.join(names)}: the last is transparency, which is no signal",
            needs="red, green and blue alone, or other names",
            do="export it without its alpha channel",
        )
    if decoded(path, lambda: tiff.is_lsm):
        return False
    if len(names) != len(RGB):
        return None
    if _tells_fluorescence(path, tiff, series, told):
        logger.warning("%s: tells of fluorescence: set `kind` to brightfield if it is none", path)
        return False
    tagged = colors and series.keyframe.photometric in PHOTOMETRIC_RGB
    if tagged and series.dtype == np.uint8:
        return True
    if not tagged and called_rgb(names) and series.dtype in (np.uint8, np.uint16):
        logger.warning(
            "%s: red, green, blue are taken for transmitted light: else set `kind` to intensity", path
        )
        return True
    tell_intensities(path, names, series.dtype)
    return None


def _tells_fluorescence(path: Path, tiff: TiffFile, series: TiffPageSeries, told: OmeImage | None) -> bool:
    """Whether OME-XML or Aperio's description tell how light was excited, or which light was emitted."""
    if told is not None:
        return told.fluorescent
    aperio = decoded(path, lambda: tiff.is_svs)
    return aperio and any(
        field.partition("=")[0].strip() in _APERIO_WAVES for field in series.keyframe.description.split("|")
    )
