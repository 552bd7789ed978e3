"""What a study's reader gets who tries all methods and trusts validation."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

BEST = "best_on_validation"
"""Name of the row that takes the method with the best validation figures in every fold."""


def best_on_validation(predictions: pd.DataFrame, records: Sequence[dict[str, Any]]) -> pd.DataFrame | None:
    """Test predictions of the method that was best on the validation patients of each fold.

    No test patient has a say, so that this row pays for having tried all methods. Of equals, the first of
    the study is taken.

    Args:
        predictions: of every method that ran in every fold.
        records: of all cells.

    Returns:
        Rows of `predictions` under the name BEST; none with a single method, or where a record has no
        validation score.
    """
    names = set(predictions["algorithm"])
    scores: dict[tuple[str, str], list[tuple[tuple[float, ...], str]]] = {}
    for record in records:
        if record["algorithm"] in names:
            repeat_fold = record["name"].split(f"-{record['algorithm']}-")[0]
            figures = record.get("validation") or ()
            score = tuple(-math.inf if figure is None else figure for figure in figures)
            scores.setdefault((repeat_fold, record["threshold"]), []).append((score, record["algorithm"]))
    if len(names) < 2 or not all(score for found in scores.values() for score, _ in found):
        return None
    chosen = {place: max(found, key=lambda each: each[0])[1] for place, found in scores.items()}
    places = (
        (f"r{repeat}-f{fold}", threshold)
        for repeat, fold, threshold in zip(
            predictions["repeat"], predictions["fold"], predictions["threshold"], strict=True
        )
    )
    picked = [chosen[place] == name for place, name in zip(places, predictions["algorithm"], strict=True)]
    best: pd.DataFrame = predictions[picked]
    return best.assign(algorithm=BEST)
