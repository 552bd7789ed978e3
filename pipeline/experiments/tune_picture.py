"""The picture of a search: validation accuracy against c (beta + 1), with references and the chosen trial."""

import itertools
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from pipeline.experiments.search import Record, Told
from pipeline.look.plots import INK, MUTED, canvas
from pipeline.look.styles import Style, styles_of

POSITIONS = {"erm": 0.0, "class_balanced": 0.0, "group_resampling": 1.0}
"""Where references lie on the axis of c (beta + 1); ERM differs from 0 by the classes' frequencies alone."""
_CHOSEN: dict[str, Any] = {
    "color": INK,
    "marker": "o",
    "markersize": 13,
    "markerfacecolor": "none",
    "markeredgewidth": 1.6,
}
"""A ring around the chosen trial: a ring is no method's mark."""
_DASHES: tuple[Any, ...] = ((0, (4, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), "-")


def draw(
    trials: tuple[Told, ...],
    best: Told,
    references: Mapping[str, Record],
    figures: Mapping[str, str],
    searched: tuple[str, ...],
    title: str,
    path: Path,
    *,
    algorithm: str,
) -> None:
    """Write a PNG with one panel per figure.

    Args:
        trials: all of them; failed ones are crosses at the bottom.
        best: the chosen one.
        references: by their algorithm.
        figures: of the validation split, and their titles.
        searched: settings; the first is the axis where there is no c (beta + 1).
        title: of the picture.
        path: of the PNG.
        algorithm: the one that was searched.
    """
    first = None if best.record["position"] is not None else searched[0]
    styles = styles_of([*references, algorithm])
    with canvas(8.6, 3.8, columns=len(figures), sharex=True, sharey=True) as (figure, axes):
        for axis, (key, name) in zip(axes[0], figures.items(), strict=True):
            _draw_references(axis, references, key, positions={} if first else POSITIONS, styles=styles)
            _draw_trials(axis, trials, best, key, first, styles[algorithm])
            axis.set(title=name, xlabel=first or "c (β + 1)")
            axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=""))
        axes[0, 0].set_ylabel("validation accuracy, %")
        figure.suptitle(title, x=0.01, ha="left", fontsize=9.5)
        handles = _handles(references, styles, algorithm, failed=any(trial.score is None for trial in trials))
        figure.legend(handles=handles, loc="outside lower left", ncols=len(handles), handletextpad=0.5)
        figure.savefig(path, format="png", dpi=150, metadata={"Software": None})


def _draw_references(
    axis: Axes,
    references: Mapping[str, Record],
    key: str,
    *,
    positions: Mapping[str, float],
    styles: Mapping[str, Style],
) -> None:
    """A line each; its mark where the reference lies, or, where it has no place, at the right end."""
    for dash, (name, record) in zip(itertools.cycle(_DASHES), references.items(), strict=False):
        value = record["figures"].get(key)
        if value is None:
            continue
        look = styles[name].marked(7)
        axis.axhline(value, color=look["color"], linestyle=dash, linewidth=1.1, zorder=1)
        if name in positions:
            axis.plot(positions[name], value, **look, zorder=3)
        else:
            axis.plot(1, value, **look, transform=axis.get_yaxis_transform(), clip_on=False, zorder=3)


def _draw_trials(
    axis: Axes, trials: tuple[Told, ...], best: Told, key: str, first: str | None, style: Style
) -> None:
    for trial in trials:
        at, value = _place(trial, first), trial.record["figures"].get(key)
        if trial.score is None:
            axis.plot(at, 0.02, "x", color=MUTED, transform=axis.get_xaxis_transform(), clip_on=False)
        elif value is not None:
            axis.plot(at, value, **style.marked(6), alpha=0.55, markeredgewidth=0, zorder=2)
    value = best.record["figures"].get(key)
    if value is not None:
        axis.plot(_place(best, first), value, **_CHOSEN, zorder=4)


def _place(trial: Told, first: str | None) -> float:
    """Where a trial lies; words have no place, so that such trials lie at their number."""
    value = trial.record["position"] if first is None else trial.record["settings"][first]
    return float(value) if isinstance(value, Real) else float(trial.number)


def _handles(
    references: Mapping[str, Record], styles: Mapping[str, Style], algorithm: str, *, failed: bool
) -> list[Line2D]:
    trial = styles[algorithm].marked(6) | {"alpha": 0.55, "markeredgewidth": 0}
    handles = [
        Line2D([], [], **trial, linestyle="none", label="trial"),
        Line2D([], [], **_CHOSEN, linestyle="none", label="chosen"),
    ]
    if failed:
        handles.append(Line2D([], [], color=MUTED, marker="x", linestyle="none", label="failed"))
    return handles + [
        Line2D([], [], **styles[name].marked(7), linestyle=dash, linewidth=1.1, label=name.replace("_", " "))
        for dash, name in zip(itertools.cycle(_DASHES), references, strict=False)
    ]
