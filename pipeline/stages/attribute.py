"""Binarize the tissue fraction into attribute and group: data/<cohort>/attributes/.

Every configured threshold is a fixed number or a quantile of the training patients' patches; validation and
test have no say in it. Written are tables/<threshold>.parquet (one row per patch), groups.json (thresholds,
counts, p(a|y), Cramér's V) and histogram.csv (tissue fraction of training patches by label).
"""

import argparse
import logging
from collections.abc import Mapping
from typing import Any

import pandas as pd

from models.data.attributes import attribute_table, tissue_histogram
from models.data.splitting import TEST, TRAIN
from pipeline.artifacts import Paths
from pipeline.config import Context, load_cohort, load_stage, require_slides
from pipeline.files import checksums, replacing, write_json
from pipeline.patch_tables import read_index, read_splits, with_splits
from pipeline.training.layout import TISSUE, write_tissue_attributes
from pipeline.training.thresholds import AttributeSettings

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The stage has no arguments of its own."""


def run(context: Context, options: argparse.Namespace) -> None:
    """Read the patch index and the splits, write the attributes folder.

    Raises:
        ArtifactError: an earlier stage's output is missing, or does not cover every patient.
        ConfigError: images were imported, with their attribute.
        EmptyGroupError: a group without training patches.
    """
    require_slides(load_cohort(context.configs, context.cohort), context.cohort, "attributes by tissue")
    settings = load_stage(context.configs, context.cohort, "attribute", AttributeSettings)
    paths = context.paths
    patches = with_splits(read_index(paths), read_splits(paths))
    table, figures = attribute_table(patches, settings.thresholds)
    _write_tables(paths, table, {name: content["value"] for name, content in figures.items()})
    with replacing(paths.histogram) as part:
        histogram = tissue_histogram(patches[patches["split"] == TRAIN], settings.bins)
        histogram.to_csv(part, index=False, lineterminator="\n")
    write_json(paths.groups, {"thresholds": figures, **checksums(paths.histogram)})
    for name, content in figures.items():
        logger.info(
            "%s: tissue fraction > %.4f (%s); training patches with [little, much] tissue: non-tumor %s, "
            "tumor %s, Cramér's V %.2f; %s",
            name,
            content["value"],
            content["how"],
            *content["counts"][TRAIN],
            content["cramers_v"][TRAIN],
            _little(patches, content["value"]),
        )
        _tell_untested(name, content, context.cohort)


def _write_tables(paths: Paths, table: pd.DataFrame, value_of: Mapping[str, float]) -> None:
    written = set()
    for threshold, rows in table.groupby("threshold", sort=False):
        path = paths.attribute_table(str(threshold))
        with replacing(path) as part:
            write_tissue_attributes(part, rows, value_of[str(threshold)])
        written.add(path)
    for left_over in set(paths.attribute_table("any").parent.glob("*.parquet")) - written:
        left_over.unlink()


def _tell_untested(threshold: str, figures: Mapping[str, Any], cohort: str) -> None:
    """Groups of which the test has no patch: no figure of the worst group is of them."""
    counts = [count for row in figures["counts"][TEST] for count in row]
    if any(counts) and not all(counts):
        empty = [name for name, count in zip(TISSUE.names, counts, strict=True) if not count]
        logger.warning(
            "%s: the test has no patch of %s; `make study COHORT=%s` tests every patient",
            threshold,
            "; ".join(empty),
            cohort,
        )


def _little(patches: pd.DataFrame, value: float) -> str:
    """How many tumor patches, and of how many patients, hold little tissue: the group that ERM fails in."""
    tumor = patches[patches["label"] == 1]
    little = tumor[tumor["tissue_fraction"] <= value]
    patients = little["patient_id"].nunique()
    return f"{len(little)} of {len(tumor)} tumor patches hold no more, of {patients} patients, in all splits"
