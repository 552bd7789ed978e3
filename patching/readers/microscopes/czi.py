"""CZI: a mosaic of tiles for each channel and plane, with gaps, and coarser tiles as its pyramid.

Each scene is an image: scenes are regions of one carrier, often centimeters apart. Where tiles overlap, the
one of the greatest mosaic index is on top, as in ZEN. A coarser level is used where its tiles lie under all
those of level 0; whether a pixel exists is told by the tiles of level 0, since coarser ones are filled up.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
from defusedxml.ElementTree import fromstring
from numpy.typing import NDArray

from patching.damage import damaged, decoded
from patching.errors import UnreadableSlideError
from patching.geometry import Mpp, Size
from patching.numbers import micrometres
from patching.readers.base import Window
from patching.readers.microscopes.base import CACHE_BYTES, AbstractContainer, Image
from patching.readers.microscopes.czi_file import PIXELS, CziFile, Tile, check_tiles
from patching.readers.microscopes.czi_scene import Scene, overlap, scene_of, stacked_axes
from patching.readers.tiff.segment_cache import Key, Segment, SegmentCache

_SPARSEST = 200
_SCENE = "./Metadata/Information/Image/Dimensions/S/Scenes/Scene[@Index='{}']"


class CziContainer(AbstractContainer):
    """A CZI file.

    Raises:
        UnreadableSlideError: damaged, in several files, or with pixels that are not decoded.
    """

    def _open(self) -> Sequence[Image]:
        self._file = CziFile(self.path)
        self.resources.callback(self._file.close)
        check_tiles(self.path, self._file.tiles)
        text = self._file.xml()
        self._about = (
            decoded(self.path, fromstring, text.rstrip(b"\0 \r\n")) if text.strip(b"\0 \r\n") else None
        )
        by_scene: defaultdict[int, list[Tile]] = defaultdict(list)
        for tile in self._file.tiles:
            by_scene[tile.place.get("S", 0)].append(tile)
        self._cache = SegmentCache(self._decode, CACHE_BYTES)
        self._scenes: list[Scene | None] = []
        return [self._image_or_problem(scene, tiles) for scene, tiles in sorted(by_scene.items())]

    def _image_or_problem(self, number: int, tiles: Sequence[Tile]) -> Image:
        try:
            return self._image(number, tiles)
        except UnreadableSlideError as problem:
            self._scenes.append(None)
            return Image.unreadable(self._named(_SCENE.format(number)), problem)

    def limit(self, nbytes: int) -> None:
        """See the base class."""
        self._cache.capacity = nbytes

    @property
    def decoded(self) -> int:
        """See the base class."""
        return self._cache.decoded

    def _decode(self, key: Key, buffer: NDArray[Any] | None) -> Segment:
        pixels_HWS = self._file.pixels(self._file.tiles[key[2]])
        return Segment(pixels_HWS, (pixels_HWS.shape[0], pixels_HWS.shape[1]), 0, 0, 0)

    def _image(self, number: int, tiles: Sequence[Tile]) -> Image:
        full = [tile for tile in tiles if tile.factor == 1]
        if not full:
            raise damaged(self.path, f"scene {number} without tiles of full resolution")
        if any((tile.width, tile.height) != (tile.stored_width, tile.stored_height) for tile in full):
            raise UnreadableSlideError(
                has=f"{self.path}: tiles stored in another size than they cover, in scene {number}",
                needs="tiles stored pixel by pixel",
                do="export the scene as OME-TIFF from ZEN",
            )
        left, top = min(tile.x for tile in full), min(tile.y for tile in full)
        size = Size(
            max(tile.x + tile.width for tile in full) - left, max(tile.y + tile.height for tile in full) - top
        )
        if size.width * size.height > _SPARSEST * sum(tile.width * tile.height for tile in full):
            raise damaged(self.path, f"tiles far apart in {size.width} x {size.height} pixels")
        kinds = {PIXELS[tile.pixels] for tile in tiles}
        if len(kinds) > 1:
            raise UnreadableSlideError(
                has=f"{self.path}: channels of several pixel types ({_listed(kinds)}) in scene {number}",
                needs="the same pixel type in every channel",
                do="export the channels of one type as OME-TIFF, or split them in ZEN",
            )
        (kind, samples), stacked = kinds.pop(), stacked_axes(self.path, full)
        scene = scene_of(left, top, size, tiles, stacked)
        self._scenes.append(scene)
        shape = (*(last - first + 1 for first, last in stacked.values()), size.height, size.width)
        return Image(
            name=self._named(_SCENE.format(number)),
            axes="".join(stacked) + "YX" + ("S" if samples > 1 else ""),
            shape=(*shape, samples) if samples > 1 else shape,
            dtype=np.dtype(kind),
            sizes=tuple(Size(-(-size.width // f), -(-size.height // f)) for f in scene.factors),
            mpp=self._mpp(),
            channels=self._channels(),
            brightfield=(samples > 1 and kind == "u1") or None,
        )

    def read(
        self,
        place: tuple[int, int, int],
        window: Window,
        region_HWS: NDArray[Any],
        covered_HW: NDArray[np.bool_] | None,
    ) -> None:
        """See the base class."""
        number, level, page = place
        scene = self._scenes[number]
        if scene is None:
            raise ValueError(f"scene {number} cannot be read")
        factor = scene.factors[level]
        exists_HW = np.zeros(region_HWS.shape[:2], np.bool_)
        for tile in scene.under(0, page, window, factor):
            stored = (-(-tile.height // factor), -(-tile.width // factor))
            target, _ = overlap(tile, scene, factor, window, stored)
            exists_HW[target] = True
        for tile in scene.under(level, page, window, factor):
            target, source = overlap(tile, scene, factor, window, (tile.stored_height, tile.stored_width))
            if region_HWS[target].size:
                with self._cache.lent([(level, page, tile.number)]) as (segment,):
                    pixels_HWS = np.asarray(segment.pixels_HWS)[source]
                    np.copyto(region_HWS[target], pixels_HWS, where=exists_HW[target][..., None])
        if covered_HW is not None:
            covered_HW[exists_HW] = True

    def _mpp(self) -> Mpp | None:
        where = "./Metadata/Scaling/Items/Distance[@Id='{}']/Value"
        x, y = (micrometres(self._text(where.format(axis)), "m") for axis in "XY")
        return Mpp(x, y) if x and y else None

    def _channels(self) -> tuple[str, ...]:
        found = self._elements("./Metadata/Information/Image/Dimensions/Channels/Channel")
        return tuple(channel.get("Name") or "" for channel in found)

    def _named(self, where: str) -> str:
        return next((element.get("Name") or "" for element in self._elements(where)), "")

    def _text(self, where: str) -> str | None:
        return next((element.text for element in self._elements(where)), None)

    def _elements(self, where: str) -> list[Element]:
        return [] if self._about is None else self._about.findall(where)


def _listed(kinds: set[tuple[str, int]]) -> str:
    return ", ".join(sorted(f"{np.dtype(kind)} x {samples}" for kind, samples in kinds))
