"""Which test patches the gallery shows: by rule and hash, never by eye."""

import hashlib
from collections.abc import Iterator
from typing import Literal

import numpy as np
import pandas as pd

from pipeline.explain.settings import ExplainSettings

Role = Literal["confident", "typical", "control", "random"]
Matched = Literal["slide", "patient", "group", ""]
"""What a control has in common with its error, beside its group; "" of others than controls."""
CHOSEN = ("patch_id", "role", "of", "matched")


def confidence(rows: pd.DataFrame, threshold: float) -> pd.Series:
    """How far beyond the threshold a probability lies: 0 at the threshold, 1 at the end of the scale."""
    probability = rows["probability"].astype(float)
    beyond = np.where(
        rows["prediction"] == 1, (probability - threshold) / (1 - threshold), 1 - probability / threshold
    )
    return pd.Series(beyond, index=rows.index)


def choose(rows: pd.DataFrame, threshold: float, settings: ExplainSettings) -> pd.DataFrame:
    """The patches of every group: errors with a control after each of them, then random ones.

    Among errors of a kind, and random ones, different patients come first. No patch is chosen twice, and none
    without a probability. The same rows in any order give the same choice.

    Args:
        rows: test patches with patch_id, slide_id, patient_id, group, label, prediction, probability and
            tissue_fraction.
        threshold: the probability beyond which a patch is tumor, 0 to 1 exclusive.
        settings: how many.

    Returns:
        CHOSEN, in the order of the groups and of their parts; `of` is the error that a control belongs to.
    """
    known = rows[rows["probability"].notna()].sort_values("patch_id", ignore_index=True)
    known = known.assign(
        confidence=confidence(known, threshold),
        wrong=known["label"] != known["prediction"],
        order=[hashlib.sha256(name.encode()).hexdigest() for name in known["patch_id"]],
    )
    found = [row for _, part in known.groupby("group") for row in _of_group(part, settings)]
    return pd.DataFrame(found, columns=list(CHOSEN))


def _of_group(part: pd.DataFrame, settings: ExplainSettings) -> Iterator[tuple[str, Role, str, Matched]]:
    wrong, right = part[part["wrong"]], part[~part["wrong"]]
    surest = _first(wrong.assign(rank=-wrong["confidence"]), settings.confident)
    others = wrong[~wrong["patch_id"].isin(surest)]
    from_median = (others["confidence"] - wrong["confidence"].median()).abs()
    usual = _first(others.assign(rank=from_median), settings.typical)
    used = {*surest, *usual}
    errors: list[tuple[Role, list[str]]] = [("confident", surest), ("typical", usual)]
    for role, names in errors:
        for name in names:
            yield name, role, "", ""
            error = wrong[wrong["patch_id"] == name].iloc[0]
            control, matched = _control(error, right[~right["patch_id"].isin(used)])
            if control:
                used.add(control)
                yield control, "control", name, matched
    left = part[~part["patch_id"].isin(used)]
    for name in _first(left.assign(rank=0), settings.random):
        yield name, "random", "", ""


def _first(part: pd.DataFrame, wanted: int) -> list[str]:
    """The lowest ranks, one of every patient before the second of any; equals in the order of the hash."""
    ordered = part.sort_values(["rank", "order"])
    turn = ordered.groupby("patient_id").cumcount()
    ordered = ordered.assign(turn=turn).sort_values(["turn", "rank", "order"])
    return ordered["patch_id"].head(wanted).tolist()


def _control(error: pd.Series, right: pd.DataFrame) -> tuple[str, Matched]:
    """A correct patch of the same group: of the slide, else the patient, else any; of the nearest tissue."""
    if right.empty:
        return "", ""
    far = np.select(
        [right["slide_id"] == error["slide_id"], right["patient_id"] == error["patient_id"]], [0, 1], 2
    )
    tissue = (right["tissue_fraction"] - error["tissue_fraction"]).abs()
    nearest = right.assign(far=far, tissue=tissue).sort_values(["far", "tissue", "order"]).iloc[0]
    kinds: tuple[Matched, ...] = ("slide", "patient", "group")
    return str(nearest["patch_id"]), kinds[int(nearest["far"])]
