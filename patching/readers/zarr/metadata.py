"""OME-Zarr 0.1 to 0.5: which arrays are the levels of an image, and what their axes and channels are."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from patching.geometry import Mpp, Size, even_levels
from patching.readers.base import RGB
from patching.readers.naming import called_rgb, distinct, nameless, tell_intensities
from patching.readers.planes import Series
from patching.readers.zarr.arrays import ZarrArray as ZarrArray
from patching.readers.zarr.arrays import has_chunks, read_array
from patching.readers.zarr.axes import letters, of_names, unnamed
from patching.readers.zarr.files import ZarrFiles
from patching.readers.zarr.images import ImageGroup, chosen, images_of
from patching.readers.zarr.placement import (
    Placement,
    contradiction,
    described_size,
    pixel_size,
    placement,
    units,
)

logger = logging.getLogger(__name__)
_VERSIONS = ("0.1", "0.2", "0.3", "0.4", "0.5")
_TRANSPARENCY = ("a", "alpha", "transparency", "opacity")
_PLAIN_COLORS = ("FF0000", "00FF00", "0000FF")


@dataclass(frozen=True, slots=True)
class ZarrImage:
    """A multi-resolution image: `axes` has a letter for each axis of every array, finest level first."""

    format: int
    axes: str
    levels: tuple[ZarrArray, ...]
    mpp: Mpp | None
    labels: tuple[str, ...]
    colors: tuple[str, ...]

    def names(self, count: int) -> tuple[str, ...]:
        """Names of `count` channels: R, G, B, the file's own, or C0, C1, ...

        Three without real names that are drawn in pure red, green and blue are taken for these colors where
        they have 8 bits. That is a guess, for converters draw what has no colors like this: 16 bits are
        seldom a camera's colors.
        """
        return (
            RGB
            if count == len(RGB) and (called_rgb(self.labels) or self.guessed)
            else distinct(self.labels, count)
        )

    @property
    def guessed(self) -> bool:
        """Whether red, green and blue are known by the colors alone that channels are drawn in."""
        return self.nameless and self.colors == _PLAIN_COLORS and self.levels[0].dtype == np.uint8

    def tell_what_is_guessed(self, source: object, names: tuple[str, ...]) -> None:
        """In the log: what three channels without names are taken for that are drawn in these colors."""
        if len(names) == len(RGB) and self.nameless and self.colors == _PLAIN_COLORS:
            logger.warning(
                "%s: three channels without names are taken for %s: if they are not, fill the column `kind`, "
                "or `channels`",
                *(source, "transmitted light, red, green and blue" if self.guessed else "intensities"),
            )
        elif not (called_rgb(names) and self.levels[0].dtype in (np.uint8, np.uint16)):
            tell_intensities(source, names, self.levels[0].dtype)

    @property
    def nameless(self) -> bool:
        """Whether no channel has a real name."""
        return nameless(self.labels)


def read_image(files: ZarrFiles, series: Series = None) -> ZarrImage:
    """Read the documents of an image, of the levels that can stand for it.

    Args:
        files: of the hierarchy.
        series: the image of several. By default it is the first of a group, and the largest of groups.

    Raises:
        UnreadableSlideError: no image, or documents that contradict each other.
    """
    images, apart = images_of(files)
    default = 0
    if apart and series is None:
        default = max(range(len(images)), key=lambda number: _area(images[number]))
    return _read(chosen(files, images, series, default))


def documents_of(files: ZarrFiles) -> list[bytes]:
    """All documents that describe the images of a hierarchy and their levels, for a fingerprint."""
    images, _ = images_of(files)
    levels = [
        f"{image.path}/{each.path}".lstrip("/") for image in images for each in image.multiscale.datasets
    ]
    groups = {image.path: None for image in images if image.path}
    return files.documents([*groups, *levels])


def _area(image: ImageGroup) -> int:
    """Pixels of one plane of the finest level."""
    axes, levels = _arrays(image)
    return max(_size(axes, level).width * _size(axes, level).height for level in levels)


def _size(axes: str, level: ZarrArray) -> Size:
    return Size(level.shape[axes.index("X")], level.shape[axes.index("Y")])


def _arrays(image: ImageGroup) -> tuple[str, list[ZarrArray]]:
    files, multiscale = image.files, image.multiscale
    if multiscale.axes is None and multiscale.systems is not None:
        raise files.refusal("axes in `coordinateSystems`", "export it as version 0.4 or 0.5")
    named = None if multiscale.axes is None else letters(files, multiscale.axes)
    levels = [read_array(files, image.format, dataset.path) for dataset in multiscale.datasets]
    if not levels:
        raise files.refusal("an image without levels")
    axes = unnamed(files, len(levels[0].shape)) if named is None else named
    if any(len(level.shape) != len(axes) for level in levels):
        raise files.refusal(f"axes {axes} for arrays of {[len(level.shape) for level in levels]} dimensions")
    own = of_names(levels[0].names)
    if sorted(own) == sorted(axes) and own != axes:
        raise files.refusal(
            f"axes {axes}, which its array {levels[0].path} calls {own}",
            "correct `axes` or `dimension_names`, whichever is wrong, or export it anew",
        )
    return axes, levels


def _read(image: ImageGroup) -> ZarrImage:
    files, multiscale = image.files, image.multiscale
    version = image.content.get("version") or multiscale.version
    if version is not None and str(version) not in _VERSIONS:
        logger.warning(
            "%s: version %s is not known: read as versions up to %s are", files.source, version, _VERSIONS[-1]
        )
    axes, levels = _arrays(image)
    places = [placement(files, multiscale, number, axes) for number in range(len(levels))]
    order = sorted(
        range(len(levels)), key=lambda n: -_size(axes, levels[n]).width * _size(axes, levels[n]).height
    )
    if order[0] != 0:
        logger.warning("%s: the finest level is not the first, but %s", files.source, levels[order[0]].path)
    places, levels = [places[number] for number in order], [levels[number] for number in order]
    labels, colors = _channels(image)
    if called_rgb(labels[:-1]) and labels[-1].strip().lower() in _TRANSPARENCY:
        raise files.refusal(
            f"channels {', '.join(labels)}, the last of which is transparency, no signal",
            "export it without that channel, laid over white",
        )
    return ZarrImage(
        format=image.format,
        axes=axes,
        levels=tuple(
            replace(level, path=f"{image.path}/{level.path}".lstrip("/"))
            for level in _kept(files, axes, levels, places)
        ),
        mpp=_pixel_size(image, axes, levels[0], places[0]),
        labels=labels,
        colors=colors,
    )


def _pixel_size(image: ImageGroup, axes: str, full: ZarrArray, place: Placement) -> Mpp | None:
    """As the image itself tells it, else as OME-XML does of an image of this size."""
    size, told = _size(axes, full), image.described.pixels if image.described else {}
    if (told.get("SizeX"), told.get("SizeY")) != (str(size.width), str(size.height)):
        told = {}
    found = pixel_size(image.multiscale, axes, place) or described_size(told)
    if found is None:
        logger.warning(
            "%s: no pixel size: its scale is %g along X and %g along Y (nan: not told), its units %s",
            *(image.files.source, place.x.scale, place.y.scale, units(image.multiscale, axes)),
        )
    return found


def _kept(
    files: ZarrFiles, axes: str, levels: Sequence[ZarrArray], places: Sequence[Placement]
) -> list[ZarrArray]:
    """Levels that show what the finest one shows; the log tells of others."""
    full = levels[0]
    stored = has_chunks(files, full)
    if not stored:
        logger.warning(
            "%s: not one chunk of %s is stored: nothing is known of its pixels", files.source, full.path
        )
    kept: list[ZarrArray] = []
    for level, place in zip(levels, places, strict=True):
        reason = (
            _unlike(axes, full, level)
            or contradiction(places[0], place, (_size(axes, full), _size(axes, level)))
            or ("not one chunk of it is stored" if stored and not has_chunks(files, level) else None)
        )
        if reason is None:
            kept.append(level)
        else:
            logger.warning("%s: level %s is left out: %s", files.source, level.path, reason)
    return [kept[number] for number in even_levels(files.source, [_size(axes, level) for level in kept])]


def _unlike(axes: str, full: ZarrArray, level: ZarrArray) -> str | None:
    """Levels that are coarser along Z too number their planes otherwise."""
    if level.dtype != full.dtype:
        return f"pixels of {level.dtype}, not {full.dtype}"
    for axis, own, whole in zip(axes, level.shape, full.shape, strict=True):
        if axis not in "YX" and own != whole:
            return f"{own} planes along {axis}, not {whole}"
    return None


def _channels(image: ImageGroup) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Labels and colors that viewers are told; without labels, the names of OME-XML."""
    omero: Any = image.content.get("omero")
    listed: Any = omero.get("channels") if isinstance(omero, dict) else None
    told = [each if isinstance(each, dict) else {} for each in (listed if isinstance(listed, list) else ())]
    labels = tuple("" if each.get("label") is None else str(each["label"]) for each in told)
    colors = tuple(str(each.get("color") or "").lstrip("#").upper() for each in told)
    if not any(labels) and image.described:
        labels = image.described.channels
    return labels, colors
