"""The images of a TIFF: one is the slide, and what is left out is told."""

import io
import logging
import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tifffile import TiffFile, TiffPageSeries

from patching.damage import decoded
from patching.errors import UnreadableSlideError
from patching.numbers import number
from patching.readers.planes import Series
from patching.readers.tiff.checks import check_directory, series_of
from patching.readers.tiff.layout import area, size
from patching.readers.tiff.meaning.ome import OmeFile, OmeImage, ome_file, ome_text

logger = logging.getLogger(__name__)
# Names that end so, whatever is before: `case7.svs [label]`, `slide macro image`; not `label-free`.
_PRIVATE = re.compile(
    r"(?:.*[^a-z])?(?:label|macro|thumbnail|barcode)(?:[ _-]?(?:image|picture))?[^a-z]*", re.S
)
_DESCRIBED = re.compile(r"(?:^|\n)\s*(label|macro|thumbnail)\b", re.I)
_MACRO = 9  # as Aperio marks it
_SHOWN = 10


class _Alone(io.BufferedReader):
    """A file without a place: tifffile joins to one what lies beside it (OME, Micro-Manager, NDTiff)."""

    def fileno(self) -> int:
        """There is none to tell.

        Raises:
            OSError: always.
        """
        raise OSError("read alone")


@dataclass(frozen=True, slots=True)
class TiffImage:
    """One image of a file."""

    series: TiffPageSeries
    name: str
    told: OmeImage | None
    """What OME-XML tells of it."""

    def __str__(self) -> str:
        plane = size(self.series)
        return (
            f"{self.name!r} of {plane.width} x {plane.height}"
            if self.name
            else f"{plane.width} x {plane.height}"
        )

    @property
    def named(self) -> bool:
        """Whether the file names its channels."""
        return self.told is not None and bool(self.told.channels) and all(self.told.channels)

    @property
    def private(self) -> bool:
        """Whether it is the slide's label, or a picture that may show it: names of patients are on them."""
        return bool(_PRIVATE.fullmatch(self.name.lower())) or self.series.keyframe.subfiletype == _MACRO


def opened(path: Path, resources: ExitStack) -> tuple[TiffFile, OmeFile | None]:
    """A file parsed by itself, whatever lies beside it, and what its OME-XML tells of it.

    Raises:
        UnreadableSlideError: no TIFF, truncated, or with OME-XML that is none, or of other files.
    """
    file = resources.enter_context(decoded(path, lambda: _Alone(io.FileIO(path))))
    tiff = resources.enter_context(decoded(path, TiffFile, file, name=path.name))
    check_directory(path, tiff)
    text = ome_text(path, tiff)
    told = None
    if text is not None:
        decoded(path, len, tiff.pages)  # finds all directories
        told = ome_file(path, text, tiff.pages)
    if told is not None:
        # Micro-Manager's own words make one image of all positions.
        alone, xml = False if len(told.images) > 1 else None, told.xml
        tiff = resources.enter_context(
            decoded(path, lambda: TiffFile(file, name=path.name, offset=0, omexml=xml, is_mmstack=alone))
        )
    return tiff, told


def images_of(path: Path, tiff: TiffFile, told: OmeFile | None) -> list[TiffImage]:
    """All images of a file, in its order.

    Raises:
        UnreadableSlideError: the directories contradict each other.
    """
    images = []
    for series in [part for whole in series_of(path, tiff) for part in _apart(whole)]:
        about = None if told is None else _about(path, series, told)
        described = _DESCRIBED.search(series.keyframe.description)
        name = about.name if about else str(series.name or "") or (described[1] if described else "")
        images.append(TiffImage(series, name, about))
    listed = () if told is None else told.images
    for at, image in enumerate(listed):
        if not any(found.told is image for found in images):
            logger.warning(
                "%s: image %d (%s) of its OME-XML is stored in a way that is not understood, and not used",
                *(path, at, image.name),
            )
    if listed and all(image.series.kind == "ome" for image in images):
        _tell_more(path, tiff, frozenset().union(*(image.pages for image in listed)))
    return images


def _tell_more(path: Path, tiff: TiffFile, known: frozenset[int]) -> None:
    """In the log: pages of which OME-XML does not tell; those of a pyramid are no images."""
    others = [number for number in range(decoded(path, len, tiff.pages)) if number not in known]
    more = [number for number in others[:_SHOWN] if not _is_reduced(path, tiff, number)]
    if more:
        logger.warning(
            "%s: pages of which its OME-XML does not tell are left out (%d), such as number %d, from 0",
            *(path, len(others), more[0]),
        )


def _is_reduced(path: Path, tiff: TiffFile, at: int) -> bool:
    return decoded(path, lambda: bool(tiff.pages[at].aspage().is_reduced))


def _apart(series: TiffPageSeries) -> list[TiffPageSeries]:
    """A series, and what tifffile takes for its levels by their sizes alone: they may show something else.

    In a pyramid such pages are marked as reduced, or hang below the full resolution.
    """
    if series.kind != "generic":
        return [series]
    guessed = [level for level in series.levels[1:] if not _is_marked(level)]
    series.levels[:] = [level for level in series.levels if level not in guessed]
    return [series, *guessed]


def _is_marked(level: TiffPageSeries) -> bool:
    return bool(level.keyframe.is_reduced or level.keyframe.is_subifd)


def _about(path: Path, series: TiffPageSeries, told: OmeFile) -> OmeImage | None:
    """The image that a series is: by the name that the XML was given, else by its first directory.

    XML of other sides was written before the pixels were cropped or made coarser.
    """
    if series.kind == "ome" and str(series.name).isdigit():
        return told.images[int(series.name)]
    page = series.keyframe.index
    found = next((image for image in told.images if page in image.pages), None)
    if found is None:
        return None
    sides, there = [found.pixels.get(f"Size{axis}") for axis in "XY"], size(series)
    if [None if side is None else number(side) for side in sides] == [there.width, there.height]:
        return found
    logger.warning(
        "%s: its OME-XML tells of an image of %s x %s, and its page has %d x %d: it is not used",
        *(path, *sides, there.width, there.height),
    )
    return None


def chosen(path: Path, images: Sequence[TiffImage], wanted: Series) -> TiffImage:
    """The image that is asked for, by default the largest; labels and macro pictures never.

    Raises:
        UnreadableSlideError: no such image, several of that name, or one that may show a patient's name.
    """
    usable = [image for image in images if not image.private]
    if wanted is not None:
        image = _asked_for(path, images, wanted)
    elif usable:
        image = max(usable, key=lambda each: area(each.series))
    else:
        image = images[0]
    if image.private:
        raise UnreadableSlideError(
            has=f"{path}: {image}, a label, macro or thumbnail picture",
            needs="a slide: such pictures may show a patient's name",
            do="give the file that holds the slide itself, or choose another image by the column `series`",
        )
    if wanted is None and len(usable) > 1:
        left = [
            f"{number}: {each}" for number, each in enumerate(images) if each in usable and each is not image
        ]
        logger.warning(
            "%s: image %d, %s, is read, the largest; left out are %s%s: choose by the column `series`",
            *(
                path,
                images.index(image),
                image,
                "; ".join(left[:_SHOWN]),
                "; ..." if len(left) > _SHOWN else "",
            ),
        )
    return image


def _asked_for(path: Path, images: Sequence[TiffImage], wanted: int | str) -> TiffImage:
    if isinstance(wanted, int) and 0 <= wanted < len(images):
        return images[wanted]
    names = [image.name.strip() for image in images]
    found = [image for image, name in zip(images, names, strict=True) if name == str(wanted).strip()]
    if len(found) == 1:
        return found[0]
    listed = [f"{number}: {image}" for number, image in enumerate(images)]
    raise UnreadableSlideError(
        has=f"{path}: {len(found) or 'no'} images called {wanted!r} among {'; '.join(listed[:_SHOWN])}",
        needs="an image's number from 0, or a name that one has",
        do="correct the column `series` or `ingest.series`",
    )
