"""Finished cells in small files that a repository can hold: `<algorithm>-<threshold>-r<repeat>.parquet`.

Labels, tissue fractions and thresholds are those of the patch index, so that only places in it and logits are
kept. Whoever has the cohort writes a study's tables from them without training; a cell counts only if its
fingerprint is that of the present settings and patches.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from models.data.attributes import LAYOUT
from models.data.splitting import TEST, VALIDATION
from patching.errors import ArtifactError, ConfigError
from pipeline.experiments.study_cells import Cell, is_done
from pipeline.files import read_json, read_table, replacing, write_json, write_parquet
from pipeline.results.studied import CELL

_RECORDS = b"evenpatch.cells"


def made(store: Path) -> None:
    """Make the folder of an archive, before hours of training.

    Raises:
        ConfigError: it cannot be made, or written to.
    """
    try:
        store.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=store):
            pass
    except OSError as error:
        raise ConfigError(
            has=f"--archive {store.parent} ({error.strerror})",
            needs="a folder that can be written to",
            do="name another one, or leave the option out",
        ) from error


def archive(store: Path, folder: Path, cells: Sequence[Cell], index: pd.DataFrame) -> int:
    """Write the files whose cells are not all in them yet; returns how many were written.

    Args:
        store: the cohort's folder of the archive.
        folder: of the cells.
        cells: of the study; those that are not finished are left out.
        index: the patch index.
    """
    place = _places(index)
    written = 0
    for path, own in _by_file(store, cells).items():
        done = [cell for cell in own if is_done(folder, cell)]
        records = {cell.name: read_json(folder / f"{cell.name}.json", "study") for cell in done}
        if not records or records == _archived(path):
            continue
        tables = [folder / f"{cell.name}.parquet" for cell in done]
        parts = [_slim(read_table(table, (), "study"), place) for table in tables if table.is_file()]
        rows = pd.concat(parts) if parts else pd.DataFrame(columns=["fold", "tested", "place", "logit"])
        table = pa.Table.from_pandas(rows, preserve_index=False)
        table = table.replace_schema_metadata({_RECORDS: json.dumps(records).encode()})
        with replacing(path) as part:
            # Places ascend within a fold: their differences take hardly any room.
            pq.write_table(
                table,
                part,
                compression="zstd",
                use_dictionary=False,
                write_page_checksum=True,
                column_encoding={"place": "DELTA_BINARY_PACKED", "logit": "BYTE_STREAM_SPLIT"},
            )
        written += 1
    return written


def restore(store: Path, folder: Path, cells: Sequence[Cell], index: pd.DataFrame) -> int:
    """Write the files of cells that are not finished here and are in the archive; returns how many.

    Raises:
        ArtifactError: a file of the archive is damaged.
    """
    found = 0
    for path, cells_of_file in _by_file(store, cells).items():
        records = _archived(path)
        wanted = [
            cell
            for cell in cells_of_file
            if records.get(cell.name, {}).get("fingerprint") == cell.fingerprint and not is_done(folder, cell)
        ]
        if not wanted:
            continue
        rows = _read_rows(path)
        for cell in wanted:
            record = records[cell.name]
            if "failure" not in record:
                own = rows[rows["fold"] == cell.fold]
                if own.empty:
                    raise _damaged(path, f"nothing of {cell.name}")
                table = _whole(cell, record, own, index)
                write_parquet(folder / f"{cell.name}.parquet", table, compression="zstd")
            write_json(folder / f"{cell.name}.json", record)
            found += 1
    return found


def _by_file(store: Path, cells: Sequence[Cell]) -> dict[Path, list[Cell]]:
    found: dict[Path, list[Cell]] = {}
    for cell in cells:
        name = f"{cell.algorithm}-{cell.threshold}-r{cell.repeat}.parquet"
        found.setdefault(store / name, []).append(cell)
    return found


def _archived(path: Path) -> dict[str, dict[str, Any]]:
    """Records of the cells in a file, by name; none where there is no file."""
    if not path.is_file():
        return {}
    try:
        content: dict[str, dict[str, Any]] = json.loads(pq.read_schema(path).metadata[_RECORDS])
    except (OSError, ValueError, KeyError, TypeError) as error:  # what pyarrow makes of a damaged file
        raise _damaged(path, error) from error
    return content


def _read_rows(path: Path) -> pd.DataFrame:
    try:
        return read_table(path, (), "study")
    except ArtifactError as error:
        raise _damaged(path, error.has) from error


def _damaged(path: Path, error: Exception | str) -> ArtifactError:
    return ArtifactError(
        has=f"{path}, which is damaged or no file of a study ({error})",
        needs="a whole file of an archive",
        do="take it from the repository again, or remove it: its cells are trained anew then",
    )


def _places(index: pd.DataFrame) -> pd.Series:
    """Place of every patch among the sorted identifiers."""
    names = np.sort(index["patch_id"].to_numpy(str))
    return pd.Series(np.arange(len(names), dtype=np.int32), index=names)


def _slim(table: pd.DataFrame, place: pd.Series) -> pd.DataFrame:
    rows = pd.DataFrame(
        {
            "fold": table["fold"].astype(np.int16),
            "tested": table["split"] == TEST,
            "place": place[table["patch_id"]].to_numpy(np.int32),
            "logit": table["logit"].astype(np.float32),
        }
    )
    return rows.sort_values(["tested", "place"])


def _whole(cell: Cell, record: Mapping[str, Any], rows: pd.DataFrame, index: pd.DataFrame) -> pd.DataFrame:
    """The cell's own table, with what the index says of its patches."""
    known = index.sort_values("patch_id", key=lambda names: names.astype(str), ignore_index=True)
    table = known.loc[rows["place"], ["patch_id", "label", "tissue_fraction"]].reset_index(drop=True)
    attribute = (table["tissue_fraction"] > record["tissue_fraction_above"]).astype(np.int64)
    logit = rows["logit"].to_numpy(np.float32)
    whole = table.assign(
        repeat=cell.repeat,
        fold=cell.fold,
        threshold=cell.threshold,
        algorithm=cell.algorithm,
        split=np.where(rows["tested"], TEST, VALIDATION),
        attribute=attribute,
        group=LAYOUT.group(table["label"].to_numpy(np.int64), attribute.to_numpy()),
        logit=logit,
        prediction=(logit > 0).astype(np.int64),
    )
    return whole[list(CELL)]
