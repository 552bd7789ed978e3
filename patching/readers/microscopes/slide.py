"""A slide in a microscope's own file: one of its images, and of that the planes that are asked for."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patching.damage import damaged
from patching.errors import UnreadableSlideError
from patching.readers.base import RGB, Header, Window
from patching.readers.microscopes.base import AbstractContainer, Image
from patching.readers.microscopes.czi import CziContainer
from patching.readers.microscopes.lif import LifContainer
from patching.readers.microscopes.nd2 import Nd2Container
from patching.readers.microscopes.oif import OifContainer
from patching.readers.naming import called_rgb, counted, distinct, numbered, tell_intensities
from patching.readers.planes import ONE_PLANE, Planes, Series, select
from patching.readers.projection import PlanesSlide
from patching.readers.signatures import head_of, recognized
from patching.readers.zarr.files import Source

logger = logging.getLogger(__name__)
CONTAINERS: dict[str, Callable[[Path], AbstractContainer]] = {
    "a Zeiss CZI": CziContainer,
    "a Leica LIF": LifContainer,
    "a Nikon ND2": Nd2Container,
    "an Olympus OIB": OifContainer,
    "an Olympus OIF": OifContainer,
}
"""By what `signatures.recognized` calls the file."""
_SHOWN = 8


class MicroscopeSlide(PlanesSlide):
    """An image of a CZI, LIF, ND2, OIB or OIF.

    Without a choice by `series` it is the first of the largest images; which one, and what is left out, is
    told in the log. Three samples of a pixel are R, G, B: light in 8-bit CZI, untold elsewhere.

    Raises:
        UnreadableSlideError: damaged, no such image, several planes without a choice, or the package that
            reads the format is not installed.
    """

    def __init__(self, path: Source, planes: Planes = ONE_PLANE) -> None:
        self.path, self._planes = Path(path), planes
        super().__init__(path)

    def _open(self) -> Header:
        known = recognized(self.path, head_of(self.path))
        if known is None or known.name not in CONTAINERS:
            raise damaged(self.path, f"{known.name if known else 'a file'} that is no microscope's")
        self._container = _opened(self.path, known.name)
        self._resources.callback(self._container.resources.close)
        self._number = self._chosen(known.name, self._container.images, self._planes.series)
        image = self._container.images[self._number]
        self._tell(known.name)
        selection = select(str(self), image.axes, image.shape, self._planes, image.samples)
        self._samples = image.samples
        self._pages = [number // image.samples for number in selection.wanted[:: image.samples]]
        count = selection.groups_TZC.shape[2]
        colors = image.samples == count == len(RGB)
        header = Header(
            channels=RGB if colors else _names(image, count),
            dtype=image.dtype.newbyteorder("="),
            sizes=image.sizes,
            mpp=image.mpp,
            brightfield=image.brightfield if colors else None,
        )
        if header.brightfield is None:
            tell_intensities(self, header.channels, header.dtype)
        return self._planned(header, selection, self._planes)

    def _chosen(self, kind: str, images: tuple[Image, ...], series: Series) -> int:
        names = [image.name for image in images]
        number = None
        if series is None:
            areas = [0 if image.problem else image.sizes[0].width * image.sizes[0].height for image in images]
            number = areas.index(max(areas))
        elif isinstance(series, int) and 0 <= series < len(images):
            number = series
        elif names.count(str(series)) == 1:
            number = names.index(str(series))
        if number is not None:
            if (problem := images[number].problem) is not None:
                raise _of(kind, problem)
            return number
        raise UnreadableSlideError(
            has=f"{self.path}: {counted(len(images), 'image')} ({_listed(names)}), not {series!r}",
            needs=f"a number from 0 to {len(images) - 1}, or a name that only one has",
            do="correct the column `series`",
        )

    def _tell(self, kind: str) -> None:
        images = self._container.images
        image = images[self._number]
        logger.info(
            "%s: read as %s: image %d (%s), axes %s of %s", self.path, kind, self._number,
            image.name or "no name", image.axes, "x".join(map(str, image.shape)),
        )  # fmt: skip
        if image.mpp is None:
            logger.warning("%s: no pixel size, or none that is a length: fill the column `mpp`", self.path)
        if len(images) > 1 and self._planes.series is None:
            others = [other.name or str(at) for at, other in enumerate(images) if at != self._number]
            logger.warning(
                "%s: of %d images the largest is read, number %d (%s); left out: %s. "
                "The column `series` chooses another",
                self.path, len(images), self._number, image.name or "no name", _listed(others),
            )  # fmt: skip

    def limit_cache(self, nbytes: int) -> None:
        """See the base class."""
        self._container.limit(nbytes)

    @property
    def segments_decoded(self) -> int:
        """See the base class: tiles of a CZI, pages of the others."""
        return self._container.decoded

    def _read_into(
        self, region_HWC: NDArray[Any], level: int, window: Window, covered_HW: NDArray[np.bool_] | None
    ) -> None:
        region_HWC[:] = self.background
        exists_HW = None if covered_HW is None else np.empty_like(covered_HW)
        for at, page in enumerate(self._pages):
            part_HWS = region_HWC[..., at * self._samples : (at + 1) * self._samples]
            if exists_HW is not None:
                exists_HW[:] = False
            self._container.read((self._number, level, page), window, part_HWS, exists_HW)
            if covered_HW is not None and exists_HW is not None:
                covered_HW &= exists_HW


def _opened(path: Path, kind: str) -> AbstractContainer:
    try:
        return CONTAINERS[kind](path)
    except UnreadableSlideError as error:
        raise _of(kind, error) from error


def _of(kind: str, error: UnreadableSlideError) -> UnreadableSlideError:
    """The same error with the file's format, and the way out of what only we fail at."""
    way = "" if "OME-TIFF" in error.do else "; if its own program opens it, save it there as OME-TIFF"
    return UnreadableSlideError(has=f"{error.has} ({kind})", needs=error.needs, do=f"{error.do}{way}")


def _names(image: Image, count: int) -> tuple[str, ...]:
    """Channels shown in red, green and blue are not called so: that would make light of signals."""
    return numbered(count) if called_rgb(image.channels) else distinct(image.channels, count)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
