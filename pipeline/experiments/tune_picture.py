"""The picture of a search: validation accuracy against c (beta + 1), with references and the chosen trial."""

from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from pipeline.experiments.search import Record, Told
from pipeline.look.plots import ACCENT, INK, MUTED, TUMOR, canvas

POSITIONS = {"erm": 0.0, "class_balanced": 0.0, "group_resampling": 1.0}
"""Where references lie on the axis of c (beta + 1); ERM differs from 0 by the classes' frequencies alone."""
_LOOKS: tuple[dict[str, Any], ...] = (
    {"marker": "s", "linestyle": (0, (4, 2)), "color": MUTED},
    {"marker": "D", "linestyle": (0, (1, 1.5)), "color": INK},
    {"marker": "^", "linestyle": (0, (6, 2, 1, 2)), "color": "#00845f"},
    {"marker": "v", "linestyle": "-", "color": "#a8527f"},
)


def draw(
    trials: tuple[Told, ...],
    best: Told,
    references: Mapping[str, Record],
    figures: Mapping[str, str],
    searched: tuple[str, ...],
    title: str,
    path: Path,
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
    """
    first = None if best.record["position"] is not None else searched[0]
    with canvas(8.6, 3.8, columns=len(figures), sharex=True, sharey=True) as (figure, axes):
        for axis, (key, name) in zip(axes[0], figures.items(), strict=True):
            _draw_references(axis, references, key, positions={} if first else POSITIONS)
            _draw_trials(axis, trials, best, key, first)
            axis.set(title=name, xlabel=first or "c (β + 1)")
            axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=""))
        axes[0, 0].set_ylabel("validation accuracy, %")
        figure.suptitle(title, x=0.01, ha="left", fontsize=9.5)
        handles = _handles(references, failed=any(trial.score is None for trial in trials))
        figure.legend(handles=handles, loc="outside lower left", ncols=len(handles), handletextpad=0.5)
        figure.savefig(path, format="png", dpi=150, metadata={"Software": None})


def _draw_references(
    axis: Axes, references: Mapping[str, Record], key: str, positions: Mapping[str, float]
) -> None:
    for look, (name, record) in zip(_LOOKS, references.items(), strict=False):
        value = record["figures"].get(key)
        if value is None:
            continue
        line = {"color": look["color"], "linestyle": look["linestyle"], "linewidth": 1.1, "zorder": 1}
        axis.axhline(value, **line)
        if name in positions:
            axis.plot(positions[name], value, look["marker"], color=look["color"], markersize=7, zorder=3)


def _draw_trials(axis: Axes, trials: tuple[Told, ...], best: Told, key: str, first: str | None) -> None:
    for trial in trials:
        at, value = _place(trial, first), trial.record["figures"].get(key)
        if trial.score is None:
            axis.plot(at, 0.02, "x", color=MUTED, transform=axis.get_xaxis_transform(), clip_on=False)
        elif value is not None:
            axis.plot(at, value, "o", color=ACCENT, alpha=0.55, markeredgewidth=0, markersize=6, zorder=2)
    value = best.record["figures"].get(key)
    if value is not None:
        axis.plot(
            _place(best, first), value, "*", color=TUMOR, markeredgecolor="white", markersize=15, zorder=4
        )


def _place(trial: Told, first: str | None) -> float:
    """Where a trial lies; words have no place, so that such trials lie at their number."""
    value = trial.record["position"] if first is None else trial.record["settings"][first]
    return float(value) if isinstance(value, Real) else float(trial.number)


def _handles(references: Mapping[str, Record], *, failed: bool) -> list[Line2D]:
    handles = [
        Line2D(
            [], [], color=ACCENT, marker="o", linestyle="none", alpha=0.55, markeredgewidth=0, label="trial"
        ),
        Line2D([], [], color=TUMOR, marker="*", linestyle="none", markersize=11, label="chosen"),
    ]
    if failed:
        handles.append(Line2D([], [], color=MUTED, marker="x", linestyle="none", label="failed"))
    return handles + [
        Line2D([], [], **look, linewidth=1.1, label=name.replace("_", " "))
        for look, name in zip(_LOOKS, references, strict=False)
    ]
