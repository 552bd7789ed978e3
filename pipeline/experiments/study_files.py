"""Figures of a study: pooled over the folds of every repeat, with intervals over patients."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from pydantic import Field, NonNegativeInt, PositiveInt, field_validator
from rich.box import SIMPLE
from rich.console import Group
from rich.table import Table
from rich.text import Text

from models.data.attributes import LAYOUT
from models.metrics.intervals import (
    Interval,
    PatientStatistics,
    bootstrap,
    paired_difference,
    patient_statistics,
)
from pipeline.config import Context, Settings
from pipeline.files import replacing, write_json
from pipeline.look.plots import canvas, color, marker

CELL = (
    "patch_id", "repeat", "fold", "threshold", "algorithm",
    "label", "attribute", "group", "probability", "prediction",
)  # fmt: skip
METRICS = ("wga", "gba", "average", "auroc")


class StudySettings(Settings):
    """configs/study.yaml."""

    repeats: PositiveInt = 5
    """Of the whole cross-validation, each with other folds."""
    folds: int = Field(default=4, ge=2)
    """Every patient is tested once per repeat."""
    validation: float = Field(default=0.25, gt=0, lt=1)
    """Share of the untested patients' patches that choose the step and the candidate."""
    seed: NonNegativeInt = 0
    """Of folds; the training's own seed is in configs/train.yaml."""
    algorithms: tuple[str, ...] = ("erm", "class_balanced", "group_resampling", "gerne")
    """Files of configs/algorithms."""
    thresholds: tuple[str, ...] | None = None
    """Of the attribute stage; none: all of them."""
    candidate: str = "gerne"
    """Compared with every other, in pairs."""
    draws: PositiveInt = 2000
    """Bootstrap samples of patients."""
    level: float = Field(default=0.95, gt=0, lt=1)
    """Coverage of the intervals; of the groups' all together (Bonferroni)."""
    minimum_patches: PositiveInt = 20
    """A group with fewer per repeat is not estimable."""
    minimum_patients: PositiveInt = 3
    """A group of fewer patients is not estimable."""
    workers: PositiveInt = 2
    """Processes, one thread each."""

    @field_validator("algorithms", "thresholds")
    @classmethod
    def _once_each(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if names is not None and not 0 < len(names) == len(set(names)):
            raise ValueError("name each once, or two processes write the same cell; and at least one")
        return names


def summarize(
    context: Context,
    settings: StudySettings,
    predictions: pd.DataFrame,
    records: Sequence[Mapping[str, Any]],
    notes: Sequence[str] = (),
) -> Group:
    """Write predictions.parquet, study.json, table.md and study.png; return the tables to print.

    Args:
        predictions: columns CELL and patient_id, of every cell.
        records: of the cells.
        notes: sentences about methods that could not be trained, or that know patients of the test.
    """
    folder = context.paths.study
    with replacing(folder / "predictions.parquet") as part:
        predictions.to_parquet(part, index=False)
    thresholds = list(dict.fromkeys(predictions["threshold"]))
    figures = {name: _figures(predictions[predictions["threshold"] == name], settings) for name in thresholds}
    content = {
        "settings": settings.model_dump(),
        "patients": int(predictions["patient_id"].nunique()),
        "thresholds": figures,
        "cells": list(records),
    }
    write_json(folder / "study.json", content)
    with replacing(folder / "table.md") as part:
        part.write_text(markdown(figures, notes), encoding="utf-8")
    with replacing(folder / "study.png") as part:
        draw(figures, part)
    return Group(printed(context.cohort, figures), *map(Text, notes))


def statistics_of(predictions: pd.DataFrame, settings: StudySettings) -> PatientStatistics:
    """Sums per patient of one algorithm at one threshold, one repeat of the study per repeat.

    A patch's group depends on the fold's threshold. So every (repeat, patch) is a row of its own, and
    repeat r has tested the rows that are its own.
    """
    rows = predictions.sort_values(["repeat", "patch_id"], kind="stable")
    own_RN = np.arange(settings.repeats)[:, None] == rows["repeat"].to_numpy()
    return patient_statistics(
        rows["label"],
        np.where(own_RN, rows["prediction"].to_numpy(), -1),
        rows["group"],
        rows["patient_id"],
        LAYOUT.n_groups,
        probability=np.where(own_RN, rows["probability"].to_numpy(), np.nan),
        minimum_patches=settings.minimum_patches * settings.repeats,
        minimum_patients=settings.minimum_patients,
    )


def _figures(predictions: pd.DataFrame, settings: StudySettings) -> dict[str, Any]:
    statistics = {
        name: statistics_of(predictions[predictions["algorithm"] == name], settings)
        for name in settings.algorithms
    }
    drawn: dict[str, Any] = {"n_draws": settings.draws, "level": settings.level, "seed": settings.seed}
    counts_G = next(iter(statistics.values())).count_PRG.sum(axis=(0, 1)) / settings.repeats
    return {
        "patches_per_group": counts_G.round(1).tolist(),
        "algorithms": {name: _written(bootstrap(each, **drawn)) for name, each in statistics.items()},
        "differences": {
            name: _written(paired_difference(statistics[settings.candidate], each, **drawn))
            for name, each in statistics.items()
            if name != settings.candidate and settings.candidate in statistics
        },
        "candidate": settings.candidate,
    }


def _written(intervals: Mapping[str, Interval]) -> dict[str, dict[str, float | str]]:
    return {
        name: {
            key: value if math.isfinite(value) else "not estimable"
            for key in ("estimate", "low", "high", "spread", "level")
            for value in [float(getattr(interval, key))]
        }
        for name, interval in intervals.items()
    }


def markdown(figures: Mapping[str, Any], notes: Sequence[str] = ()) -> str:
    """The study as a Markdown table: one row per threshold and algorithm, then the paired differences."""
    head = (
        "| threshold | algorithm | WGA | GBA | average | AUROC | spread of WGA over repeats |\n" + "|---" * 7
    )
    lines = [head + "|"]
    for threshold, content in figures.items():
        for name, row in content["algorithms"].items():
            cells = [_cell(row[metric]) for metric in METRICS]
            lines.append("| " + " | ".join([threshold, name, *cells, _number(row["wga"]["spread"])]) + " |")
    lines += ["", "| threshold | difference | WGA | GBA | average | AUROC |\n" + "|---" * 6 + "|"]
    for threshold, content in figures.items():
        for name, row in content["differences"].items():
            cells = [_cell(row[metric], sign="+") for metric in METRICS]
            lines.append("| " + " | ".join([threshold, f"{content['candidate']} − {name}", *cells]) + " |")
    lines += [f"\n{remark}" for remark in (*remarks(figures), *notes)]
    return "\n".join(lines) + "\n"


def remarks(figures: Mapping[str, Any]) -> list[str]:
    """One sentence per threshold at which WGA and GBA leave groups out."""
    return [
        f"Threshold {threshold}: not estimable, and left out of WGA and GBA: {', '.join(missing)}."
        for threshold, content in figures.items()
        for missing in [_missing(content)]
        if missing
    ]


def _missing(content: Mapping[str, Any]) -> list[str]:
    # The groups' sizes do not depend on the algorithm.
    row = next(iter(content["algorithms"].values()))
    return [
        f"{name} ({content['patches_per_group'][g]:g} patches per repeat)"
        for g, name in enumerate(LAYOUT.names)
        if isinstance(row[f"group_{g}"]["estimate"], str)
    ]


def draw(figures: Mapping[str, Any], path: Path) -> None:
    """Write a PNG: WGA and GBA of every algorithm with intervals, one panel per threshold."""
    with canvas(3.4 * len(figures) + 1.4, 2.8, columns=len(figures), sharex=True, sharey=True) as (
        figure,
        axes,
    ):
        for axis, (threshold, content) in zip(axes[0], figures.items(), strict=True):
            for position, row in enumerate(content["algorithms"].values()):
                _draw_interval(axis, position, -0.16, row["wga"], filled=True)
                _draw_interval(axis, position, 0.16, row["gba"], filled=False)
            names = list(content["algorithms"])
            axis.set_yticks(range(len(names)), names)
            axis.set(title=f"threshold {threshold}", xlim=(0, 1), xlabel="filled: WGA, open: GBA")
        axes[0, 0].invert_yaxis()
        figure.savefig(path, format="png", dpi=150, metadata={"Software": None})


def _draw_interval(
    axis: Axes, position: int, offset: float, found: Mapping[str, Any], *, filled: bool
) -> None:
    if isinstance(found["estimate"], str):
        return
    height, own = position + offset, color(position)
    axis.plot([found["low"], found["high"]], [height, height], color=own)
    face = own if filled else "white"
    axis.plot(found["estimate"], height, marker(position), color=own, markerfacecolor=face)


def printed(cohort: str, figures: Mapping[str, Any]) -> Group:
    """One table per threshold, for a terminal of 80 columns; the other intervals are in table.md."""
    return Group(*(_table(cohort, name, content) for name, content in figures.items()), *remarks(figures))


def _table(cohort: str, threshold: str, content: Mapping[str, Any]) -> Table:
    level = next(iter(content["algorithms"].values()))["wga"]["level"]
    title = f"{cohort}, threshold {threshold}: repeated cross-validation, {100 * level:g} % intervals"
    table = Table(box=SIMPLE, padding=0, title=title)
    for column in ("algorithm", "WGA", "GBA", "average", "AUROC"):
        table.add_column(column)
    for name, row in content["algorithms"].items():
        table.add_row(name, _cell(row["wga"]), *_estimates(row))
    for name, row in content["differences"].items():
        cells = _cell(row["wga"], sign="+"), *_estimates(row, sign="+")
        table.add_row(f"{content['candidate']} − {name}", *cells, style="bold")
    return table


def _estimates(row: Mapping[str, Any], sign: str = "") -> list[str]:
    # In two lines, what is not estimable fits the width.
    return [_number(row[metric]["estimate"], sign).replace(" ", "\n") for metric in METRICS[1:]]


def _cell(found: Mapping[str, Any], sign: str = "") -> str:
    if isinstance(found["estimate"], str):
        return found["estimate"]
    return f"{found['estimate']:{sign}.3f} [{_number(found['low'], sign)}, {_number(found['high'], sign)}]"


def _number(value: float | str, sign: str = "") -> str:
    return value if isinstance(value, str) else f"{value:{sign}.3f}"
