"""How much a prediction changes with its patch's tissue: slopes and means with intervals over patients."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from models.metrics.intervals import Interval, PatientSums, bootstrap, paired_difference
from models.metrics.responses.within import mean_statistics, within_slopes
from pipeline.files import NOT_ESTIMABLE
from pipeline.intervention.settings import ARMS, KINDS, InterveneSettings
from pipeline.results.bootstrap import BootstrapSettings
from pipeline.results.terms import Terms
from pipeline.results.tested import CONTROL, decided_name
from pipeline.results.verdict import interval_record, reading_of

NET = "net"
"""The change with the amount of tissue less that of the control, in which the same pixels are replaced."""
MEASURES = ("probability", "log_odds")
_KEYS = ["arm", "patch_id", "patient_id", "step"]


def figures_of(
    curve: pd.DataFrame, terms: Terms, settings: InterveneSettings, intervals: BootstrapSettings
) -> dict[str, Any]:
    """`methods`: slopes and steps of each; `contrasts`: differences of net slopes. Ready for JSON.

    Slopes are per unit of tissue fraction, of one intervention after the other; those of one method hold for
    all interventions together. `kind` is as in `KINDS`, or `NET`.

    Args:
        curve: pipeline.intervention.answers.CURVE, of all interventions.
    """
    tables = {str(method): wide(own) for method, own in curve.groupby("method", sort=False)}
    patients = curve.groupby("arm")["patient_id"].nunique()
    judged = [patients.get(arm.name, 0) >= terms.judging.minimum_test_patients for arm in ARMS]
    sums = {method: _slopes(own, settings, intervals) for method, own in tables.items()}
    return {
        "methods": {
            method: {
                "name": terms.named(method),
                "slopes": {
                    kind: {
                        name: _by_arm(bootstrap(each, **intervals.drawn), judged)
                        for name, each in of_kind.items()
                    }
                    for kind, of_kind in sums[method].items()
                },
                "steps": _steps(own, settings, intervals),
            }
            for method, own in tables.items()
        },
        "contrasts": [
            {
                "candidate": one,
                "reference": other,
                "net": {
                    name: _by_arm(
                        paired_difference(sums[one][NET][name], sums[other][NET][name], **intervals.drawn),
                        judged,
                    )
                    for name in MEASURES
                },
            }
            for one, other in pairs(list(tables), terms)
        ],
    }


def with_numbers(curve: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    """The answers of methods that give numbers alone, and how many of the others are none, by method.

    A network that diverged says NaN, of which there is no mean.
    """
    wrong = curve[~np.isfinite(curve["log_odds"].to_numpy(np.float64))]
    lost = {str(name): int(count) for name, count in wrong["method"].value_counts(sort=False).items()}
    return curve[~curve["method"].isin(list(lost))], lost


def pairs(methods: Sequence[str], terms: Terms) -> list[tuple[str, str]]:
    """The candidate with its references and the control, and decided as the control is with the control."""
    candidate = terms.judging.candidate
    wanted = [
        *((candidate, name) for name in (*(terms.references or ()), terms.control)),
        (decided_name(candidate, CONTROL), terms.control),
    ]
    return [(one, other) for one, other in wanted if one in methods and other in methods]


def wide(curve: pd.DataFrame) -> pd.DataFrame:
    """One row a patch and step of one method, with the columns of both kinds, as `probability_area`.

    `*_net` are those of the area less those of the control; of the first step they are 0.
    """
    values = ("tissue_fraction", *MEASURES)
    sides = [
        curve[curve["kind"] == kind].rename(columns={name: f"{name}_{kind}" for name in values})
        for kind in KINDS
    ]
    both = sides[0].merge(
        sides[1][[*_KEYS, *(f"{name}_control" for name in values)]], on=_KEYS, validate="1:1"
    )
    return both.assign(**{f"{name}_{NET}": both[f"{name}_area"] - both[f"{name}_control"] for name in values})


def _slopes(
    table: pd.DataFrame, settings: InterveneSettings, intervals: BootstrapSettings
) -> dict[str, dict[str, PatientSums]]:
    """Sums for the slopes by kind and measure, of every intervention as a part.

    The control has the area's own axis: what it would add to the slope by pasting alone.
    """
    numbers = {arm.name: number for number, arm in enumerate(ARMS)}
    late = (table["arm"] == "tumor_removed") & (table["share"] > settings.tumor_until)
    rows = table[~late]
    axes = {"area": "tissue_fraction_area", "control": "tissue_fraction_area", NET: f"tissue_fraction_{NET}"}
    return {
        kind: {
            name: within_slopes(
                rows[f"{name}_{kind}"],
                rows[axis],
                rows["patch_id"],
                rows["arm"].map(numbers),
                rows["patient_id"],
                len(ARMS),
                **intervals.minimums(),
            )
            for name in MEASURES
        }
        for kind, axis in axes.items()
    }


def _by_arm(found: Mapping[str, Interval], judged: Sequence[bool]) -> dict[str, dict[str, Any]]:
    """With what the interval allows to say; no figure where there are too few patients to judge."""
    untold = dict.fromkeys(("estimate", "low", "high"), NOT_ESTIMABLE)
    return {
        arm.name: interval_record(found[f"slope_{number}"])
        | {"reading": reading_of(found[f"slope_{number}"], judged=enough)}
        | ({} if enough else untold)
        for number, (arm, enough) in enumerate(zip(ARMS, judged, strict=True))
    }


def _steps(
    table: pd.DataFrame, settings: InterveneSettings, intervals: BootstrapSettings
) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Mean probability and mean tissue of every step, by intervention and kind."""
    n_steps, found = len(settings.shares), {}
    for arm in ARMS:
        rows = table[table["arm"] == arm.name]
        found[arm.name] = {kind: _of_kind(rows, kind, n_steps, intervals) for kind in KINDS}
    return found


def _of_kind(
    rows: pd.DataFrame, kind: str, n_steps: int, intervals: BootstrapSettings
) -> list[dict[str, Any]]:
    if rows.empty:
        return []
    sums = mean_statistics(
        rows[f"probability_{kind}"], rows["step"], rows["patient_id"], n_steps, **intervals.minimums()
    )
    means = bootstrap(sums, **intervals.drawn)
    tissue = rows.groupby("step")[f"tissue_fraction_{kind}"].mean().to_numpy(np.float64)
    return [
        {"tissue_fraction": float(tissue[step]), "probability": interval_record(means[f"mean_{step}"])}
        for step in range(n_steps)
    ]
