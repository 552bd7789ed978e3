"""How hand-overs are read, checked, and written whole or not at all."""

import hashlib
import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from patching.errors import ArtifactError

NOT_ESTIMABLE = "not estimable"
"""Stands for an undefined figure: JSON has no NaN, and DVC drops a null metric without a word."""

_NUMBERS = ("label", "mpp", "width", "height")
"""Of the columns of artifacts.SLIDES those that hold numbers."""

MissingT = TypeVar("MissingT")


def read_table(path: Path, columns: tuple[str, ...], stage: str, *, numbers: bool = False) -> pd.DataFrame:
    """Read a CSV or parquet hand-over and check its columns.

    Identifiers and the cohort's own columns stay text: a slide called `007` or `NA` keeps its name.

    Args:
        path: the file.
        columns: those that it must have.
        stage: that writes it, for errors.
        numbers: whether a CSV holds nothing but numbers.

    Raises:
        ArtifactError: the file is missing or damaged, or lacks a column; names the stage that writes it.
    """
    _require(path, stage)
    if path.suffix == ".parquet":
        try:
            table = pd.read_parquet(path)
        except (OSError, ValueError) as error:  # what pyarrow makes of a damaged file
            raise ArtifactError(
                has=f"{path}, which is damaged ({str(error).splitlines()[0]})",
                needs="a whole parquet file",
                do=f"run `evenpatch {stage}` again",
            ) from error
    else:
        table = _with_numbers(read_csv(path), path, stage, None if numbers else _NUMBERS)
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
        raise ArtifactError(
            has=f"{path}: {error}",
            needs=f"numbers in {', '.join(wanted)}",
            do=f"run `evenpatch {stage}` again",
        ) from error


def read_json(path: Path, stage: str) -> dict[str, Any]:
    """Read a JSON mapping written by a stage.

    Raises:
        ArtifactError: no such file, or not a JSON mapping.
    """
    _require(path, stage)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ArtifactError(
            has=f"{path}: {error}", needs="valid JSON", do=f"run `evenpatch {stage}` again"
        ) from error
    if not isinstance(content, dict):
        raise ArtifactError(
            has=f"{path} with a {type(content).__name__} at the top",
            needs="a mapping",
            do=f"run `evenpatch {stage}` again",
        )
    return content


def _require(path: Path, stage: str) -> None:
    if not path.is_file():
        raise ArtifactError(
            has=f"no file {path}",
            needs=f"the output of `evenpatch {stage}`",
            do=f"run `evenpatch {stage}`, or `dvc repro`",
        )


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


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON mapping, whole or not at all.

    Raises:
        ValueError: a figure is NaN or infinite, for which JSON has no word.
    """
    with replacing(path) as part:
        part.write_text(
            json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8"
        )


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
