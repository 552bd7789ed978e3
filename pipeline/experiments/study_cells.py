"""The trainings of a study: what decides each, and its files."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from models.data.attributes import LAYOUT, ThresholdRule, attribute_table
from models.data.splitting import TEST, TRAIN, VALIDATION, SplitSettings, assign_splits, patients_table
from models.determinism import deterministic
from models.training.attempts import FitResult
from models.training.fit import fit
from models.training.setup import Setup
from patching.errors import AlgorithmError, ConfigError, DivergenceError, EmptyGroupError
from pipeline.artifacts import INDEX, Paths
from pipeline.config import Context, load_algorithm, load_stage
from pipeline.experiments.study_files import StudySettings
from pipeline.files import file_fingerprint, finite_or, read_table, replacing, write_json
from pipeline.results.predictions import CELL
from pipeline.training.patches import gathered, store_attributes
from pipeline.training.settings import TrainStage
from pipeline.training.thresholds import AttributeSettings


@dataclass(frozen=True)
class Cell:
    """One training of the study: everything that decides its result.

    Attributes:
        index_fingerprint: SHA-256 of the patch index.
        patch: spec, channels and dtype of the stores, which the index does not hold.
    """

    repeat: int
    fold: int
    threshold: str
    algorithm: str
    algorithm_settings: dict[str, Any]
    train_settings: dict[str, Any]
    rule: dict[str, Any]
    split: dict[str, Any]
    index_fingerprint: str
    patch: dict[str, Any]
    versions: dict[str, str]

    @property
    def name(self) -> str:
        return f"r{self.repeat}-f{self.fold}-{self.algorithm}-{self.threshold}"

    @property
    def fingerprint(self) -> str:
        """Equal for equal content: a finished cell with the same one is not trained again."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def planned(context: Context, settings: StudySettings) -> Iterator[Cell]:
    """Every training of the study, in order of repeat, fold, threshold, algorithm.

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
    digest = file_fingerprint([context.paths.index])
    store = store_attributes(context.paths, read_table(context.paths.index, INDEX, "tile"))
    patch = {"spec": dict(store.spec), "channels": list(store.channels), "dtype": store.dtype}
    versions = {name: version(name) for name in ("torch", "monai", "numpy")}
    shared = settings.model_dump(include={"folds", "validation", "seed"})
    every = product(range(settings.repeats), range(settings.folds), thresholds, settings.algorithms)
    for repeat, fold, threshold, algorithm in every:
        yield Cell(
            repeat=repeat,
            fold=fold,
            threshold=threshold,
            algorithm=algorithm,
            algorithm_settings=load_algorithm(context.configs, context.cohort, algorithm),
            train_settings=train.model_dump(mode="json"),
            rule=attribute.thresholds[threshold].model_dump(),
            split=SplitSettings(method="folds", fold=fold, repeat=repeat, **shared).model_dump(),
            index_fingerprint=digest,
            patch=patch,
            versions=versions,
        )


def is_done(folder: Path, cell: Cell) -> bool:
    """Whether the cell's files are there, whole, and of the same settings and data."""
    record, table = folder / f"{cell.name}.json", folder / f"{cell.name}.parquet"
    if not record.is_file():
        return False
    content = json.loads(record.read_text(encoding="utf-8"))
    known: bool = content["fingerprint"] == cell.fingerprint
    return known and (table.is_file() or bool(content.get("failure")))


def train_cell(paths: Paths, folder: Path, cell: Cell) -> str:
    """Train one cell on one thread and write its test predictions; returns the cell's name.

    A method that cannot run on the fold's groups, or diverges, is recorded with the reason.
    """
    torch.set_num_threads(1)
    stage = TrainStage.model_validate(cell.train_settings)
    table, value = _fold_table(paths, cell)
    train, validation, test = (
        gathered(paths, table[table["split"] == part], stage.memory_limit)
        for part in (TRAIN, VALIDATION, TEST)
    )
    try:
        seed = int(np.random.SeedSequence([stage.seed, cell.repeat, cell.fold]).generate_state(1)[0])
        setup = Setup(train, validation, stage.training(paths), seed, LAYOUT, quiet=True)
        result = fit(setup, cell.algorithm, cell.algorithm_settings)
    except (AlgorithmError, EmptyGroupError, DivergenceError) as error:
        # Predictions of other settings, from an earlier study, are not this cell's.
        (folder / f"{cell.name}.parquet").unlink(missing_ok=True)
        _write_record(folder, cell, {"failure": f"{type(error).__name__}: {error.in_one_line}"})
        return cell.name
    with deterministic(torch.device("cpu")):
        probability_NK = result.classifier.predict_patches(test.images)
    tested = table[table["split"] == TEST]
    predictions = tested[["patch_id", "label", "attribute", "group"]].assign(
        repeat=cell.repeat,
        fold=cell.fold,
        threshold=cell.threshold,
        algorithm=cell.algorithm,
        probability=probability_NK[:, 1].astype(np.float64),
        prediction=probability_NK.argmax(axis=1).astype(np.int64),
    )
    with replacing(folder / f"{cell.name}.parquet") as part:
        predictions[list(CELL)].to_parquet(part, index=False)
    _write_record(folder, cell, {"tissue_fraction_above": value, **_outcome(result)})
    return cell.name


def _fold_table(paths: Paths, cell: Cell) -> tuple[pd.DataFrame, float]:
    """Patches with split, attribute and group of the cell's fold, and the threshold's value there."""
    index = read_table(paths.index, INDEX, "tile")
    splits = assign_splits(patients_table(index), SplitSettings.model_validate(cell.split))
    table = index.merge(splits, on="patient_id", validate="m:1")
    rule = ThresholdRule.model_validate(cell.rule)
    attributes, figures = attribute_table(table, {cell.threshold: rule})
    return table.merge(attributes, on="patch_id", validate="1:1"), figures[cell.threshold]["value"]


def _outcome(result: FitResult) -> dict[str, Any]:
    chosen = result.trials[result.chosen]
    return {
        "n_trials": len(result.trials),
        "chosen": dict(chosen.override),
        "best_step": chosen.figures["step"],
        # A figure that is not estimable counts as -inf.
        "validation": None if chosen.score is None else [finite_or(figure, None) for figure in chosen.score],
    }


def _write_record(folder: Path, cell: Cell, outcome: dict[str, Any]) -> None:
    record = {
        "fingerprint": cell.fingerprint,
        "name": cell.name,
        "algorithm": cell.algorithm,
        "threshold": cell.threshold,
        **outcome,
    }
    write_json(folder / f"{cell.name}.json", record)
