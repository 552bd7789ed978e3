"""What changes from one run to another, patch by patch: verdicts that turn right, or wrong."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.groups import GroupLayout
from models.metrics.intervals import Interval, paired_difference, patient_statistics
from pipeline.results.bootstrap import BootstrapSettings
from pipeline.results.tested import Tested

MENDED, BROKEN = "wrong to right", "right to wrong"
"""The two ways of a verdict."""


@dataclass(frozen=True)
class GroupFlips:
    """Verdicts of one group that changed.

    Attributes:
        patches, patients: of the group.
        mended, broken: patches whose verdict turned right, and wrong.
        mended_patients, broken_patients: patients with such a patch; one may be among both.
        difference: of the accuracies, second minus first, with its interval over patients.
    """

    patches: int
    patients: int
    mended: int
    broken: int
    mended_patients: int
    broken_patients: int
    difference: Interval


def paired_patches(first: Tested, second: Tested) -> pd.DataFrame:
    """Test patches of two runs side by side, with `flip`: MENDED, BROKEN, or empty where nothing changed.

    Columns of the first run; `prediction_to` and `probability_to` are the second's. A change that leaves
    the verdict wrong, as with more than two classes it may, is none.

    Args:
        first, second: of the same patches (pipeline.results.seeds refuses others).
    """
    own = [name for name in ("prediction", "probability") if name in second.patches]
    after = second.patches[["patch_id", *own]].rename(columns={name: f"{name}_to" for name in own})
    both = first.patches.merge(after, on="patch_id", validate="1:1")
    right_N, right_to_N = (both["label"] == both[name] for name in ("prediction", "prediction_to"))
    flip = np.select([~right_N & right_to_N, right_N & ~right_to_N], [MENDED, BROKEN], "")
    return both.assign(flip=flip)


def flips_of(both: pd.DataFrame, layout: GroupLayout, settings: BootstrapSettings) -> tuple[GroupFlips, ...]:
    """The changes in every group, in the order of their numbers.

    Args:
        both: see `paired_patches`.
        layout: of the groups.
        settings: of the intervals, and what is estimable.
    """
    sums = [
        patient_statistics(
            both["label"],
            both[name].to_numpy()[None],
            both["group"],
            both["patient_id"],
            layout.n_groups,
            **settings.minimums(),
        )
        for name in ("prediction_to", "prediction")
    ]
    differences = paired_difference(sums[0], sums[1], **settings.drawn)
    return tuple(
        _of_group(both[both["group"] == group], differences[f"group_{group}"])
        for group in range(layout.n_groups)
    )


def _of_group(rows: pd.DataFrame, difference: Interval) -> GroupFlips:
    ways = [rows[rows["flip"] == way] for way in (MENDED, BROKEN)]
    mended, broken = ([len(way), way["patient_id"].nunique()] for way in ways)
    return GroupFlips(
        patches=len(rows),
        patients=rows["patient_id"].nunique(),
        mended=mended[0],
        broken=broken[0],
        mended_patients=mended[1],
        broken_patients=broken[1],
        difference=difference,
    )


def chosen_flips(both: pd.DataFrame, most: int) -> pd.DataFrame:
    """Up to `most` patches of every group and way: those whose probability moved most.

    Each patient's first comes before any patient's second.
    Without probabilities, or where one is NaN, the order is that of the names.
    """
    changed = both[both["flip"] != ""]
    moved = _moved(changed).fillna(0)
    table = changed.assign(moved=moved).sort_values(["moved", "patch_id"], ascending=[False, True])
    keys = ["group", "flip"]
    # The patch of a patient that moved most comes before any patient's second one.
    table = table.assign(turn=table.groupby([*keys, "patient_id"]).cumcount())
    table = table.sort_values([*keys, "turn", "moved", "patch_id"], ascending=[True, True, True, False, True])
    return table[table.groupby(keys).cumcount() < most]


def _moved(rows: pd.DataFrame) -> pd.Series:
    if not {"probability", "probability_to"} <= set(rows.columns):
        return pd.Series(0.0, index=rows.index)
    return pd.Series((rows["probability_to"] - rows["probability"]).abs(), index=rows.index)


def pair_of(
    tested: Sequence[Tested], candidate: str, reference: str, threshold: str
) -> tuple[Tested, Tested] | None:
    """The two runs to show: from the first to the second.

    Where there are exactly two, of one threshold and split: these, in their order. Else the reference and
    the candidate at the threshold, of the seeds that stand first. None where neither holds.
    """
    single = [run for run in tested if run.source == "split"]
    if len(tested) == 2:
        return (
            (tested[0], tested[1])
            if len(single) == 2 and tested[0].threshold == tested[1].threshold
            else None
        )
    found = [
        next((run for run in single if (run.algorithm, run.threshold) == (name, threshold)), None)
        for name in (reference, candidate)
    ]
    return (found[0], found[1]) if found[0] is not None and found[1] is not None else None
