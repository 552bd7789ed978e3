"""Predict validation and test patches: outputs/<cohort>/evaluate/<algorithm>-<threshold>/.

Written are predictions.parquet (one row per patch) and metrics.json: per split the accuracy of every group
with counts, worst-group (wga) and group-balanced accuracy (gba), average, AUROC (also within tissue strata),
Brier score and calibration error, and their intervals over patients. A figure that too few patches or
patients stand behind is "not estimable". Where the split has no test patients (`split.test: 0`), there are
no test figures, and the log says so.
"""

import argparse
import logging
import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import PositiveFloat

from models.data.attributes import LAYOUT
from models.data.splitting import TEST, VALIDATION
from models.determinism import deterministic
from models.groups import GroupLayout
from models.metrics.accuracy import GroupMetrics, auroc, group_metrics, patients_per_group
from models.metrics.intervals import bootstrap, patient_statistics
from models.networks.card import ModelCard
from models.networks.checkpoint import load_classifier
from models.networks.classifier import Device, choose_device
from models.networks.decision import network_logit, verdicts
from patching.errors import CheckpointError
from pipeline.artifacts import PREDICTIONS, Paths, run_name
from pipeline.config import Context, load_stage
from pipeline.files import NOT_ESTIMABLE, finite_or, write_json, write_parquet
from pipeline.results.bootstrap import BootstrapSettings
from pipeline.results.profiles.along import along_tissue
from pipeline.results.profiles.operating import intervals_record, with_operating
from pipeline.training.layout import read_layout
from pipeline.training.patches import gathered, patch_table, table_fingerprints

logger = logging.getLogger(__name__)

_MORE = ("wga_", "auroc_")
"""Beginnings of the names of figures that are told as the intervals' own estimates."""


class EvaluateSettings(BootstrapSettings):
    """Settings of the evaluate stage: those of the intervals, which all figures share, and two of its own."""

    device: Device = "auto"
    """`auto`: the GPU where there is one; in float32, so that both give the same figures."""
    memory_limit_gib: PositiveFloat = 4.0
    """Patches of a split that need more are read from their stores batch by batch."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which training."""
    parser.add_argument("--algorithm", default="gerne", help="a file of configs/algorithms (default: gerne)")
    parser.add_argument("--threshold", default="low", help="of the attribute stage (default: low)")
    parser.add_argument("--seed", type=int, help="the training of `evenpatch train --seed`")


def run(context: Context, options: argparse.Namespace) -> None:
    """Predict with the trained model and write predictions and metrics.

    Raises:
        ArtifactError: an earlier stage's output is missing.
        CheckpointError: the training's files are missing or damaged, or of other data.
    """
    settings = load_stage(context.configs, context.cohort, "evaluate", EvaluateSettings)
    paths, name = context.paths, run_name(options.algorithm, options.threshold, options.seed)
    table = patch_table(paths, options.threshold)
    table = table[table["split"].isin((VALIDATION, TEST))].reset_index(drop=True)
    layout = read_layout(paths, options.threshold).groups
    predictions = predict(paths, name, table, settings)
    metrics = {
        split: split_metrics(predictions[predictions["split"] == split], settings, layout)
        for split in (VALIDATION, TEST)
        if (predictions["split"] == split).any()
    }
    # Figures of an earlier evaluation must not stand beside these predictions.
    (paths.evaluation(name) / "metrics.json").unlink(missing_ok=True)
    write_parquet(paths.evaluation(name) / "predictions.parquet", predictions[list(PREDICTIONS)])
    write_json(paths.evaluation(name) / "metrics.json", metrics)
    if TEST not in metrics:
        logger.warning(
            "%s: no test patients (split.test: 0), so no test figures; those of validation chose the step",
            name,
        )
    for split, figures in metrics.items():
        logger.info(
            "%s, %s: WGA %s, GBA %s%s",
            name,
            split,
            *(shown(figures[key]) for key in ("wga", "gba")),
            _of_groups(figures["groups_judged"], layout.n_groups),
        )


def _of_groups(judged: int, count: int) -> str:
    """That not every group has patches and patients enough, so that the worst one may be another."""
    return (
        ""
        if judged == count
        else f" of {judged} of {count} groups; too few patches or patients of the others"
    )


def shown(figure: float | str) -> str:
    """A figure for the log."""
    return figure if isinstance(figure, str) else f"{figure:.3f}"


def predict(paths: Paths, name: str, table: pd.DataFrame, settings: EvaluateSettings) -> pd.DataFrame:
    """`table` with `logit`, `probability` and `prediction`, see models.networks.decision.

    The logit is the network's own log-odds, before rule and calibration; NaN with more than two classes.

    Raises:
        CheckpointError: as `run`.
        ConfigError: the model's rule needs a tissue fraction that patches lack.
    """
    classifier, card = load_classifier(paths.training(name))
    _check_data(paths, name, card)
    data = gathered(paths, table, int(settings.memory_limit_gib * 2**30))
    device = choose_device(settings.device)
    with deterministic(device):
        probability_NK = classifier.to(device).predict_patches(data.images)
    logit_N = network_logit(probability_NK) if len(card.classes) == 2 else np.full(len(table), np.nan)
    probability_N, prediction_N = verdicts(card.decision, probability_NK, table["tissue_fraction"])
    return table.assign(logit=logit_N, probability=probability_N, prediction=prediction_N)


def split_metrics(
    predictions: pd.DataFrame, settings: EvaluateSettings, layout: GroupLayout = LAYOUT
) -> dict[str, Any]:
    """Figures of one split, ready for JSON; those of probabilities only with two classes.

    Returns:
        wga (and wga_cross_fitted) and gba with the number of groups they range over (groups_judged), average,
        worst_class, auroc, auroc_<a> of each attribute value's patches and auroc_within, their mean, brier,
        ece (and ece_by_chance), sensitivity, specificity, patches, patients; `groups`: per `group_<g>`
        accuracy, brier, ece, correct, patches, patients; `attributes`: per `attribute_<a>` what a probability
        and a verdict are worth there; `tissue_fraction`: accuracy along it, where there is one; `intervals`:
        per figure low, high and level, left out where there is none.
    """
    label_N, prediction_N, group_N = (
        predictions[column].to_numpy(np.int64) for column in ("label", "prediction", "group")
    )
    patient_N = predictions["patient_id"].to_numpy(str)
    probability_N = predictions["probability"].to_numpy(np.float64) if layout.n_classes == 2 else None
    minimum = settings.minimums()
    metrics = group_metrics(label_N, prediction_N, group_N, layout.n_groups, patient=patient_N, **minimum)
    statistics = patient_statistics(
        label_N, prediction_N, group_N, patient_N, layout.n_groups, probability=probability_N, **minimum
    )
    intervals = bootstrap(statistics, **settings.drawn)
    found: dict[str, Any] = {
        "wga": _figure(metrics.wga),
        "gba": _figure(metrics.gba),
        "groups_judged": int(metrics.estimable_G.sum()),
        "average": _figure(metrics.average),
        "worst_class": _figure(metrics.worst_class),
        "auroc": _figure(math.nan if probability_N is None else auroc(label_N, probability_N)),
        **{name: _figure(each.estimate) for name, each in intervals.items() if name.startswith(_MORE)},
        "patches": len(predictions),
        "patients": len(np.unique(patient_N)),
        "groups": _groups(metrics, patients_per_group(group_N, layout.n_groups, patient_N)),
        **along_tissue(predictions, layout.n_classes, settings),
        "intervals": intervals_record(intervals),
    }
    return found if probability_N is None else with_operating(found, predictions, intervals, settings)


def _groups(metrics: GroupMetrics, patients_G: NDArray[np.int64]) -> dict[str, dict[str, Any]]:
    return {
        f"group_{g}": {
            "accuracy": _figure(metrics.accuracy_G[g]),
            "correct": int(metrics.correct_G[g]),
            "patches": int(metrics.count_G[g]),
            "patients": int(patients),
        }
        for g, patients in enumerate(patients_G)
    }


def _figure(value: float) -> float | str:
    return finite_or(value, NOT_ESTIMABLE)


def _check_data(paths: Paths, name: str, card: ModelCard) -> None:
    """A model may only be judged on patients it was not trained or chosen on."""
    present = table_fingerprints(paths, card.threshold)
    changed = [file for file, digest in card.fingerprints.items() if present.get(file) != digest]
    if changed:
        raise CheckpointError(
            has=f"a training {name} of other data: {', '.join(changed)} changed since",
            needs="a training of the present patches, splits and attributes",
            do=f"run `evenpatch train --algorithm {card.algorithm} --threshold {card.threshold}` again",
        )
