"""The tables of the report's benchmark, and what is wanted."""

import math
from collections.abc import Sequence
from itertools import pairwise

from benchmarks.report.measure import Measured

LIMIT_MB, LIMIT_SLIDES = 15.0, 50
"""The report's size that is wanted: under it at so many test slides, and at more."""


def growth(before: float, after: float, sizes: tuple[int, int]) -> float:
    """Exponent of a figure's growth from one number of slides to the next: 1 in proportion, 2 quadratic.

    NaN where a figure or a size is not positive, or both sizes are the same.
    """
    if min(before, after, *sizes) <= 0 or sizes[0] == sizes[1]:
        return math.nan
    return math.log(after / before) / math.log(sizes[1] / sizes[0])


def within(rows: Sequence[Measured]) -> tuple[bool | None, bool | None]:
    """Whether the report is under LIMIT_MB at LIMIT_SLIDES and fewer, and at more; None: not measured."""
    few = [row["report_mb"] < LIMIT_MB for row in rows if row["slides"] <= LIMIT_SLIDES]
    more = [row["report_mb"] < LIMIT_MB for row in rows if row["slides"] > LIMIT_SLIDES]
    return (all(few) if few else None), (all(more) if more else None)


def markdown(rows: Sequence[Measured]) -> str:
    """All tables."""
    rows = sorted(rows, key=lambda row: row["slides"])
    head = (
        "| test slides | patches | report, MB | kB a slide | beside it, MB (files) | gather, s | report, s "
        "| ms a slide | cohort page, MB | s | peak, MiB |"
    )
    lines = [head, "|---" * 11 + "|"]
    for row in rows:
        each = row["slides"]
        lines.append(
            f"| {each:,} | {row['patches']:,} "
            f"| {row['report_mb']:.1f} | {1000 * row['report_mb'] / each:,.1f} "
            f"| {row['beside_mb']:.1f} ({row['beside_files']}) "
            f"| {row['gather_s']:.1f} | {row['report_s']:.1f} "
            f"| {1000 * row['report_s'] / each:,.0f} | {row['cohort_mb']:.2f} | {row['cohort_s']:.1f} "
            f"| {row['peak_mib']:,.0f} |"
        )
    lines += ["", "Seconds are the processor's.", ""]
    for before, after in pairwise(rows):
        sizes = before["slides"], after["slides"]
        size, time = (growth(before[name], after[name], sizes) for name in ("report_mb", "report_s"))
        lines.append(
            f"From {sizes[0]:,} to {sizes[1]:,} slides the report's size grows with the power {_told(size)} "
            f"of them, its time with {_told(time)}.  "
        )
    few, more = within(rows)
    lines += ["", f"Under {LIMIT_MB:g} MB at {LIMIT_SLIDES} slides: {_answer(few)}; beyond: {_answer(more)}."]
    return "\n".join(lines) + "\n"


def _told(exponent: float) -> str:
    return "–" if math.isnan(exponent) else f"{exponent:.2f}"


def _answer(found: bool | None) -> str:
    return "not measured" if found is None else "yes" if found else "**no**"
