"""Measure hand-made statistics of every patch: data/<cohort>/statistics/statistics.parquet.

About 30 per channel: moments and quantiles, gradients and Laplacians at scales, orientation, co-occurrence;
and correlations between channels. They are computed of whole patches as they are stored: label, attribute
and tissue mask have no say. `evenpatch shortcuts` holds networks against what they tell.
"""

import argparse
import logging

import numpy as np
import pandas as pd

from models.data.dataset import StoreRows, gather
from models.data.statistics.patches import same_share, statistics_of
from models.data.statistics.settings import StatisticsSettings
from pipeline.config import Context, load_stage
from pipeline.files import file_fingerprint, write_parquet
from pipeline.patch_tables import read_index
from pipeline.training.patches import store_attributes

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The stage has no arguments of its own."""


def run(context: Context, options: argparse.Namespace) -> None:
    """Read the patches block by block, and write the table.

    Raises:
        ArtifactError: the patch index is missing.
        ConfigError: the patches are too small for the settings.
        StoreError: a store is missing or damaged, or they do not fit together.
    """
    settings = load_stage(context.configs, context.cohort, "statistics", StatisticsSettings)
    paths = context.paths
    index = read_index(paths)
    chosen_M = same_share(index["patient_id"].to_numpy(str), settings.most_patches)
    if len(chosen_M) < len(index):
        logger.info("%d of %d patches are measured: statistics.most_patches", len(chosen_M), len(index))
    index = index.iloc[chosen_M].reset_index(drop=True)
    rows = StoreRows(
        [paths.store(slide) for slide in index["slide_id"]], index["store_row"].to_numpy(np.int64)
    )
    channels = store_attributes(paths, index).channels
    # A limit of 0: every block is read when it is due.
    names, values_NS = statistics_of(gather(rows, 0), channels, settings)
    table = pd.DataFrame(values_NS, columns=list(names))
    table.insert(0, "patch_id", index["patch_id"])
    table.attrs = {paths.index.name: file_fingerprint([paths.index])}
    write_parquet(paths.statistics, table)
    logger.info("%d statistics of %d patches: %s", len(names), len(table), paths.statistics)
