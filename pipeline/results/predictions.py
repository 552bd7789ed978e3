"""Test predictions to put side by side: of evaluated trainings, and of a study's repeats."""

import logging
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from models.data.splitting import TEST, VALIDATION
from models.networks.card import DecisionCard
from models.networks.decision import told
from patching.errors import ArtifactError, ConfigError
from pipeline.artifacts import Paths, name_parts, run_name
from pipeline.config import Context
from pipeline.files import read_json, read_table
from pipeline.patch_tables import read_index
from pipeline.results.runs import (
    identity,
    made_by,
    present_study,
    run_decision,
    run_record,
    stale,
    tuning_trials,
    without_left_out,
)
from pipeline.results.studied import studied
from pipeline.results.tested import KNOWN, NEEDED, Tested, joined

logger = logging.getLogger(__name__)

PLACED = ("patch_id", "patient_id")
"""Columns of the index that predictions need."""
ORACLE = "oracle"
"""Key of metrics.json for figures that were selected on the test patches."""


def find_tested(context: Context, named: Sequence[str]) -> tuple[Tested, ...]:
    """Read what was named, or without names every present training and the study of a cohort.

    Args:
        named: evaluated runs and study cells by name or folder; `study` is the whole study.

    Raises:
        ArtifactError: nothing to read, a file is missing or malformed, or patches are not of this cohort.
        ConfigError: a name that is neither a run nor a folder.
    """
    index = read_index(context.paths, PLACED)
    places = [_located(context.paths, text) for text in named] if named else _everything(context)
    found = [_evaluated(place, index) for place in places if not _of_study(place)]
    found += studied([place for place in places if _of_study(place)], index)
    return tuple(found)


def sound_runs(
    context: Context, names: Sequence[str], main: tuple[str, str] | None
) -> tuple[tuple[Tested, ...], tuple[str, ...]]:
    """Read evaluated runs; one that cannot be read is left out, but the one that all is about.

    Args:
        names: of runs.
        main: algorithm and threshold of the run that is not left out, whatever its seed.

    Returns:
        The runs, and a sentence on each that is left out: what is wrong, and what writes it anew.

    Raises:
        ArtifactError: predictions of `main`, or the patch index, are missing, malformed or of other patches.
    """
    index, found, left_out = read_index(context.paths, PLACED), [], []
    for name in names:
        try:
            found.append(_evaluated(context.paths.evaluation(name), index))
        except ArtifactError as error:
            if name_parts(name)[:2] == main:
                raise
            left_out.append(_left_out(context, name, error))
            logger.warning("%s", left_out[-1])
    return tuple(found), tuple(left_out)


def _left_out(context: Context, name: str, error: ArtifactError) -> str:
    """Where the error names no file, the predictions are meant; nothing of the machine's own paths."""
    paths, (train, evaluate) = context.paths, made_by(context.cohort, name)
    told = error.has.removeprefix(f"{name}: ")
    if str(paths.root) not in told and str(paths.root.resolve()) not in told:
        told = f"{paths.evaluation(name) / 'predictions.parquet'}: {told}"
    for root in (paths.root, paths.root.resolve()):
        told = told.replace(f"{root}/", "")
    trained = paths.training(name).relative_to(paths.root).as_posix() in told
    again = (
        f"`{train} && {evaluate}`" if trained else f"`{evaluate}`, where that does not help after `{train}`"
    )
    return f"{name} is left out: {told}. Written anew by {again}."


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
    decision = run_decision(folder)
    if decision is not None:
        table = _decided_plainly(folder, table)
    return Tested(
        name=folder.name,
        source="split",
        algorithm=algorithm,
        threshold=threshold,
        seed=int(seed or 0),
        trials=trials,
        record=record,
        oracle=read_json(metrics, "evaluate").get(ORACLE, {}) if metrics.is_file() else {},
        patches=_tested_patches(folder.name, table, index),
        validation=_validated(folder.name, table[table["split"] == VALIDATION], index),
        decision=decision,
    )


def _tested_patches(name: str, table: pd.DataFrame, index: pd.DataFrame) -> pd.DataFrame:
    """Those of the test; empty where the split has no test patients, as `split.test: 0` makes it."""
    of_test = table[table["split"] == TEST]
    if of_test.empty and (table["split"] == VALIDATION).any():
        return pd.DataFrame(columns=list(dict.fromkeys((*NEEDED, *KNOWN))))
    return joined(name, of_test, index)


def with_test(tested: Sequence[Tested]) -> tuple[Tested, ...]:
    """Those that were tested on patients; the others are logged.

    Raises:
        ArtifactError: none was.
    """
    kept = tuple(one for one in tested if len(one.patches))
    left = [one.name for one in tested if not len(one.patches)]
    if left:
        logger.warning("%s: left out, for their split has no test patients", ", ".join(left))
    if not kept:
        raise ArtifactError(
            has=f"{', '.join(left)}, trained with a split that has no test patients",
            needs="figures of tested patients",
            do="run `evenpatch study`, or give `split.test` a share and train again",
        )
    return kept


def _decided_plainly(folder: Path, table: pd.DataFrame) -> pd.DataFrame:
    """Predictions as the network's own log-odds make them, without the rule of its card."""
    if "logit" not in table or table["logit"].isna().any():
        raise ArtifactError(
            has=f"{folder / 'predictions.parquet'} without log-odds, of a model that decides by a rule",
            needs="the network's log-odds of every patch",
            do="evaluate the training again",
        )
    probability_N, prediction_N = told(DecisionCard(), table["logit"])
    return table.assign(probability=probability_N, prediction=prediction_N)


def _validated(name: str, table: pd.DataFrame, index: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame() if table.empty else joined(name, table, index)
