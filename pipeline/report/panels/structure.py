"""Accuracy along the tumor fraction and the tissue fraction: what the groups leave out."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from numpy.typing import NDArray

from models.metrics.along_attribute import AttributeCurve
from pipeline.look import plots as drawing
from pipeline.look.styles import Style, styles_of
from pipeline.report.sources import Sources
from pipeline.results.figures import Method, Scoreboard
from pipeline.results.profiles.along import curve_along

_VIEWS = (
    ("tumor patches", 1, "tumor_fraction"),
    ("tumor patches", 1, "tissue_fraction"),
    ("non-tumor patches", 0, "tissue_fraction"),
)
"""Title, label, and column of the horizontal axis."""
_SPREAD = 0.7
"""Share of a bin's width over which the methods' marks are spread."""


class Bins(NamedTuple):
    """One threshold's accuracy in bins: curves by column and algorithm, and the first method in rows."""

    board: Scoreboard
    methods: Sequence[Method]
    curves: Mapping[str, Mapping[str, AttributeCurve]]
    tables: Sequence[tuple[str, Sequence[Mapping[str, Any]]]]


class Picture(NamedTuple):
    """One threshold's: the picture, and the same in words."""

    board: Scoreboard
    source: Markup
    text: str


def values(sources: Sources) -> Mapping[str, Any]:
    """The picture at the subject's threshold."""
    subject = sources.subject
    return {
        "minimum": sources.intervals,
        "tumor_fractions": sources.evidence.has_tumor_fractions,
        "pictures": [] if subject is None else [_picture(sources, _bins(sources, subject.board))],
    }


def more_values(sources: Sources) -> Mapping[str, Any]:
    """The pictures at the other thresholds, and all bins in numbers."""
    shown = [_bins(sources, board) for board in sources.boards.values()]
    others = [each for each in shown if sources.subject and each.board is not sources.subject.board]
    return {
        "minimum": sources.intervals,
        "pictures": [_picture(sources, each) for each in others],
        "numbers": shown,
    }


def few_methods(sources: Sources, board: Scoreboard) -> list[Method]:
    """The subject first, then the primary reference, plain and decided by tissue: no more can be told apart.

    At another threshold the subject is the same algorithm trained there, where it is among the runs.
    """
    own = sources.subject
    wanted = (
        own.method.algorithm if own else sources.settings.candidate,
        sources.terms.judging.primary.reference,
        sources.terms.control,
    )
    found = {method.algorithm: method for method in board.methods}
    shown = [found[name] for name in dict.fromkeys(wanted) if name in found]
    return shown or [board.methods[0]]


def _views(sources: Sources) -> Sequence[tuple[str, int, str]]:
    return _VIEWS if sources.evidence.has_tumor_fractions else _VIEWS[1:]


def _bins(sources: Sources, board: Scoreboard) -> Bins:
    views, methods = _views(sources), few_methods(sources, board)
    curves = {share: _curves(board, share, methods) for share in dict.fromkeys(share for *_, share in views)}
    tables = [
        (f"{title} by {share.replace('_', ' ')}", _rows(curves[share][methods[0].algorithm], label))
        for title, label, share in views
    ]
    return Bins(board, methods, curves, tables)


def _picture(sources: Sources, bins: Bins) -> Picture:
    board, views = bins.board, _views(sources)
    names = {method.algorithm: method.name for method in bins.methods}
    with drawing.canvas(7.4, 0.5 + 2.2 * len(views), len(views), 1, sharey=True) as (figure, grid):
        for axes, (title, label, share) in zip(grid[:, 0], views, strict=True):
            draw_curves(axes, bins.curves[share], label, names)
            axes.set_title(f"{title} by {share.replace('_', ' ')}")
            axes.set_ylabel("accuracy, %")
            drawing.percent_axis(axes, "y")
            if share == "tissue_fraction":
                value = sources.evidence.threshold_value(board.threshold)
                axes.axvline(value, color=drawing.MUTED, linestyle=(0, (4, 2)), linewidth=1)
        drawing.legend_below(figure, grid[-1, 0], list(names.values()))
        source = drawing.svg_uri(drawing.svg(figure, f"structure-{board.threshold}"))
    return Picture(board, source, _text(bins.methods[0].name, bins.tables))


def _curves(board: Scoreboard, share: str, methods: Sequence[Method]) -> dict[str, AttributeCurve]:
    return {
        method.algorithm: curve_along(
            share,
            method.pool.rows,
            method.pool.by_run("prediction", -1),
            board.layout.groups.n_classes,
            board.settings,
        )
        for method in methods
    }


def _rows(curve: AttributeCurve, label: int) -> list[Mapping[str, Any]]:
    """Bins of a label that hold patches."""
    return [
        {
            "range": f"{100 * low:.0f} to {100 * high:.0f} %",
            "patches": curve.count_B[b],
            "patients": int(curve.patients_B[b]),
            "accuracy": curve.interval_B[b],
        }
        for b in curve.bins.of_label(label)
        for _, low, high in [curve.bins.places[b]]
        if curve.count_B[b]
    ]


def _text(name: str, tables: Sequence[tuple[str, Sequence[Mapping[str, Any]]]]) -> str:
    """The subject's bins in words, for those who do not see the picture."""
    parts = []
    for title, rows in tables:
        judged = [row for row in rows if np.isfinite(row["accuracy"].estimate)]
        told = ", ".join(f"{row['range']}: {100 * row['accuracy'].estimate:.0f} %" for row in judged)
        parts.append(f"{title}: {told or 'no bin can be judged'}")
    return f"Accuracy of {name} in bins. {'; '.join(parts)}."


def draw_curves(
    axes: Axes, curves: Mapping[str, AttributeCurve], label: int, names: Mapping[str, str]
) -> None:
    """Accuracy of every method in every bin of a label, with its interval; below, how much stands behind it.

    A bin with patches that is not estimable is gray.

    Args:
        curves: by algorithm, all of the same patches.
        names: to print, by algorithm.
    """
    first, styles = next(iter(curves.values())), styles_of(curves)
    own, edges_E = first.bins.of_label(label), first.bins.edges
    centers_I = (edges_E[1:] + edges_E[:-1]) / 2
    for place, b in enumerate(own):
        if first.count_B[b] and not first.estimable_B[b]:
            axes.axvspan(edges_E[place], edges_E[place + 1], color=drawing.RULE, alpha=0.6, zorder=0)
    offsets = _SPREAD / first.bins.n_bins * (np.arange(len(curves)) + 0.5) / len(curves)
    for offset, (algorithm, curve) in zip(offsets, curves.items(), strict=True):
        place_I = centers_I - _SPREAD / 2 / first.bins.n_bins + offset
        _draw_curve(axes, curve, own, place_I, styles[algorithm], names[algorithm])
    counts = zip(edges_E, edges_E[1:], first.count_B[own], first.patients_B[own], strict=False)
    told = [f"{100 * low:.0f}–{100 * high:.0f} %\n{n:,.0f}\n{p:,}" for low, high, n, p in counts]
    axes.set_xticks(centers_I, told, fontsize=8)
    # As far below the axis as the labels, whose first line is the range.
    beside: dict[str, Any] = {
        "xycoords": "axes fraction",
        "textcoords": "offset points",
        "ha": "right",
        "va": "top",
    }
    axes.annotate("\npatches\npatients", (0, 0), (-4, -3.5), fontsize=8, **beside)
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(0, 1)
    axes.grid(axis="x", visible=False)
    for edge in edges_E[1:-1]:
        axes.axvline(edge, color="#e7ebef", linewidth=0.8, zorder=0)


def _draw_curve(
    axes: Axes, curve: AttributeCurve, own: range, place_I: NDArray[np.float64], style: Style, name: str
) -> None:
    look = style.marked(5)
    for place, b in zip(place_I, own, strict=True):
        interval = curve.interval_B[b]
        axes.plot([place, place], [interval.low, interval.high], color=style.color, linewidth=1.2, zorder=2)
    axes.plot(place_I, curve.accuracy_B[list(own)], label=name, linewidth=0.7, zorder=3, **look)
