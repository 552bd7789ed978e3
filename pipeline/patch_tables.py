"""The tables that say what every patch is, read and held to what they promise: index, splits, attributes."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.data.splitting import SPLITS as NAMES
from patching.errors import ArtifactError
from patching.sealing import damaged
from pipeline.artifacts import ATTRIBUTES, INDEX, PREDICTIONS, SPLITS, Paths
from pipeline.files import read_table

_TEXT = ("patch_id", "slide_id", "patient_id", "split", "threshold")
_WHOLE = ("store_row", "x", "y", "extent", "label", "attribute", "group", "prediction")
_SHARES = ("tissue_fraction", "covered_fraction", "tumor_fraction", "probability")
"""From 0 to 1, or NaN where nobody knows."""


def read_index(paths: Paths, columns: tuple[str, ...] = INDEX) -> pd.DataFrame:
    """The patch index: all that it tells, of which these columns are needed.

    Raises:
        ArtifactError: it is missing or damaged, or rows contradict each other.
    """
    keys = ("patch_id", *([["slide_id", "store_row"]] if "store_row" in columns else []))
    return _checked(paths.index, "tile", columns, *keys)


def read_splits(paths: Paths) -> pd.DataFrame:
    """The patients' splits: SPLITS.

    Raises:
        ArtifactError: as `read_index`.
    """
    return _checked(paths.splits, "split", SPLITS, "patient_id")


def read_attributes(paths: Paths, threshold: str) -> pd.DataFrame:
    """Attribute and group of every patch at a threshold: ATTRIBUTES.

    Raises:
        ArtifactError: as `read_index`.
    """
    return _checked(paths.attribute_table(threshold), "attribute", ATTRIBUTES, "patch_id")


def read_predictions(folder: Path) -> pd.DataFrame:
    """What a run said of validation and test patches: PREDICTIONS.

    Raises:
        ArtifactError: as `read_index`.
    """
    return _checked(folder / "predictions.parquet", "evaluate", PREDICTIONS, "patch_id")


def with_splits(patches: pd.DataFrame, splits: pd.DataFrame) -> pd.DataFrame:
    """Patches with the split of their patient.

    Raises:
        ArtifactError: a patient of the index has no split.
    """
    joined = patches.merge(splits, on="patient_id", how="left", validate="m:1")
    without = sorted(joined.loc[joined["split"].isna(), "patient_id"].unique())
    if without:
        raise ArtifactError(
            has=f"{len(without)} patients without a split, as {without[0]!r}",
            needs="one split for every patient of the patch index",
            do="run `evenpatch split` again: the patches are newer than the splits",
        )
    return joined


def _checked(path: Path, stage: str, columns: tuple[str, ...], *keys: str | Sequence[str]) -> pd.DataFrame:
    """A table whose columns hold what their names promise, with one row for each value of every key."""
    table = read_table(path, columns, stage)
    wrong = [*_wrong(table[list(columns)])]
    doubled = {str(key): table.duplicated(key, keep=False) for key in keys}
    wrong += [f"{_count(rows)} of the same {key}" for key, rows in doubled.items() if rows.any()]
    if table.empty:
        wrong = ["without a single row"]
    if wrong:
        raise damaged(path, stage, "; ".join(wrong))
    return table


def _wrong(table: pd.DataFrame) -> Iterator[str]:
    """What columns hold that they cannot."""
    for name, values in table.items():
        if name in _TEXT and not (pd.api.types.is_string_dtype(values) and values.notna().all()):
            yield f"{name} that are no text"
        if name in _WHOLE and not pd.api.types.is_integer_dtype(values):
            yield f"{name} that are no whole numbers"
        if name in _SHARES:
            share = pd.to_numeric(values, errors="coerce").to_numpy(np.float64)
            outside = (share < 0) | (share > 1) | (np.isnan(share) & values.notna().to_numpy())
            if outside.any():
                yield f"{_count(outside)} with a {name} outside of 0 to 1"
        if name == "split" and len(other := sorted(set(values.dropna()) - set(NAMES))):
            yield f"the split {other[0]!r}"


def _count(rows: pd.Series | NDArray[np.bool_]) -> str:
    return f"{int(rows.sum())} rows"
