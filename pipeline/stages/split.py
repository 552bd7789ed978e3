"""Split patients into training, validation and test: data/<cohort>/splits.csv.

Patients are never divided. The search balances the patches of every label and tissue-fraction tercile over
the splits, and gives the same result for the same seed. A `split` in slides.csv fixes a patient.
"""

import argparse
import logging

import pandas as pd

from models.data.splitting import SplitSettings, assign_splits, patients_table
from pipeline.artifacts import INDEX, SLIDES
from pipeline.config import Context, load_stage
from pipeline.files import read_table, replacing

logger = logging.getLogger(__name__)
_NAMED = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The stage's own arguments."""
    parser.add_argument("--fold", type=int, help="fold that is tested; overrides the setting")


def run(context: Context, options: argparse.Namespace) -> None:
    """Read slides.csv and the patch index, write splits.csv.

    Raises:
        ArtifactError: an earlier stage's output is missing.
        GroupError: too few patients of a label.
    """
    settings = load_stage(context.configs, context.cohort, "split", SplitSettings, fold=options.fold)
    slides = read_table(context.paths.slides, SLIDES, "ingest")
    patches = read_table(context.paths.index, INDEX, "tile")
    patients = patients_table(patches, slides.groupby("patient_id")["split"].first())
    splits = assign_splits(patients, settings)
    with replacing(context.paths.splits) as part:
        splits.to_csv(part, index=False, lineterminator="\n")
    _tell(patches, splits)
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
