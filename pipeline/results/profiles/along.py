"""Accuracy along the tissue fraction, or another share: for pictures, and as metrics.json holds it."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from models.metrics.along_attribute import AttributeCurve, attribute_curve
from pipeline.files import NOT_ESTIMABLE, finite_or
from pipeline.results.bootstrap import BootstrapSettings


def curve_along(
    share: str, rows: pd.DataFrame, prediction: ArrayLike, n_classes: int, settings: BootstrapSettings
) -> AttributeCurve:
    """Accuracy along a column of the patches that is a share.

    Args:
        share: the column.
        rows: patches, with label and patient_id.
        prediction: of every row, [N]; or [R, N] of R seeds, -1 where a row is another seed's.
    """
    prediction_RN = np.atleast_2d(np.asarray(prediction))
    return attribute_curve(
        rows["label"],
        prediction_RN,
        rows[share],
        n_classes,
        patient=rows["patient_id"].astype(str),
        **settings.minimums(len(prediction_RN)),
        **settings.drawn,
    )


def along_tissue(predictions: pd.DataFrame, n_classes: int, settings: BootstrapSettings) -> dict[str, Any]:
    """`tissue_fraction`: worst_bin, and per `label_<y>` slope, mean and `bins`; `level` is of the intervals.

    Nothing where patches have no tissue fraction, as those of a published benchmark.
    """
    value = predictions.get("tissue_fraction")
    if value is None or value.isna().any() or predictions.empty:
        return {}
    curve = curve_along("tissue_fraction", predictions, predictions["prediction"], n_classes, settings)
    rows = [_bin(curve, b) for b in range(len(curve.bins))]
    labels = {
        f"label_{y}": {
            "slope": finite_or(curve.slope_K[y], NOT_ESTIMABLE),
            "mean": finite_or(curve.mean_K[y], NOT_ESTIMABLE),
            "bins_judged": int(curve.estimable_B[curve.bins.of_label(y)].sum()),
            "bins": {f"bin_{i}": rows[b] for i, b in enumerate(curve.bins.of_label(y))},
        }
        for y in range(n_classes)
    }
    worst: dict[str, Any] = {"accuracy": NOT_ESTIMABLE}
    if curve.worst_bin is not None:
        label = curve.bins.places[curve.worst_bin][0]
        place = curve.bins.of_label(label).index(curve.worst_bin)
        worst = {"label": label, "bin": place, **rows[curve.worst_bin]}
    return {"tissue_fraction": {"level": curve.interval_B[0].level, "worst_bin": worst, **labels}}


def _bin(curve: AttributeCurve, b: int) -> dict[str, Any]:
    _, low, high = curve.bins.places[b]
    interval = curve.interval_B[b]
    row: dict[str, Any] = {
        "low": low,
        "high": high,
        "accuracy": finite_or(interval.estimate, NOT_ESTIMABLE),
        "correct": int(curve.correct_B[b]),
        "patches": int(curve.count_B[b]),
        "patients": int(curve.patients_B[b]),
    }
    if np.isfinite(interval.low):
        row["interval"] = {"low": interval.low, "high": interval.high}
    return row
