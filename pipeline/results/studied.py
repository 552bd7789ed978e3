"""A study's repeats, from the predictions of its folds."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from scipy.special import expit

from models.data.splitting import TEST, VALIDATION
from pipeline.files import read_json, read_table
from pipeline.results.tested import Tested, joined

CELL = (
    "patch_id", "repeat", "fold", "threshold", "algorithm", "split",
    "label", "attribute", "group", "tissue_fraction", "logit", "prediction",
)  # fmt: skip
"""Columns of a study's predictions, of each fold's validation and test patches; `logit` is the network's
log-odds, `prediction` its own class."""


def studied(places: Sequence[Path], index: pd.DataFrame) -> list[Tested]:
    """The repeats behind a study's folder, its `cells` folder, or single cells.

    Raises:
        ArtifactError: as `repeats_of`, or a file is missing or damaged.
    """
    files = [file for place in places for file in _tables(place)]
    if not files:
        return []
    table = pd.concat([read_table(file, CELL, "study") for file in files], ignore_index=True)
    return repeats_of(table, [cell for file in files for cell in _cells(file)], index)


def repeats_of(
    predictions: pd.DataFrame, cells: Iterable[Mapping[str, Any]], index: pd.DataFrame
) -> list[Tested]:
    """The repeats of a study.

    Args:
        predictions: columns CELL, of whole repeats or of single cells.
        cells: their records.
        index: the patch index.

    Raises:
        ArtifactError: patches that are not of the index, or not once in a repeat.
    """
    records = list(cells)
    trials, above = _trials(records), _above(records)
    pieces = predictions.groupby(["algorithm", "threshold", "repeat"], sort=False)
    return [_repeat(rows, trials, above, index) for _, rows in pieces]


def _repeat(
    rows: pd.DataFrame,
    trials: Mapping[tuple[str, str], tuple[int, ...]],
    above: Mapping[tuple[str, int], dict[int, float]],
    index: pd.DataFrame,
) -> Tested:
    algorithm, threshold = str(rows["algorithm"].iloc[0]), str(rows["threshold"].iloc[0])
    repeat = int(rows["repeat"].iloc[0])
    name = f"{algorithm}-{threshold}, repeat {repeat} of the study"
    told = rows.assign(probability=expit(rows["logit"]))
    validation = told[told["split"] == VALIDATION]
    folds = [joined(name, part, index) for _, part in validation.groupby("fold")]
    return Tested(
        name=name,
        source="study",
        algorithm=algorithm,
        threshold=threshold,
        seed=repeat,
        trials=trials.get((algorithm, threshold), ()),
        record={},
        oracle={},
        patches=joined(name, told[told["split"] == TEST], index),
        validation=pd.concat(folds, ignore_index=True) if folds else pd.DataFrame(),
        above=above.get((threshold, repeat), {}),
    )


def _tables(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    return sorted(place.glob("r*.parquet")) if place.name == "cells" else [place / "predictions.parquet"]


def _cells(file: Path) -> list[dict[str, Any]]:
    """Records of the cells behind a table."""
    if file.name == "predictions.parquet":
        path = file.with_name("study.json")
        return list(read_json(path, "study").get("cells", ())) if path.is_file() else []
    path = file.with_suffix(".json")
    return [read_json(path, "study")] if path.is_file() else []


def _trials(cells: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], tuple[int, ...]]:
    found: dict[tuple[str, str], set[int]] = {}
    for cell in cells:
        if "n_trials" in cell:
            found.setdefault((cell["algorithm"], cell["threshold"]), set()).add(int(cell["n_trials"]))
    return {key: tuple(sorted(numbers)) for key, numbers in found.items()}


def _above(cells: Iterable[Mapping[str, Any]]) -> dict[tuple[str, int], dict[int, float]]:
    """The value of each threshold in every repeat, by fold: the same for every method."""
    found: dict[tuple[str, int], dict[int, float]] = {}
    for cell in cells:
        if "tissue_fraction_above" in cell and "fold" in cell:
            place = found.setdefault((cell["threshold"], int(cell["repeat"])), {})
            place[int(cell["fold"])] = float(cell["tissue_fraction_above"])
    return found
