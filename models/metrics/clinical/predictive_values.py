"""Predictive values at a stated prevalence: how often a verdict would be right where tumor is so common."""

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.metrics.accuracy import ratio
from models.metrics.intervals import Interval
from patching.errors import GroupError


def predictive_values(
    sensitivity: ArrayLike, specificity: ArrayLike, prevalence: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positive and negative predictive value where a share `prevalence` of the patches holds tumor.

    Bayes' theorem (Altman and Bland, BMJ 309:102, 1994): ppv = se p / (se p + (1 - sp) (1 - p)) and
    npv = sp (1 - p) / (sp (1 - p) + (1 - se) p). NaN where no patch gets the verdict.

    >>> ppv, npv = predictive_values(0.8, 0.9, 0.1)
    >>> round(float(ppv), 4), round(float(npv), 4)
    (0.4706, 0.9759)

    Raises:
        GroupError: a prevalence that is not between 0 and 1.
    """
    if not 0 < prevalence < 1:
        raise GroupError(
            has=f"a prevalence of {prevalence:g}", needs="a share between 0 and 1", do="state one, as 0.1"
        )
    found, spared = np.asarray(sensitivity, np.float64), np.asarray(specificity, np.float64)
    true_positive, true_negative = found * prevalence, spared * (1 - prevalence)
    false_positive, false_negative = (1 - spared) * (1 - prevalence), (1 - found) * prevalence
    return (
        ratio(true_positive, true_positive + false_positive),
        ratio(true_negative, true_negative + false_negative),
    )


def predictive_intervals(
    sensitivity: Interval, specificity: Interval, prevalence: float
) -> tuple[Interval, Interval]:
    """Positive and negative predictive value at a stated prevalence, with intervals.

    Both rise with sensitivity and with specificity: their ends are those of the lowest and highest of both.
    Where these two intervals hold together at a level, as of two groups, what is made of them holds at least
    at it; also where all tumor or none is found, to which draws of patients would give no width.

    Raises:
        GroupError: a prevalence that is not between 0 and 1.
    """
    values = {
        name: predictive_values(getattr(sensitivity, name), getattr(specificity, name), prevalence)
        for name in ("estimate", "low", "high")
    }
    patients = [each.patients for each in (sensitivity, specificity) if each.patients is not None]
    positive, negative = (
        replace(
            sensitivity,
            estimate=float(values["estimate"][k]),
            low=float(values["low"][k]),
            high=float(values["high"][k]),
            spread=np.nan,
            patients=min(patients, default=None),
        )
        for k in (0, 1)
    )
    return positive, negative
