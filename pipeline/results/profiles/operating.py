"""How far probabilities and verdicts of two classes can be relied on, in all and per attribute value."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from models.metrics.brier import brier_statistics
from models.metrics.calibration import CalibrationError, calibration_error
from models.metrics.intervals import Interval, bootstrap, patient_statistics
from pipeline.files import NOT_ESTIMABLE, finite_or
from pipeline.results.bootstrap import BootstrapSettings

_UNKNOWN = CalibrationError(np.nan, np.nan)


@dataclass(frozen=True)
class Operating:
    """Of all patches, or of those of one attribute value; means over seeds.

    Attributes:
        attribute: number of the value; none: all patches.
        brier: mean squared distance of the probability of label 1 from what is there.
        calibration: of the probabilities, and what chance makes of it; NaN where the Brier score is.
        sensitivity, specificity: share of label 1, and of label 0, that is told as such: accuracies of
            groups, or of classes.
    """

    attribute: int | None
    brier: Interval
    calibration: CalibrationError
    sensitivity: Interval
    specificity: Interval


def operating_of(
    rows: pd.DataFrame,
    probability: ArrayLike,
    groups: Mapping[str, Interval],
    classes: Mapping[str, Interval],
    settings: BootstrapSettings,
) -> tuple[Operating, ...]:
    """Of all patches first, then of each attribute value; nothing where there are not two classes.

    Args:
        rows: patches, with label, group and patient_id.
        probability: P(label = 1) of every row, [N]; or [R, N] of R seeds, NaN where a row is another seed's.
        groups, classes: their accuracies, `group_0` and so on.
    """
    n_classes, n_groups = (len(_numbered(found)) for found in (classes, groups))
    if n_classes != 2:
        return ()
    n_attributes = n_groups // n_classes
    attribute_N = rows["group"].to_numpy(np.int64) % n_attributes
    scores = scored(rows, probability, attribute_N, n_attributes, settings)
    whole = Operating(None, *scores[-1], sensitivity=classes["group_1"], specificity=classes["group_0"])
    parts = (
        Operating(a, *scores[a], groups[f"group_{n_attributes + a}"], groups[f"group_{a}"])
        for a in range(n_attributes)
    )
    return (whole, *parts)


def with_operating(
    content: Mapping[str, Any],
    rows: pd.DataFrame,
    groups: Mapping[str, Interval],
    settings: BootstrapSettings,
) -> dict[str, Any]:
    """Figures of a split (metrics.json), with those of its probabilities and verdicts among them.

    Args:
        content: with `groups` and `intervals`.
        rows: the split's patches, with label, group, patient_id, probability and prediction.
        groups: accuracies of the groups.
    """
    label_N, prediction_N = rows["label"].to_numpy(np.int64), rows["prediction"].to_numpy(np.int64)
    sums = patient_statistics(label_N, prediction_N, label_N, rows["patient_id"], 2, **settings.minimums())
    classes = bootstrap(sums, **settings.drawn)
    whole, *parts = operating_of(rows, rows["probability"], groups, classes, settings)
    own, intervals = operating_record(whole), content["intervals"]
    n_groups = len(_numbered(groups))
    scores = scored(rows, rows["probability"], rows["group"].to_numpy(np.int64), n_groups, settings)
    return {
        **content,
        **{key: value for key, value in own.items() if key != "intervals"},
        "groups": {
            name: group | _scores(*score)
            for (name, group), score in zip(content["groups"].items(), scores[:-1], strict=True)
        },
        "attributes": {f"attribute_{part.attribute}": operating_record(part) for part in parts},
        "intervals": intervals | own["intervals"],
    }


def operating_record(operating: Operating) -> dict[str, Any]:
    """For JSON: brier, ece, ece_by_chance, sensitivity, specificity, and `intervals` of what has one."""
    verdicts = {"sensitivity": operating.sensitivity, "specificity": operating.specificity}
    scores = _scores(operating.brier, operating.calibration)
    return {
        **scores,
        **{name: finite_or(each.estimate, NOT_ESTIMABLE) for name, each in verdicts.items()},
        "intervals": scores["intervals"] | intervals_record(verdicts),
    }


def intervals_record(intervals: Mapping[str, Interval]) -> dict[str, dict[str, float]]:
    """Low, high and level by figure, for JSON; left out where there is none."""
    return {
        name: {"low": each.low, "high": each.high, "level": each.level}
        for name, each in intervals.items()
        if np.isfinite(each.low)
    }


def _scores(brier: Interval, calibration: CalibrationError) -> dict[str, Any]:
    return {
        "brier": finite_or(brier.estimate, NOT_ESTIMABLE),
        "ece": finite_or(calibration.error, NOT_ESTIMABLE),
        "ece_by_chance": finite_or(calibration.by_chance, NOT_ESTIMABLE),
        "intervals": intervals_record({"brier": brier}),
    }


def _numbered(found: Mapping[str, Interval]) -> list[str]:
    return [name for name in found if name.startswith("group_")]


def scored(
    rows: pd.DataFrame,
    probability: ArrayLike,
    part_N: NDArray[np.int64],
    n_parts: int,
    settings: BootstrapSettings,
) -> list[tuple[Interval, CalibrationError]]:
    """Brier score and calibration error of every part of the patches, and last of all of them.

    Args:
        rows: patches, with label and patient_id.
        probability: as `operating_of` takes it.
        part_N: number of every patch's part. n_parts: how many there are.
    """
    probability_RN = np.atleast_2d(np.asarray(probability, dtype=np.float64))
    label_N = rows["label"].to_numpy(np.int64)
    sums = brier_statistics(
        label_N,
        probability_RN,
        part_N,
        rows["patient_id"],
        n_parts,
        **settings.minimums(len(probability_RN)),
    )
    briers = list(bootstrap(sums, **settings.drawn).values())
    members = [*(part_N == part for part in range(n_parts)), np.ones(len(part_N), dtype=bool)]
    return [
        (brier, _calibration(label_N, probability_RN, member_N) if np.isfinite(brier.estimate) else _UNKNOWN)
        for brier, member_N in zip(briers, members, strict=True)
    ]


def _calibration(
    label_N: NDArray[np.int64], probability_RN: NDArray[np.float64], member_N: NDArray[np.bool_]
) -> CalibrationError:
    """Of some patches, a mean over the seeds that tested them."""
    tested = [(row_N, member_N & ~np.isnan(row_N)) for row_N in probability_RN]
    found = [calibration_error(label_N[kept_N], row_N[kept_N]) for row_N, kept_N in tested if kept_N.any()]
    return CalibrationError(*(float(np.mean(values)) for values in zip(*found, strict=True)))
