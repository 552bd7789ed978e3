"""The algorithms side by side at every threshold: a dot plot with intervals, and the table behind it."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes

from pipeline.look import plots as drawing
from pipeline.report.sources import Sources
from pipeline.results.verdict import RunFigures


def values(sources: Sources) -> Mapping[str, Any]:
    """Worst-group, group-balanced and average accuracy, and AUROC, of every run."""
    return {
        "level": sources.intervals.level,
        "candidate": sources.settings.candidate,
        "dots": drawing.svg_uri(_dots(sources)),
        "thresholds": [
            {
                "name": threshold,
                "rows": [
                    (sources.named(item.run.algorithm), item) for item in sources.comparison.at(threshold)
                ],
            }
            for threshold in sources.evidence.thresholds
        ],
    }


def _dots(sources: Sources) -> bytes:
    thresholds = sources.evidence.thresholds
    height = 1.3 + 0.42 * len(sources.evidence.algorithms)
    with drawing.canvas(7.4, height, 1, len(thresholds), sharey=True) as (figure, grid):
        for axes, threshold in zip(grid[0], thresholds, strict=True):
            rows = [
                (sources.evidence.algorithms.index(item.run.algorithm), item)
                for item in sources.comparison.at(threshold)
            ]
            for row, item in rows:
                _row(axes, row, item, drawing.color(sources.position(item.run.algorithm)))
            axes.set_title(f"threshold {threshold}")
            axes.set_xlabel("accuracy on test patches, %")
            drawing.percent_axis(axes)
        names = [sources.named(name) for name in sources.evidence.algorithms]
        grid[0, 0].set_yticks(range(len(names)), names)
        grid[0, 0].set_ylim(len(names) - 0.5, -0.5)
        drawing.legend_below(
            figure, grid[0, 0], ("worst group (WGA)", "group-balanced (GBA)", "average", "each group")
        )
        return drawing.svg(figure, "dots")


def _row(axes: Axes, row: int, item: RunFigures, tone: str) -> None:
    groups = [group.accuracy.estimate for group in item.groups]
    axes.plot(
        groups, [row] * len(groups), "|", color=drawing.MUTED, markersize=9, label="each group", zorder=2
    )
    axes.plot([item.wga.low, item.wga.high], [row, row], color=tone, linewidth=2.2, zorder=3)
    axes.plot(item.wga.estimate, row, "o", color=tone, markersize=7, label="worst group (WGA)", zorder=4)
    for figure, shape, name in ((item.gba, "D", "group-balanced (GBA)"), (item.average, "s", "average")):
        axes.plot(
            figure.estimate,
            row,
            shape,
            color=tone,
            markerfacecolor="white",
            markersize=6,
            label=name,
            zorder=3,
        )
