"""Many squares of one size, shrunk by a factor that is no whole number.

The mean over an area is a product with a banded matrix from each side. As products of small dense blocks
these are work for BLAS, and take two thirds of the time of OpenCV, which goes from pixel to pixel.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_DOWN, _ACROSS = 16, 8
"""Rows and columns of the result that are made at once: more would multiply more zeros."""
_MOST_CHANNELS = 4
_KNOWN = (np.uint8, np.uint16, np.float32)


class AreaShrink:
    """Shrinks squares [S, S, C] to [s, s, C] by averaging areas; each thread has its own.

    Weights and sums are float32, as OpenCV's are.

    Args:
        side: of the squares.
        size: of the results.
        channels: at most 4.
    """

    def __init__(self, side: int, size: int, channels: int) -> None:
        self._source_HN = np.empty((side, side * channels), np.float32)
        rows_hN = np.empty((size, side * channels), np.float32)
        self._mean_hN = np.empty((size, size * channels), np.float32)
        weight_hH = _weights(side, size)
        self._products = []
        for first, last, begin, end in _blocks(weight_hH, _DOWN):
            source_HN, target_hN = self._source_HN[begin:end], rows_hN[first:last]
            self._products.append((weight_hH[first:last, begin:end].copy(), source_HN, target_hN))
        each_CC = np.eye(channels, dtype=np.float32)
        for first, last, begin, end in _blocks(weight_hH, _ACROSS):
            source_hN = rows_hN[:, begin * channels : end * channels]
            target_hN = self._mean_hN[:, first * channels : last * channels]
            weight_Ww = np.kron(weight_hH[first:last, begin:end], each_CC).T.copy()
            self._products.append((source_hN, weight_Ww, target_hN))

    @staticmethod
    def suits(side: int, size: int, channels: int, dtype: np.dtype[Any]) -> bool:
        """Whether it is faster than OpenCV, which is quick with whole factors, and knows the type."""
        return side % size != 0 and channels <= _MOST_CHANNELS and dtype in _KNOWN

    def shrink(self, image_HWC: NDArray[Any], out_HWC: NDArray[Any]) -> None:
        """Fill a contiguous array with the shrunk image; integers are rounded."""
        np.copyto(self._source_HN, image_HWC.reshape(self._source_HN.shape))
        for left, right, product in self._products:
            np.matmul(left, right, out=product)
        mean_hN, out_hN = self._mean_hN, out_HWC.reshape(self._mean_hN.shape)
        if out_hN.dtype == np.uint8:
            cv2.convertScaleAbs(mean_hN, out_hN)
            return
        np.copyto(
            out_hN, np.rint(mean_hN, out=mean_hN) if out_hN.dtype.kind == "u" else mean_hN, casting="unsafe"
        )


def _weights(side: int, size: int) -> NDArray[np.float32]:
    """Share of each source pixel in each pixel of the result, [size, side]."""
    scale = side / size
    edge_N, pixel_W = np.arange(size + 1) * scale, np.arange(side)
    overlap = np.minimum(edge_N[1:, None], pixel_W + 1) - np.maximum(edge_N[:-1, None], pixel_W)
    # What rounding leaves of a pixel that is not touched would widen the bands.
    return np.where(overlap > 1e-9, overlap / scale, 0).astype(np.float32)


def _blocks(weight_hH: NDArray[np.float32], step: int) -> list[tuple[int, int, int, int]]:
    """First and last row of each block, and the band of columns in which it has weights."""
    blocks = []
    for first in range(0, len(weight_hH), step):
        used_W = np.flatnonzero(weight_hH[first : first + step].any(axis=0))
        blocks.append((first, min(first + step, len(weight_hH)), int(used_W[0]), int(used_W[-1]) + 1))
    return blocks
