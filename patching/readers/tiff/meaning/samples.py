"""What the samples of a TIFF's pixels are: lists of what is understood, and why the rest is refused.

Ink, lightness, transparency and numbers of a palette are numbers as well, and would pass for intensities.
"""

import logging
from pathlib import Path

import numpy as np
from tifffile import TiffFile, TiffPage, TiffPageSeries

from patching.damage import decoded
from patching.readers.base import RGB
from patching.readers.tiff.checks import APERIO_YCBCR, misread_ycbcr, refusal
from patching.readers.tiff.layout import SEPARATE, StoredPage, has_alpha
from patching.readers.tiff.meaning.ome import OmeImage
from patching.readers.tiff.palettes import is_scale
from patching.readers.tiff.stored_size import JPEG_2000, KNOWN, codestream

logger = logging.getLogger(__name__)
_GRAY, _RGB, _PALETTE, _YCBCR = 1, 2, 3, 6
_PHOTOMETRIC = 262
_VOID, _UNSURE_BITS, _UNSPECIFIED = 4, 32, 0
_ALPHA = (1, 2)
_HEADER = 4096

_REFUSED = {
    0: ("inverted intensities (0 is white)", "0 as black", "invert it and export it anew"),
    4: ("a transparency mask", "pixels", "give the file that holds the picture"),
    5: ("inks (CMYK)", "intensities or RGB", "convert it to RGB with its color profile"),
    8: ("CIELAB: lightness and two colors", "intensities or RGB", "convert it to RGB"),
    9: ("ICC Lab: lightness and two colors", "intensities or RGB", "convert it to RGB"),
    10: ("ITU Lab: lightness and two colors", "intensities or RGB", "convert it to RGB"),
    32803: ("a camera's raw mosaic of colors", "intensities or RGB", "develop it to RGB"),
    32844: ("logarithms of luminance", "intensities or RGB", "convert it to linear intensities or RGB"),
    32845: ("logarithms of luminance and two colors", "intensities or RGB", "convert it to RGB"),
    34892: ("a camera's raw colors", "intensities or RGB", "develop it to RGB"),
}  # fmt: skip
_TURNED = {
    2: "mirrored", 3: "turned by 180 degrees", 4: "upside down", 5: "transposed", 6: "turned by 90 degrees",
    7: "transposed the other way", 8: "turned by 270 degrees",
}  # fmt: skip


def check_samples(path: Path, series: TiffPageSeries, *, named: bool) -> None:
    """The samples of a level are of a kind that is understood.

    Args:
        path: the file.
        series: the level.
        named: its channels have names of their own, so that a palette is for display.

    Raises:
        UnreadableSlideError: they are not; says what to do.
    """
    page = series.keyframe
    bits: object = page.bitspersample
    dtype = page.dtype
    if isinstance(bits, tuple) or dtype is None or np.dtype(dtype).kind not in "uif":
        raise refusal(
            path,
            f"pixels of {bits} bits in sample format {page.sampleformat!s} ({series.dtype})",
            "whole or real numbers, as many bits in every sample",
            "convert the file",
        )
    if page.sampleformat == _VOID and np.dtype(dtype).itemsize * 8 >= _UNSURE_BITS:
        raise refusal(path, f"{bits} bits of undefined format", "a sample format", "export it anew")
    if series.transform is not None:
        raise refusal(path, "values that stand for others by a formula", "linear values", "export it anew")
    if page.compression not in KNOWN:
        raise refusal(
            path,
            f"compression {page.compression!s}, which is not supported",
            "deflate, LZW, zstd, JPEG, JPEG 2000, PNG, WebP or none",
            "save it with one of these",
        )
    _check_colors(path, page, named=named)
    if (turn := _TURNED.get(_orientation(page))) is not None:
        raise refusal(
            path,
            f"pixels that are stored {turn} (orientation {_orientation(page)})",
            "pixels that are stored upright: most viewers of slides ignore the tag, and outlines with it",
            "save it upright, or set its tag Orientation to 1 if outlines were drawn on the pixels as stored",
        )


_SAMPLE_FORMAT = 339
_TYPES = {
    **{name: name for name in ("int8", "int16", "int32", "uint8", "uint16", "uint32")},
    "float": "float32",
    "double": "float64",
}


def check_type(path: Path, page: TiffPage, told: OmeImage | None) -> None:
    """The type of pixels that OME-XML tells, beside what the directory says.

    The directory counts, and the log tells of another type. But where it does not say what its numbers are,
    which some writers leave to the XML, real ones would be read as whole ones without any sense.

    Raises:
        UnreadableSlideError: the XML alone tells that they are real.
    """
    name = "" if told is None else (told.pixels.get("Type") or told.pixels.get("PixelType") or "").strip()
    stored, wanted = np.dtype(page.dtype), _TYPES.get(name.lower())
    if wanted is None or wanted == stored.name:
        return
    silent = _SAMPLE_FORMAT not in page.tags
    if silent and np.dtype(wanted).kind == "f" and np.dtype(wanted).itemsize == stored.itemsize:
        raise refusal(
            path,
            f"pixels of {name} by its OME-XML, and no word of that in its directory",
            "a tag SampleFormat that tells of real numbers",
            "export it anew, for example with `bfconvert`",
        )
    logger.warning("%s: pixels of %s, where its OME-XML tells of %s", path, stored.name, name)


def tell_second(path: Path, page: TiffPage, *, named: bool) -> None:
    """In the log: gray with a second sample, which some writers do not say to be transparency."""
    together = page.samplesperpixel == 2 and page.planarconfig != SEPARATE and not page.parent.is_lsm
    if together and tuple(page.extrasamples) in ((), (_UNSPECIFIED,)) and not named:
        logger.warning(
            "%s: a second sample without a name is taken for a signal: if it is transparency, save it "
            "without",
            path,
        )


def _orientation(page: TiffPage) -> int:
    tag = page.tags.get(274)
    return tag.value if tag is not None and isinstance(tag.value, int) else 1


def _check_colors(path: Path, page: TiffPage, *, named: bool) -> None:
    photometric, extra = int(page.photometric), tuple(page.extrasamples)
    if photometric == _GRAY or (photometric == _PALETTE and _is_display(path, page, named=named)):
        if set(extra) & set(_ALPHA):
            raise refusal(
                path,
                "intensities with transparency",
                "intensities alone",
                "save it without its alpha channel",
            )
    elif photometric == _RGB:
        _check_rgb(path, page)
    elif photometric == _YCBCR:
        if misread_ycbcr(page) or page.samplesperpixel != len(RGB) or page.planarconfig == SEPARATE:
            raise refusal(
                path, "YCbCr outside JPEG: colors would be wrong", "RGB or JPEG", "export it as RGB"
            )
    elif _PHOTOMETRIC not in page.tags:
        raise refusal(path, "no word on what 0 means (no photometric tag)", "0 as black", "export it anew")
    else:
        has, needs, do = _REFUSED.get(
            photometric,
            (f"photometric interpretation {page.photometric!s}", "intensities or RGB", "export it so"),
        )
        raise refusal(path, has, needs, do)


def _check_rgb(path: Path, page: TiffPage) -> None:
    """Three samples, or four with transparency; Zeiss stores any number of detectors as RGB."""
    extra = page.samplesperpixel - len(RGB)
    if extra == 0 or has_alpha(page) or decoded(path, lambda: page.parent.is_lsm):
        return
    if extra < 0:
        raise refusal(
            path, f"RGB of {page.samplesperpixel} samples", "three samples, or intensities", "export it anew"
        )
    raise refusal(
        path,
        f"RGB and {extra} more samples of a kind that is not told, or not understood ({page.extrasamples})",
        "RGB, with alpha that is declared as such and stored beside it in 8 or 16 bits, or intensities",
        "save it as RGB without the extra sample if that is transparency, or as intensities (minisblack, "
        "OME-TIFF) if it is a signal",
    )


def _is_display(path: Path, page: TiffPage, *, named: bool) -> bool:
    """Whether the stored values are intensities, and the palette is for display.

    Raises:
        UnreadableSlideError: they may be numbers of colors.
    """
    known = named or ((page.parent.is_ome or page.parent.is_imagej) and _is_scale(page))
    if known and page.samplesperpixel == 1:
        logger.warning("%s: a color palette over intensities is for display: stored values are read", path)
        return True
    raise refusal(
        path,
        "a color palette: its values may be intensities with colors for display, or numbers of colors",
        "intensities or RGB",
        "if they are intensities, save it as gray with the values as stored (ImageJ: lookup table Grays; or "
        "OME-TIFF with named channels); if it is a picture in a few colors, convert it to RGB",
    )


def _is_scale(page: TiffPage) -> bool:
    """Whether the palette is one."""
    colors_CN = np.asarray([] if page.colormap is None else page.colormap)
    return len(colors_CN) == len(RGB) and is_scale(colors_CN.T)


def check_jpeg_2000(path: Path, tiff: TiffFile, stored: StoredPage) -> None:
    """A picture's JPEG 2000 streams decode to what its directory says.

    RGB needs the stream's own color transform, or a code that stands for RGB: under Aperio's code for YCbCr
    other programs write RGB with the transform, and copies of Aperio's tiles lose the vendor's name.

    Raises:
        UnreadableSlideError: they are luma and chroma, of which the decoder knows nothing.
    """
    page, there = stored.keyframe, np.flatnonzero((stored.offsets > 0) & (stored.counts > 0))
    if page.compression not in JPEG_2000 or page.samplesperpixel < len(RGB) or int(page.photometric) == _GRAY:
        return
    if len(there) == 0:
        return
    decoded(path, tiff.filehandle.seek, int(stored.offsets[there[0]]))
    header = codestream(decoded(path, tiff.filehandle.read, min(int(stored.counts[there[0]]), _HEADER)))
    unsure = page.compression == APERIO_YCBCR and not header.transformed
    if header.subsampled or unsure or misread_ycbcr(page):
        raise refusal(
            path,
            f"JPEG 2000 (code {int(page.compression)}) of luma and chroma, or of colors that are not told",
            "RGB, or a stream that has its color transform",
            "export it as RGB; of Aperio's files, keep the description, by which OpenSlide knows them",
        )
