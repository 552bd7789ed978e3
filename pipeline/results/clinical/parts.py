"""Figures of one model on all test patches, on those of every attribute value, and in every group."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.metrics.calibration import CalibrationError
from models.metrics.clinical.precision_recall import precision_statistics
from models.metrics.clinical.predictive_values import PredictiveStatistics
from models.metrics.intervals import Interval, bootstrap, patient_statistics
from pipeline.results.bootstrap import BootstrapSettings
from pipeline.results.figures import WITHIN, Method
from pipeline.results.profiles.operating import scored
from pipeline.training.layout import NamedLayout

Kind = Literal["all", "attribute", "group"]
SUMMARY = ("wga", "wga_cross_fitted", "gba", "average", "worst_class", "auroc", WITHIN)
"""Figures of the whole method that are told beside its parts, where it has them."""


@dataclass(frozen=True)
class Part:
    """One set of test patches; of several seeds, figures are means.

    Attributes:
        kind: `all`; `attribute`, both labels at one value; or `group`, one label at one value.
        number: of the attribute value or group; 0 of all.
        label: of a group; none where there are both.
        patches: a mean over the seeds. wrong: of them, verdicts that are wrong.
        prevalence: share of tumor among the patches; NaN without any.
        figures: of both labels sensitivity, specificity, ppv, npv (at the patches' own prevalence), ppv_at,
            npv_at (at the stated one), auroc, auprc, brier; of a group its sensitivity or specificity, and
            brier.
        calibration: error of the probabilities, and about what chance makes of it.
    """

    kind: Kind
    number: int
    name: str
    label: int | None
    patches: float
    wrong: float
    slides: int
    patients: int
    prevalence: float
    figures: Mapping[str, Interval]
    calibration: CalibrationError

    @property
    def key(self) -> str:
        """`all`, `attribute_0`, `group_3`."""
        return self.kind if self.kind == "all" else f"{self.kind}_{self.number}"


def parts_of(
    method: Method, names: NamedLayout, settings: BootstrapSettings, prevalence: float
) -> tuple[Part, ...]:
    """All patches first, then the attribute values, then the groups.

    Empty without probabilities of two classes.

    Args:
        method: decided as its figures are.
        names: to print.
        settings: minimums, draws and level.
        prevalence: stated share of tumor that `ppv_at` and `npv_at` are told for.
    """
    if not method.operating:
        return ()
    rows, n_attributes = method.pool.rows, names.groups.n_attributes
    attribute_N = rows["group"].to_numpy(np.int64) % n_attributes
    whole, *strata = method.operating
    everywhere = np.ones(len(rows), bool)
    verdicts = [(whole, everywhere, method.figures.get("auroc"), "all patches")] + [
        (each, attribute_N == a, method.strata[a] if method.strata else None, names.attributes[a])
        for a, each in enumerate(strata)
    ]
    found = []
    for operating, member_N, auroc, name in verdicts:
        own = {
            "sensitivity": operating.sensitivity,
            "specificity": operating.specificity,
            **_of_both_labels(method, member_N, settings, prevalence),
            **({"auroc": auroc} if auroc else {}),
            "brier": operating.brier,
        }
        kind: Kind = "all" if operating.attribute is None else "attribute"
        sizes = _sizes(method, member_N)
        found.append(
            Part(
                kind,
                operating.attribute or 0,
                name,
                None,
                **sizes,
                figures=own,
                calibration=operating.calibration,
            )
        )
    return (*found, *_groups(method, names, settings))


def _of_both_labels(
    method: Method, member_N: NDArray[np.bool_], settings: BootstrapSettings, prevalence: float
) -> dict[str, Interval]:
    """Predictive values and average precision of some patches."""
    rows = method.pool.rows[member_N]
    prediction_RN, probability_RN = (
        method.pool.by_run(column, missing)[:, member_N]
        for column, missing in (("prediction", -1), ("probability", np.nan))
    )
    minimum = settings.minimums(len(method.pool.runs))
    classes = patient_statistics(
        rows["label"], prediction_RN, rows["label"], rows["patient_id"], 2, **minimum
    )
    ranked = precision_statistics(classes, rows["label"], probability_RN, rows["patient_id"])
    found = bootstrap(PredictiveStatistics(classes, prevalence), **settings.drawn)
    found |= bootstrap(ranked, **settings.drawn)
    return {name: found[name] for name in ("ppv", "npv", "ppv_at", "npv_at", "auprc")}


def _groups(method: Method, names: NamedLayout, settings: BootstrapSettings) -> Iterator[Part]:
    rows, n_attributes = method.pool.rows, names.groups.n_attributes
    group_N = rows["group"].to_numpy(np.int64)
    scores = scored(rows, method.pool.by_run("probability", np.nan), group_N, names.groups.n_groups, settings)
    for g, (accuracy, (brier, calibration)) in enumerate(zip(method.groups, scores, strict=False)):
        label = g // n_attributes
        verdict = "sensitivity" if label else "specificity"
        sizes = _sizes(method, group_N == g)
        own = {verdict: accuracy, "brier": brier}
        yield Part("group", g, names.names[g], label, **sizes, figures=own, calibration=calibration)


def _sizes(method: Method, member_N: NDArray[np.bool_]) -> dict[str, Any]:
    rows: pd.DataFrame = method.pool.rows[member_N]
    n_runs = len(method.pool.runs)
    return {
        "patches": len(rows) / n_runs,
        "wrong": float((rows["label"] != rows["prediction"]).sum()) / n_runs,
        "slides": rows["slide_id"].nunique(),
        "patients": rows["patient_id"].nunique(),
        "prevalence": float(rows["label"].mean()) if len(rows) else np.nan,
    }
