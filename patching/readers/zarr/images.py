"""Which images a hierarchy holds, and which of them is the slide."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from defusedxml.ElementTree import fromstring

from patching.damage import decoded
from patching.errors import UnreadableSlideError
from patching.readers.naming import counted
from patching.readers.planes import Series
from patching.readers.zarr.documents import Attributes, Multiscale, parsed
from patching.readers.zarr.files import ZarrFiles

logger = logging.getLogger(__name__)
_CONTAINER = "bioformats2raw.layout"
_OME_XML = "OME/METADATA.ome.xml"
_MOST_IMAGES = 1000


@dataclass(frozen=True, slots=True)
class Described:
    """What OME-XML tells of an image: its name, its channels' names, and its pixels' attributes."""

    name: str
    channels: tuple[str, ...]
    pixels: dict[str, str]


@dataclass(frozen=True, slots=True)
class ImageGroup:
    """An image in a hierarchy; `path` leads from the hierarchy's root to its group."""

    path: str
    files: ZarrFiles
    format: int
    content: dict[str, Any]
    multiscale: Multiscale
    described: Described | None = None

    @property
    def name(self) -> str:
        """As the file calls it, or an empty text."""
        told = self.multiscale.name or (self.described.name if self.described else "")
        return str(told or "")


def images_of(files: ZarrFiles) -> tuple[list[ImageGroup], bool]:
    """All images of a hierarchy in its own order, and whether each has a group of its own.

    Raises:
        UnreadableSlideError: none, or a plate, a well or a label image.
    """
    zarr_format, content = _attributes(files)
    if content.get("multiscales"):
        return _of_group(files, "", zarr_format, content, None), False
    described = _described(files) if _CONTAINER in content and "plate" not in content else []
    paths = _paths(files, content, len(described))
    if not paths:
        raise _no_image(files, content)
    fitting: Sequence[Described | None] = described if len(described) == len(paths) else [None] * len(paths)
    found: list[ImageGroup] = []
    for path, about in zip(paths, fitting, strict=True):
        inside = files.inside(path)
        zarr_format, content = _attributes(inside)
        if not content.get("multiscales"):
            raise _no_image(inside, content)
        first, *others = _of_group(inside, path, zarr_format, content, about)
        if others:
            logger.warning("%s: %d more images in its group are left out", inside.source, len(others))
        found.append(first)
    return found, True


def chosen(files: ZarrFiles, images: Sequence[ImageGroup], series: Series, default: int) -> ImageGroup:
    """The image that is asked for by its number, name or path, else the default; the log tells of others.

    Raises:
        UnreadableSlideError: there is none of that number or name, or several.
    """
    named = [f"{number} ({image.name or image.path})" for number, image in enumerate(images)]
    if series is None:
        if len(images) > 1:
            logger.warning(
                "%s: %d images; number %s is read, of %s: choose another by the column `series`",
                *(files.source, len(images), named[default], ", ".join(named)),
            )
        return images[default]
    if isinstance(series, int):
        fitting = [series] if 0 <= series < len(images) else []
    else:
        fitting = [n for n, image in enumerate(images) if series in (image.name, image.path)]
    if len(fitting) != 1:
        raise UnreadableSlideError(
            has=f"{files.source}: {counted(len(images), 'image')}, {', '.join(named)}, where `series` asks "
            f"for {series!r}",
            needs="the number, from 0, or the name of one of them",
            do="correct the column `series`",
        )
    return images[fitting[0]]


def _of_group(
    files: ZarrFiles, path: str, zarr_format: int, content: dict[str, Any], described: Described | None
) -> list[ImageGroup]:
    if "image-label" in content:
        raise files.refusal(
            "a label image: numbers of objects, no intensities", "name the image that it was made from"
        )
    attributes = parsed(files, Attributes, content)
    return [
        ImageGroup(path, files, zarr_format, content, multiscale, described)
        for multiscale in attributes.multiscales
    ]


def _attributes(files: ZarrFiles) -> tuple[int, dict[str, Any]]:
    """The zarr format, and what a group tells about its images."""
    found = files.document("zarr.json", optional=True)
    zarr_format, told = 3, None if found is None else found.get("attributes")
    if found is None:
        zarr_format, told = 2, files.document(".zattrs")
        if not told and files.document(".zarray", optional=True) is not None:
            found = {"node_type": "array"}
        elif not told and files.document(".zgroup") is None:
            raise files.refusal("no zarr group: neither zarr.json nor .zgroup")
    if found is not None and found.get("node_type") == "array":
        raise files.refusal("one array, without what tells of its axes", "name the folder that it lies in")
    told = {} if told is None else told
    # Version 0.5 keeps it under `ome`, earlier ones did not; some writers mix them, or leave an empty one.
    ome = told.get("ome", {}) if isinstance(told, dict) else None
    if not isinstance(told, dict) or not isinstance(ome, dict):
        raise files.refusal("malformed documents: attributes that are no object")
    return zarr_format, told if told.get("multiscales") and not ome.get("multiscales") else ome or told


def _paths(files: ZarrFiles, content: dict[str, Any], described: int) -> list[str]:
    """Of the images in a container: as it lists them, else numbered as OME-XML describes them."""
    if _CONTAINER not in content or "plate" in content:
        return []
    inside = files.inside("OME")
    listed = [inside.document(name, optional=True) for name in ("zarr.json", ".zattrs")]
    told: Any = listed[0].get("attributes") if listed[0] else listed[1]
    told = told if isinstance(told, dict) else {}
    told = told["ome"] if isinstance(told.get("ome"), dict) else told
    paths = told.get("series")
    if paths is None:
        paths = [str(number) for number in range(described or _counted(files))]
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise files.refusal("malformed documents: a list `series` that holds other than paths")
    if len(paths) > _MOST_IMAGES:
        raise files.refusal(f"more than {_MOST_IMAGES} images")
    return paths


def _counted(files: ZarrFiles) -> int:
    """Groups 0, 1, ... as far as they go."""
    for number in range(_MOST_IMAGES):
        names = [f"{number}/{name}" for name in ("zarr.json", ".zattrs")]
        if all(files.document(name, optional=True) is None for name in names):
            return number
    return _MOST_IMAGES


def _described(files: ZarrFiles) -> list[Described]:
    """The images of the container's OME-XML, whose order is that of its groups."""
    text = files.text(_OME_XML, optional=True)
    if text is None:
        return []
    root = decoded(f"{files.source}: {_OME_XML}", fromstring, text)
    found: list[Described] = []
    for image in root.iterfind("{*}Image"):
        pixels = image.find("{*}Pixels")
        channels = [] if pixels is None else pixels.findall("{*}Channel")
        found.append(
            Described(
                image.get("Name", ""),
                tuple(channel.get("Name", "") for channel in channels),
                {} if pixels is None else dict(pixels.attrib),
            )
        )
    return found


def _no_image(files: ZarrFiles, attributes: dict[str, Any]) -> UnreadableSlideError:
    kinds = ("plate", "well", _CONTAINER, "labels")
    kind = next((name for name in kinds if name in attributes), "")
    inside = next(iter(_inside(attributes.get(kind), kind)), "0")
    return UnreadableSlideError(
        has=f"{files.source}: a zarr group without `multiscales`" + (f", but with `{kind}`" if kind else ""),
        needs="one image",
        do=f"name an image inside it, for example slide.ome.zarr/{inside}",
    )


def _inside(content: Any, kind: str) -> list[str]:
    """Paths of images of a plate or well."""
    told = content if isinstance(content, dict) else {}
    members = told.get({"plate": "wells", "well": "images"}.get(kind, ""))
    paths = [member.get("path") for member in members or () if isinstance(member, dict)]
    return [f"{path}/0" if kind == "plate" else str(path) for path in paths if path]
