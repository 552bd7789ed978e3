"""Patients whose split slides.csv fixes: whatever splits patients asks here."""

from collections.abc import Iterator

import pandas as pd

from models.data.splitting import TEST, TRAIN, VALIDATION
from pipeline.artifacts import Paths
from pipeline.patch_tables import read_slides


def fixed_splits(paths: Paths) -> pd.Series:
    """The split of every patient that has one in slides.csv, by patient_id.

    Raises:
        ArtifactError: the cohort is not ingested.
    """
    return fixed_of(read_slides(paths))


def fixed_of(slides: pd.DataFrame) -> pd.Series:
    """The same from the table itself."""
    return slides.groupby("patient_id")["split"].first().dropna()


def told_fixed(fixed: pd.Series) -> Iterator[str]:
    """Sentences for a study's table, of the patients that are split otherwise than all others.

    Args:
        fixed: see `fixed_splits`.
    """
    meaning = {
        TEST: "no model of any fold was trained or chosen on them, and each is tested once per repeat",
        TRAIN: "trained on in every fold, and tested in none",
        VALIDATION: "chosen by in every fold, and tested in none",
    }
    for split, told in meaning.items():
        if count := int((fixed == split).sum()):
            yield f"slides.csv fixes {count} {'patient' if count == 1 else 'patients'} to {split}: {told}."
