"""What a search writes: trials.csv, best.yaml, tune.json, tune.png, and the table that is printed."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from rich.console import Group

from pipeline.experiments.search import Record, Search, Told
from pipeline.experiments.tune_picture import draw
from pipeline.files import replacing, write_json
from pipeline.tables.blocks import Block, Cell, Row
from pipeline.tables.writers import printed_block
from pipeline.training.bench import Bench

GROUP_FIGURES = {"validation_wga": "worst-group accuracy", "validation_gba": "group-balanced accuracy"}
CLASS_FIGURES = {
    "validation_worst_class": "worst-class accuracy",
    "validation_class_balanced": "class-balanced accuracy",
}


@dataclass(frozen=True)
class Tuning:
    """A search that is over.

    Attributes:
        searched: the settings that were searched.
        references: record of every reference.
    """

    algorithm: str
    bench: Bench
    search: Search
    searched: tuple[str, ...]
    best: Told
    references: Mapping[str, Record]

    @cached_property
    def trials(self) -> tuple[Told, ...]:
        """All of them, the failed ones too."""
        return tuple(self.search.told)

    @property
    def failed(self) -> int:
        """Trials that diverged or could not run."""
        return sum(trial.score is None for trial in self.trials)

    @property
    def shown(self) -> Mapping[str, str]:
        """The two figures that are shown: over groups, or over classes where no groups are known."""
        return GROUP_FIGURES if self.best.record["figures"]["validation_wga"] is not None else CLASS_FIGURES

    @property
    def caution(self) -> str:
        """How the best figure has to be read."""
        name, patches = min(self.bench.validation_counts.items(), key=lambda item: item[1])
        failed = f" ({self.failed} failed)" if self.failed else ""
        others = self.search.earlier
        earlier = f" after {others} trials of other settings or data" if others else ""
        return (
            f"best of {len(self.trials)} trials{failed}{earlier}; expect optimism: it was chosen on these "
            f"very validation patches, and the smallest group ({name}) has {patches} of them"
        )


def write(folder: Path, tuning: Tuning) -> None:
    """Write all four files, each whole or not at all."""
    with replacing(folder / "trials.csv") as part:
        trials_table(tuning).to_csv(part, index=False, lineterminator="\n")
    with replacing(folder / "best.yaml") as part:
        part.write_text(best_yaml(tuning), encoding="utf-8")
    write_json(folder / "tune.json", _content(tuning))
    with replacing(folder / "tune.png") as part:
        title = (
            f"{tuning.bench.context.cohort}, {tuning.algorithm} at threshold {tuning.bench.threshold}: "
            f"best of {len(tuning.trials)} trials"
        )
        titles = {k: name + " (decides)" * (k == tuning.bench.rule) for k, name in tuning.shown.items()}
        draw(
            tuning.trials,
            tuning.best,
            tuning.references,
            titles,
            tuning.searched,
            title,
            part,
            algorithm=tuning.algorithm,
        )


def trials_table(tuning: Tuning) -> pd.DataFrame:
    """One row per reference and trial: trial, state, settings, position, figures, step, seconds, failure."""
    named = [*tuning.references.items(), *((str(t.number), t.record) for t in tuning.trials)]
    return pd.DataFrame([_row(name, record, tuning) for name, record in named])


def best_yaml(tuning: Tuning) -> str:
    """The best settings, to be pasted into the cohort's file, with what has to be known of them."""
    own = {**tuning.best.record["settings"], "candidates": [{}]}
    bench, cohort, epochs = tuning.bench, tuning.bench.context.cohort, tuning.search.settings.epochs
    figure = tuning.best.record["figures"][bench.rule]
    lines = [
        f"# Trial {tuning.best.number}, {bench.rule} {figure:.4f} at threshold {bench.threshold}:",
        f"# {tuning.caution}.",
        f"# To be pasted into configs/cohorts/{cohort}.yaml; `candidates: [{{}}]` tries nothing else.",
    ]
    if epochs is not None:
        lines.append(
            f"# Found with epochs: {epochs:g} (configs/tune.yaml); the train stage has its own number."
        )
    return "\n".join(lines) + "\n" + yaml.safe_dump({"algorithms": {tuning.algorithm: own}}, sort_keys=False)


def summary(tuning: Tuning, width: int) -> Group:
    """References and best trial as a table for a terminal of `width` columns, and the caution."""
    own = Row(
        f"{tuning.algorithm}, trial {tuning.best.number}", _cells(tuning, tuning.best.record, strong=True)
    )
    references = [Row(name, _cells(tuning, record)) for name, record in tuning.references.items()]
    head = ("", *tuning.shown.values())
    caption = f"{tuning.algorithm}-{tuning.bench.threshold}: validation"
    settings = ", ".join(f"{key} {value}" for key, value in tuning.best.record["settings"].items())
    return Group(
        printed_block(Block(caption, "", head, head, (*references, own)), width),
        f"trial {tuning.best.number}: {settings}",
        f"{tuning.caution}.",
    )


def _content(tuning: Tuning) -> dict[str, Any]:
    return {
        "cohort": tuning.bench.context.cohort,
        "algorithm": tuning.algorithm,
        "threshold": tuning.bench.threshold,
        "identity": tuning.search.identity,
        "rule": tuning.bench.rule,
        "settings": tuning.search.settings.model_dump(mode="json"),
        "caution": tuning.caution,
        "n_trials": len(tuning.trials),
        "n_failed": tuning.failed,
        "n_earlier": tuning.search.earlier,
        "best": {"trial": tuning.best.number, **tuning.best.record},
        "references": dict(tuning.references),
        "trials": [{"trial": trial.number, **trial.record} for trial in tuning.trials],
    }


def _row(name: str, record: Record, tuning: Tuning) -> dict[str, Any]:
    return {
        "trial": name,
        "state": "failed" if record["score"] is None else "finished",
        **{setting: record["settings"].get(setting) for setting in tuning.searched},
        "position": record["position"],
        **{key: record["figures"].get(key) for key in tuning.best.record["figures"]},
        **{key: record[key] for key in ("best_step", "best_epoch", "seconds", "failure")},
    }


def _cells(tuning: Tuning, record: Record, *, strong: bool = False) -> tuple[Cell, ...]:
    values = [record["figures"].get(key) for key in tuning.shown]
    missing = "failed" if record["failure"] else "–"
    return tuple(Cell((missing if value is None else f"{value:.3f}",), strong) for value in values)
