"""OME-XML, as far as it tells of the file that it stands in.

The XML of a data set that was written to several files lists all of them in each: images whose planes lie in
other files come first, or half of an image's channels do. What belongs to a file is found by identity (its
UUID, else its name, and the numbers of its directories), never by position. The rest is taken out before
tifffile sees it, which would open the other files and join them.
"""

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from xml.etree.ElementTree import Element, SubElement, tostring

from defusedxml.ElementTree import fromstring
from tifffile import TiffFile, TiffFrame, TiffPage

from patching.damage import damaged, decoded
from patching.errors import UnreadableSlideError
from patching.numbers import number
from patching.readers.naming import nameless
from patching.readers.tiff.meaning.ome_planes import MOST_PLANES, keep_here, planes_here

logger = logging.getLogger(__name__)
_LARGEST_COMPANION = 2**28
_BEGINNING, _BEGINS_WITHIN = re.compile(r"<(?:\w{1,20}:)?OME[\s>]"), 4000
_PLAIN_COLORS = ("-16776961", "16711935", "65535")  # red, green, blue and alpha as one signed number
_FLUORESCENCE, _TRANSMITTED = {"Epifluorescence", "Fluorescence"}, {"Transmitted", "Brightfield"}
_MODULO, _STEPS = "ModuloAlong", (("Start", "0"), ("End", "0"), ("Step", "1"))
_TIFF_SUFFIXES = (".tif", ".tiff", ".tf2", ".tf8", ".btf")


@dataclass(frozen=True, slots=True)
class OmeImage:
    """An image of the XML, without the planes that lie in other files."""

    name: str
    pages: frozenset[int]
    """Numbers of this file's directories that hold its planes."""
    channels: tuple[str, ...]
    """The names of its channels, empty where one has none."""
    pixels: Element
    """Its element `Pixels`."""

    @property
    def drawn_rgb(self) -> bool:
        """Whether three channels have no names, and are drawn in pure red, green and blue."""
        drawn = tuple(channel.get("Color") for channel in self.pixels.findall("Channel"))
        return drawn == _PLAIN_COLORS and nameless(self.channels)

    @property
    def fluorescent(self) -> bool:
        """Whether its channels tell of light that was emitted, and of none that was transmitted."""
        words = {
            value
            for channel in self.pixels.findall("Channel")
            for value in (channel.get("IlluminationType"), channel.get("ContrastMethod"))
        }
        emitted = any(channel.get("EmissionWavelength") for channel in self.pixels.findall("Channel"))
        return bool(words & _FLUORESCENCE or emitted) and not words & _TRANSMITTED


@dataclass(frozen=True, slots=True)
class OmeFile:
    """What the XML tells of one file."""

    images: tuple[OmeImage, ...]
    """In the order of the XML."""
    xml: str
    """It tells of nothing else; each image's name is its number."""


def plain_xml(path: Path, text: str) -> Element:
    """The root of an XML without its namespaces.

    Raises:
        UnreadableSlideError: no XML, or it declares entities.
    """
    root: Element = decoded(path, fromstring, text)
    for element in root.iter():
        if isinstance(element.tag, str):
            element.tag = element.tag.rpartition("}")[2]
    return root


def ome_text(path: Path, tiff: TiffFile) -> str | None:
    """The OME-XML of a file as it is written, None where there is none; it may be padded, or break off."""
    text: str = decoded(path, lambda: tiff.pages.first.description.strip(" \t\r\n\0"))
    return text if _BEGINNING.search(text[:_BEGINS_WITHIN]) else None


def refuse_entities(path: Path, tiff: TiffFile) -> None:
    """Parse the OME-XML before tifffile does, whose parser follows entities.

    Raises:
        UnreadableSlideError: no XML, or it declares entities.
    """
    if (text := ome_text(path, tiff)) is not None:
        plain_xml(path, text)


def ome_file(path: Path, text: str, pages: Sequence[TiffPage | TiffFrame]) -> OmeFile | None:
    """What an OME-XML tells of the file that it stands in; None where it does not tell which part that is.

    Args:
        path: the file.
        text: the XML.
        pages: its directories.

    Raises:
        UnreadableSlideError: no XML, all images lie in other files, or planes without order do.
    """
    root = plain_xml(path, text)
    own = _uuid(root.get("UUID"))
    if (pointer := root.find("BinaryOnly")) is not None:
        found = _companion(path, pointer)
        if found is None:
            return None
        root = found
    images = root.findall("Image")
    blocks = list(root.iterfind("Image/Pixels/TiffData"))
    if not blocks:
        if len(images) != 1 or (only := images[0].find("Pixels")) is None:
            logger.warning(
                "%s: its OME-XML does not tell which of %d images lies here: its names of channels and "
                "its pixel size are not used",
                *(path, len(images)),
            )
            return None
        blocks = [SubElement(only, "TiffData")]
    for along in root.iter():
        if str(along.tag).startswith(_MODULO):
            _check_steps(path, along)
    mine = _mine(path, own, blocks)
    kept: list[OmeImage] = []
    for image in images:
        told = _image(path, image, mine, pages)
        if told is None:
            root.remove(image)
            continue
        image.set("Name", str(len(kept)))
        kept.append(told)
    root.attrib.pop("UUID", None)
    return OmeFile(tuple(kept), tostring(root, encoding="unicode"))


def _image(
    path: Path, image: Element, mine: Callable[[Element], bool], pages: Sequence[TiffPage | TiffFrame]
) -> OmeImage | None:
    """An image without what lies in other files, None where all of it does; so is the element then."""
    pixels = image.find("Pixels")
    if pixels is None:
        return None
    blocks = [block for block in pixels.findall("TiffData") if mine(block)]
    here = planes_here(path, pixels, blocks, pages)
    if here is None:
        return None
    keep_here(path, image, pixels, here)
    return OmeImage(
        name=image.get("Name") or "",
        pages=frozenset(here.page_of.values()),
        channels=tuple(channel.get("Name") or "" for channel in pixels.findall("Channel")),
        pixels=pixels,
    )


def _check_steps(path: Path, along: Element) -> None:
    """Refuse an annotation of more steps along an axis than any has planes: tifffile lists them all.

    Lifetimes or wavelengths that are folded into an axis so become one of their own, which `axes` can name.
    """
    start, end, step = (number(along.get(name, otherwise)) for name, otherwise in _STEPS)
    if start is None or end is None or not step or abs(end - start) / abs(step) > MOST_PLANES:
        raise damaged(path, f"OME-XML with {along.tag} of {dict(along.attrib)}")


def _companion(path: Path, pointer: Element) -> Element | None:
    """The XML that a file without its own points to, if it lies beside it."""
    name = _base(pointer.get("MetadataFile"))
    other = path.parent / name
    if not name or not other.is_file() or other.stat().st_size > _LARGEST_COMPANION:
        logger.warning(
            "%s: names of channels, pixel size and the order of planes stand in %s, which is not beside it: "
            "copy it there, or fill the columns `channels`, `mpp` and `axes`",
            *(path, name or "another file"),
        )
        return None
    if name.lower().endswith(_TIFF_SUFFIXES):
        with decoded(other, TiffFile, other) as tiff:
            text = ome_text(other, tiff)
    else:
        text = decoded(other, lambda: other.read_bytes().decode("utf-8-sig"))
    return plain_xml(other, text or "")


def _mine(path: Path, own: str, blocks: list[Element]) -> Callable[[Element], bool]:
    """Whether a block of planes lies in this file.

    A UUID wins over a name, because files are renamed. One that several names share tells nothing.
    """
    named = [block for block in blocks if block.find("UUID") is not None]
    if not named:
        return lambda _: True
    told = {id(block): _told(block) for block in named}
    same = [block for block in named if own and told[id(block)][0] == own]
    if not same or len({told[id(block)][1] for block in same}) > 1:
        files = {name for _, name in told.values()}
        same = [block for block in same or named if told[id(block)][1] == path.name.lower()]
        if not same and len(files) == 1 and not (path.parent / _name(named[0])).is_file():
            same = named
    if not same and len(named) == len(blocks):
        others = sorted({_name(block) for block in named})
        raise UnreadableSlideError(
            has=f"{path}: OME-XML of images in other files ({', '.join(others[:3])}), none in this one",
            needs="a file with the UUID or the name that its OME-XML gives it",
            do="list those files in `image`, or give this one its old name back",
        )
    chosen = {id(block) for block in same}
    return lambda block: id(block) not in told or id(block) in chosen


def _told(block: Element) -> tuple[str, str]:
    """UUID and file name of a block, in small letters."""
    return _uuid(block.findtext("UUID")), _name(block).lower()


def _name(block: Element) -> str:
    uuid = block.find("UUID")
    return _base(None if uuid is None else uuid.get("FileName"))


def _base(name: str | None) -> str:
    """A file's name without its folders, of whatever system."""
    return PureWindowsPath(name or "").name


def _uuid(text: str | None) -> str:
    return (text or "").strip().lower().removeprefix("urn:uuid:")
