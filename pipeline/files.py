"""How hand-overs are read, checked, and written whole or not at all."""

import hashlib
import json
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from patching.damage import DAMAGE
from patching.errors import ArtifactError
from patching.sealing import HandOver, checksum, damaged, sealed, unsealed

NOT_ESTIMABLE = "not estimable"
"""Stands for an undefined figure: JSON has no NaN, and DVC drops a null metric without a word."""

_NUMBERS = ("label", "mpp", "width", "height")
"""Of the columns of artifacts.SLIDES those that hold numbers."""

_RECORDED = "files"
"""Key of a record for the checksums of files that were written with it."""

MissingT = TypeVar("MissingT")
ResultT = TypeVar("ResultT")


def read_table(
    path: Path,
    columns: tuple[str, ...],
    stage: str,
    *,
    numbers: bool = False,
    record: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Read a CSV or parquet hand-over and check its columns.

    Identifiers and the cohort's own columns stay text: a slide called `007` or `NA` keeps its name.

    Args:
        path: the file.
        columns: those that it must have.
        stage: that writes it, for errors.
        numbers: whether a CSV holds nothing but numbers.
        record: what the stage wrote beside it, with its checksum (`checksums`).

    Raises:
        ArtifactError: the file is missing or damaged, or lacks a column; names the stage that writes it.
    """
    if record is not None:
        require_recorded(path, stage, record)
    if path.suffix == ".parquet":
        table = _opened(path, stage, pd.read_parquet, page_checksum_verification=True)
    else:
        table = _with_numbers(_opened(path, stage, read_csv), path, stage, None if numbers else _NUMBERS)
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise ArtifactError(
            has=f"{path} without {', '.join(missing)}",
            needs=f"the columns {', '.join(columns)}",
            do=f"run `evenpatch {stage}` again: the file is from another version",
        )
    return table


def read_csv(path: Path) -> pd.DataFrame:
    """A CSV file as it is written, all text: `NA`, `null`, `1e5` and `007` are names; an empty cell is NaN.

    Raises:
        OSError, ValueError: no CSV file in UTF-8.
    """
    return pd.read_csv(path, dtype="str", keep_default_na=False, na_values=[""])


def _with_numbers(table: pd.DataFrame, path: Path, stage: str, names: Sequence[str] | None) -> pd.DataFrame:
    """Columns of text as numbers: those of these names, or all."""
    wanted = [str(name) for name in table if names is None or name in names]
    try:
        return table.assign(**{name: pd.to_numeric(table[name]) for name in wanted})
    except ValueError as error:
        raise damaged(path, stage, f"no numbers in {', '.join(wanted)}: {error}") from error


def read_metadata(path: Path, stage: str) -> dict[bytes, bytes]:
    """What a parquet hand-over tells beside its columns.

    Raises:
        ArtifactError: the file is missing or damaged.
    """
    return _opened(path, stage, pq.read_schema).metadata or {}


def read_json(path: Path, stage: str) -> dict[str, Any]:
    """Read a JSON mapping written by a stage; whoever asks for a key that it lacks gets an ArtifactError.

    Args:
        path: the file.
        stage: that writes it, for errors.

    Raises:
        ArtifactError: no such file, not a JSON mapping, or another one than was written.
    """
    text = _opened(path, stage, Path.read_bytes)
    try:
        return unsealed(text, lambda found: HandOver(found, str(path), stage))
    except ValueError as error:
        raise damaged(path, stage, str(error)) from error


def _opened(path: Path, stage: str, call: Callable[..., ResultT], **how: object) -> ResultT:
    """What a library reads from a hand-over."""
    if not path.is_file():
        raise ArtifactError(
            has=f"no file {path}",
            needs=f"the output of `evenpatch {stage}`",
            do=f"run `evenpatch {stage}`, or `dvc repro`",
        )
    try:
        return call(path, **how)
    except PermissionError as error:
        raise ArtifactError(
            has=f"{path}, which cannot be read ({error.strerror})",
            needs="the right to read it",
            do="change its permissions, or ask who wrote it",
        ) from error
    except (*DAMAGE, MemoryError, pa.ArrowException) as error:
        raise damaged(path, stage, f"{str(error) or type(error).__name__}".splitlines()[0]) from error


def checksums(*paths: Path) -> dict[str, dict[str, str]]:
    """The entry of a record by which the files beside it are known again: CSV has no place for a checksum."""
    return {_RECORDED: {path.name: checksum(path.read_bytes()) for path in paths}}


def require_recorded(path: Path, stage: str, record: Mapping[str, Any]) -> None:
    """Check a file against the checksum that a record beside it keeps, if it keeps one.

    Raises:
        ArtifactError: it is missing, or another file than was written.
    """
    told = record.get(_RECORDED, {}).get(path.name)
    if told is not None and checksum(_opened(path, stage, Path.read_bytes)) != told:
        raise damaged(path, stage, "another content than was written")


def require_all_recorded(folder: Path, stage: str, record: Mapping[str, Any]) -> None:
    """Check the files of a folder that a record of it tells of, as `require_recorded` does."""
    for name in record.get(_RECORDED, {}):
        require_recorded(folder / name, stage, record)


def file_fingerprint(paths: Sequence[Path]) -> str:
    """SHA-256 of plain files: of one, what `sha256sum` prints; of several, over their digests in order."""
    digests = []
    for path in paths:
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()


def finite_or(value: float, missing: MissingT) -> float | MissingT:
    """A figure for JSON, which has neither NaN nor infinity: `missing` stands for them.

    >>> finite_or(0.5, None), finite_or(math.nan, NOT_ESTIMABLE)
    (0.5, 'not estimable')
    """
    return float(value) if math.isfinite(value) else missing


def write_json(path: Path, content: Mapping[str, Any], *, seal: bool = True) -> None:
    """Write a JSON mapping, whole or not at all.

    Args:
        path: the file.
        content: the mapping.
        seal: whether a checksum is added to it, by which `read_json` knows damage; not to what other programs
            expect in a form of their own.

    Raises:
        ValueError: a figure is NaN or infinite, for which JSON has no word.
    """
    told = sealed(content) if seal else content
    with replacing(path) as part:
        part.write_text(
            json.dumps(told, indent=2, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8"
        )


def write_parquet(path: Path, table: pd.DataFrame, **how: Any) -> None:
    """Write a table whole or not at all, with the checksums by which `read_table` knows damage."""
    with replacing(path) as part:
        table.to_parquet(part, index=False, engine="pyarrow", write_page_checksum=True, **how)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`, and rename it to `path` once the block ends without error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary folder beside `folder`, and put it in its place once the block ends without error.

    Whoever is killed meanwhile leaves the earlier folder, the new one, or none: never a mixture of both.
    """
    part, earlier = (folder.with_name(f".{folder.name}.{name}") for name in ("part", "earlier"))
    for left in (part, earlier):
        shutil.rmtree(left, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        # A folder that is deleted in its place would lose one file after the other.
        if folder.is_dir():
            folder.rename(earlier)
        part.rename(folder)
    finally:
        for left in (part, earlier):
            shutil.rmtree(left, ignore_errors=True)
