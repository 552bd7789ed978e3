"""Gathering of patches, and normalization."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from models.data.dataset import MemoryPatches, PatchData, SelectedPatches, StoredPatches, StoreRows, gather
from models.data.normalization import measure_normalization
from patching.errors import GroupError, StoreError
from patching.store import writing as store_writer
from patching.store.reading import PatchTable, StoreAttributes


def write_store(path: Path, images_NHWC: NDArray[Any], channels: tuple[str, ...]) -> None:
    """A patch store of the given pixels."""
    n, side = images_NHWC.shape[:2]
    attributes = StoreAttributes(
        slide_id=path.stem,
        fingerprint="0" * 64,
        spec={"size": side},
        extent=side,
        stride=side,
        downsample=1.0,
        mpp=None,
        slide_mpp=None,
        slide_size=(300, 200),
        channels=channels,
        dtype=str(images_NHWC.dtype),
        brightfield=False,
        tissue_downsample=8.0,
        dropped={},
    )
    table = PatchTable(np.zeros((n, 2), np.int64), np.ones(n), np.zeros(n), np.zeros(n, np.int8), np.ones(n))
    store_writer.write_store(path, attributes, table, np.ones((25, 38), bool), images_NHWC)


@pytest.fixture
def stored(tmp_path: Path) -> tuple[StoreRows, NDArray[np.uint16]]:
    """Rows of two stores, mixed and out of order, with the pixels they should give."""
    rng = np.random.default_rng(0)
    pixels = {name: rng.integers(0, 65535, (n, 8, 8, 2), np.uint16) for name, n in (("b", 5), ("a", 3))}
    for name, images_NHWC in pixels.items():
        write_store(tmp_path / f"{name}.zarr", images_NHWC, ("CARS", "SHG"))
    wanted = [("b", 4), ("a", 0), ("b", 0), ("a", 2), ("b", 4)]
    rows = StoreRows([tmp_path / f"{name}.zarr" for name, _ in wanted], np.array([row for _, row in wanted]))
    return rows, np.stack([pixels[name][row] for name, row in wanted])


@pytest.mark.parametrize(("limit", "kind"), [(10**9, MemoryPatches), (0, StoredPatches)])
def test_gathers_rows_of_several_stores_in_order(
    stored: tuple[StoreRows, NDArray[np.uint16]], limit: int, kind: type
) -> None:
    rows, expected_NHWC = stored
    patches = gather(rows, limit)
    assert isinstance(patches, kind)
    assert (patches.shape_NHWC, patches.dtype, patches.channels) == ((5, 8, 8, 2), np.uint16, 2)
    np.testing.assert_array_equal(patches.read(np.arange(5)), expected_NHWC)
    np.testing.assert_array_equal(patches.read(np.array([3, 0, 3])), expected_NHWC[[3, 0, 3]])
    np.testing.assert_array_equal(np.concatenate(list(patches.chunks(2))), expected_NHWC)


def test_refuses_stores_that_do_not_fit_together(tmp_path: Path) -> None:
    write_store(tmp_path / "wide.zarr", np.zeros((2, 8, 8, 2), np.uint16), ("CARS", "SHG"))
    write_store(tmp_path / "narrow.zarr", np.zeros((2, 8, 8, 2), np.uint8), ("CARS", "SHG"))
    with pytest.raises(StoreError, match="uint8"):
        gather(StoreRows([tmp_path / "wide.zarr", tmp_path / "narrow.zarr"], np.array([0, 0])), 10**9)
    with pytest.raises(StoreError, match="no patches"):
        gather(StoreRows([], np.array([], np.int64)), 10**9)


def test_subset_keeps_pixels_and_columns_together() -> None:
    images_NHWC = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 1), np.uint8)
    data = PatchData(MemoryPatches(images_NHWC), np.arange(6), np.arange(6) + 10, np.arange(6) / 6)
    part = data.subset(np.array([4, 1])).subset(np.array([1, 0, 0]))
    assert isinstance(part.images, SelectedPatches)
    assert part.images.read(np.array([0, 1, 2]))[:, 0, 0, 0].tolist() == [1, 4, 4]
    assert part.label_N.tolist() == [1, 4, 4]
    assert part.attribute_N.tolist() == [11, 14, 14]
    assert part.tissue_fraction_N.tolist() == [1 / 6, 4 / 6, 4 / 6]


def test_refuses_columns_of_another_length() -> None:
    with pytest.raises(GroupError, match="3 patches, 2 labels"):
        PatchData(MemoryPatches(np.zeros((3, 2, 2, 1))), np.zeros(2, int), np.zeros(3, int), np.zeros(3))


@given(arrays(np.uint16, (5, 3, 4, 2)))
def test_normalization_of_equal_weights_is_that_of_all_pixels(images_NHWC: NDArray[np.uint16]) -> None:
    found = measure_normalization(MemoryPatches(images_NHWC), np.full(5, 0.3), "none")
    pixels_PC = images_NHWC.reshape(-1, 2).astype(np.float64)
    expected_C = np.where(pixels_PC.std(axis=0) == 0, 1, pixels_PC.std(axis=0))
    np.testing.assert_allclose(found.mean_C, pixels_PC.mean(axis=0), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.std_C, expected_C, rtol=1e-9)


@given(st.integers(0, 4))
def test_normalization_ignores_patches_without_tissue(row: int) -> None:
    images_NHWC = np.random.default_rng(row).integers(0, 255, (5, 6, 4, 3), np.uint8)
    weight_N = (np.arange(5) == row).astype(float)
    found = measure_normalization(MemoryPatches(images_NHWC), weight_N, "none")
    np.testing.assert_allclose(found.mean_C, images_NHWC[row].mean(axis=(0, 1)))
    np.testing.assert_allclose(found.std_C, images_NHWC[row].std(axis=(0, 1)))


@pytest.mark.parametrize(("transform", "function"), [("sqrt", np.sqrt), ("log1p", np.log1p)])
def test_normalization_is_measured_after_the_transform(transform: Any, function: Any) -> None:
    images_NHWC = np.random.default_rng(0).integers(0, 9000, (4, 5, 5, 2), np.uint16)
    found = measure_normalization(MemoryPatches(images_NHWC), np.zeros(4), transform)
    pixels_PC = images_NHWC.reshape(-1, 2).astype(np.float64)
    np.testing.assert_allclose(found.mean_C, function(pixels_PC).mean(axis=0))
    np.testing.assert_allclose(found.std_C, function(pixels_PC).std(axis=0))
    np.testing.assert_allclose(found.raw_std_C, pixels_PC.std(axis=0))


def test_constant_channel_gets_unit_spread(caplog: pytest.LogCaptureFixture) -> None:
    images_NHWC = np.stack([np.full((3, 4, 4), 7), np.arange(48).reshape(3, 4, 4)], axis=-1).astype(np.uint8)
    found = measure_normalization(MemoryPatches(images_NHWC), np.ones(3), "none")
    assert found.std_C[0] == 1
    assert "constant" in caplog.text
