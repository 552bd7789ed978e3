"""Figures of one model on all test patches, on those of every attribute value, and in every group."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.metrics.calibration import CalibrationError
from models.metrics.clinical.precision_recall import precision_statistics
from models.metrics.clinical.predictive_values import predictive_intervals
from models.metrics.intervals import Interval, bootstrap, patient_statistics
from pipeline.results.bootstrap import BootstrapSettings
from pipeline.results.figures import WITHIN, Method
from pipeline.results.profiles.operating import Operating, scored
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
    both = [_of_operating(method, each, names, settings, prevalence) for each in method.operating]
    return (*both, *_groups(method, names, settings))


def _of_operating(
    method: Method, operating: Operating, names: NamedLayout, settings: BootstrapSettings, prevalence: float
) -> Part:
    """Of all patches, or of those of an attribute value."""
    a, attribute_N = operating.attribute, method.pool.rows["group"] % names.groups.n_attributes
    member_N = np.ones(len(attribute_N), bool) if a is None else (attribute_N == a).to_numpy()
    strata = dict(enumerate(method.strata))
    auroc = method.figures.get("auroc") if a is None else strata.get(a)
    figures = {
        "sensitivity": operating.sensitivity,
        "specificity": operating.specificity,
        **_of_both_labels(method, member_N, settings),
        **({"auroc": auroc} if auroc else {}),
        "brier": operating.brier,
    }
    at = predictive_intervals(operating.sensitivity, operating.specificity, prevalence)
    return Part(
        kind="all" if a is None else "attribute",
        number=a or 0,
        name="all patches" if a is None else names.attributes[a],
        label=None,
        **_sizes(method, member_N),
        figures=figures | dict(zip(("ppv_at", "npv_at"), at, strict=True)),
        calibration=operating.calibration,
    )


def _of_both_labels(
    method: Method, member_N: NDArray[np.bool_], settings: BootstrapSettings
) -> dict[str, Interval]:
    """Predictive values of some patches as they are, and their average precision."""
    rows = method.pool.rows[member_N]
    prediction_RN, probability_RN = (
        method.pool.by_run(column, missing)[:, member_N]
        for column, missing in (("prediction", -1), ("probability", np.nan))
    )
    label_N, patient_N, minimum = rows["label"], rows["patient_id"], settings.minimums(len(prediction_RN))
    classes = patient_statistics(label_N, prediction_RN, label_N, patient_N, 2, **minimum)
    # Of the patches that are told as tumor, and of the others, the right ones: groups made of the verdicts.
    told = patient_statistics(label_N, prediction_RN, rows["prediction"], patient_N, 2, **minimum)
    values = bootstrap(told, **settings.drawn)
    ranked = precision_statistics(classes, label_N, probability_RN, patient_N)
    # With patches of one label alone a verdict is right or wrong by that, whatever the network.
    known = bool(classes.estimable_G.all())
    return {
        "ppv": values["group_1"] if known else _unknown(values["group_1"]),
        "npv": values["group_0"] if known else _unknown(values["group_0"]),
        "auprc": bootstrap(ranked, **settings.drawn)["auprc"],
    }


def _unknown(interval: Interval) -> Interval:
    return replace(interval, estimate=np.nan, low=np.nan, high=np.nan)


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
