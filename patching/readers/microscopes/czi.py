"""CZI: a mosaic of tiles for each channel and plane, with gaps, and coarser tiles as its pyramid.

Each scene is an image: scenes are regions of one carrier, often centimeters apart. Where tiles overlap, the
one of the greatest mosaic index is on top, as in ZEN. A coarser level is used where its tiles lie under all
those of level 0; whether a pixel exists is told by the tiles of level 0, since coarser ones are filled up.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
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
from patching.readers.tiff.segment_cache import Key, Segment, SegmentCache

_ORDER = "VHIRBTZC"
_SPARSEST = 200
_RASTER = 1024
_MOST_PAGES = 2**20


@dataclass(frozen=True, slots=True)
class _Scene:
    """The tiles of an image by level and page, lowest first, and where the image begins."""

    left: int
    top: int
    factors: tuple[int, ...]
    tiles: dict[tuple[int, int], tuple[Tile, ...]]
    boxes_N4: dict[tuple[int, int], NDArray[np.int64]]
    """Of these tiles: left, top, right and bottom, in the frame of level 0."""

    def under(self, level: int, page: int, window: Window, factor: int) -> Iterator[Tile]:
        """The tiles that may cover a window of a level."""
        if (level, page) not in self.tiles:
            return
        left, top = self.left + window.left * factor, self.top + window.top * factor
        right, bottom = left + window.width * factor, top + window.height * factor
        # A pixel of a coarser level is rounded to its place.
        boxes_N4 = self.boxes_N4[level, page]
        first_N2, last_N2 = boxes_N4[:, :2] - factor, boxes_N4[:, 2:] + factor
        under_N = (first_N2 < (right, bottom)).all(axis=1) & (last_N2 > (left, top)).all(axis=1)
        for number in np.flatnonzero(under_N).tolist():
            yield self.tiles[level, page][number]


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
        self._scenes: list[_Scene] = []
        return [self._image(scene, tiles) for scene, tiles in sorted(by_scene.items())]

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
        (kind, samples), stacked = kinds.pop(), _stacked(self.path, full)
        scene = self._scene(left, top, size, tiles, stacked)
        self._scenes.append(scene)
        shape = (*(last - first + 1 for first, last in stacked.values()), size.height, size.width)
        return Image(
            name=self._named(f"./Metadata/Information/Image/Dimensions/S/Scenes/Scene[@Index='{number}']"),
            axes="".join(stacked) + "YX" + ("S" if samples > 1 else ""),
            shape=(*shape, samples) if samples > 1 else shape,
            dtype=np.dtype(kind),
            sizes=tuple(Size(-(-size.width // f), -(-size.height // f)) for f in scene.factors),
            mpp=self._mpp(),
            channels=self._channels(),
            brightfield=(samples > 1 and kind == "u1") or None,
        )

    def _scene(
        self, left: int, top: int, size: Size, tiles: Sequence[Tile], stacked: dict[str, tuple[int, int]]
    ) -> _Scene:
        by_factor: defaultdict[int, defaultdict[int, list[Tile]]] = defaultdict(lambda: defaultdict(list))
        for tile in tiles:
            by_factor[tile.factor][_page(tile, stacked)].append(tile)
        full = by_factor[1]
        factors = [1]
        for factor, pages in sorted(by_factor.items()):
            if factor > 1 and set(pages) == set(full) and min(size.width, size.height) >= factor:
                whole = all(
                    _raster(pages[page], left, top, size)[_raster(full[page], left, top, size)].all()
                    for page in full
                )
                factors += [factor] if whole else []
        ordered = {
            (level, page): tuple(sorted(found, key=lambda tile: tile.place.get("M", 0)))
            for level, factor in enumerate(factors)
            for page, found in by_factor[factor].items()
        }
        boxes = {
            key: np.array([(t.x, t.y, t.x + t.width, t.y + t.height) for t in found], np.int64)
            for key, found in ordered.items()
        }
        return _Scene(left, top, tuple(factors), ordered, boxes)

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
        factor = scene.factors[level]
        exists_HW = np.zeros(region_HWS.shape[:2], np.bool_)
        for tile in scene.under(0, page, window, factor):
            stored = (-(-tile.height // factor), -(-tile.width // factor))
            target, _ = _overlap(tile, scene, factor, window, stored)
            exists_HW[target] = True
        for tile in scene.under(level, page, window, factor):
            target, source = _overlap(tile, scene, factor, window, (tile.stored_height, tile.stored_width))
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


def _stacked(path: Path, tiles: Sequence[Tile]) -> dict[str, tuple[int, int]]:
    """First and last place along every axis beside X, Y, scene and mosaic."""
    names = {name for tile in tiles for name in tile.place} - {"S", "M"}
    if unknown := names - set(_ORDER):
        raise damaged(path, f"axes {', '.join(sorted(unknown))} that CZI does not have")
    found = {
        name: (min(tile.place.get(name, 0) for tile in tiles), max(tile.place.get(name, 0) for tile in tiles))
        for name in _ORDER
        if name in names
    }
    if math.prod(last - first + 1 for first, last in found.values()) > _MOST_PAGES:
        raise damaged(path, f"axes of {found}")
    return found


def _page(tile: Tile, stacked: dict[str, tuple[int, int]]) -> int:
    page = 0
    for name, (first, last) in stacked.items():
        page = page * (last - first + 1) + tile.place.get(name, 0) - first
    return page


def _raster(tiles: Sequence[Tile], left: int, top: int, size: Size) -> NDArray[np.bool_]:
    """Where tiles lie, on a coarse grid of points."""
    step = max(1, max(size.width, size.height) // _RASTER)
    points_HW = np.zeros((-(-size.height // step), -(-size.width // step)), np.bool_)
    for tile in tiles:
        rows, columns = (
            slice(max(0, -(-start // step)), max(0, -(-(start + length) // step)))
            for start, length in ((tile.y - top, tile.height), (tile.x - left, tile.width))
        )
        points_HW[rows, columns] = True
    return points_HW


def _overlap(
    tile: Tile, scene: _Scene, factor: int, window: Window, stored: tuple[int, int]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The part of a window that a tile covers, and the part of the tile; both empty where there is none."""
    target, source = [], []
    for start, first, length, count in (
        (tile.y - scene.top, window.top, window.height, stored[0]),
        (tile.x - scene.left, window.left, window.width, stored[1]),
    ):
        place = round(start / factor) - first
        begin, end = min(max(place, 0), length), min(max(place + count, 0), length)
        end = max(begin, end)
        target.append(slice(begin, end))
        source.append(slice(begin - place, end - place))
    return (target[0], target[1]), (source[0], source[1])


def _listed(kinds: set[tuple[str, int]]) -> str:
    return ", ".join(sorted(f"{np.dtype(kind)} x {samples}" for kind, samples in kinds))
