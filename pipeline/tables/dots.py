"""The picture of scoreboards: a row for every method, a panel for every threshold."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.look import plots as drawing
from pipeline.look.styles import Style, styles_of
from pipeline.results.figures import Method, Scoreboard

# Strokes, because every closed shape is the mark of some method.
_MARKS = {"gba": ("x", "group-balanced (GBA)"), "average": ("+", "average")}
_WORST, _EACH = "worst group (WGA) with its interval", "each group"


@contextmanager
def dot_plot(boards: Sequence[Scoreboard], names: Mapping[str, str]) -> Iterator[Figure]:
    """Worst-group accuracy as the method's own mark, with its interval, and beside it the other accuracies.

    Args:
        names: to print, by algorithm, from the top row down.
    """
    rows, styles = list(names), styles_of(names)
    with drawing.canvas(7.4, 1.3 + 0.42 * len(rows), 1, len(boards), sharey=True) as (figure, grid):
        for axes, board in zip(grid[0], boards, strict=True):
            for method in board.methods:
                _row(axes, rows.index(method.algorithm), method, styles[method.algorithm])
            axes.set_title(board.told_threshold)
            axes.set_xlabel("accuracy on test patches, %")
            drawing.percent_axis(axes)
        grid[0, 0].set_yticks(range(len(rows)), names.values())
        grid[0, 0].set_ylim(len(rows) - 0.5, -0.5)
        grid[0, 0].plot([], [], color=drawing.INK, linewidth=2.2, label=_WORST)
        titles = [title for _, title in _MARKS.values()]
        drawing.legend_below(figure, grid[0, 0], (_WORST, *titles, _EACH))
        yield figure


def _row(axes: Axes, row: int, method: Method, style: Style) -> None:
    groups, wga = [group.estimate for group in method.groups], method.figures["wga"]
    look = style.marked(8)
    axes.plot(groups, [row] * len(groups), "|", color=drawing.MUTED, markersize=9, label=_EACH, zorder=2)
    axes.plot([wga.low, wga.high], [row, row], color=style.color, linewidth=2.2, zorder=3)
    axes.plot(wga.estimate, row, **look, zorder=4)
    for key, (shape, title) in _MARKS.items():
        place = method.figures[key].estimate
        axes.plot(place, row, shape, color=drawing.INK, markersize=6, label=title, zorder=5)
