"""How far one gets without a network: tissue alone, a linear model, and the same with permuted labels."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from models.data.attributes import ThresholdRule
from pipeline.artifacts import Paths
from pipeline.files import NOT_ESTIMABLE, file_fingerprint, read_json, read_table
from pipeline.look import plots as drawing
from pipeline.report.sources import Sources

CHECKS = {
    "tissue_by_patch": "tissue of the patch alone",
    "tissue_by_patient": "mean tissue of the patient alone",
    "linear": "linear model on statistics",
}
SHOWN = {
    "wga": "Worst group (WGA)",
    "gba": "Group-balanced (GBA)",
    "average": "Average",
    "auroc_within": "AUROC within strata",
}
NULL = {"wga": "WGA", "gba": "GBA", "auroc_within": "AUROC within strata"}
SURE = 0.05
"""p-values up to it are called told from chance; three figures a threshold are not corrected for."""
_BINS = 24


def values(sources: Sources) -> Mapping[str, Any]:
    """The stage's figures of the report's thresholds, or why there are none to show."""
    missing = _missing(sources)
    if missing:
        return {"missing": missing}
    content = read_json(sources.evidence.paths.shortcuts / "shortcuts.json", "shortcuts")
    null = read_table(sources.evidence.paths.shortcuts / "null.parquet", ("threshold", *NULL), "shortcuts")
    found = {name: content["thresholds"][name] for name in sources.evidence.thresholds}
    return {
        "missing": "",
        "content": content,
        "found": {name: _estimated(each) for name, each in found.items()},
        "checks": CHECKS,
        "shown": SHOWN,
        "null": NULL,
        "readings": {name: _reading(each, content) for name, each in found.items()},
        "picture_of_null": drawing.svg_uri(null_picture(null, found)),
    }


def linear_of(sources: Sources, threshold: str) -> Mapping[str, float] | None:
    """Worst-group accuracy of the linear model on hand-made statistics: estimate, low, high.

    None where the stage's figures cannot be shown, or do not hold one.
    """
    if _missing(sources):
        return None
    content = read_json(sources.evidence.paths.shortcuts / "shortcuts.json", "shortcuts")
    figure = content["thresholds"][threshold]["checks"]["linear"]["wga"]
    return None if NOT_ESTIMABLE in (figure["estimate"], figure["low"], figure["high"]) else figure


def _missing(sources: Sources) -> str:
    """Why the stage's figures cannot be shown; empty where they can."""
    paths: Paths = sources.evidence.paths
    path = paths.shortcuts / "shortcuts.json"
    if not path.is_file():
        return "The checks have not been run."
    content = read_json(path, "shortcuts")
    if content.get("fingerprints", {}).get(paths.index.name) != file_fingerprint([paths.index]):
        return "The checks that were run are of other patches than this report."
    known, groups = content["thresholds"], sources.evidence.groups["thresholds"]
    for name in sources.evidence.thresholds:
        rule = ThresholdRule.model_validate(known[name]["rule"]) if name in known else None
        if rule is None or rule.how != groups[name]["how"] or rule.value not in (None, groups[name]["value"]):
            return f"The checks that were run do not have the threshold “{name}” of this report."
    return ""


def _reading(found: Mapping[str, Any], content: Mapping[str, Any]) -> str:
    """What the figures of a threshold say, in sentences."""
    patient, p = found["checks"]["tissue_by_patient"]["wga"], found["null"]["wga"]["p"]
    said = []
    if patient["low"] != NOT_ESTIMABLE and patient["low"] > 0.5:
        whole = content["patients_of_one_label"] == content["patients"]
        said.append(
            "A patient’s mean tissue tells the label in every group"
            + (", for all patches of a patient share it" if whole else "")
            + ": a method that pools over a patient’s patches, or sees a whole slide, may use that alone."
        )
    else:
        said.append("A patient’s mean tissue does not tell the label in every group.")
    if p == NOT_ESTIMABLE:
        said.append("Whether the linear model’s worst group is better than chance cannot be told.")
    elif p <= SURE:
        said.append("The linear model’s worst group is better than with permuted labels.")
    else:
        said.append("The linear model’s worst group is not told from permuted labels.")
    return " ".join(said)


def _estimated(found: Mapping[str, Any]) -> dict[str, Any]:
    """The same with NaN for what is not estimable, as the tables' macros take it."""
    checks = {
        check: {name: _numbers(figure) for name, figure in figures.items()}
        for check, figures in found["checks"].items()
    }
    return {"checks": checks, "null": {name: _numbers(each) for name, each in found["null"].items()}}


def _numbers(figure: Mapping[str, Any]) -> dict[str, float]:
    return {key: np.nan if value == NOT_ESTIMABLE else value for key, value in figure.items()}


def null_picture(null: pd.DataFrame, found: Mapping[str, Any]) -> bytes:
    """WGA of every permutation as a histogram, a panel a threshold, that of the true labels as a line."""
    with drawing.canvas(7.4, 2.3, 1, len(found), sharey=True) as (figure, grid):
        for axes, (name, each) in zip(grid[0], found.items(), strict=True):
            drawn = null.loc[null["threshold"] == name, "wga"].dropna().to_numpy(np.float64)
            axes.hist(
                drawn, bins=np.linspace(0, 1, _BINS + 1).tolist(), color=drawing.RULE, label="permuted labels"
            )
            wga = _numbers(each["null"]["wga"])
            axes.axvline(
                wga["quantile"], color=drawing.MUTED, linestyle=(0, (4, 2)), label="95 % of them lie below"
            )
            axes.axvline(wga["observed"], color=drawing.ACCENT, linewidth=2, label="true labels")
            axes.set_title(f"threshold {name}")
            drawing.percent_axis(axes)
            axes.set_xlabel("worst-group accuracy, %")
        grid[0, 0].set_ylabel("permutations")
        drawing.legend_below(figure, grid[0, 0], ["permuted labels", "95 % of them lie below", "true labels"])
        return drawing.svg(figure, "shortcuts")
