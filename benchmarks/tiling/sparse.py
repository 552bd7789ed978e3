"""Slides of any size in small files: background is not stored, tiles of tissue share their bytes."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.tiling.jpeg_tiles import TILE, Level, cut, encode, share_tiles, write_aperio
from benchmarks.tiling.texture import Tissue, blobs, stained

_STEP = 4
_BLOCK = _STEP * TILE  # tissue comes in such squares, so that a tile of the second level is one thing
_DISTINCT = 64


def write_sparse(path: Path, side: int, share: float, seed: int, mpp: float) -> None:
    """An Aperio slide of levels 1, 4, 16 and, above 40,000 pixels, 64."""
    blocks_BB = blobs(-(-side // _BLOCK), share, seed)
    fine, middle = _distinct(seed, 1), _distinct(seed, _STEP)
    coarse = [_painted(blocks_BB, side, factor, middle[0]) for factor in (16, 64)[: 1 + (side > 40_000)]]
    levels = [_shared_level(side, fine), _shared_level(side // _STEP, middle)]
    levels += [Level(len(image), cut(image)) for image in coarse]
    write_aperio(path, levels, coarse[-1][:1024, :1024], mpp)
    for directory, factor in ((0, 1), (2, _STEP)):
        picks_N = _picks(blocks_BB, side // factor, factor, seed)
        share_tiles(path, directory, picks_N, min(_DISTINCT, len(picks_N)))


def _distinct(seed: int, factor: int) -> list[NDArray[np.uint8]]:
    """Tiles wholly of tissue, as they look `factor` times shrunk."""
    whole, source_HWC = Tissue(TILE * _DISTINCT, 1.0, seed), stained()[::factor, ::factor]
    band_HWC = whole.brightfield(np.ascontiguousarray(source_HWC), 0, TILE)
    return [band_HWC[:, left : left + TILE] for left in range(0, band_HWC.shape[1], TILE)]


def _shared_level(side: int, tiles: list[NDArray[np.uint8]]) -> Level:
    count = (-(-side // TILE)) ** 2
    encoded = [encode(tile)[0] for tile in tiles[:count]]
    return Level(side, encoded + [b""] * (count - len(encoded)))


def _picks(blocks_BB: NDArray[np.bool_], side: int, factor: int, seed: int) -> NDArray[np.int64]:
    """Which of the distinct tiles each tile of a level shows, -1 for background; row by row."""
    count = -(-side // TILE)
    stored = min(_DISTINCT, count**2)
    block_N = np.arange(count) * TILE * factor // _BLOCK
    tissue_NN = blocks_BB[block_N[:, None], block_N[None]]
    picks_NN = np.random.default_rng(seed).integers(0, stored, (count, count))
    return np.where(tissue_NN, picks_NN, -1).ravel()


def _painted(
    blocks_BB: NDArray[np.bool_], side: int, factor: int, tile_HWC: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """A coarse level: squares of texture on white."""
    length = side // factor
    block_N = np.arange(length) * factor // _BLOCK
    texture_HWC = np.tile(tile_HWC, (-(-length // TILE),) * 2 + (1,))[:length, :length]
    return np.where(blocks_BB[block_N[:, None], block_N[None], None], texture_HWC, np.uint8(255))
