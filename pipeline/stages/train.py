"""Train one algorithm at one threshold: outputs/<cohort>/train/<algorithm>-<threshold>/.

Every candidate of the algorithm gets the same budget and seed; the validation patients choose the step and
the candidate; where they are too few, the last step of the first candidate is kept (`choose_by`).
Then the decision (rule, calibration, threshold) is fitted to the validation patients (docs/decision.md).
Written are model.safetensors, model.json, history.csv, composition.json and run.json.
With --seed N the folder's name ends in -sN; `evenpatch compare` pools the seeds of an algorithm.
A training that was interrupted (Ctrl-C, SIGTERM) saves the step it is at, and the same command goes on there;
one that was killed goes on where it was last saved. Several GPUs: docs/scale.md.
"""

import argparse
import logging
import platform
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from models.algorithms.parts.composition import Composition
from models.data.splitting import TRAIN, VALIDATION
from models.networks.card import DecisionCard, ModelCard, NormalizationCard
from models.networks.checkpoint import save_classifier
from models.training.attempts import FitResult, Trial
from models.training.fit import fit
from models.training.processes import is_first_process, one_of_several
from models.training.setup import Setup
from pipeline.artifacts import run_name
from pipeline.config import Context, load_algorithm, load_stage
from pipeline.files import NOT_ESTIMABLE, checksums, finite_or, replacing, write_json
from pipeline.training.card import data_card
from pipeline.training.decision import Deciding
from pipeline.training.identity import training_identity
from pipeline.training.layout import read_layout, read_tissue_threshold
from pipeline.training.patches import gathered, patch_table, table_fingerprints
from pipeline.training.settings import TrainStage

logger = logging.getLogger(__name__)

ON_THE_CARD = ("torch", "monai", "accelerate", "albumentations", "numpy")
"""Packages whose versions are told with the model."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which training."""
    parser.add_argument("--algorithm", default="gerne", help="a file of configs/algorithms (default: gerne)")
    parser.add_argument("--threshold", default="low", help="of the attribute stage (default: low)")
    parser.add_argument("--seed", type=int, help="another seed than the settings', in a run of its own")


def run(context: Context, options: argparse.Namespace) -> None:
    """Train, choose, and write the run's folder.

    Raises:
        ArtifactError: an earlier stage's output is missing.
        ConfigError, AlgorithmError, GroupError, StoreError, CheckpointError, DivergenceError: see `fit`.
    """
    with one_of_several():
        _run(context, options)


def _run(context: Context, options: argparse.Namespace) -> None:
    started = time.monotonic()
    stage = load_stage(context.configs, context.cohort, "train", TrainStage, seed=options.seed)
    algorithm_settings = load_algorithm(context.configs, context.cohort, options.algorithm)
    paths, name = context.paths, run_name(options.algorithm, options.threshold, options.seed)
    table = patch_table(paths, options.threshold)
    layout = read_layout(paths, options.threshold)
    train, validation = (
        gathered(paths, table[table["split"] == split], stage.memory_limit) for split in (TRAIN, VALIDATION)
    )
    above = read_tissue_threshold(paths.attribute_table(options.threshold))
    deciding = Deciding(stage, table[table["split"] == VALIDATION], len(layout.classes), above)
    deciding.check()
    logger.info("%s: %d training and %d validation patches", name, len(train), len(validation))
    interrupted = paths.outputs / "interrupted" / name
    setup = Setup(
        train,
        validation,
        settings=stage.training(paths),
        seed=stage.seed,
        layout=layout.groups,
        working_folder=interrupted,
    )
    announce = partial(_print_composition, name) if is_first_process() else None
    result = fit(setup, options.algorithm, algorithm_settings, announce)
    if not is_first_process():
        return
    decision = deciding.fitted(result.classifier, validation.images)
    fingerprints = table_fingerprints(paths, options.threshold)
    data = data_card(paths, table[table["split"] == TRAIN], layout, options.threshold)
    card = _card(data | {"decision": decision}, stage, result, options, fingerprints)
    # Settings of an earlier training must not stand beside these weights, should this process end here.
    (paths.training(name) / "run.json").unlink(missing_ok=True)
    save_classifier(paths.training(name), result.classifier, card)
    made = training_identity(stage, paths, options.algorithm, algorithm_settings)
    _write_records(paths.training(name), result, card, made, seconds=time.monotonic() - started)
    shutil.rmtree(interrupted, ignore_errors=True)
    override = dict(result.trials[result.chosen].override)
    print(f"{name}: {len(result.trials)} trial(s); {result.choice.told}: {override or 'the only one'}")
    print(f"{name}: {_in_words(decision)}")


def _card(
    data: dict[str, Any],
    stage: TrainStage,
    result: FitResult,
    options: argparse.Namespace,
    fingerprints: dict[str, str],
) -> ModelCard:
    groups, normalization = result.composition.groups, result.classifier.normalization
    return ModelCard(
        **data,
        backbone=result.backbone[0],
        backbone_settings=result.backbone[1],
        normalization=NormalizationCard(
            transform=normalization.transform,
            mean=normalization.mean_C,
            std=normalization.std_C,
            raw_std=normalization.raw_std_C,
        ),
        test_time_symmetries=stage.test_time_symmetries,
        threshold=options.threshold,
        counts=groups.counts_KA.tolist(),
        alpha=groups.alpha_KA.tolist(),
        algorithm=options.algorithm,
        algorithm_settings=dict(result.algorithm_settings),
        train_settings=stage.model_dump(mode="json", exclude={"seed", "memory_limit_gib"}),
        seed=stage.seed,
        versions={"python": platform.python_version()} | {name: version(name) for name in ON_THE_CARD},
        fingerprints=fingerprints,
    )


def _in_words(decision: DecisionCard) -> str:
    calibration = decision.calibration
    temperature = (
        f"not calibrated: {decision.uncalibrated}"
        if calibration is None
        else f"temperature {calibration.temperature:.3g}, of {calibration.patients} validation patients"
    )
    return f"decides by the rule {decision.rule} above {decision.threshold:.3g}; {temperature}"


def _write_records(
    folder: Path, result: FitResult, card: ModelCard, made: Mapping[str, str], *, seconds: float
) -> None:
    with replacing(folder / "history.csv") as part:
        pd.DataFrame(result.history).to_csv(part, index=False, lineterminator="\n")
    composition = {
        "samples_per_step": float(result.composition.samples_KA.sum()),
        "groups": result.composition.rows(),
    }
    best = result.trials[result.chosen].figures
    record = {
        "algorithm": card.algorithm,
        "threshold": card.threshold,
        "seed": card.seed,
        "best_epoch": best["epoch"],
        "best_step": best["step"],
        "n_trials": len(result.trials),
        "chosen": result.chosen,
        "choice": asdict(result.choice),
        "algorithm_settings": card.algorithm_settings,
        "train_settings": card.train_settings,
        "validation": _validation_figures(best),
        "trials": [_trial_record(trial) for trial in result.trials],
        "fingerprints": card.fingerprints,
        # By them a study is known to be of models trained alike.
        "settings": dict(made),
        "seconds": round(seconds, 1),
        **checksums(folder / "history.csv"),
    }
    for name, content in (("composition.json", composition), ("run.json", record)):
        write_json(folder / name, content)


def _trial_record(trial: Trial) -> dict[str, Any]:
    return {
        "override": dict(trial.override),
        "validation": _validation_figures(trial.figures),
        "out_of_fold": {key: finite_or(value, NOT_ESTIMABLE) for key, value in trial.out_of_fold.items()},
        "failure": trial.failure,
    }


def _validation_figures(figures: Mapping[str, float]) -> dict[str, float | str]:
    return {
        key.removeprefix("validation_"): finite_or(value, NOT_ESTIMABLE)
        for key, value in figures.items()
        if key.startswith("validation_")
    }


def _print_composition(name: str, override: Mapping[str, Any], composition: Composition) -> None:
    console = Console()
    # A log file is as wide as it needs to be.
    console.width = max(console.width, 140)
    rows = composition.rows()
    table = Table(box=SIMPLE, title=f"{name} {dict(override) or ''}: what the batches are made of")
    table.caption = (
        "alpha: a group's share of its class's training patches. p_...: that share in a batch; p_trained: "
        "as it is learned from. share: of the whole loss. samples_per_step: its patches in a step."
    )
    for column in rows[0]:
        table.add_column(column, justify="left" if column == "group" else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values()))
    console.print(table)
