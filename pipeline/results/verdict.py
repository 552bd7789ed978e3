"""What an interval allows to say, in which words, and as which JSON."""

import math
from typing import Literal

from models.metrics.intervals import Interval
from pipeline.files import NOT_ESTIMABLE, finite_or

Reading = Literal["better", "worse", "open", "few", "unknown"]
READINGS: dict[Reading, str] = {
    "better": "better",
    "worse": "worse",
    "open": "no difference shown",
    "few": "too few patients to judge",
    "unknown": NOT_ESTIMABLE,
}
"""The words of every reading of a difference."""
SURE: tuple[Reading, ...] = ("better", "worse")
"""Readings of a difference that is told from 0."""


def estimable(interval: Interval) -> bool:
    """Whether there is a figure and an interval."""
    return all(math.isfinite(value) for value in (interval.estimate, interval.low, interval.high))


def reading_of(difference: Interval, *, judged: bool) -> Reading:
    """What the interval of a difference allows to say; `judged`: whether there are patients enough."""
    if not estimable(difference):
        return "unknown"
    if not judged:
        return "few"
    if not difference.excludes_zero:
        return "open"
    return "better" if difference.low > 0 else "worse"


def interval_record(interval: Interval) -> dict[str, float | str]:
    """An interval for JSON, unrounded, with what it holds."""
    keys = ("estimate", "low", "high", "level", "spread", "undefined_share")
    figures = {key: finite_or(getattr(interval, key), NOT_ESTIMABLE) for key in keys}
    return {**figures, "holds": interval.holds}
