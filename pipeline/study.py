"""Repeat a patient-level cross-validation: outputs/<cohort>/study/.

For few patients one split says little. Here every patient is tested once per repeat, by a model that never
saw the patient: thresholds come from the fold's training patients, step and candidate from its validation
patients. Written are one pair of files per training under cells/, predictions.parquet, study.json, table.md
and study.png, the figures with intervals over patients. An interrupted study goes on where it was.
"""

import argparse
import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from rich.progress import track

from models.attributes import LAYOUT, ThresholdRule, attribute_table
from models.determinism import deterministic
from models.fitting import fit
from models.splitting import TEST, TRAIN, VALIDATION, SplitSettings, assign_splits, patients_table
from patching.manifest import fingerprint
from pipeline.artifacts import INDEX, Paths, read_table, replacing
from pipeline.config import Context, load_algorithm, load_cohort, load_stage, require_slides, validated
from pipeline.gathering import gathered, store_attributes
from pipeline.study_summary import CELL, StudySettings, summarize
from pipeline.thresholds import AttributeSettings
from pipeline.training import TrainStage

logger = logging.getLogger(__name__)

GIB = 2**30


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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How much."""
    parser.add_argument("--repeats", type=int, help="of the cross-validation (default: configs/study.yaml)")
    parser.add_argument("--workers", type=int, help="processes of one thread (default: configs/study.yaml)")


def run(context: Context, options: argparse.Namespace) -> None:
    """Train what is missing, then summarize everything.

    Raises:
        ArtifactError: the patch index is missing.
        ConfigError, GroupError, AlgorithmError: no slides, or an untrainable fold; finished cells are kept.
    """
    require_slides(load_cohort(context.configs, context.cohort), context.cohort, "a study")
    settings = load_stage(context.configs, context.cohort, "study", StudySettings)
    options_given = ((key, getattr(options, key)) for key in ("repeats", "workers"))
    chosen = {key: value for key, value in options_given if value is not None}
    settings = validated(StudySettings, settings.model_dump() | chosen, "--repeats, --workers")
    index = read_table(context.paths.index, INDEX, "tile")
    cells = list(planned(context, settings))
    folder = context.paths.study / "cells"
    missing = [cell for cell in cells if not is_done(folder, cell)]
    logger.info("%d trainings, %d of them finished before", len(cells), len(cells) - len(missing))
    # Longest first: a process that starts a long training last keeps the others waiting.
    missing.sort(key=lambda cell: -len(cell.algorithm_settings.get("candidates", ())))
    for name in _finished(context.paths, folder, missing, settings.workers):
        logger.debug("finished %s", name)
    predictions = pd.concat([pd.read_parquet(folder / f"{cell.name}.parquet") for cell in cells])
    records = [json.loads((folder / f"{cell.name}.json").read_text(encoding="utf-8")) for cell in cells]
    patients = index[["patch_id", "patient_id"]]
    Console().print(summarize(context, settings, predictions.merge(patients, on="patch_id"), records))
    for name in ("table.md", "study.json", "study.png"):
        logger.info("wrote %s", context.paths.study / name)


def planned(context: Context, settings: StudySettings) -> Iterator[Cell]:
    """Every training of the study, in order of repeat, fold, threshold, algorithm."""
    attribute = load_stage(context.configs, context.cohort, "attribute", AttributeSettings)
    train = load_stage(context.configs, context.cohort, "train", TrainStage)
    digest = fingerprint([context.paths.index])
    store = store_attributes(context.paths, read_table(context.paths.index, INDEX, "tile"))
    patch = {"spec": dict(store.spec), "channels": list(store.channels), "dtype": store.dtype}
    versions = {name: version(name) for name in ("torch", "monai", "numpy")}
    for repeat in range(settings.repeats):
        for fold in range(settings.folds):
            split = SplitSettings(
                method="folds",
                folds=settings.folds,
                fold=fold,
                repeat=repeat,
                validation=settings.validation,
                seed=settings.seed,
            )
            for threshold in attribute.thresholds:
                for algorithm in settings.algorithms:
                    yield Cell(
                        repeat=repeat,
                        fold=fold,
                        threshold=threshold,
                        algorithm=algorithm,
                        algorithm_settings=load_algorithm(context.configs, context.cohort, algorithm),
                        train_settings=train.model_dump(mode="json"),
                        rule=attribute.thresholds[threshold].model_dump(),
                        split=split.model_dump(),
                        index_fingerprint=digest,
                        patch=patch,
                        versions=versions,
                    )


def is_done(folder: Path, cell: Cell) -> bool:
    """Whether the cell's files are there, whole, and of the same settings and data."""
    record, table = folder / f"{cell.name}.json", folder / f"{cell.name}.parquet"
    if not (record.is_file() and table.is_file()):
        return False
    known: bool = json.loads(record.read_text(encoding="utf-8"))["fingerprint"] == cell.fingerprint
    return known


def train_cell(paths: Paths, folder: Path, cell: Cell) -> str:
    """Train one cell on one thread and write its test predictions; returns the cell's name."""
    torch.set_num_threads(1)
    index = read_table(paths.index, INDEX, "tile")
    split = SplitSettings.model_validate(cell.split)
    splits = assign_splits(patients_table(index), split)
    stage = TrainStage.model_validate(cell.train_settings)
    table = index.merge(splits, on="patient_id", validate="m:1")
    rule = ThresholdRule.model_validate(cell.rule)
    attributes, figures = attribute_table(table, {cell.threshold: rule})
    table = table.merge(attributes, on="patch_id", validate="1:1")
    train, validation, test = (
        gathered(paths, table[table["split"] == part], int(stage.memory_limit_gib * GIB))
        for part in (TRAIN, VALIDATION, TEST)
    )
    result = fit(
        train,
        validation,
        algorithm=cell.algorithm,
        algorithm_settings=cell.algorithm_settings,
        settings=stage.training(paths),
        seed=int(np.random.SeedSequence([stage.seed, cell.repeat, cell.fold]).generate_state(1)[0]),
        n_attributes=LAYOUT.n_attributes,
        quiet=True,
    )
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
    record = {
        "fingerprint": cell.fingerprint,
        "name": cell.name,
        "algorithm": cell.algorithm,
        "threshold": cell.threshold,
        "tissue_fraction_above": figures[cell.threshold]["value"],
        "n_trials": len(result.trials),
        "chosen": dict(result.trials[result.chosen].override),
        "best_step": result.trials[result.chosen].figures["step"],
    }
    with replacing(folder / f"{cell.name}.parquet") as part:
        predictions[list(CELL)].to_parquet(part, index=False)
    with replacing(folder / f"{cell.name}.json") as part:
        part.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return cell.name


def _finished(paths: Paths, folder: Path, cells: Sequence[Cell], workers: int) -> Iterator[str]:
    if not cells:
        return
    # Forked children of a process that has used torch's threads can hang.
    with ProcessPoolExecutor(min(workers, len(cells)), mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(train_cell, paths, folder, cell) for cell in cells]
        try:
            for future in track(as_completed(futures), "training folds", total=len(futures)):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)
