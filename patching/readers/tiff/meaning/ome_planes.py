"""Which planes of an image of OME-XML lie in which directories of one file."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement

from tifffile import TiffFrame, TiffPage

from patching.damage import damaged, decoded
from patching.errors import UnreadableSlideError

logger = logging.getLogger(__name__)
MOST_PLANES = 2**20
_SHOWN = 8
_Plane = tuple[int, ...]
"""A place along the axes of an image, in its own order."""


@dataclass(frozen=True, slots=True)
class PlanesHere:
    """The planes of an image that one file holds: all of some channels, at some places along Z and T."""

    order: str
    """The axes beside X and Y, the fastest first."""
    extent: tuple[int, ...]
    """The image's length along them, whatever file it lies in; channels are counted, not their samples."""
    samples: int
    """Of a channel."""
    page_of: dict[_Plane, int]
    """Each plane's directory."""

    @property
    def kept(self) -> dict[str, list[int]]:
        """Along each axis, the places that are there."""
        return {axis: sorted({plane[at] for plane in self.page_of}) for at, axis in enumerate(self.order)}


def planes_here(
    path: Path, pixels: Element, blocks: Sequence[Element], pages: Sequence[TiffPage | TiffFrame]
) -> PlanesHere | None:
    """What the `TiffData` blocks of one file tell; None where they tell of no plane.

    Args:
        path: the file.
        pixels: the image's element `Pixels`.
        blocks: those of its blocks that are about this file.
        pages: directories of the file.

    Raises:
        UnreadableSlideError: contradictions, or planes that are not all of some channels.
    """
    if not blocks:
        return None
    _tell_samples(path, pixels, blocks[0], pages)
    order, extent, samples = _layout(path, pixels)
    page_of: dict[_Plane, int] = {}
    for block in blocks:
        for plane, page in _planes(path, block, order, extent, len(pages)):
            if page_of.setdefault(plane, page) != page:
                raise damaged(path, f"OME-XML that finds the plane {plane} along {order} in two places")
    if not page_of:
        return None
    here = PlanesHere(order, extent, samples, page_of)
    distinct = len(set(page_of.values()))
    if distinct < len(page_of) and samples == 1:
        raise damaged(path, f"OME-XML that finds {len(page_of)} planes in {distinct} directories")
    count = 1
    for places in here.kept.values():
        count *= len(places)
    if count != len(page_of):
        raise UnreadableSlideError(
            has=f"{path}: {len(page_of)} planes of {extent} along {order}, not the same ones of each channel",
            needs="the same places along Z and T in every channel",
            do="export one file with all channels and planes, or list one file per modality",
        )
    return here


def _tell_samples(path: Path, pixels: Element, block: Element, pages: Sequence[TiffPage | TiffFrame]) -> None:
    """Put into the XML that a page holds several channels, where its writer did not."""
    channels = pixels.findall("Channel")
    page = _whole(path, block.get("IFD"), 0)
    told = {channel.get("SamplesPerPixel") or "1" for channel in channels}
    if told - {"1"} or not 0 <= page < len(pages):
        return
    samples = decoded(path, lambda: pages[page].aspage().samplesperpixel)
    if samples > 1 and _whole(path, pixels.get("SizeC"), 1) % samples == 0:
        for channel in channels or [SubElement(pixels, "Channel")]:
            channel.set("SamplesPerPixel", str(samples))


def _layout(path: Path, pixels: Element) -> tuple[str, tuple[int, ...], int]:
    """Axes beside X and Y, their lengths in planes, and the samples of a channel."""
    order = pixels.get("DimensionOrder") or "XYCZT"
    if sorted(order) != sorted("XYCZT") or order[:2] != "XY":
        raise damaged(path, f"OME-XML with planes in the order {order!r}")
    told = {_whole(path, each.get("SamplesPerPixel"), 1) for each in pixels.findall("Channel")} or {1}
    if len(told) > 1:
        raise UnreadableSlideError(
            has=f"{path}: channels of {' and '.join(map(str, sorted(told)))} samples in one image",
            needs="channels that are stored alike",
            do="export colors and signals as an image each, and choose one by the column `series`",
        )
    samples, lengths = told.pop(), [_whole(path, pixels.get(f"Size{axis}"), 1) for axis in order[2:]]
    if samples < 1 or min(lengths) < 1:
        raise damaged(path, f"OME-XML of {lengths} planes along {order[2:]}, {samples} samples each")
    extent = tuple(
        max(1, n // samples) if axis == "C" else n for axis, n in zip(order[2:], lengths, strict=True)
    )
    if extent[0] * extent[1] * extent[2] > MOST_PLANES:
        raise damaged(path, f"OME-XML of {extent} planes along {order[2:]}, more than {MOST_PLANES}")
    return order[2:], extent, samples


def _planes(
    path: Path, block: Element, order: str, extent: tuple[int, ...], pages: int
) -> Iterator[tuple[_Plane, int]]:
    """Each plane of a block, and its directory."""
    first = [_whole(path, block.get(f"First{axis}"), 0) for axis in order]
    page = _whole(path, block.get("IFD"), 0)
    if page < 0 or not all(0 <= at < length for at, length in zip(first, extent, strict=True)):
        raise damaged(path, f"OME-XML with planes from {first} along {order}, where {list(extent)} are told")
    start, step = 0, 1
    for at, length in zip(first, extent, strict=True):
        start, step = start + at * step, step * length
    listed = block.get("PlaneCount") or block.get("NumPlanes") or ("1" if block.get("IFD") else None)
    count = _whole(path, listed, pages - page)
    for number in range(start, min(start + count, step)):
        rest, plane = number, []
        for length in extent:
            rest, at = divmod(rest, length)
            plane.append(at)
        yield tuple(plane), page + number - start


def _whole(path: Path, text: str | None, otherwise: int) -> int:
    return otherwise if text is None else decoded(path, int, text)


def keep_here(path: Path, image: Element, pixels: Element, here: PlanesHere) -> None:
    """Take out of an image what does not lie in this file, count the rest anew, and tell it."""
    kept = here.kept
    for axis, length in zip(here.order, here.extent, strict=True):
        if len(places := kept[axis]) == length:
            continue
        shown = ", ".join(map(str, places[:_SHOWN])) + ("..." if len(places) > _SHOWN else "")
        logger.warning(
            "%s: holds %s of the %d along %s that its OME-XML tells of; these are read, counted from 0",
            *(path, shown, length, axis),
        )
        if axis == "C" and len(channels := pixels.findall("Channel")) == length:
            for number in sorted(set(range(length)) - set(places)):
                pixels.remove(channels[number])
        pixels.set(f"Size{axis}", str(len(places) * (here.samples if axis == "C" else 1)))
        # What an annotation says of a whole axis (lifetimes, wavelengths) does not fit a part of it.
        for reference in image.findall("AnnotationRef"):
            image.remove(reference)
    for block in pixels.findall("TiffData"):
        pixels.remove(block)
    place_of = [{at: number for number, at in enumerate(kept[axis])} for axis in here.order]
    for plane, page in here.page_of.items():
        first = {
            f"First{axis}": str(place[at])
            for axis, place, at in zip(here.order, place_of, plane, strict=True)
        }
        SubElement(pixels, "TiffData", {**first, "IFD": str(page), "PlaneCount": "1"})
