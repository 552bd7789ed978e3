"""How well annotated slides were predicted, group by group: of one slide, and of a run."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from models.groups import GroupLayout
from models.metrics import group_metrics
from models.metrics.accuracy import auroc
from pipeline.files import NOT_ESTIMABLE, finite_or, read_table
from pipeline.training.layout import NamedLayout

_SCORED = ("label", "prediction", "attribute", "probability")


def score(patches: pd.DataFrame, classes: Sequence[str], attributes: Sequence[str]) -> dict[str, Any]:
    """Figures of annotated patches for JSON; undefined ones are “not estimable”.

    Patches that are neither tumor nor free of it are left out. Groups are label by part of the tissue
    fractions; without parts there are none.

    Args:
        patches: columns label, prediction, attribute, probability.
        classes: names; the last is tumor.
        attributes: names of the parts of the tissue fractions.
    """
    kept = patches[patches["label"] >= 0]
    label_N, prediction_N = kept["label"].to_numpy(np.int64), kept["prediction"].to_numpy(np.int64)
    by_class = group_metrics(label_N, prediction_N, label_N, len(classes))
    counts_KK = np.bincount(label_N * len(classes) + prediction_N, minlength=len(classes) ** 2)
    return {
        "patches": len(kept),
        "left_out": len(patches) - len(kept),
        "confusion": dict(zip(("TN", "FP", "FN", "TP"), counts_KK.tolist(), strict=True)),
        "accuracy": _told(by_class.average),
        "sensitivity": _told(by_class.accuracy_G[1]),
        "specificity": _told(by_class.accuracy_G[0]),
        "auroc": _told(auroc(label_N, kept["probability"].to_numpy(np.float64))),
        **_by_group(kept, NamedLayout(tuple(classes), tuple(attributes))),
    }


def score_of_run(tables: Iterable[Path], classes: Sequence[str], attributes: Sequence[str]) -> dict[str, Any]:
    """Figures over the patches of all annotated slides together.

    Four columns of them are held at a time, some 24 bytes a patch, since the AUROC needs all at once.

    Args:
        tables: patches.parquet of every annotated slide.
        classes: names; the last is tumor.
        attributes: names of the parts of the tissue fractions.

    Raises:
        ArtifactError: a table is missing or damaged.
    """
    parts = [read_table(path, _SCORED, "predict")[list(_SCORED)] for path in tables]
    return score(pd.concat(parts, ignore_index=True), classes, attributes)


def _by_group(kept: pd.DataFrame, layout: NamedLayout) -> dict[str, Any]:
    """Accuracy of every group, the worst and the mean; patches without an attribute are in no group."""
    known = kept[kept["attribute"] >= 0]
    if not layout.attributes or known.empty:
        return {"wga": NOT_ESTIMABLE, "gba": NOT_ESTIMABLE, "groups": []}
    groups: GroupLayout = layout.groups
    found = group_metrics(
        known["label"],
        known["prediction"],
        groups.group(known["label"], known["attribute"]),
        groups.n_groups,
    )
    rows = zip(layout.names, found.count_G.tolist(), found.accuracy_G.tolist(), strict=True)
    return {
        "wga": _told(found.wga),
        "gba": _told(found.gba),
        "groups": [{"name": name, "patches": count, "accuracy": _told(each)} for name, count, each in rows],
    }


def _told(value: float) -> float | str:
    return finite_or(float(value), NOT_ESTIMABLE)
