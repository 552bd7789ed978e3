"""Tell how far one gets without a network: outputs/<cohort>/shortcuts/.

Three answers, each cross-validated over patients: the patch's tissue fraction against a cut, the patient's
mean tissue fraction against a cut, and a group-balanced logistic regression on the patches' statistics.
Beside the last stands what it reaches where labels are permuted over patients. Written are shortcuts.json
(figures with intervals over patients, null, p-values) and null.parquet (every permutation); the report
prints them.
"""

import argparse
import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import threadpoolctl
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from models.data.attributes import LAYOUT, ThresholdRule
from models.metrics.intervals import bootstrap, patient_statistics
from models.metrics.shortcuts.answers import Answers, tissue_answers
from models.metrics.shortcuts.patches import (
    CheckedPatches,
    ShortcutSettings,
    patient_folds,
    require_both_labels,
)
from models.metrics.shortcuts.permutations import (
    FIGURES,
    against_null,
    cross_validated,
    figures_of,
    permutation_null,
)
from patching.errors import ArtifactError
from pipeline.artifacts import STATISTICS, Paths
from pipeline.config import Context, load_cohort, load_stage, require_slides
from pipeline.files import (
    NOT_ESTIMABLE,
    checksums,
    file_fingerprint,
    finite_or,
    read_table,
    write_json,
    write_parquet,
)
from pipeline.patch_tables import read_index
from pipeline.results.bootstrap import BootstrapSettings, bootstrap_settings
from pipeline.results.verdict import interval_record
from pipeline.training.thresholds import AttributeSettings

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The stage has no arguments of its own."""


def run(context: Context, options: argparse.Namespace) -> None:
    """Answer, permute, and write both files.

    Raises:
        ArtifactError: the index or the statistics are missing, or of other patches.
        ConfigError: the cohort is an imported benchmark, whose patches have no tissue fraction.
        GroupError: fewer than two patients of a label.
    """
    require_slides(load_cohort(context.configs, context.cohort), context.cohort, "shortcut checks")
    settings = load_stage(context.configs, context.cohort, "shortcuts", ShortcutSettings)
    rules = load_stage(context.configs, context.cohort, "attribute", AttributeSettings).thresholds
    intervals, paths = bootstrap_settings(context), context.paths
    index = read_index(paths)
    patches = checked_patches(paths, index)
    require_both_labels(patches)
    watched = partial(track, description="permuting labels", console=Console(stderr=True))
    # One thread: with another number of them, sums over patches are added in another order.
    with threadpoolctl.threadpool_limits(1):
        checks = answered(patches, rules, settings)
        null = permutation_null(patches, rules, settings, intervals.minimums(), watched)
    thresholds = {name: _told(patches, checks[name], null[name], intervals) for name in rules}
    write_parquet(paths.shortcuts / "null.parquet", _null_table(null))
    write_json(
        paths.shortcuts / "shortcuts.json",
        {
            "fingerprints": {paths.index.name: file_fingerprint([paths.index])},
            **checksums(paths.shortcuts / "null.parquet"),
            "settings": settings.model_dump(),
            "patches": len(patches.label_N),
            "patches_of_cohort": len(index),
            "patients": patches.n_patients,
            "patients_of_one_label": int((~patches.labels_P2.all(axis=1)).sum()),
            "statistics": patches.statistics_NS.shape[1],
            "thresholds": {
                name: {"rule": rule.model_dump(), **thresholds[name]} for name, rule in rules.items()
            },
        },
    )
    for name, told in thresholds.items():
        logger.info("%s: %s", name, in_words(told))


def checked_patches(paths: Paths, index: pd.DataFrame) -> CheckedPatches:
    """The patches that have statistics, in the index's order.

    Raises:
        ArtifactError: the statistics are missing, or of other patches.
    """
    statistics = read_table(paths.statistics, STATISTICS, "statistics")
    if statistics.attrs.get(paths.index.name) != file_fingerprint([paths.index]):
        raise ArtifactError(
            has=f"{paths.statistics} of other patches",
            needs=f"statistics of the patches of {paths.index}",
            do="run `evenpatch statistics` again: the patches are newer",
        )
    known = statistics[["patch_id"]].merge(index, on="patch_id", validate="1:1")
    return CheckedPatches(
        statistics.drop(columns="patch_id").to_numpy(np.float64),
        known["tissue_fraction"].to_numpy(np.float64),
        known["label"].to_numpy(np.int64),
        known["patient_id"].to_numpy(str),
    )


def answered(
    patches: CheckedPatches, rules: Mapping[str, ThresholdRule], settings: ShortcutSettings
) -> dict[str, dict[str, Answers]]:
    """Answers by threshold and check: `tissue_by_patch`, `tissue_by_patient`, `linear`."""
    fold_N = patient_folds(patches, patches.label_N, settings.folds, settings.seed)
    checks = {
        "tissue_by_patch": tissue_answers(patches, patches.tissue_fraction_N, fold_N, rules),
        "tissue_by_patient": tissue_answers(patches, patches.patient_tissue_N, fold_N, rules),
        "linear": cross_validated(patches, patches.label_N, rules, settings),
    }
    return {name: {check: found[name] for check, found in checks.items()} for name in rules}


def in_words(told: Mapping[str, Any]) -> str:
    """A threshold's checks in a line of the log."""
    wga = {check: told["checks"][check]["wga"]["estimate"] for check in told["checks"]}
    null = told["null"]["wga"]
    return (
        f"WGA of tissue alone {_shown(wga['tissue_by_patch'])} by patch and "
        f"{_shown(wga['tissue_by_patient'])} by patient mean; of a linear model {_shown(wga['linear'])}, "
        f"with permuted labels {_shown(null['mean'])} on average and {_shown(null['quantile'])} at most in "
        f"95 %, p = {_shown(null['p'])}"
    )


def _told(
    patches: CheckedPatches,
    checks: Mapping[str, Answers],
    null_MF: NDArray[np.float64],
    intervals: BootstrapSettings,
) -> dict[str, Any]:
    """Figures of every check at one threshold, and the linear model's beside its null."""
    observed_F = figures_of(patches, patches.label_N, checks["linear"], intervals.minimums())
    null = {
        figure: against_null(float(observed), null_M)
        for figure, observed, null_M in zip(FIGURES, observed_F, null_MF.T, strict=True)
    }
    return {
        "checks": {name: _figures(patches, answers, intervals) for name, answers in checks.items()},
        "null": {
            figure: {key: finite_or(value, NOT_ESTIMABLE) for key, value in found.items()}
            for figure, found in null.items()
        },
    }


def _figures(
    patches: CheckedPatches, answers: Answers, intervals: BootstrapSettings
) -> dict[str, dict[str, float | str]]:
    """Every figure with its interval over patients, the answers held fixed."""
    statistics = patient_statistics(
        patches.label_N,
        answers.prediction_N,
        LAYOUT.group(patches.label_N, answers.attribute_N),
        patches.patient,
        LAYOUT.n_groups,
        # For ranking any score will do.
        probability=answers.score_N,
        **intervals.minimums(),
    )
    found = bootstrap(statistics, **intervals.drawn)
    return {name: interval_record(interval) for name, interval in found.items()}


def _null_table(null: Mapping[str, NDArray[np.float64]]) -> pd.DataFrame:
    """Columns threshold, permutation, and FIGURES; NaN where not estimable."""
    tables = [
        pd.DataFrame(null_MF, columns=list(FIGURES)).assign(threshold=name, permutation=range(len(null_MF)))
        for name, null_MF in null.items()
    ]
    return pd.concat(tables, ignore_index=True)[["threshold", "permutation", *FIGURES]]


def _shown(figure: float | str) -> str:
    return figure if isinstance(figure, str) else f"{figure:.3f}"
