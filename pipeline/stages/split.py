"""Split patients into training, validation and test: data/<cohort>/splits.csv.

Patients are never divided. The search balances the patches of every label and tissue-fraction tercile over
the splits, and gives the same result for the same seed. A `split` in slides.csv fixes a patient.
"""

import argparse
import logging

import pandas as pd

from models.data.splitting import TEST, SplitSettings, assign_splits, label_patients, patients_table
from pipeline.config import Context, load_cohort, load_stage, require_slides
from pipeline.files import replacing
from pipeline.patch_tables import read_index, read_slides
from pipeline.training.fixed import fixed_of

logger = logging.getLogger(__name__)
_NAMED = 4
_FEW = 5
"""Patients of each label: by fewer no report judges (minimum_test_patients of configs/report.yaml)."""
_THIRDS = ("least", "middle", "most")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The stage's own arguments."""
    parser.add_argument("--fold", type=int, help="fold that is tested; overrides the setting")


def run(context: Context, options: argparse.Namespace) -> None:
    """Read slides.csv and the patch index, write splits.csv.

    Raises:
        ArtifactError: an earlier stage's output is missing.
        ConfigError: images were imported, with their splits.
        GroupError: too few patients of a label.
    """
    require_slides(load_cohort(context.configs, context.cohort), context.cohort, "a split")
    settings = load_stage(context.configs, context.cohort, "split", SplitSettings, fold=options.fold)
    slides = read_slides(context.paths)
    patches = read_index(context.paths)
    patients = patients_table(patches, fixed_of(slides))
    splits = assign_splits(patients, settings)
    with replacing(context.paths.splits) as part:
        splits.to_csv(part, index=False, lineterminator="\n")
    _tell(patches, splits)
    if settings.tests:
        _tell_small(context.cohort, patients, splits)
    _tell_twins(slides, splits)


def _tell(patches: pd.DataFrame, splits: pd.DataFrame) -> None:
    joined = patches.merge(splits, on="patient_id", validate="m:1")
    for split, part in joined.groupby("split"):
        logger.info(
            "%s: %d patients, %d patches, %.0f %% tumor",
            split,
            part["patient_id"].nunique(),
            len(part),
            100 * part["label"].mean(),
        )


def _tell_small(cohort: str, patients: pd.DataFrame, splits: pd.DataFrame) -> None:
    """Where a test says little: few patients of a label, kinds of patches of which it has none."""
    tested = patients[(splits.set_index("patient_id")["split"] == TEST).reindex(patients.index)]
    without, with_tumor = label_patients(tested).sum(axis=0).tolist()
    empty = [_kind(name) for name in patients.columns.drop("fixed") if not tested[name].any()]
    told = []
    if min(without, with_tumor) < _FEW:
        told.append(f"{with_tumor} patients with tumor and {without} without, under {_FEW} of either")
    if empty:
        told.append(f"no patch of {', '.join(empty)}")
    if told:
        logger.warning(
            "the test is small: %s; `make study COHORT=%s` (`evenpatch study --cohort %s`) tests everyone",
            "; ".join(told),
            cohort,
            cohort,
        )


def _kind(stratum: str) -> str:
    """Words for a column of `patients_table`.

    >>> _kind("label1_tissue0")
    'tumor with the least third of tissue'
    """
    label, _, tercile = stratum.removeprefix("label").partition("_tissue")
    return f"{'tumor' if label == '1' else 'normal tissue'} with the {_THIRDS[int(tercile)]} third of tissue"


def _tell_twins(slides: pd.DataFrame, splits: pd.DataFrame) -> None:
    """Slides of the same content in several splits: what is tested was trained on."""
    joined = slides.dropna(subset="fingerprint").merge(splits, on="patient_id", suffixes=("_fixed", ""))
    keys = ["fingerprint", *(name for name in ("series",) if name in joined)]
    apart = joined[joined.groupby(keys, dropna=False)["split"].transform("nunique") > 1]
    if len(apart):
        logger.warning(
            "%d slides have the content of one in another split, as %s: give them one patient_id",
            len(apart),
            ", ".join(apart["slide_id"].head(_NAMED)),
        )
