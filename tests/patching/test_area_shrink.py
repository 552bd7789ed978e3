"""Shrinking by areas through small matrix products: the mean over each area, as OpenCV has it."""

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patching.area_shrink import AreaShrink


def exact(image_HWC: np.ndarray, size: int) -> np.ndarray:
    """Every source pixel is repeated `size` times a side, so that areas hold whole pixels."""
    side = len(image_HWC)
    fine = image_HWC.astype(np.float64).repeat(size, axis=0).repeat(size, axis=1)
    return fine.reshape(size, side, size, side, -1).mean(axis=(1, 3))


@given(
    size=st.integers(1, 24),
    more=st.integers(1, 40),
    channels=st.integers(1, 4),
    dtype=st.sampled_from(["uint8", "uint16", "float32"]),
    seed=st.integers(0, 99),
)
def test_it_is_the_mean_over_each_area(size: int, more: int, channels: int, dtype: str, seed: int) -> None:
    side = size + more
    top = {"uint8": 255, "uint16": 65_535, "float32": 1}[dtype]
    image_HWC = (np.random.default_rng(seed).random((side, side, channels)) * top).astype(dtype)
    out_HWC = np.empty((size, size, channels), dtype)
    AreaShrink(side, size, channels).shrink(image_HWC, out_HWC)
    rounding = 0.5 + top * 1e-6 if dtype != "float32" else 1e-5
    assert np.abs(out_HWC - exact(image_HWC, size)).max() <= rounding


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_opencv_agrees(dtype: Any) -> None:
    y_H1, x_1W = np.mgrid[:333, :333]
    image_HWC = np.stack([x_1W % 251, y_H1 % 253, (x_1W * y_H1) % 239], axis=-1).astype(dtype)
    out_HWC = np.empty((256, 256, 3), dtype)
    AreaShrink(333, 256, 3).shrink(image_HWC, out_HWC)
    expected_HWC = cv2.resize(image_HWC, (256, 256), interpolation=cv2.INTER_AREA)
    difference_HWC = np.abs(out_HWC.astype(float) - expected_HWC)
    if dtype is np.float32:
        assert difference_HWC.max() < 1e-3
        return
    # Halves are rounded one way or the other.
    assert difference_HWC.max() <= 1
    assert (difference_HWC > 0).mean() < 0.01


def test_it_is_used_where_it_is_the_faster() -> None:
    assert AreaShrink.suits(333, 256, 3, np.dtype(np.uint8))
    assert not AreaShrink.suits(512, 256, 3, np.dtype(np.uint8)), "OpenCV is quick with whole factors"
    assert not AreaShrink.suits(333, 256, 5, np.dtype(np.uint8))
    assert not AreaShrink.suits(333, 256, 3, np.dtype(np.int32))
