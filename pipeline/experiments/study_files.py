"""A study's settings, and what it writes: predictions.parquet, study.json, table.md and two pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import pandas as pd
from pydantic import Field, NonNegativeInt, PositiveInt, field_validator, model_validator

from models.metrics.intervals import Interval
from pipeline.config import Context, Settings
from pipeline.files import replacing, write_json, write_parquet
from pipeline.results.figures import Scoreboard
from pipeline.results.runs import study_fingerprints
from pipeline.results.verdict import interval_record
from pipeline.tables.blocks import Page
from pipeline.tables.dots import decided_plot, dot_plot
from pipeline.tables.writers import markdown


class Others(Settings):
    """Methods of a study's second table: patients decide an interval, and more repeats cost hours."""

    algorithms: tuple[str, ...] = ()
    """Files of configs/algorithms; none: no second table."""
    repeats: PositiveInt = 2
    """Of the cross-validation, the first of all; at most as many as there are."""


class StudySettings(Settings):
    """configs/study.yaml."""

    repeats: PositiveInt = 5
    """Of the whole cross-validation, each with other folds."""
    folds: int = Field(default=4, ge=2)
    """Every patient is tested once per repeat, but those whom slides.csv fixes to train or validation."""
    validation: float = Field(default=0.25, gt=0, lt=1)
    """Share of the untested patients' patches that choose the step and the candidate."""
    seed: NonNegativeInt = 0
    """Of folds; the training's own seed is in configs/train.yaml."""
    algorithms: tuple[str, ...] = ("erm", "class_balanced", "group_resampling", "gerne")
    """Files of configs/algorithms."""
    others: Others = Others()
    """Methods that are looked at in fewer repeats, beside these ones."""
    thresholds: tuple[str, ...] | None = None
    """Of the attribute stage; none: all of them."""
    candidate: str = "gerne"
    """Compared with every other, in pairs."""
    draws: PositiveInt | None = None
    """Bootstrap samples of patients; none, here and below: as configs/evaluate.yaml says."""
    level: float | None = Field(default=None, gt=0, lt=1)
    """Coverage of the intervals; of the groups' all together (Bonferroni)."""
    minimum_patches: PositiveInt | None = None
    """A group with fewer per repeat is not estimable."""
    minimum_patients: PositiveInt | None = None
    """A group of fewer patients is not estimable."""
    workers: PositiveInt = 2
    """Processes, one thread each."""

    @field_validator("algorithms", "thresholds")
    @classmethod
    def _once_each(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if names is not None and not 0 < len(names) == len(set(names)):
            raise ValueError("name each once, or two processes write the same cell; and at least one")
        return names

    @model_validator(mode="after")
    def _others_are_others(self) -> Self:
        again = [name for name in self.others.algorithms if self.others.algorithms.count(name) > 1]
        again += [name for name in self.others.algorithms if name in self.algorithms]
        if again:
            raise ValueError(f"others.algorithms names {', '.join(dict.fromkeys(again))} once more")
        return self

    @property
    def every_algorithm(self) -> tuple[str, ...]:
        """Those of both tables."""
        return (*self.algorithms, *self.others.algorithms)

    def algorithms_of(self, repeat: int) -> tuple[str, ...]:
        """Those that a repeat trains."""
        return self.every_algorithm if repeat < self.others.repeats else self.algorithms


def write(
    context: Context,
    folder: Path,
    settings: StudySettings,
    predictions: pd.DataFrame,
    records: Sequence[Mapping[str, Any]],
    boards: Sequence[Scoreboard],
    page: Page,
    control: str,
) -> None:
    """Write all files, each whole or not at all.

    Args:
        context: of the cohort.
        folder: for them.
        settings: of the study, with the repeats and algorithms that these tables are of.
        predictions: columns CELL and patient_id, of every cell that counts.
        records: of all cells.
        boards: figures at every threshold.
        page: their tables.
        control: name of the method that decided.png compares with (pipeline.results.terms).
    """
    content = {
        "settings": settings.model_dump() | boards[0].settings.model_dump(exclude={"seed"}),
        "patients": int(predictions["patient_id"].nunique()),
        "fingerprints": study_fingerprints(
            context,
            dict.fromkeys(record["algorithm"] for record in records),
            [board.threshold for board in boards],
        ),
        "thresholds": {board.threshold: _figures(board, settings.candidate) for board in boards},
        "cells": list(records),
    }
    # Neither may stand beside the other's predecessor: without predictions a study is not finished.
    (folder / "predictions.parquet").unlink(missing_ok=True)
    write_json(folder / "study.json", content)
    write_parquet(folder / "predictions.parquet", predictions)
    with replacing(folder / "table.md") as part:
        part.write_text(markdown(page), encoding="utf-8")
    names = {method.algorithm: method.name for board in boards for method in board.methods}
    for name, picture in (
        ("study.png", dot_plot(boards, names)),
        ("decided.png", decided_plot(boards, names, control)),
    ):
        with replacing(folder / name) as part, picture as figure:
            figure.savefig(part, format="png", dpi=150, metadata={"Software": None})


def _figures(board: Scoreboard, candidate: str) -> dict[str, Any]:
    return {
        "patches_per_group": [round(size.patches, 1) for size in board.sizes],
        "algorithms": {each.algorithm: _intervals(each.figures, each.groups) for each in board.methods},
        "differences": {
            each.reference.algorithm: _intervals(each.figures, each.groups)
            for each in (*board.contrasts, *board.beside)
            if each.candidate.algorithm == candidate
        },
        "candidate": candidate,
    }


def _intervals(figures: Mapping[str, Interval], groups: Sequence[Interval]) -> dict[str, Any]:
    named = {f"group_{g}": interval for g, interval in enumerate(groups)} | dict(figures)
    return {name: interval_record(interval) for name, interval in named.items()}
