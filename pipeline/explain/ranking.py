"""Slides and patients by the errors that they carry."""

import pandas as pd


def by_errors(rows: pd.DataFrame, unit: str) -> pd.DataFrame:
    """Patches, errors, groups' errors and the error rate of every slide or patient, the most errors first.

    Args:
        rows: test patches with label, prediction and `unit`.
        unit: the column to count by, slide_id or patient_id.

    Returns:
        `unit`, patches, errors, missed (tumor patches called non-tumor), alarms (the other way round), rate;
        of equal errors the higher rate first, and then in the order of names.
    """
    wrong = rows["label"] != rows["prediction"]
    tumor = rows["label"] == 1
    marked = rows.assign(patches=1, errors=wrong, missed=wrong & tumor, alarms=wrong & ~tumor)
    found = marked.groupby(unit)[["patches", "errors", "missed", "alarms"]].sum().reset_index()
    found = found.assign(rate=lambda table: table["errors"] / table["patches"])
    return found.sort_values(["errors", "rate", unit], ascending=[False, False, True], ignore_index=True)
