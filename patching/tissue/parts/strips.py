"""Projections of large images in strips of rows, so that memory stays bounded whatever the slide's size."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from math import ceil, sqrt
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_STRIP = 2**16  # pixels: what is computed on them stays in the processor's cache
_KEPT = 2**23  # values, 32 MiB, that are not computed a second time
_TABLE = 2**16  # pixels under which a table of 16-bit values would not pay
SAMPLE = 2**16
"""Pixels up to which statistics see every pixel; larger images are sampled on a regular grid."""

Floats = NDArray[np.float32]
"""Values of several channels are [H, W, C] with each channel's plane in one piece: NumPy and OpenCV work on
planes at several times their speed on interleaved channels."""


class Projected:
    """Values of each pixel of an image, computed a strip at a time when they are needed.

    Args:
        shape: height and width of the image.
        compute: gives the values [h, W, ...] of a slice of rows.
        finish: what is still to be done to each value by itself; a sample is taken before.
        mapped: whether `map` will be called: what `compute` gave of a small image is kept for it.
        known_HW: pixels that statistics may look at; None is all.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        compute: Callable[[slice], Floats],
        finish: Callable[[Floats], Floats] = lambda values: values,
        *,
        mapped: bool = False,
        known_HW: NDArray[np.bool_] | None = None,
    ) -> None:
        self.shape, self._compute, self._finish, self._mapped = shape, compute, finish, mapped
        self._kept: dict[int, Floats] = {}
        self.step = sampling(shape)
        self.sample = self._sampled()
        """Values of every `step`-th row and column [ceil(H / step), ceil(W / step), ...]."""
        self.sample_known = None if known_HW is None else sampled(known_HW)
        """Which of them statistics may look at; None is all."""

    @property
    def known(self) -> Floats:
        """The sample's known values: [h, w, ...] where all are, else [N, ...]."""
        if self.sample_known is None:
            return self.sample
        return picked(self.sample, self.sample_known)

    def _sampled(self) -> Floats:
        step = self.step

        def part(rows: slice) -> Floats:
            values = self._compute(rows)
            if self._mapped and step > 1 and values[0, 0].size * self.shape[0] * self.shape[1] <= _KEPT:
                self._kept[rows.start] = values
            # A copy of the few, or their whole strip would stay alive.
            return values[-rows.start % step :: step, ::step].copy(order="K")

        return self._finish(np.concatenate(_in_threads(part, _strips(self.shape))))

    def map(self, rule: Callable[[Floats], NDArray[Any]]) -> NDArray[Any]:
        """`rule`, of one byte per pixel, applied to the values of all pixels: [H, W]."""
        if self.step == 1:
            return rule(self.sample)

        def part(rows: slice) -> NDArray[Any]:
            values = self._kept.pop(rows.start, None)
            return rule(self._finish(self._compute(rows) if values is None else values))

        return np.concatenate(_in_threads(part, _strips(self.shape)))


def sampling(shape: tuple[int, ...]) -> int:
    """Of how many rows and columns of an image [H, W, ...] a sample has one."""
    return max(1, ceil(sqrt(shape[0] * shape[1] / SAMPLE)))


def sampled(image_HWC: NDArray[Any]) -> NDArray[Any]:
    """Every n-th row and column of an image [H, W, ...]: about `SAMPLE` pixels."""
    step = sampling(image_HWC.shape)
    return image_HWC[::step, ::step]


def held(shape: tuple[int, int], compute: Callable[[slice], Floats]) -> Callable[[slice], Floats]:
    """What `compute` gives, one value a pixel, computed only once unless the image is large."""
    if shape[0] * shape[1] > _KEPT:
        return compute
    values_HW = np.empty(shape, np.float32)

    def fill(rows: slice) -> Floats:
        values_HW[rows] = compute(rows)
        return values_HW[rows]

    _in_threads(fill, _strips(shape))
    return lambda rows: values_HW[rows]


def smoothed(
    shape: tuple[int, int], compute: Callable[[slice], Floats], sigma: float
) -> Callable[[slice], Floats]:
    """What `compute` gives, after a Gaussian blur; strips are read with the margin it needs."""
    margin = ceil(4 * sigma) + 1  # OpenCV cuts the kernel of floats at four deviations

    def blurred(rows: slice) -> Floats:
        top, bottom = max(0, rows.start - margin), min(shape[0], rows.stop + margin)
        values = compute(slice(top, bottom))
        planes = planes_of(values) if values.ndim == 3 else values[None]
        smooth = np.empty(planes.shape, np.float32)
        for plane, smooth_HW in zip(planes, smooth, strict=True):
            cv2.GaussianBlur(plane, (0, 0), sigma, dst=smooth_HW)
        kept = smooth[:, rows.start - top : rows.stop - top]
        return channels_last(kept) if values.ndim == 3 else kept[0]

    return blurred


def as_floats(image_HWC: NDArray[np.generic]) -> Callable[[slice], Floats]:
    """The image's own values, converted a strip at a time."""
    return lambda rows: channels_last(planes_of(image_HWC[rows]).astype(np.float32, order="C"))


def of_values(
    image_HWC: NDArray[np.generic], function: Callable[[Floats], Floats]
) -> Callable[[slice], Floats]:
    """`function` of each value by itself; looked up where the image has more pixels than possible values.

    Args:
        image_HWC: the image.
        function: takes and gives floats [..., C]; it may differ from channel to channel.
    """
    few = image_HWC.dtype.kind in "iu" and image_HWC.dtype.itemsize <= 2
    if not few or image_HWC.shape[0] * image_HWC.shape[1] <= _TABLE:
        values = as_floats(image_HWC)
        return lambda rows: function(values(rows))
    low, high, channels = int(image_HWC.min()), int(image_HWC.max()), image_HWC.shape[-1]
    value_VC = np.broadcast_to(
        np.arange(low, high + 1, dtype=np.float32)[:, None], (high + 1 - low, channels)
    )
    table_CV = np.ascontiguousarray(planes_of(function(value_VC)))

    def found(rows: slice) -> Floats:
        index_CHW = planes_of(image_HWC[rows]).astype(np.intp, order="C")
        index_CHW -= low
        found_CHW = np.empty(index_CHW.shape, np.float32)
        for table_V, index_HW, found_HW in zip(table_CV, index_CHW, found_CHW, strict=True):
            # "clip" changes no index; it writes without a buffer.
            np.take(table_V, index_HW, out=found_HW, mode="clip")
        return channels_last(found_CHW)

    return found


def planes_of(values: NDArray[Any]) -> NDArray[Any]:
    """The channels [C, H, W] of [H, W, C]."""
    # NumPy's moveaxis takes ten times as long.
    return values.transpose(-1, *range(values.ndim - 1))


def channels_last(planes_CHW: NDArray[Any]) -> NDArray[Any]:
    """The values [H, W, C] of planes [C, H, W], not copied."""
    return planes_CHW.transpose(1, 2, 0)


def picked(values: Floats, where_HW: NDArray[np.bool_]) -> Floats:
    """Values [N, ...] of some pixels; each channel's are in one piece."""
    if values.ndim == 2:
        return values[where_HW]
    return np.stack([plane[where_HW] for plane in planes_of(values)]).T


def over_channels(function: Callable[[Floats, Floats], Floats], values: Floats) -> Floats:
    """A ufunc's reduction over the last axis; on few channels five times as fast as NumPy's own."""
    return reduce(function, planes_of(values))


def mean_of_channels(values: Floats) -> Floats:
    """Mean over the last axis."""
    return over_channels(np.add, values) / np.float32(values.shape[-1])


def _in_threads(work: Callable[[slice], NDArray[Any]], strips: Iterator[slice]) -> list[NDArray[Any]]:
    """Results in order, from as many threads as OpenCV may use in this process."""
    threads = cv2.getNumThreads()
    if threads == 1:
        return [work(rows) for rows in strips]
    with ThreadPoolExecutor(threads, thread_name_prefix="tissue") as pool:
        return list(pool.map(work, strips))


def _strips(shape: tuple[int, int]) -> Iterator[slice]:
    height, width = shape
    step = max(64, _STRIP // max(1, width))
    return (slice(top, min(height, top + step)) for top in range(0, height, step))
