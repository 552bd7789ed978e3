"""Patches of a split, as the stages that train and predict need them: tables joined, pixels gathered."""

import numpy as np
import pandas as pd

from models.data.dataset import PatchData, StoreRows, gather
from patching.errors import ArtifactError
from patching.store.reading import PatchStore, StoreAttributes
from pipeline.artifacts import ATTRIBUTES, INDEX, SPLITS, Paths
from pipeline.files import file_fingerprint, read_table


def patch_table(paths: Paths, threshold: str) -> pd.DataFrame:
    """Every patch with split, attribute and group: INDEX, split, attribute, group; in the index's order.

    Raises:
        ArtifactError: a table is missing, has no such threshold, or does not cover every patch.
    """
    index = read_table(paths.index, INDEX, "tile")
    splits = read_table(paths.splits, SPLITS, "split")
    path = paths.attribute_table(threshold)
    known = sorted(other.stem for other in path.parent.glob("*.parquet"))
    if known and threshold not in known:
        raise ArtifactError(
            has=f"{path.parent} with the thresholds {', '.join(known)}",
            needs=f"the threshold {threshold!r}",
            do="choose one of them, or add it to configs/attribute.yaml",
        )
    chosen = read_table(path, ATTRIBUTES, "attribute").drop(columns="threshold")
    joined = index.merge(splits, on="patient_id", how="left", validate="m:1")
    joined = joined.merge(chosen, on="patch_id", how="left", validate="1:1")
    missing = joined["patch_id"][joined[["split", "attribute"]].isna().any(axis=1)]
    if not missing.empty:
        raise ArtifactError(
            has=f"{len(missing)} patches without split or attribute, as {missing.iloc[0]}",
            needs="split and attribute of every patch",
            do="run `evenpatch split` and `evenpatch attribute` again: the patches are newer",
        )
    return joined.astype({"attribute": np.int64, "group": np.int64, "label": np.int64})


def gathered(paths: Paths, table: pd.DataFrame, memory_limit: int) -> PatchData:
    """The patches of `table`, row by row, held in memory up to `memory_limit` bytes.

    Raises:
        ArtifactError: the table is empty.
        StoreError: a store is missing, or they do not fit together.
    """
    if table.empty:
        raise ArtifactError(
            has="a split without patches",
            needs="patches in training, validation and test",
            do="give the split stage more patients, or other shares",
        )
    stores = [paths.store(slide_id) for slide_id in table["slide_id"]]
    rows = StoreRows(stores, table["store_row"].to_numpy(np.int64))
    return PatchData(
        gather(rows, memory_limit),
        table["label"].to_numpy(np.int64),
        table["attribute"].to_numpy(np.int64),
        # Unknown in imported images, which count as a whole where patches are weighted by their tissue.
        table["tissue_fraction"].fillna(1.0).to_numpy(np.float64),
        table["patient_id"].to_numpy(str),
    )


def store_attributes(paths: Paths, table: pd.DataFrame) -> StoreAttributes:
    """What the first store says of itself; `gathered` checks that all agree on size, channels and dtype."""
    return PatchStore.open(paths.store(table["slide_id"].iloc[0])).attributes


def table_fingerprints(paths: Paths, threshold: str) -> dict[str, str]:
    """SHA-256 of the tables that decide what is trained on at a threshold, of those that exist."""
    files = (paths.index, paths.splits, paths.attribute_table(threshold))
    return {path.name: file_fingerprint([path]) for path in files if path.is_file()}
