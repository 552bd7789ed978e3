"""The slides that are measured: built once, named by a digest of what they are made of and by what code.

A slide is written row by row of its tiles; none is ever in memory.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from benchmarks.tiling import jpeg_tiles, places, sparse, texture
from benchmarks.tiling.jpeg_tiles import TILE, Level, cut, write_aperio
from benchmarks.tiling.sparse import write_sparse
from benchmarks.tiling.texture import Tissue, fluorescent, stained

MPP = 0.5
STEP = 4  # from one level to the next
_SOURCES = (jpeg_tiles, sparse, texture)


def stained_slide(side: int = 20_480, share: float = 0.4, seed: int = 3) -> Path:
    """Pyramidal JPEG slide, 8-bit RGB, levels of 1, 4 and 16."""

    def write(path: Path) -> None:
        tissue, source_HWC = Tissue(side, share, seed), stained()
        coarse = [np.empty((side // STEP**k, side // STEP**k, 3), np.uint8) for k in (1, 2)]
        rows = _stained_rows(tissue, source_HWC, coarse)
        levels = (Level(side, rows), *(Level(len(image), cut(image)) for image in coarse))
        write_aperio(path, levels, coarse[1], MPP)  # filled by the time it is written

    return _cached(f"stained-{side}-{share}-{seed}", ".svs", write)


def multichannel_slide(compression: str, side: int = 10_240, share: float = 0.4, seed: int = 5) -> Path:
    """Pyramidal OME-TIFF, three planes of uint16 in tiles, sub-IFDs of 4 and 16; `zlib` or `zstd`."""

    def write(path: Path) -> None:
        tissue, planes_CHW = Tissue(side, share, seed), fluorescent()
        coarse = [np.empty((3, side // STEP**k, side // STEP**k), np.uint16) for k in (1, 2)]
        pixel = {
            f"PhysicalSize{axis}{unit}": value for axis in "XY" for unit, value in (("", MPP), ("Unit", "µm"))
        }
        metadata = {"axes": "CYX", "Channel": {"Name": ["CARS", "TPEF", "SHG"]}, **pixel}
        options = {"tile": (TILE, TILE), "compression": compression, "photometric": "minisblack"}
        with tifffile.TiffWriter(path, ome=True, bigtiff=True) as tiff:
            rows = _intensity_tiles(tissue, planes_CHW, coarse)
            shape = (3, side, side)
            tiff.write(rows, shape=shape, dtype=np.uint16, subifds=2, metadata=metadata, **options)
            for image in coarse:
                tiff.write(image, subfiletype=1, metadata=None, **options)

    return _cached(f"multichannel-{compression}-{side}-{share}-{seed}", ".ome.tif", write)


def sparse_slide(side: int, share: float = 0.25, seed: int = 7) -> Path:
    """JPEG slide of any size in a small file: background is not stored, tissue tiles share their bytes."""
    return _cached(
        f"sparse-{side}-{share}-{seed}", ".svs", lambda path: write_sparse(path, side, share, seed, MPP)
    )


def small_slides(count: int = 40, side: int = 1024) -> list[Path]:
    """Small stained slides, each with its own tissue."""
    return [stained_slide(side, 0.5, 1000 + number) for number in range(count)]


def outline(slide: Path, side: int) -> Path:
    """A GeoJSON annotation beside a slide: the left part, with a wavy border, is tumor."""
    path = slide.with_suffix(".geojson")
    y_N = np.linspace(0, side, 200)
    border = [[side * 0.45 + side * 0.05 * np.sin(y / side * 25), y] for y in y_N.tolist()]
    ring = [[0, 0], *border, [0, side], [0, 0]]
    feature = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"classification": {"name": "Tumor"}},
    }
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}), encoding="utf-8")
    return path


def _cached(name: str, suffix: str, write: Callable[[Path], None]) -> Path:
    digest = hashlib.sha256(name.encode())
    for source in (*(Path(str(module.__file__)) for module in _SOURCES), Path(__file__)):
        digest.update(source.read_bytes())
    path = places.SLIDES / f"{name}-{digest.hexdigest()[:8]}{suffix}"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        for stale in path.parent.glob(f"{name}-*"):
            stale.unlink()
        part = path.with_name(f".part-{path.name}")
        write(part)
        part.rename(path)
    return path


def _stained_rows(
    tissue: Tissue, source_HWC: NDArray[np.uint8], coarse: list[NDArray[np.uint8]]
) -> Iterator[bytes]:
    """Level 0 tile by tile; the coarser levels are filled on the way."""
    for top in range(0, tissue.side, TILE):
        band_HWC = tissue.brightfield(source_HWC, top, min(TILE, tissue.side - top))
        for image, factor in zip(coarse, (STEP, STEP**2), strict=True):
            shrunk_HWC = _shrunk(band_HWC, factor)
            image[top // factor : top // factor + len(shrunk_HWC)] = shrunk_HWC
        yield from cut(band_HWC)


def _intensity_tiles(
    tissue: Tissue, planes_CHW: NDArray[np.uint8], coarse: list[NDArray[np.uint16]]
) -> Iterator[NDArray[np.uint16]]:
    for channel, source_HW in enumerate(planes_CHW):
        for top in range(0, tissue.side, TILE):
            band_HW = tissue.intensity(source_HW, top, TILE, channel)
            for image, factor in zip(coarse, (STEP, STEP**2), strict=True):
                image[channel, top // factor : (top + TILE) // factor] = _shrunk(band_HW[..., None], factor)[
                    ..., 0
                ]
            for left in range(0, tissue.side, TILE):
                yield band_HW[:, left : left + TILE]


def _shrunk(image_HWC: NDArray[Any], factor: int) -> NDArray[Any]:
    height, width, channels = image_HWC.shape
    blocks = image_HWC.reshape(height // factor, factor, width // factor, factor, channels)
    return blocks.mean(axis=(1, 3), dtype=np.float32).astype(image_HWC.dtype)
