"""Test predictions to put side by side: of evaluated trainings, and of a study's repeats."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from models.data.splitting import TEST
from patching.errors import ArtifactError, ConfigError
from pipeline.artifacts import Paths, name_parts, run_name
from pipeline.config import Context
from pipeline.files import read_json, read_table
from pipeline.results.runs import (
    identity,
    present_study,
    run_record,
    stale,
    tuning_trials,
    without_left_out,
)

CELL = (
    "patch_id", "repeat", "fold", "threshold", "algorithm",
    "label", "attribute", "group", "probability", "prediction",
)  # fmt: skip
"""Columns of a study's predictions."""
Source = Literal["split", "study"]
NEEDED = ("patch_id", "label", "attribute", "group", "prediction")
KNOWN = ("patient_id", "slide_id", "store_row", "tissue_fraction", "tumor_fraction")
ORACLE = "oracle"
"""Key of metrics.json for figures that were selected on the test patches."""


@dataclass(frozen=True)
class Tested:
    """Test predictions of one training, or of one repeat of a study.

    Attributes:
        name: of the run or repeat, for messages.
        source: `split`, one training on one split; `study`, one repeat of a cross-validation.
        seed: of the training; of a study, its repeat.
        trials: candidates that each selection chose from, those of a search included, ascending; empty where
            that was not recorded.
        record: run.json, settings and seeds of the training; empty for a study, or where there is none.
        oracle: figures selected on the test patches, by name; no estimate of anything.
        patches: NEEDED, KNOWN of the index (NaN where it has none) and maybe probability, of the positive
            class; in the order of patch_id, so that runs pair row by row.
    """

    name: str
    source: Source
    algorithm: str
    threshold: str
    seed: int
    trials: tuple[int, ...]
    record: Mapping[str, Any]
    oracle: Mapping[str, Any]
    patches: pd.DataFrame

    @cached_property
    def shared(self) -> dict[str, Any]:
        """Settings, and fingerprints of the data, that the seeds of an algorithm must share.

        Without the settings that selection chooses for each seed anew.
        """
        settings = self.record.get("algorithm_settings", {})
        tried = {key for trial in self.record.get("trials", ()) for key in trial.get("override", {})}
        own = {key: value for key, value in settings.items() if key not in tried}
        return {**self.record.get("train_settings", {}), **own, **self.record.get("fingerprints", {})}

    @property
    def candidates(self) -> list[str]:
        """What selection chose from, in words."""
        return sorted(str(trial.get("override")) for trial in self.record.get("trials", ()))


def find_tested(context: Context, named: Sequence[str]) -> tuple[Tested, ...]:
    """Read what was named, or without names every present training and the study of a cohort.

    Args:
        named: evaluated runs and study cells by name or folder; `study` is the whole study.

    Raises:
        ArtifactError: nothing to read, a file is missing or malformed, or patches are not of this cohort.
        ConfigError: a name that is neither a run nor a folder.
    """
    index = read_index(context.paths)
    places = [_located(context.paths, text) for text in named] if named else _everything(context)
    found = [_evaluated(place, index) for place in places if not _of_study(place)]
    found += _studied([place for place in places if _of_study(place)], index)
    return tuple(found)


def read_index(paths: Paths) -> pd.DataFrame:
    """The patch index, as far as predictions need it."""
    return read_table(paths.index, ("patch_id", "patient_id"), "tile")


def _everything(context: Context) -> list[Path]:
    paths = context.paths
    folder = paths.evaluation("any").parent
    names = [path.parent.name for path in sorted(folder.glob("*/predictions.parquet"))]
    places = [folder / name for name in without_left_out({name: stale(paths, name) for name in names})]
    if present_study(context):
        places.append(paths.study)
    if not places:
        raise ArtifactError(
            has=f"no evaluated training of the present data under {folder}, and no {paths.study}",
            needs="something to compare",
            do="run `evenpatch train` and `evenpatch evaluate`, or `evenpatch study`",
        )
    return places


def _located(paths: Paths, text: str) -> Path:
    cell = paths.study / "cells" / f"{text}.parquet"
    known = (paths.evaluation(text), cell, paths.study if text == "study" else cell, Path(text))
    found = next((path for path in known if path.exists()), None)
    if found is None:
        folder = paths.evaluation("any").parent
        names = ", ".join(sorted(path.parent.name for path in folder.glob("*/predictions.parquet")))
        raise ConfigError(
            has=f"no run or folder {text!r}",
            needs=f"`study`, a folder, or one of {names or 'none evaluated yet'}",
            do="correct the name, or train and evaluate the run first",
        )
    return found


def _of_study(place: Path) -> bool:
    return place.is_file() or (place / "study.json").is_file() or place.name == "cells"


def _evaluated(folder: Path, index: pd.DataFrame) -> Tested:
    table = read_table(folder / "predictions.parquet", ("split", *NEEDED), "evaluate")
    record = run_record(folder)
    algorithm, threshold = identity(folder.name, record)
    metrics = folder / "metrics.json"
    seed = record.get("seed", name_parts(folder.name)[2])
    search = folder.resolve().parent.parent / "tune" / run_name(algorithm, threshold)
    # The best trial of a search is trained again as one candidate, or among some.
    tuned = max(tuning_trials(search, record.get("algorithm_settings", {})) - 1, 0)
    trials = (int(record["n_trials"]) + tuned,) if "n_trials" in record else ()
    return Tested(
        name=folder.name,
        source="split",
        algorithm=algorithm,
        threshold=threshold,
        seed=int(seed or 0),
        trials=trials,
        record=record,
        oracle=read_json(metrics, "evaluate").get(ORACLE, {}) if metrics.is_file() else {},
        patches=_joined(folder.name, table[table["split"] == TEST], index),
    )


def _studied(places: Sequence[Path], index: pd.DataFrame) -> list[Tested]:
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
    trials = _trials(cells)
    pieces = predictions.groupby(["algorithm", "threshold", "repeat"], sort=False)
    return [_repeat(rows, trials, index) for _, rows in pieces]


def _repeat(
    rows: pd.DataFrame, trials: Mapping[tuple[str, str], tuple[int, ...]], index: pd.DataFrame
) -> Tested:
    algorithm, threshold = str(rows["algorithm"].iloc[0]), str(rows["threshold"].iloc[0])
    repeat = int(rows["repeat"].iloc[0])
    name = f"{algorithm}-{threshold}, repeat {repeat} of the study"
    return Tested(
        name=name,
        source="study",
        algorithm=algorithm,
        threshold=threshold,
        seed=repeat,
        trials=trials.get((algorithm, threshold), ()),
        record={},
        oracle={},
        patches=_joined(name, rows, index),
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


def _joined(name: str, table: pd.DataFrame, index: pd.DataFrame) -> pd.DataFrame:
    """Predictions with patient and tissue fraction; unique patches in the order of patch_id."""
    known = index.reindex(columns=["patch_id", *KNOWN])
    own = table[[*NEEDED, *(["probability"] if "probability" in table else [])]]
    joined = own.merge(known, on="patch_id", how="left", validate="m:1")
    strange = joined["patch_id"][joined["patient_id"].isna()]
    if not strange.empty:
        raise ArtifactError(
            has=f"{name}: {len(strange)} predictions for patches not in the index, as {strange.iloc[0]}",
            needs="predictions of this cohort's present patches",
            do="evaluate again, or give the run's own --cohort",
        )
    if joined.empty or joined["patch_id"].duplicated().any():
        raise ArtifactError(
            has=f"{name} with {len(joined)} test predictions for {joined['patch_id'].nunique()} patches",
            needs="one prediction of every test patch",
            do="name each run or study cell once, and evaluate again where that is not it",
        )
    return joined.astype(dict.fromkeys(NEEDED[1:], np.int64)).sort_values("patch_id", ignore_index=True)
