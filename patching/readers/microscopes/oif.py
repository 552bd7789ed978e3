"""OIB and OIF: Olympus' pages of TIFF in a compound file or in a folder; read with oiffile (BSD)."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patching.damage import Foreign, damaged
from patching.geometry import Mpp, Size
from patching.numbers import micrometres
from patching.readers.microscopes.base import FrameContainer, Image, extra
from patching.readers.microscopes.compound import check_compound
from patching.readers.signatures import OLE_MAGIC, head_of

logger = logging.getLogger(__name__)
_REFERENCE = "Reference Image Parameter"
_by_oiffile = Foreign(damaged)


class OifContainer(FrameContainer):
    """An OIB file, or an OIF file with its folder; each series of pages is an image.

    Pages that are listed nowhere between others do not exist: their pixels are unknown.

    Raises:
        UnreadableSlideError: damaged, its folder is missing, or oiffile is not installed.
    """

    def _open(self) -> Sequence[Image]:
        with extra(self.path, "oiffile"):
            import oiffile
        if head_of(self.path).startswith(OLE_MAGIC):
            check_compound(self.path)
        self._file = _by_oiffile(self.path, oiffile.OifFile, self.path)
        self.resources.callback(self._file.close)
        self.resources.callback(self._held.clear)
        self._series: list[Any] = _by_oiffile(self.path, lambda: list(self._file.series))
        self._pages = [self._listed(series) for series in self._series]
        return [self._image(series, pages) for series, pages in zip(self._series, self._pages, strict=True)]

    def _listed(self, series: Any) -> dict[int, str]:
        """Names of pages by their number."""
        numbers = _by_oiffile(
            self.path, lambda: [int(np.ravel_multi_index(place, series.shape)) for place in series.indices]
        )
        return _by_oiffile(self.path, lambda: dict(zip(numbers, map(str, series), strict=True)))

    def _image(self, series: Any, pages: Mapping[int, str]) -> Image:
        first = self._page(next(iter(pages.values())))
        axes, shape = _by_oiffile(self.path, lambda: (str(series.axes), tuple(map(int, series.shape))))
        height, width = first.shape[:2]
        return Image(
            name=next(iter(pages.values())).rpartition("/")[2],
            axes=f"{axes}YX",
            shape=(*shape, height, width),
            dtype=first.dtype,
            sizes=(Size(width, height),),
            mpp=self._mpp(),
            channels=self._channels(),
        )

    def _page(self, name: str) -> NDArray[Any]:
        pixels: NDArray[Any] = _by_oiffile(self.path, self._file.asarray, name)
        if pixels.ndim != 2:
            raise damaged(self.path, f"the page {name} of {pixels.shape}")
        return pixels

    def _frame(self, image: int, page: int) -> NDArray[Any] | None:
        name = self._pages[image].get(page)
        if name is None:
            logger.warning("%s: page %d does not exist; its pixels are unknown", self.path, page)
            return None
        return self._page(name)

    def _mpp(self) -> Mpp | None:
        x, y = (
            micrometres(self._told(_REFERENCE, f"{side}ConvertValue"), self._told(_REFERENCE, f"{side}Unit"))
            for side in ("Width", "Height")
        )
        return Mpp(x, y) if x and y else None

    def _channels(self) -> tuple[str, ...]:
        names = []
        for number in range(1, 100):
            sections = (f"GUI Channel {number} Parameters", f"Channel {number} Parameters")
            told = [self._told(section, key) for section in sections for key in ("DyeName", "CH Name")]
            found = next((name for name in told if name and name != "None"), None)
            if found is None:
                break
            names.append(found)
        return tuple(names)

    def _told(self, section: str, key: str) -> str | None:
        value = _by_oiffile(self.path, lambda: self._file.mainfile.get(section, {}).get(key))
        return None if value is None else str(value)
