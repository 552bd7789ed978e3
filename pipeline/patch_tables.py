"""The tables that say what slides and patches are, read and held to what they promise."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patching.errors import ArtifactError
from patching.sealing import damaged
from pipeline.artifacts import ATTRIBUTES, EXCLUDED, INDEX, PREDICTIONS, SLIDES, SPLITS, Paths
from pipeline.files import read_json, read_table

_NAMED = 3
_TEXT = ("patch_id", "slide_id", "patient_id", "split", "threshold")
_SPLITS = frozenset(("train", "validation", "test"))
"""As in models.data.splitting, on whose code no tiling depends."""
_WHOLE = ("store_row", "x", "y", "extent", "label", "attribute", "group", "prediction")
_SHARES = ("tissue_fraction", "covered_fraction", "tumor_fraction", "probability")
"""From 0 to 1, or NaN where nobody knows."""


def read_slides(paths: Paths) -> pd.DataFrame:
    """The slides that ingest found usable: SLIDES and the manifest's own columns.

    Raises:
        ArtifactError: as `read_index`.
    """
    slides = read_table(paths.slides, SLIDES, "ingest", record=_record(paths.slides, "ingest"))
    _check(paths.slides, "ingest", slides[["slide_id", "patient_id"]], ["slide_id"])
    return slides


def read_excluded(paths: Paths) -> pd.DataFrame:
    """What ingest and tile excluded (EXCLUDED), as far as they have run.

    Raises:
        ArtifactError: a table is damaged.
    """
    tables = []
    for path, stage in ((paths.ingest_excluded, "ingest"), (paths.tile_excluded, "tile")):
        if path.is_file():
            tables.append(read_table(path, EXCLUDED, stage, record=_record(path, stage)))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(EXCLUDED))


def read_index(paths: Paths, columns: tuple[str, ...] = INDEX) -> pd.DataFrame:
    """The patch index: all that it tells, of which these columns are needed.

    Raises:
        ArtifactError: it is missing or damaged, or rows contradict each other.
    """
    keys = ("patch_id", *([["slide_id", "store_row"]] if "store_row" in columns else []))
    return _read(paths.index, "tile", columns, *keys)


def read_splits(paths: Paths) -> pd.DataFrame:
    """The patients' splits: SPLITS; `with_splits` looks whether each has one.

    Raises:
        ArtifactError: as `read_index`.
    """
    return _read(paths.splits, "split", SPLITS)


def read_attributes(paths: Paths, threshold: str) -> pd.DataFrame:
    """Attribute and group of every patch at a threshold: ATTRIBUTES.

    Raises:
        ArtifactError: as `read_index`.
    """
    return _read(paths.attribute_table(threshold), "attribute", ATTRIBUTES, "patch_id")


def read_predictions(folder: Path) -> pd.DataFrame:
    """What a run said of validation and test patches: PREDICTIONS.

    Raises:
        ArtifactError: as `read_index`.
    """
    return _read(folder / "predictions.parquet", "evaluate", PREDICTIONS, "patch_id")


def with_splits(patches: pd.DataFrame, splits: pd.DataFrame) -> pd.DataFrame:
    """Patches with the split of their patient.

    Raises:
        ArtifactError: a patient in two splits, or in none.
    """
    doubled = splits.loc[splits["patient_id"].duplicated(), "patient_id"].unique().tolist()
    unknown = sorted(set(patches["patient_id"]) - set(splits["patient_id"]))
    wrong = [f"patient {name!r} in more than one row" for name in doubled[:_NAMED]]
    wrong += [f"no split of patient {name!r}" for name in unknown[:_NAMED]]
    if wrong:
        raise ArtifactError(
            has=f"splits.csv with {'; '.join(wrong)}",
            needs="one split of every patient, or patients are tested whom a model was trained on",
            do="run `evenpatch split` again, and what follows it",
        )
    return patches.merge(splits, on="patient_id", validate="m:1")


def _record(path: Path, stage: str) -> dict[str, Any]:
    """What was written beside a table, last."""
    summary = path.with_name("summary.json")
    return read_json(summary, stage) if summary.is_file() else {}


def _read(path: Path, stage: str, columns: tuple[str, ...], *keys: str | Sequence[str]) -> pd.DataFrame:
    table = read_table(path, columns, stage)
    _check(path, stage, table[list(columns)], keys)
    return table


def _check(path: Path, stage: str, table: pd.DataFrame, keys: Sequence[str | Sequence[str]]) -> None:
    """Check that columns hold what their names promise, with one row for each value of every key.

    Raises:
        ArtifactError: they do not.
    """
    wrong = [*_wrong(table)] if len(table) else ["without a single row"]
    doubled = {str(key): table.duplicated(key, keep=False) for key in keys}
    wrong += [f"{_count(rows)} of the same {key}" for key, rows in doubled.items() if rows.any()]
    if wrong:
        raise damaged(path, stage, "; ".join(wrong))


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
        if name == "split" and len(other := sorted(set(values.dropna()) - _SPLITS)):
            yield f"the split {other[0]!r}"


def _count(rows: pd.Series | NDArray[np.bool_]) -> str:
    return f"{int(rows.sum())} rows"
