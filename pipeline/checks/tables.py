"""Splits, attributes and runs held against the patch index, and the files of a run against each other."""

import logging
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd

from models.networks.card_file import card_and_weights
from patching.errors import EvenpatchError
from pipeline.artifacts import Paths
from pipeline.files import read_json
from pipeline.patch_tables import read_index, read_predictions, read_splits, with_splits
from pipeline.results.runs import identity, made_by, run_record, stale
from pipeline.training.patches import patch_table

logger = logging.getLogger(__name__)
_SAME = ("split", "label", "attribute", "group")


def table_problems(paths: Paths) -> Iterator[str]:
    """Splits and attributes that are damaged, or not of the present index."""
    if paths.splits.is_file():
        yield from _told(lambda: with_splits(read_index(paths), read_splits(paths)))
    for path in sorted(paths.attribute_table("any").parent.glob("*.parquet")):
        try:
            yield from _regrouped(paths, path.stem, patch_table(paths, path.stem))
        except EvenpatchError as error:
            yield f"{error.has}; {error.do}"


def _regrouped(paths: Paths, threshold: str, patches: pd.DataFrame) -> Iterator[str]:
    """Splits that are not those by which the attribute stage chose its thresholds and counted."""
    if not paths.groups.is_file():  # of imported images
        return
    told = _inside(read_json(paths.groups, "attribute")["thresholds"], threshold)
    for split, rows in patches.groupby("split"):
        counted = [number for row in _inside(told, "counts").get(str(split), ()) for number in row]
        if counted and counted != np.bincount(rows["group"], minlength=len(counted)).tolist():
            yield (
                f"{paths.groups}: other counts at {threshold!r} of {split} than by the present splits; "
                "run `evenpatch split` and `evenpatch attribute` again"
            )


def run_problems(paths: Paths) -> Iterator[str]:
    """Models and evaluations that are damaged, or contradict themselves or the present patches."""
    for card in sorted(paths.training("any").parent.glob("*/model.json")):
        yield from _told(partial(card_and_weights, card.parent))
    known = cache(lambda threshold: patch_table(paths, threshold).set_index("patch_id")[list(_SAME)])
    for table in sorted(paths.evaluation("any").parent.glob("*/predictions.parquet")):
        try:
            yield from _evaluation_problems(paths, table.parent.name, known)
        except EvenpatchError as error:
            yield f"{error.has}; {error.do}"


def _told(check: Callable[[], object]) -> Iterator[str]:
    """The refusal of a check in words."""
    try:
        check()
    except EvenpatchError as error:
        yield f"{error.has}; {error.do}"


def _evaluation_problems(paths: Paths, name: str, known_at: Callable[[str], pd.DataFrame]) -> Iterator[str]:
    folder, again = paths.evaluation(name), f"run `{made_by(paths.cohort, name)[1]}` again"
    predictions = read_predictions(folder)
    record = run_record(folder)
    if record and (changed := stale(paths, name)):
        logger.warning("%s: %s; `dvc repro`, or %s", name, changed, " and ".join(made_by(paths.cohort, name)))
    # Predictions of other origin have no training beside them, and may have no figures.
    if record and not changed:
        known = known_at(identity(name, record)[1])
        strange = predictions["patch_id"][~predictions["patch_id"].isin(known.index)]
        if len(strange):
            yield f"{folder / 'predictions.parquet'}: {len(strange)} patches of no index; {again}"
            return
        known = known.loc[predictions["patch_id"]]
        for column in _SAME:
            wrong_N = predictions[column].to_numpy() != known[column].to_numpy()
            if wrong_N.any():
                first, count = predictions["patch_id"][wrong_N].iloc[0], int(wrong_N.sum())
                place = folder / "predictions.parquet"
                yield f"{place}: another {column} than in the tables of {count} patches, as {first}; {again}"
    metrics = folder / "metrics.json"
    if record or metrics.is_file():
        for problem in _miscounted(read_json(metrics, "evaluate"), predictions):
            yield f"{metrics}: {problem}; {again}"


def _miscounted(metrics: Mapping[str, Any], predictions: pd.DataFrame) -> Iterator[str]:
    """Counts of figures that are not of these predictions."""
    right = predictions.assign(right=predictions["label"] == predictions["prediction"])
    for split, rows in right.groupby("split"):
        groups = _inside(_inside(metrics, str(split)), "groups")
        if not groups:
            yield f"no figures of groups of {split}"
            continue
        for group, own in rows.groupby("group"):
            told = _inside(groups, f"group_{group}")
            counted = {"patches": len(own), "correct": int(own["right"].sum())}
            if wrong := [key for key, count in counted.items() if told.get(key, count) != count]:
                yield f"other {' and '.join(wrong)} than predictions of group {group} of {split}"


def _inside(content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A mapping in a mapping; what is no mapping has no keys."""
    found = content.get(key)
    return found if isinstance(found, Mapping) else {}
