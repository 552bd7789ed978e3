"""Accuracy against tumor fraction and tissue fraction: what the groups leave out."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from pipeline.look import plots as drawing
from pipeline.report.sources import Sources
from pipeline.results.tested import Tested

_VIEWS = (
    ("tumor patches", 1, "tumor_fraction"),
    ("tumor patches", 1, "tissue_fraction"),
    ("non-tumor patches", 0, "tissue_fraction"),
)
"""Title, label, and column of the horizontal axis."""
_BINS = 5
_FEWEST = 10


def values(sources: Sources) -> Mapping[str, Any]:
    """One picture per threshold."""
    return {
        "fewest": _FEWEST,
        "tumor_fractions": has_tumor_fractions(sources.evidence.index),
        "pictures": [
            (threshold, drawing.svg_uri(_picture(sources, threshold)))
            for threshold in sources.evidence.thresholds
        ],
    }


def binned_accuracy(
    value_N: NDArray[np.float64], correct_N: NDArray[np.bool_], bins: int = _BINS, fewest: int = _FEWEST
) -> tuple[list[float], list[float]]:
    """Mean value and accuracy inside quantile bins of `value_N`; bins under `fewest` samples are left out."""
    edges = np.unique(np.quantile(value_N, np.linspace(0, 1, bins + 1))) if value_N.size else np.empty(0)
    place_N = np.searchsorted(edges[1:-1], value_N, side="right")
    kept = [place_N == bin_ for bin_ in np.unique(place_N) if (place_N == bin_).sum() >= fewest]
    return [float(value_N[rows].mean()) for rows in kept], [float(correct_N[rows].mean()) for rows in kept]


def _picture(sources: Sources, threshold: str) -> bytes:
    runs = [run for run in sources.evidence.runs if run.threshold == threshold]
    views = _VIEWS if has_tumor_fractions(sources.evidence.index) else _VIEWS[1:]
    with drawing.canvas(7.4, 2.9, 1, len(views), sharey=True) as (figure, grid):
        for axes, (title, label, column) in zip(grid[0], views, strict=True):
            for run in runs:
                _line(sources, axes, run, label, column)
            axes.set_title(title)
            axes.set_xlabel(f"{column.replace('_', ' ')}, %")
            if column == "tissue_fraction":
                value = 100 * sources.evidence.threshold_value(threshold)
                axes.axvline(value, color=drawing.MUTED, linestyle=(0, (4, 2)), linewidth=1)
        drawing.percent_axis(grid[0, 0], "y")
        grid[0, 0].set_ylabel("accuracy on test patches, %")
        drawing.legend_below(figure, grid[0, -1], [sources.named(run.algorithm) for run in runs])
        return drawing.svg(figure, f"structure-{threshold}")


def has_tumor_fractions(index: pd.DataFrame) -> bool:
    """Whether tumor patches differ in their tumor fraction; with labels per slide they do not."""
    return index.loc[index["label"] == 1, "tumor_fraction"].nunique() > 1


def _line(sources: Sources, axes: Axes, run: Tested, label: int, column: str) -> None:
    part = run.patches[run.patches["label"] == label]
    correct_N = (part["prediction"] == part["label"]).to_numpy(bool)
    place = sources.position(run.algorithm)
    axes.plot(
        *binned_accuracy(100 * part[column].to_numpy(np.float64), correct_N),
        color=drawing.color(place),
        marker=drawing.marker(place),
        markersize=4.5,
        label=sources.named(run.algorithm),
    )
