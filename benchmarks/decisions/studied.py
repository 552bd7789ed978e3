"""The same ways to decide on a study's stored log-odds: fitted to validation, tried on test patients."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.decisions.rules import WAYS, Patches
from models.networks.card import DecisionCard
from models.networks.decision import ruled
from patching.errors import AlgorithmError


def studied(cells: Path, index: Path) -> pd.DataFrame:
    """Columns threshold, algorithm, way, trainings, refused, wga, gba, little and much.

    Args:
        cells: folder of a study's cells.
        index: the cohort's index.parquet, which knows the patients.

    Returns:
        `wga`, `gba`: of the test patches of a repeat's folds together, averaged over repeats. `refused`:
        trainings that a way cannot be fitted for, and which are decided plainly. `little`, `much`: standard
        deviation over trainings of the log-odds at which a patch becomes tumor, with little and much tissue.
    """
    patients = pd.read_parquet(index, columns=["patch_id", "patient_id"])
    rows = [row for path in sorted(cells.glob("*.parquet")) for row in _tried(path, patients)]
    keys = ["threshold", "algorithm", "way"]
    return pd.DataFrame(
        [
            dict(zip(keys, key, strict=True)) | _summary(part)
            for key, part in pd.DataFrame(rows).groupby(keys, sort=False)
        ]
    )


def _tried(path: Path, patients: pd.DataFrame) -> list[dict[str, Any]]:
    table = pd.read_parquet(path).merge(patients, on="patch_id", validate="1:1")
    above = json.loads(path.with_suffix(".json").read_text())["tissue_fraction_above"]
    validation, tested = (_patches(table[table["split"] == split], above) for split in ("validation", "test"))
    key = table[["threshold", "algorithm", "repeat"]].iloc[0].to_dict()
    rows = []
    for way, fit in WAYS.items():
        try:
            decision, refused = fit(validation), False
        except AlgorithmError:
            decision, refused = WAYS["plain"](validation), True
        little, much = (_turning_point(decision, tissue) for tissue in (above / 2, (above + 1) / 2))
        rows.append(
            key
            | {"way": way, "refused": refused, "little": little, "much": much}
            | {"group": tested.group_N, "right": tested.right(decision)}
        )
    return rows


def _patches(table: pd.DataFrame, above: float) -> Patches:
    return Patches(
        table["logit"].to_numpy(np.float64),
        table["label"].to_numpy(np.int64),
        table["tissue_fraction"].to_numpy(np.float64),
        table["patient_id"].factorize()[0],
        above,
    )


def _turning_point(decision: DecisionCard, tissue: float) -> float:
    """The network's log-odds beyond which a patch is tumor."""
    at_zero, at_one = ruled(decision, [0.0, 1.0], [tissue, tissue])
    return float(-at_zero / (at_one - at_zero))


def _summary(part: pd.DataFrame) -> dict[str, float]:
    repeats = [
        pd.Series(np.concatenate(rows["right"].tolist()))
        .groupby(np.concatenate(rows["group"].tolist()))
        .mean()
        for _, rows in part.groupby("repeat")
    ]
    return {
        "trainings": len(part),
        "refused": int(part["refused"].sum()),
        "wga": float(np.mean([accuracy.min() for accuracy in repeats])),
        "gba": float(np.mean([accuracy.mean() for accuracy in repeats])),
        "little": float(part["little"].std(ddof=0)),
        "much": float(part["much"].std(ddof=0)),
    }
