"""Who trains, validates and is tested in a fold of a study."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from models.data.attributes import ThresholdRule, attribute_table
from models.data.splitting import SplitSettings, cross_validation_splits, patients_table
from pipeline.artifacts import Paths
from pipeline.patch_tables import read_index
from pipeline.training.fixed import fixed_splits


def fold_table(
    paths: Paths, split: Mapping[str, Any], threshold: str, rule: Mapping[str, Any]
) -> tuple[pd.DataFrame, float]:
    """Patches with split, attribute and group of a fold, and the threshold's value there.

    Args:
        paths: of the cohort.
        split: SplitSettings of the fold.
        threshold: its name.
        rule: how it is made.

    Returns:
        the patches of all patients but those who are tested in another fold alone.

    Raises:
        ArtifactError: the cohort is not ingested or not tiled.
        GroupError: as `cross_validation_splits`.
        EmptyGroupError: a group without training patches.
    """
    index = read_index(paths)
    patients = patients_table(index, fixed_splits(paths))
    splits = cross_validation_splits(patients, SplitSettings.model_validate(split))
    table = index.merge(splits, on="patient_id", validate="m:1")
    attributes, figures = attribute_table(table, {threshold: ThresholdRule.model_validate(rule)})
    return table.merge(attributes, on="patch_id", validate="1:1"), figures[threshold]["value"]
