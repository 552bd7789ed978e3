"""Pictures of scoreboards: a row for every method, a panel for every threshold."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.look import plots as drawing
from pipeline.look.styles import Style, styles_of
from pipeline.results.figures import Method, Scoreboard
from pipeline.results.tested import CONTROL, decided_name, rule_of

# Strokes, because every closed shape is the mark of some method.
_MARKS = {"gba": ("x", "group-balanced (GBA)"), "average": ("+", "average")}
_DASHED: dict[str, Any] = {"color": drawing.MUTED, "linestyle": (0, (4, 2)), "linewidth": 1}
_WORST, _EACH = "worst group (WGA) with its interval", "each group"


@contextmanager
def dot_plot(boards: Sequence[Scoreboard], names: Mapping[str, str]) -> Iterator[Figure]:
    """Worst-group accuracy as the method's own mark, with its interval, and beside it the other accuracies.

    Args:
        names: to print, by algorithm, from the top row down.
    """
    rows, styles = list(names), styles_of(names)
    width = _width(names.values(), len(boards))
    with drawing.canvas(width, 1.3 + 0.36 * len(rows), 1, len(boards), sharey=True) as (figure, grid):
        for axes, board in zip(grid[0], boards, strict=True):
            for method in board.methods:
                _row(axes, rows.index(method.algorithm), method, styles[method.algorithm])
            axes.set_title(_title(board))
            axes.set_xlabel("accuracy, %")
            drawing.percent_axis(axes)
        grid[0, 0].set_yticks(range(len(rows)), names.values())
        grid[0, 0].set_ylim(len(rows) - 0.5, -0.5)
        grid[0, 0].plot([], [], color=drawing.INK, linewidth=2.2, label=_WORST)
        titles = [title for _, title in _MARKS.values()]
        drawing.legend_below(figure, grid[0, 0], (_WORST, *titles, _EACH))
        yield figure


def _width(names: Iterable[str], panels: int) -> float:
    """In inches: of the longest name, and of titles that do not run into each other."""
    return max(7.4, 0.085 * max(map(len, names)) + 2.4 * panels)


def _title(board: Scoreboard) -> str:
    """On two lines: three thresholds stand side by side."""
    value = f"\ntissue fraction {board.told_value}" if board.above else ""
    return f"threshold {board.threshold}{value}"


@contextmanager
def decided_plot(boards: Sequence[Scoreboard], names: Mapping[str, str], control: str) -> Iterator[Figure]:
    """Worst-group accuracy of every method as it is decided plainly, joined with the same decided by tissue.

    What lies left of the dashed line is less than the control reaches by a moved threshold alone.

    Args:
        names: to print, by algorithm, from the top row down; those with a rule are no rows of their own.
        control: the algorithm, with its rule, that the line is drawn at.
    """
    rows = [name for name in names if rule_of(name) is None]
    styles = styles_of(decided_name(name, CONTROL) for name in rows) | styles_of(rows)
    width = _width((names[name] for name in rows), len(boards))
    with drawing.canvas(width, 1.3 + 0.34 * len(rows), 1, len(boards), sharey=True) as (figure, grid):
        for axes, board in zip(grid[0], boards, strict=True):
            found = {each.algorithm: each.figures["wga"].estimate for each in board.methods}
            for row, name in enumerate(rows):
                pair = [found.get(each, math.nan) for each in (name, decided_name(name, CONTROL))]
                axes.plot(pair, [row, row], color=styles[name].color, linewidth=1.6, zorder=2)
                for each, value in zip((name, decided_name(name, CONTROL)), pair, strict=True):
                    axes.plot(value, row, **styles[each].marked(7.5), zorder=3)
            axes.axvline(found.get(control, math.nan), **_DASHED)
            axes.set_title(_title(board))
            axes.set_xlabel("worst-group accuracy, %")
            drawing.percent_axis(axes)
        grid[0, 0].set_yticks(range(len(rows)), [names[name] for name in rows])
        grid[0, 0].set_ylim(len(rows) - 0.5, -0.5)
        _decided_legend(figure, grid[0, 0], names.get(control, control))
        yield figure


def _decided_legend(figure: Figure, axes: Axes, control: str) -> None:
    look: dict[str, Any] = {"marker": "o", "color": drawing.INK, "linestyle": ""}
    axes.plot([], [], label="decided plainly", **look)
    axes.plot([], [], markerfacecolor="white", label="decided by tissue", **look)
    axes.plot([], [], label=control, **_DASHED)
    drawing.legend_below(figure, axes, ("decided plainly", "decided by tissue", control))


def _row(axes: Axes, row: int, method: Method, style: Style) -> None:
    groups, wga = [group.estimate for group in method.groups], method.figures["wga"]
    look = style.marked(8)
    axes.plot(groups, [row] * len(groups), "|", color=drawing.MUTED, markersize=9, label=_EACH, zorder=2)
    axes.plot([wga.low, wga.high], [row, row], color=style.color, linewidth=2.2, zorder=3)
    axes.plot(wga.estimate, row, **look, zorder=4)
    for key, (shape, title) in _MARKS.items():
        place = method.figures[key].estimate
        axes.plot(place, row, shape, color=drawing.INK, markersize=6, label=title, zorder=5)
