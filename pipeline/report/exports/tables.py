"""groups.csv and predictions.parquet: figures of every part, and every predicted patch."""

from collections.abc import Sequence
from io import BytesIO

import pandas as pd

from pipeline.report.sources import Sources
from pipeline.report.subject import Subject
from pipeline.results.clinical.parts import Part

COLUMNS = (
    "patch_id",
    "slide",
    "patient",
    "x",
    "y",
    "extent",
    "label",
    "attribute",
    "group",
    "probability",
    "prediction",
    "split",
    "tissue_fraction",
    "tumor_fraction",
)
"""Of predictions.parquet; x, y and extent are level-0 pixels of the slide."""
_FIGURES = (
    "sensitivity",
    "specificity",
    "ppv",
    "npv",
    "ppv_at",
    "npv_at",
    "auroc",
    "auprc",
    "brier",
)


def groups_csv(parts: Sequence[Part]) -> bytes:
    """A row for all patches, for every attribute value and for every group; empty cells are not estimable."""
    rows = []
    for part in parts:
        row: dict[str, object] = {
            "part": part.key,
            "name": part.name,
            "patches": part.patches,
            "wrong": part.wrong,
            "slides": part.slides,
            "patients": part.patients,
            "prevalence": part.prevalence,
        }
        for name in _FIGURES:
            found = part.figures.get(name)
            for end in ("estimate", "low", "high"):
                column = name if end == "estimate" else f"{name}_{end}"
                row[column] = float("nan") if found is None else getattr(found, end)
        rows.append(row | {"ece": part.calibration.error, "ece_by_chance": part.calibration.by_chance})
    return pd.DataFrame(rows).to_csv(index=False, lineterminator="\n").encode()


def predictions_of(sources: Sources, subject: Subject) -> pd.DataFrame:
    """The subject's predictions, named as the report names slides, patients and patches."""
    table, ids = subject.predictions, sources.ids
    return table.assign(
        slide=table["slide_id"].map(ids.slide),
        patient=table["patient_id"].map(ids.patient),
        patch_id=table["patch_id"].map(ids.patch),
    ).sort_values(["split", "patch_id"], ignore_index=True)


def predictions_parquet(table: pd.DataFrame) -> bytes:
    """The same as a file, without what would name a slide otherwise."""
    buffer = BytesIO()
    table[list(COLUMNS)].to_parquet(buffer, index=False)
    return buffer.getvalue()
