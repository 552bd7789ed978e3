"""The index over several stores: one frame, whatever each of them measured."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from patching.store.reading import PatchStore, PatchTable, StoreAttributes
from patching.store.writing import StoreWriter
from pipeline.artifacts import INDEX
from pipeline.cohort.index import patch_index

ATTRIBUTES = StoreAttributes(
    slide_id="s1",
    fingerprint="ab",
    spec={"size": 8},
    extent=16,
    stride=16,
    downsample=2.0,
    mpp=0.5,
    slide_mpp=(0.25, 0.5),
    slide_size=(300, 200),
    channels=("A",),
    dtype="uint8",
    brightfield=False,
    tissue_downsample=4.0,
    dropped={},
)


def stored(folder: Path, slide_id: str, count: int, quality: Sequence[str] = ()) -> PatchStore:
    n = np.arange(count)
    table = PatchTable(
        np.stack([16 * n, 8 * n], axis=-1), n / 10, n / 20, (n % 2).astype(np.int8), 1 - n / 40
    )
    attributes = dataclasses.replace(ATTRIBUTES, slide_id=slide_id, quality=tuple(quality))
    writer = StoreWriter.create(folder / slide_id, attributes, table)
    writer.write_quality(0, np.arange(count * len(quality), dtype=np.float32).reshape(count, len(quality)))
    writer.publish()
    return PatchStore.open(folder / slide_id)


def test_each_patch_has_its_row(tmp_path: Path) -> None:
    index = patch_index([stored(tmp_path, "s1", 2), stored(tmp_path, "s2", 3)], ["p", "q"])
    assert list(index) == list(INDEX)
    assert index.index.equals(pd.RangeIndex(5))
    assert index["patch_id"].tolist() == ["s1@0_0", "s1@16_8", "s2@0_0", "s2@16_8", "s2@32_16"]
    assert index["patient_id"].tolist() == ["p", "p", "q", "q", "q"]
    assert index["store_row"].tolist() == [0, 1, 0, 1, 2]
    assert index["label"].tolist() == [0, 1, 0, 1, 0]
    assert index["tissue_area_um2"].tolist() == [
        0,
        0.1 * 256 * 0.125,
        0,
        0.1 * 256 * 0.125,
        0.2 * 256 * 0.125,
    ]
    assert set(index.dtypes[["store_row", "x", "y", "extent", "label"]]) == {np.dtype(np.int64)}
    assert all(pd.api.types.is_string_dtype(index[name]) for name in ("patch_id", "slide_id", "patient_id"))


def test_a_slide_without_patches_adds_none(tmp_path: Path) -> None:
    index = patch_index([stored(tmp_path, "s1", 0), stored(tmp_path, "s2", 1)], ["p", "q"])
    assert index["slide_id"].tolist() == ["s2"]


def test_quality_that_was_not_measured_is_nan(tmp_path: Path) -> None:
    stores = [
        stored(tmp_path, "s1", 1, ("a", "b")),
        stored(tmp_path, "s2", 2),
        stored(tmp_path, "s3", 1, ("b",)),
    ]
    index = patch_index(stores, ["p"] * 3)
    assert list(index)[len(INDEX) :] == ["quality_a", "quality_b"]
    np.testing.assert_array_equal(index["quality_a"], [0, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(index["quality_b"], [1, np.nan, np.nan, 0])
