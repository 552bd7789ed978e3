"""The trainings of a study: what decides each, and its files."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from models.data.attributes import LAYOUT, ThresholdRule
from models.data.dataset import PatchData
from models.data.splitting import TEST, TRAIN, VALIDATION, SplitSettings
from models.determinism import deterministic
from models.networks.classifier import log_odds
from models.training.attempts import FitResult
from models.training.fit import fit, fit_each
from models.training.making import checked_settings, sees_attributes
from models.training.setup import Setup
from patching.errors import AlgorithmError, ArtifactError, ConfigError, DivergenceError, EmptyGroupError
from pipeline.artifacts import Paths
from pipeline.config import Context, load_algorithm, load_stage
from pipeline.experiments.study_files import StudySettings
from pipeline.experiments.study_folds import fold_table
from pipeline.files import finite_or, read_json, read_table, write_json, write_parquet
from pipeline.results.studied import CELL
from pipeline.training.bench import DECISIVE
from pipeline.training.identity import RECIPE, digest, patches_identity, rule_identity, train_identity
from pipeline.training.patches import gathered
from pipeline.training.settings import TrainStage
from pipeline.training.thresholds import AttributeSettings

logger = logging.getLogger(__name__)
_DIGITS = 3
"""Decimals of a logit that are kept: more tell no patch from another, and triple the files."""
_SMALLEST = 10.0**-_DIGITS  # A logit and its class always agree: what is nearer to 0 is kept as this.


@dataclass(frozen=True)
class Cell:
    """One result of the study: everything that decides it.

    Attributes:
        train_identity, patches: of pipeline.training.identity.
    """

    repeat: int
    fold: int
    threshold: str
    algorithm: str
    algorithm_settings: dict[str, Any]
    train_settings: dict[str, Any]
    train_identity: dict[str, Any]
    rule: dict[str, Any]
    split: dict[str, Any]
    patches: str
    versions: dict[str, str]

    @property
    def name(self) -> str:
        return f"r{self.repeat}-f{self.fold}-{self.algorithm}-{self.threshold}"

    @cached_property
    def fingerprint(self) -> str:
        """Equal for what gives equal predictions: a finished cell with the same one is not trained again."""
        return digest(
            {
                "recipe": RECIPE,
                "algorithm": self.algorithm,
                "settings": checked_settings(self.algorithm, self.algorithm_settings).model_dump(
                    mode="json", exclude_defaults=True
                ),
                "train": self.train_identity,
                "rule": rule_identity(ThresholdRule.model_validate(self.rule)),
                "split": SplitSettings.model_validate(self.split).model_dump(exclude_defaults=True),
                "patches": self.patches,
                "versions": self.versions,
            }
        )


def planned(context: Context, settings: StudySettings) -> Iterator[Cell]:
    """Every result of the study, in order of repeat, fold, algorithm, threshold.

    Raises:
        ConfigError: a threshold that the attribute stage does not have.
    """
    attribute = load_stage(context.configs, context.cohort, "attribute", AttributeSettings)
    thresholds = settings.thresholds or tuple(attribute.thresholds)
    unknown = set(thresholds) - set(attribute.thresholds)
    if unknown:
        raise ConfigError(
            has=f"thresholds {', '.join(sorted(unknown))}",
            needs=f"some of {', '.join(attribute.thresholds)}",
            do="correct the name, or add the threshold to the attribute stage's settings",
        )
    train = load_stage(context.configs, context.cohort, "train", TrainStage)
    identity, patches = train_identity(train, context.paths), patches_identity(context.paths)
    versions = {name: version(name) for name in DECISIVE}
    shared = settings.model_dump(include={"folds", "validation", "seed"})
    known = {name: load_algorithm(context.configs, context.cohort, name) for name in settings.every_algorithm}
    for repeat, fold in product(range(settings.repeats), range(settings.folds)):
        for algorithm, threshold in product(settings.algorithms_of(repeat), thresholds):
            yield Cell(
                repeat=repeat,
                fold=fold,
                threshold=threshold,
                algorithm=algorithm,
                algorithm_settings=known[algorithm],
                train_settings=train.model_dump(mode="json"),
                train_identity=identity,
                rule=attribute.thresholds[threshold].model_dump(),
                split=SplitSettings(method="folds", fold=fold, repeat=repeat, **shared).model_dump(),
                patches=patches,
                versions=versions,
            )


def is_done(folder: Path, cell: Cell) -> bool:
    """Whether the cell's files are there, whole, and of the same settings and data."""
    record, table = folder / f"{cell.name}.json", folder / f"{cell.name}.parquet"
    if not record.is_file():
        return False
    try:
        content = read_json(record, "study")
        if content["fingerprint"] != cell.fingerprint:
            return False
        if not content.get("failure"):
            read_table(table, CELL, "study")
    except ArtifactError as error:
        logger.warning("%s is trained anew: %s", cell.name, error.has)
        return False
    return True


def trainings(cells: Sequence[Cell]) -> list[tuple[Cell, ...]]:
    """Cells by training: of a method that sees no attribute, one gives the cells of all thresholds."""
    alone: list[tuple[Cell, ...]] = []
    shared: dict[tuple[int, int, str], list[Cell]] = {}
    for cell in cells:
        if sees_attributes(cell.algorithm, cell.algorithm_settings):
            alone.append((cell,))
        else:
            shared.setdefault((cell.repeat, cell.fold, cell.algorithm), []).append(cell)
    return alone + [tuple(found) for found in shared.values()]


def train_cells(paths: Paths, folder: Path, cells: Sequence[Cell]) -> tuple[str, ...]:
    """Run one training on one thread and write its predictions at every threshold; returns the cells' names.

    A method that cannot run on the fold's groups, or diverges, is recorded with the reason.

    Args:
        paths: of the cohort.
        folder: of the cells.
        cells: of one training, see `trainings`.
    """
    torch.set_num_threads(1)
    first = cells[0]
    stage = TrainStage.model_validate(first.train_settings)
    tables = {cell.threshold: fold_table(paths, cell.split, cell.threshold, cell.rule) for cell in cells}
    table = tables[first.threshold][0]
    train, validation, test = (
        gathered(paths, table[table["split"] == part], stage.memory_limit)
        for part in (TRAIN, VALIDATION, TEST)
    )
    seed = int(np.random.SeedSequence([stage.seed, first.repeat, first.fold]).generate_state(1)[0])
    setup = Setup(train, validation, stage.training(paths), seed, LAYOUT, quiet=True)
    try:
        results = _fitted(setup, first, {name: of_fold for name, (of_fold, _) in tables.items()})
    except (AlgorithmError, EmptyGroupError, DivergenceError) as error:
        if len(cells) > 1:  # It may be that of one threshold alone.
            return tuple(name for cell in cells for name in train_cells(paths, folder, (cell,)))
        # Predictions of other settings, from an earlier study, are not this cell's.
        (folder / f"{first.name}.parquet").unlink(missing_ok=True)
        _write_record(folder, first, {"failure": f"{type(error).__name__}: {error.in_one_line}"})
        return (first.name,)
    for cell in cells:
        (of_fold, value), result = tables[cell.threshold], results[cell.threshold]
        parts = [
            _predicted(cell, of_fold[of_fold["split"] == part], result, patches)
            for part, patches in ((VALIDATION, validation), (TEST, test))
        ]
        write_parquet(folder / f"{cell.name}.parquet", pd.concat(parts)[list(CELL)], compression="zstd")
        _write_record(folder, cell, {"tissue_fraction_above": value, **_outcome(result)})
    return tuple(cell.name for cell in cells)


def _fitted(setup: Setup, cell: Cell, tables: Mapping[str, pd.DataFrame]) -> Mapping[str, FitResult]:
    if len(tables) == 1:
        return {cell.threshold: fit(setup, cell.algorithm, cell.algorithm_settings)}
    attributes = {
        name: table.loc[table["split"] == VALIDATION, "attribute"].to_numpy(np.int64)
        for name, table in tables.items()
    }
    return fit_each(setup, cell.algorithm, cell.algorithm_settings, attributes)


def _predicted(cell: Cell, rows: pd.DataFrame, result: FitResult, patches: PatchData) -> pd.DataFrame:
    """Predictions of the patches, which are those of `rows`, in the network's own log-odds."""
    with deterministic(torch.device("cpu")):
        logits_NK = result.classifier.patch_logits(patches.images)
    odds_N = log_odds(logits_NK)
    class_N = (odds_N > 0).astype(np.int64)
    smallest_N = np.where(class_N == 1, _SMALLEST, -_SMALLEST)
    kept_N = np.where(np.abs(odds_N) < _SMALLEST, smallest_N, odds_N.round(_DIGITS))
    return rows[["patch_id", "split", "label", "attribute", "group", "tissue_fraction"]].assign(
        repeat=cell.repeat,
        fold=cell.fold,
        threshold=cell.threshold,
        algorithm=cell.algorithm,
        logit=kept_N.astype(np.float32),
        prediction=class_N,
    )


def _outcome(result: FitResult) -> dict[str, Any]:
    chosen = result.trials[result.chosen]
    return {
        "n_trials": len(result.trials),
        "choice": asdict(result.choice),
        "chosen": dict(chosen.override),
        "best_step": chosen.figures["step"],
        # A figure that is not estimable counts as -inf.
        "validation": None if chosen.score is None else [finite_or(figure, None) for figure in chosen.score],
    }


def _write_record(folder: Path, cell: Cell, outcome: dict[str, Any]) -> None:
    record = {
        "fingerprint": cell.fingerprint,
        "name": cell.name,
        "repeat": cell.repeat,
        "fold": cell.fold,
        "algorithm": cell.algorithm,
        "threshold": cell.threshold,
        **outcome,
    }
    write_json(folder / f"{cell.name}.json", record)
