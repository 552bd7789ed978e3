"""A figure with its interval as a cell: units, digits, signs."""

from typing import Literal

from models.metrics.intervals import Interval
from pipeline.files import NOT_ESTIMABLE
from pipeline.results.figures import RANKING, Metric
from pipeline.results.verdict import READINGS, SURE, Reading, estimable
from pipeline.tables.blocks import Cell

Kind = Literal["percent", "area", "slope"]
_SCALES: dict[Kind, tuple[float, int]] = {"percent": (100, 1), "area": (1, 3), "slope": (10, 1)}
"""Factor and digits; slopes are percentage points per 10 points more tissue."""


def figure_cell(interval: Interval, kind: Kind, *, signed: bool = False, reading: Reading = "open") -> Cell:
    """Estimate, interval, and the spread over seeds where there is one; what it is read as, if certain."""
    if not estimable(interval):
        return Cell((NOT_ESTIMABLE,))
    low, high = (number(value, kind, signed=signed) for value in (interval.low, interval.high))
    lines = [number(interval.estimate, kind, signed=signed), f"[{low}, {high}]"]
    if interval.spread == interval.spread:
        lines.append(f"± {number(interval.spread, kind)}")
    strong = reading in SURE
    return Cell((*lines, *([READINGS[reading]] if strong else [])), strong)


def number(value: float, kind: Kind, *, signed: bool = False) -> str:
    """A figure in its unit, with a true minus sign.

    >>> number(0.8245, "percent"), number(-0.00001, "percent", signed=True), number(0.9, "area")
    ('82.5', '+0.0', '0.900')
    """
    factor, digits = _SCALES[kind]
    # Adding 0 makes the negative zero of a rounded figure positive.
    rounded = round(factor * value, digits) + 0.0
    return f"{rounded:{'+' if signed else ''}.{digits}f}".replace("-", "−")


def kind_of(metric: Metric) -> Kind:
    """How a metric is written down."""
    return "area" if metric.key in RANKING else "percent"
