"""Patches of a split, as the stages that train and predict need them: tables joined, pixels gathered."""

from pathlib import Path

import numpy as np
import pandas as pd

from models.data.dataset import PatchData, StoreRows, gather
from patching.errors import ArtifactError
from patching.store.reading import PatchStore, StoreAttributes
from pipeline.artifacts import Paths, require_name
from pipeline.files import file_fingerprint
from pipeline.patch_tables import read_attributes, read_index, read_splits, with_splits
from pipeline.training.layout import NamedLayout, read_layout, read_tissue_threshold


def patch_table(paths: Paths, threshold: str) -> pd.DataFrame:
    """Every patch with split, attribute and group: INDEX, split, attribute, group; in the index's order.

    Raises:
        ConfigError: no threshold may be called so.
        ArtifactError: a table is missing or damaged, has no such threshold, does not cover every patch, or is
            of another index.
    """
    require_name("threshold", threshold)
    index, splits = read_index(paths), read_splits(paths)
    path = paths.attribute_table(threshold)
    known = sorted(other.stem for other in path.parent.glob("*.parquet"))
    if known and threshold not in known:
        raise ArtifactError(
            has=f"{path.parent} with the thresholds {', '.join(known)}",
            needs=f"the threshold {threshold!r}",
            do=f"choose one of them, or add it to configs/cohorts/{paths.cohort}.yaml, attribute.thresholds "
            "(or to configs/attribute.yaml, for every cohort), and run `evenpatch attribute`",
        )
    chosen = read_attributes(paths, threshold).drop(columns="threshold")
    joined = with_splits(index, splits).merge(chosen, on="patch_id", how="left", validate="1:1")
    missing = joined["patch_id"][joined["attribute"].isna()]
    if not missing.empty:
        raise ArtifactError(
            has=f"{path} without {len(missing)} patches of the patch index, as {missing.iloc[0]}",
            needs="the attribute of every patch",
            do="run `evenpatch attribute` again: the patches are newer",
        )
    joined = joined.astype({"attribute": np.int64, "group": np.int64, "label": np.int64})
    _require_agreement(joined, read_layout(paths, threshold), path)
    return joined


def _require_agreement(table: pd.DataFrame, layout: NamedLayout, path: Path) -> None:
    """Check groups and attributes against the labels and tissue fractions of the index.

    Raises:
        ArtifactError: one of the two tables was changed without the other.
    """
    label_N, attribute_N = table["label"].to_numpy(), table["attribute"].to_numpy()
    inside_N = (label_N >= 0) & (label_N < len(layout.classes))
    inside_N &= (attribute_N >= 0) & (attribute_N < len(layout.attributes))
    wrong_N = ~inside_N
    wrong_N[inside_N] = (
        layout.groups.group(label_N[inside_N], attribute_N[inside_N]) != table["group"].to_numpy()[inside_N]
    )
    above = read_tissue_threshold(path)
    if above is not None:
        wrong_N |= (table["tissue_fraction"].to_numpy() > above) != (attribute_N == 1)
    if wrong_N.any():
        first = table["patch_id"][wrong_N].iloc[0]
        raise ArtifactError(
            has=f"{path} with {int(wrong_N.sum())} groups that are not the patch index's, as of {first}",
            needs="attribute and group by the label and tissue fraction of each patch",
            do="run `evenpatch verify`, which tells whether the index is that of the stores; then "
            "`evenpatch attribute` again",
        )


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
