"""Endless tissue: the texture of real slides, mirrored without seam, in blobs on a noisy background.

The same side, share and seed give the same pixels; any band of rows can be made by itself, so that a
slide is written without ever being in memory.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from benchmarks.tiling.places import real_data

CELL = 64  # the blobs are drawn on cells of this many pixels
_WAVES = 12
_NOISE = 1024
_PAPER = np.array((243, 241, 244), np.float32)
_PEDESTAL, _GAIN = 90.0, 40.0  # a 12-bit detector's offset and counts per unit of the 8-bit source


def blobs(cells: int, share: float, seed: int) -> NDArray[np.bool_]:
    """Which cells are tissue: contiguous blobs that cover `share` of a square, bool [cells, cells]."""
    rng = np.random.default_rng(seed)
    y_H1, x_1W = np.ogrid[: 1 : cells * 1j, : 1 : cells * 1j]
    field_HW = np.zeros((cells, cells))
    for _ in range(_WAVES):
        angle, phase, waves = [*rng.uniform(0, 2 * np.pi, 2).tolist(), rng.uniform(0.5, 3)]
        field_HW += np.cos(2 * np.pi * waves * (x_1W * np.cos(angle) + y_H1 * np.sin(angle)) + phase)
    mask_HW: NDArray[np.bool_] = field_HW > np.quantile(field_HW, 1 - share)
    return mask_HW


@dataclass(frozen=True)
class Tissue:
    """A square slide of one seed."""

    side: int
    share: float
    seed: int

    @cached_property
    def _cover_HW(self) -> NDArray[np.float32]:
        cells = -(-self.side // CELL)
        cover_HW = blobs(cells, self.share, self.seed).astype(np.float32)
        return cv2.GaussianBlur(cover_HW, (0, 0), 0.6)

    @cached_property
    def _noise_HW(self) -> NDArray[np.float32]:
        rng = np.random.default_rng(self.seed + 1)
        return rng.standard_normal((_NOISE, _NOISE), np.float32)

    def cover(self, top: int, height: int) -> NDArray[np.float32]:
        """How much of each pixel is tissue, 0 to 1, [height, side]."""
        x_1W = (np.arange(self.side, dtype=np.float32) + 0.5) / CELL - 0.5
        y_H1 = (np.arange(top, top + height, dtype=np.float32) + 0.5) / CELL - 0.5
        maps = np.meshgrid(x_1W, y_H1)
        return cv2.remap(self._cover_HW, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    def noise(self, top: int, height: int, channel: int) -> NDArray[np.float32]:
        """Gaussian noise of deviation 1, [height, side]; it repeats after 1,024 pixels, shifted by band."""
        shift = top * 37 + channel * 331
        rows, columns = np.arange(top, top + height) % _NOISE, (np.arange(self.side) + shift) % _NOISE
        return self._noise_HW[rows[:, None], columns[None]]

    def brightfield(self, source_HWC: NDArray[np.uint8], top: int, height: int) -> NDArray[np.uint8]:
        """Rows of a stained slide, uint8 [height, side, 3]."""
        cover_HW, band_HWC = self.cover(top, height), self._mirrored(source_HWC, top, height)
        for channel, paper in enumerate(_PAPER):
            plane_HW = paper + (band_HWC[..., channel] - paper) * cover_HW
            plane_HW += self.noise(top, height, channel) * 1.5
            band_HWC[..., channel] = np.clip(plane_HW, 0, 255)
        return band_HWC

    def intensity(
        self, source_HW: NDArray[np.uint8], top: int, height: int, channel: int
    ) -> NDArray[np.uint16]:
        """Rows of one 12-bit channel with shot noise, uint16 [height, side]."""
        signal_HW = self._mirrored(source_HW, top, height) * self.cover(top, height) * _GAIN
        noise_HW = self.noise(top, height, channel) * np.sqrt(signal_HW + 4.0)
        return np.clip(signal_HW + noise_HW + _PEDESTAL, 0, 4095).astype(np.uint16)

    def _mirrored(self, source: NDArray[np.uint8], top: int, height: int) -> NDArray[np.uint8]:
        rows = _reflected(np.arange(top, top + height) + self.seed * 101, source.shape[0])
        columns = _reflected(np.arange(self.side) + self.seed * 57, source.shape[1])
        return source[rows[:, None], columns[None]]


def _reflected(index_N: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    folded_N = index_N % (2 * length)
    return np.where(folded_N < length, folded_N, 2 * length - 1 - folded_N)


def stained() -> NDArray[np.uint8]:
    """The dense part of the Aperio slide CMU-1-Small-Region, uint8 [H, W, 3]."""
    image_HWC = tifffile.imread(real_data() / "wsi-scanners" / "CMU-1-Small-Region.svs", series=0)
    return np.ascontiguousarray(image_HWC[1960:2940, 840:1600])


def fluorescent() -> NDArray[Any]:
    """Three channels of the Vectra slide, inside its tissue core, uint8 [3, H, W]."""
    image_CHW = tifffile.imread(real_data() / "wsi-scanners" / "small_vectra.qptiff", series=0)
    return np.ascontiguousarray(image_CHW[:3, 310:1170, 220:1070])
