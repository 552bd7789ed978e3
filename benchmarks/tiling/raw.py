"""The limit: the stored tiles under the kept patches, read and decoded once each, and nothing else."""

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

_JPEG, _DEFLATE, _ZSTD = 7, 8, 50_000
_BATCH = 16


def decode(
    slides: list[str], places: list[str], threads: int, repeat: int = 1
) -> Callable[[], dict[str, Any]]:
    """Decode exactly the tiles needed.

    Args:
        slides: TIFF files.
        places: for each an .npz of `ours.locate`: where patches lie.
        threads: how many decode.
        repeat: how often the list of slides is taken.
    """
    work = [_needed(Path(slide), Path(place)) for slide, place in zip(slides, places, strict=True)] * repeat
    pool = ThreadPoolExecutor(threads)

    def measure() -> dict[str, Any]:
        start, cpu = time.perf_counter(), time.process_time()
        tiles = sum(_decode_slide(*needed, pool, threads) for needed in work)
        seconds = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}
        return {**seconds, "tiles": tiles, "patches": patches}

    patches = sum(len(np.load(place)["locations"]) for place in places) * repeat
    return measure


def tiles_under(
    locations_N2: NDArray[np.int64], downsample: float, read: int, tile: int, grid: tuple[int, int]
) -> NDArray[np.int64]:
    """Indices, row by row, of the tiles that any patch touches.

    Args:
        locations_N2: level-0 corners (x, y).
        downsample: of the level that is read.
        read: side of a patch on that level.
        tile: side of a tile.
        grid: tiles along y and x.
    """
    needed = np.zeros(grid, np.bool_)
    corner_N2 = np.floor(locations_N2 / downsample + 0.5).astype(np.int64)
    for (left, top), (right, bottom) in zip(
        (corner_N2 // tile).tolist(), ((corner_N2 + read - 1) // tile).tolist(), strict=True
    ):
        needed[top : bottom + 1, left : right + 1] = True
    return np.flatnonzero(needed)


def _needed(slide: Path, place: Path) -> tuple[Path, list[tuple[int, int]], Callable[[bytes], object]]:
    """File, (offset, length) of each tile needed, and how one is decoded."""
    plan = np.load(place)
    with tifffile.TiffFile(slide) as tiff:
        series = max(tiff.series, key=lambda one: one.size)
        pages = list(series.levels[int(plan["level"])].pages)
        first = pages[0].keyframe
        grid = (-(-first.imagelength // first.tilelength), -(-first.imagewidth // first.tilewidth))
        index_T = tiles_under(
            plan["locations"], float(plan["downsample"]), int(plan["read"]), first.tilewidth, grid
        )
        segments = [
            (page.dataoffsets[index], page.databytecounts[index])
            for index in index_T.tolist()
            for page in pages
        ]
        return slide, [part for part in segments if part[1]], _decoder(first)


def _decoder(page: Any) -> Callable[[bytes], object]:
    size = page.tilelength * page.tilewidth * np.dtype(page.dtype).itemsize
    tables, compression = page.jpegtables, int(page.compression)
    decoders: dict[int, Callable[[bytes], object]] = {
        _JPEG: lambda data: imagecodecs.jpeg8_decode(
            data, tables=tables, colorspace="YCBCR", outcolorspace="RGB"
        ),
        _DEFLATE: lambda data: imagecodecs.deflate_decode(data, out=size),
        _ZSTD: lambda data: imagecodecs.zstd_decode(data, out=size),
    }
    return decoders[compression]


def _decode_slide(
    slide: Path,
    segments: Sequence[tuple[int, int]],
    decoder: Callable[[bytes], object],
    pool: ThreadPoolExecutor,
    threads: int,
) -> int:
    descriptor = os.open(slide, os.O_RDONLY)

    def decode_batch(start: int) -> None:
        for offset, length in segments[start : start + _BATCH]:
            decoder(os.pread(descriptor, length, offset))

    try:
        starts = range(0, len(segments), _BATCH)
        # The pool only where it helps: one thread decodes as fast as it can without.
        list(map(decode_batch, starts) if threads == 1 else pool.map(decode_batch, starts))
    finally:
        os.close(descriptor)
    return len(segments)
