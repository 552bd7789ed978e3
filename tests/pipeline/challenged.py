"""Evidence with invented answers, for the tests of the gate: models that are as good as a test wants."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import yaml

from pipeline.config import Context, load_stage
from pipeline.deployment.challenger.duel import Answers, duel_of
from pipeline.deployment.challenger.evidence import Evidence
from pipeline.deployment.challenger.settings import RegisterSettings
from pipeline.tracking.probing import Probe
from pipeline.tracking.registry import Version
from pipeline.training.patches import patch_table

GOOD, FAIR, LOPSIDED = (0.95, 0.95, 0.95, 0.95), (0.8, 0.8, 0.8, 0.8), (1.0, 0.6, 0.6, 1.0)
"""Accuracy of every group; the lopsided model has the better average than the fair one, and the worse WGA."""


def tested_patches(context: Context, threshold: str) -> pd.DataFrame:
    """Of a cohort's test patients."""
    table = patch_table(context.paths, threshold)
    return table[table["split"] == "test"].reset_index(drop=True)


def ten_times(table: pd.DataFrame) -> pd.DataFrame:
    """The patches of as many more patients: four show nothing, whatever the models do."""
    copies = [
        table.assign(**{key: table[key] + f"-{copy}" for key in ("patch_id", "patient_id")})
        for copy in range(10)
    ]
    return pd.concat(copies, ignore_index=True)


def scores(table: pd.DataFrame, accuracy_G: Sequence[float], sure: float = 0.9) -> Answers:
    """Answers, right in the given share of every group's patches, evenly over its patients."""
    right_N = np.zeros(len(table), bool)
    for group, rows in table.groupby("group"):
        place_M = np.arange(len(rows))
        share = accuracy_G[int(str(group))]
        right_N[rows.index] = np.floor((place_M + 1) * share) > np.floor(place_M * share)
    probability_N = np.where(right_N == (table["label"] == 1), sure, 1 - sure)
    return Answers(probability_N, (probability_N > 0.5).astype(np.int64))


def evidence(
    context: Context,
    candidate: Version,
    champion: Version | None,
    accuracies: Mapping[str, Sequence[float]],
    **changes: Any,
) -> Evidence:
    """What the gate would have measured of models with these accuracies, by `candidate` and `champion`."""
    table = ten_times(tested_patches(context, "low"))
    held = None if champion is None else scores(table, accuracies["champion"])
    content: dict[str, Any] = {
        "candidate": candidate,
        "champion": champion,
        "duel": duel_of(context, "low", table, scores(table, accuracies["candidate"]), held),
        "unscored": "" if champion else "there is no champion yet",
        "seen": {"candidate": ""} | ({"champion": ""} if champion else {}),
        "validation_patients_K": (4, 4),
        "probe": Probe("", 1, 1, (0.5,), 0.003, 700.0),
        "served_apart": 1e-6,
    }
    return Evidence(**(content | changes))


def settings(context: Context) -> RegisterSettings:
    """Of a cohort."""
    return load_stage(context.configs, context.cohort, "register", RegisterSettings)


def set_register(context: Context, section: Mapping[str, Any]) -> None:
    """Write the cohort's own section of `register`."""
    path = context.configs / "cohorts" / f"{context.cohort}.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump(content | {"register": dict(section)}), encoding="utf-8")
